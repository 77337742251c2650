//! What the Console does, one transaction each.
//!
//! Invariant: a call of this layer either happened as a whole, audit record included, and is durable when it returns, or
//! left nothing behind. The transaction is opened, filled and ended here; [`crate::domain`] decides, [`crate::db`] and
//! [`crate::ca`] carry out.
//!
//! [`setup`] makes a Console; [`tokens`] invites hosts; [`enroll`] lets them in; [`session`] serves them afterwards;
//! [`users`], [`approvals`], [`sensors`], [`api_keys`], [`licence`], [`settings`], [`audit`], [`audit_export`] and [`overview`] are for operators; [`upkeep`] is what happens by itself.

pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod audit_export;
mod console;
pub mod enroll;
pub mod licence;
pub mod overview;
pub mod rotation;
pub mod sensors;
pub mod session;
pub mod settings;
pub mod setup;
pub mod tokens;
pub mod upkeep;
pub mod users;

pub use console::{Console, ServiceError};
