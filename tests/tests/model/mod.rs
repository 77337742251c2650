//! The enrollment protocol, searched exhaustively: agents that are killed, messages that are lost or late, a Console that is
//! killed, two hosts with one token, a copied disk, a deleted one, renewals and new enrollments (decision 0019).
//!
//! What decides on either side is the real code: the agent's `machine::Machine::step`, and the Console's
//! `domain::enroll::decide` and `domain::credential`. What carries decisions out, reads files and speaks TLS cannot be searched,
//! and is here as plain values and durable steps:
//!
//! | here | stands for |
//! |---|---|
//! | `host::Host::go_on`, `steps::carry_out` | `agent/src/driver/effects.rs`, `start.rs` |
//! | `host::Host::land`, `commit` | `agent/src/driver/replies.rs`, `verify::check`, `Store::commit` |
//! | `steps::begin_or_resume`, `begin_renewal` | `agent/src/driver/enroll.rs`; `start.rs`, `start_renewal` |
//! | `disk::Write`, one value each | one rename or removal of `agent/src/store`: `pending.rs`, `generation.rs` |
//! | `disk::settling`, `committed_before` | `store/generation.rs`, `settle`; `driver/found.rs`, `committed_before` |
//! | `words::input`, `identity`, `loaded` | `agent/src/driver/summary.rs`, `found.rs` |
//! | `console::enroll`, `gather` | `console-stub/src/service/enroll/mod.rs`, `settle`, `gather`; `carry_out/mod.rs` |
//! | `console::heartbeat`, `renew` | `console-stub/src/service/session.rs`; `db/certificates.rs`, `supersede`, `first_seen` |
//! | `Act::Disk`, `Act::Kill` | a durable step; SIGKILL between two of them, or while a call is under way |
//! | `Act::Arrive` | the Console's transaction, committed; or its answer, read |
//! | `Act::Lose`, `Act::Delay` | a request or an answer lost; a request that arrives after its call was given up |
//! | `Act::KillConsole` | a kill before the commit (requests) or between commit and answer (answers), for all at once |
//! | `Act::Lie` | an answer replaced on its way: a refusal that ends what believes it, or a missing path |
//! | `Act::Wait`, `Outage`, `Day`, `Weeks` | five minutes; two hours; 25 hours; until renewal is due |
//!
//! An answer cannot reach another call than its own: each has a TLS connection of its own. So a duplicate of a request is a
//! late one beside its repeat, and a duplicate of an answer is nothing.
//!
//! `laws.rs` says what has to hold and what has to be reachable, `runs.rs` what is searched, `flaw.rs` which mistakes the
//! search is shown to find. That the steps here are those of the real store is what `crash.rs` and `crash-anywhere` show, and
//! that the Console's tables here behave as its service does, `conformance.rs`.

mod conformance;
mod console;
mod deeds;
mod disk;
mod flaw;
mod history;
mod host;
mod laws;
mod records;
mod runs;
mod steps;
mod words;
mod world;
