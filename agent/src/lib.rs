//! Turns a short-lived enrollment token into the identity of a host, and never loses it.
//!
//! The modules are declared in the order of the story, and each imports only modules above it (a test in `tests/` reads
//! the imports):
//!
//! A [`clock`] tells the time, the same one to a handshake and to a plan. What is read by a name is a file (`regular`). Flags, the environment and files become one
//! [`config`], in which every value knows where it came from; the command line ([`cli`]) gets its flags from the same
//! table. A daemon gives up what it does not need ([`confine`]). The host says who it is ([`facts`]), makes a [`key`] that never leaves it, and a certificate request
//! ([`csr`]) for that key. Whom to trust and as whom to speak is always stated ([`tls`]).
//!
//! The [`machine`] does no I/O and decides everything: what this host does about its identity, from the first token to the
//! last certificate, and what people are told of it.
//!
//! The [`console`] carries a request over one verified connection; what comes back is a reply that nobody trusts until
//! [`verify`] has looked at it. A verified reply is committed to the [`store`] as a generation, and a generation becomes
//! current only after the Console has accepted it in a real mutual-TLS heartbeat. The [`driver`] does all of this as the
//! machine says. A command drives the machine until nothing more happens by itself; the daemon drives it for ever.
//!
//! Around the daemon: a [`watcher`] sees what changes on the disk, [`notify`] tells the service manager, a [`hook`] tells
//! the consumers of the identity, [`metrics`] count, and a [`server`] answers probes and takes commands. The [`doctor`]
//! looks at everything that a host needs, and explains. The [`daemon`] hears, and drives. [`commands`] are what people type.
//!
//! Types carry the order: `Config` → `HostFacts` → `KeyPair` → `Csr` → `Claim` (not trusted) → `Verified` →
//! `Generation`. `Verified` has one constructor, [`verify::check`]; the store takes nothing else.

pub mod clock;

mod regular;

pub mod config;

pub mod cli;

pub mod confine;

pub mod facts;

pub mod key;

pub mod csr;

pub mod tls;

pub mod machine;

pub mod console;

pub mod verify;

pub mod store;

pub mod driver;

pub mod watcher;

pub mod notify;

pub mod hook;

pub mod metrics;

pub mod server;

pub mod doctor;

pub mod daemon;

pub mod commands;

#[cfg(test)]
pub(crate) mod testpki;
