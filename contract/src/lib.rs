//! The words that a sensor and the Console say to each other.
//!
//! This crate is the one place where the contract stands in code: names and their limits ([`ids`], [`tags`]), the enrollment
//! token and its hash ([`token`]), the pinned CA fingerprint ([`fingerprint`]), what a host says of itself
//! ([`facts`]), the calls and their answers ([`enroll`], [`session`]), what refusals are called and what follows
//! from them ([`problem`]), the states that a sensor goes through ([`states`]), how answers and requests are read
//! ([`reading`]), how text from outside is shown ([`text`]), and where the calls live ([`paths`]).
//!
//! It does no I/O, knows no async runtime and no command line. Every type parses instead of validating: a value that
//! exists is a value that keeps its rule, on both sides of the wire. Section numbers in the doc comments are those of
//! `docs/contract.md`; decisions of this project (marked *ours* there) stand here once, so that they change in one edit.

pub mod enroll;
pub mod facts;
pub mod fingerprint;
pub mod ids;
pub mod paths;
pub mod problem;
pub mod reading;
#[cfg(feature = "openapi")]
mod schema;
pub mod session;
pub mod states;
pub mod tags;
pub mod text;
pub mod token;

pub use fingerprint::CaFingerprint;
pub use ids::{ClusterName, Flavor, InstallId, NodeName, NodeRole, SensorId, Tag};
pub use problem::{ErrorCode, Problem};
pub use tags::Tags;
pub use text::clean;
pub use token::{EnrollmentToken, TokenHash};
