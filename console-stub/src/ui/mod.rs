//! The pages that operators look at: rendered here, with a small script that nothing depends on.
//!
//! Invariant: a page decides nothing. Whatever it shows or changes goes through the same calls of [`crate::service`] as the
//! interface's, under the same roles; each form carries its session's CSRF token, and each answer the headers of
//! `page::guarded`. Pages lie below `/ui` and are no part of the described interface, which is below `/api`.

mod approvals;
mod audit;
mod deploy;
mod events;
mod login;
mod page;
mod routes;
mod rules;
mod sensor;
mod sensors;
mod settings;
mod setup;
mod tokens;
mod visitor;
mod words;

pub use routes::router;
