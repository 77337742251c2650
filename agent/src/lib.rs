//! Turns a short-lived enrollment token into the identity of a host, and never loses it.
//!
//! The modules stand in the order of the story, and each imports only modules above it (a test in `tests/` reads the
//! imports):
//!
//! A [`clock`] tells the time, the same one to a handshake and to a plan. Flags, the environment and files become one
//! [`config`], in which every value knows where it came from; the command line ([`cli`]) gets its flags from the same
//! table. A daemon gives up what it does not need ([`confine`]). The host says who it is
//! ([`facts`]), makes a [`key`] that never leaves it, and a certificate request ([`csr`]) for that key.
//! The [`console`] carries both, with the token, over one verified connection; what comes back is a reply that nobody
//! trusts until [`verify`] has looked at it. A verified reply is committed to the [`store`] as a generation, and a
//! generation becomes current only after the Console has accepted it in a real mutual-TLS heartbeat. The
//! [`schedule`] says when to try again and when to renew, and a [`status`] report says all of it to people.
//!
//! A daemon lives for years by the [`machine`], which does no I/O and decides everything. Around it: a [`watcher`] sees
//! what changes on the disk, [`notify`] tells the service manager, a [`hook`] tells the consumers of the identity,
//! [`metrics`] count, and a [`server`] answers probes and takes commands. [`enrollment`] is what a host does to hold a
//! working identity, once; the [`doctor`] looks at everything that it needs and explains; the [`supervisor`] hears,
//! tells the machine and does what it says. [`commands`] are what people type.
//!
//! Types carry the order: `Config` → `HostFacts` → `KeyPair` → `Csr` → `Claim` (not trusted) → `Verified` →
//! `Generation`. `Verified` has one constructor, [`verify::check`]; the store takes nothing else.

pub mod clock;

pub mod config;

pub mod cli;

pub mod confine;

pub mod facts;

pub mod key;

pub mod csr;

pub mod console;

pub mod verify;

pub mod store;

pub mod schedule;

pub mod status;

pub mod machine;

pub mod watcher;

pub mod notify;

pub mod hook;

pub mod metrics;

pub mod server;

pub mod enrollment;

pub mod doctor;

pub mod supervisor;

pub mod commands;

#[cfg(test)]
pub(crate) mod testpki;
