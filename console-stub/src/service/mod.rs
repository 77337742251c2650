//! What the Console does, one transaction each.
//!
//! Invariant: a call of this layer either happened as a whole, audit record included, and is durable when it returns, or
//! left nothing behind. The transaction is opened, filled and ended here; [`crate::domain`] decides, [`crate::db`] and
//! [`crate::ca`] carry out.
//!
//! [`setup`] makes a Console; `tokens` invites hosts; [`enroll`] lets them in; `session` serves them afterwards, as `trust` allows, and `restore` after a restore;
//! [`users`], [`approvals`], [`sensors`], `api_keys`, [`licence`], `settings`, `audit`, `audit_export` and `overview` are for operators; `upkeep` is what happens by itself.

pub(crate) mod api_keys;
pub mod approvals;
pub(crate) mod audit;
pub(crate) mod audit_export;
mod console;
pub mod enroll;
pub mod licence;
mod noted;
pub(crate) mod overview;
pub mod restore;
pub mod rotation;
pub mod sensors;
pub(crate) mod session;
pub(crate) mod settings;
pub mod setup;
mod shown;
pub(crate) mod tokens;

mod trust;
pub(crate) mod upkeep;
pub mod users;

pub use console::{Console, ServiceError};
