//! A Console in this process, spoken to over real TLS.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod approval;
mod chaos;
mod engine;
mod enroll;
#[cfg(feature = "failpoints")]
mod faults;
mod instances;
mod limits;
mod login;
mod operators;
mod rotation;
mod session;
mod world;
