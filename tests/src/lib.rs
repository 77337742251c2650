//! The testkit: what the integration suites are built from.
//!
//! Nothing here is a mock. The two sides are the real binaries ([`bins`]), run as processes with a clean environment
//! ([`agent`], [`world`]); what stands between them or instead of them is a real socket with a real certificate:
//!
//! - [`pki`] and [`csr`] make certificates and requests with any single flaw;
//! - [`rogue`] is a server that answers whatever a test tells it to, and remembers every byte that it was sent;
//! - [`proxy`] stands between two honest sides: an HTTP CONNECT proxy, and a wire that breaks where a test says;
//! - [`fleet`] is the load tool: simulated agents, as many and as fast as one asks for; [`mod@bench`] measures with it;
//! - [`client`] is an impolite client for the Console, for what no agent would send;
//! - [`place`] is a folder for hosts where no Console is needed, and [`snapshot`] says what has changed in a folder;
//! - [`daemon`] is the real daemon on a host of its own, seen through its control socket;
//! - [`sim`] is the agent and the Console in one process whose time a test moves: a month in minutes;
//! - [`strace`] strikes the agent at the n-th of a system call, and [`consumer`] reads what it publishes all the while;
//! - [`proof`] says that a host is enrolled, once;
//! - [`db`] reads the Console's database behind its back, and [`secrets`] looks for what must not be anywhere.
//!
//! Every server runs on a thread with a runtime of its own and ends when it is dropped, so that a test is plain
//! synchronous code that spawns processes and waits for them. Ports are always chosen by the kernel.

pub mod agent;
pub mod bench;
pub mod bins;
pub mod client;
pub mod consumer;
pub mod csr;
pub mod daemon;
pub mod db;
pub mod fleet;
pub mod http1;
pub mod operator;
pub mod pki;
pub mod place;
pub mod proof;
pub mod proxy;
pub mod rogue;
pub mod run;
pub mod secrets;
pub mod serving;
pub mod sim;
pub mod snapshot;
pub mod strace;
pub mod tidy;
pub mod wait;
pub mod world;

pub use agent::Agent;
pub use place::Place;
pub use run::Run;
pub use world::World;
