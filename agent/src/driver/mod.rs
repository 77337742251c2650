//! Carries out what the [`machine`](crate::machine) decides: loads, calls, proves, publishes.
//!
//! Invariants:
//! - every decision is the machine's; a driver answers each `Load`, `Call` and `Publish` exactly once, in the order in
//!   which they come;
//! - the key and the request are on the disk before the first byte leaves, and every repeat is the same (exactly once).
//!
//! The daemon drives for ever ([`Driver::next`], [`Driver::take`]); a command until nothing more happens
//! ([`Driver::settle`]); and who only wants to know what a host holds takes one look ([`look`]).

mod calls;
mod drive;
mod effects;
mod enroll;
mod error;
mod foreign;
mod found;
mod host;
mod log;
mod look;
mod replies;
mod settle;
mod spent_token;
mod start;
mod summary;

pub use self::drive::{Attempt, Driver, Event, IdentityChange, Next};
pub use self::enroll::{FirstContact, NewSensor};
pub use self::error::DriverError;
pub use self::host::Host;
pub use self::look::{Look, look};
pub use self::settle::{Approval, Patience};
