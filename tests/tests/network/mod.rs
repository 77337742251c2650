//! A bad network, byte by byte: each exchange of a daemon with its Console is harmed at every kind of place, in both
//! directions, and the host ends as if nothing had been, with one sensor, its token used once, and nobody hammered.
//!
//! Places are computed from a clean run: for every TLS record its first byte, inside and at the end of its header, points
//! in its body, its last byte and what follows. What is in a sealed record arrives whole or not at all, so that a place
//! in a request's head and one in its body differ only by their distance from the record's start.
//!
//! Here a sample runs; `tests/system/long/network.sh` runs all of it (`TELOVIX_NETWORK=all`), or takes every n-th byte
//! (`TELOVIX_NETWORK=N`).

mod exchanges;
mod hours;
mod stage;
