//! The agent's whole life as a machine without I/O: it is told what happened, and says what to do.
//!
//! [`Machine::step`] takes one [`Input`] and the time, and returns [`Effect`]s; [`Machine::next_deadline`] says when it
//! wants to be woken; [`Machine::report`] says where it stands. It reads no clock, draws no number, touches no file and
//! waits for nothing, so that its life from first start to revocation is a table of tests.
//!
//! Inside it keeps facts, not a state: what identity is in use, what the Console said of it, what token is in hand, what was
//! refused. The next thing to do is read off the facts (`agenda`), and so is the state that people see (`report`): the
//! two cannot disagree. What follows from a failure is read off its [`Code`].
//!
//! The daemon and every command drive this one machine (`crate::driver`), so that what is proven of it here holds for
//! the first enrollment too.
//!
//! Invariants, each with a property test:
//! - at most one answered effect is under way, so at most one call to the Console;
//! - an identity in use is replaced only by one that the Console has accepted ([`Call::Prove`]), and is never
//!   thrown away because a renewal failed, a token changed or a clock is wrong;
//! - a token that was refused is presented again every ten minutes, and one whose sensor was revoked never by itself;
//! - waits are kept on the monotonic clock, the life of a certificate on the wall clock, and a tick at the deadline
//!   always makes progress;
//! - nothing in it grows with time.

mod agenda;
mod answers;
mod code;
mod effect;
mod enroll;
mod identity;
mod input;
mod intent;
mod loaded;
mod proof;
mod report;
mod requests;
mod rest;
mod retry;
pub mod schedule;
mod skew;
mod state;
mod status;
mod step;
mod verdict;

pub use self::code::{Actor, Code, Exit};
pub use self::effect::{Call, CommandResult, Effect, EnrollReason};
pub use self::input::{
    Accepted, Answer, Current, Failure, Fault, Heard, Identity, Input, Loaded, Loss, MadeOn, Now, Outcome,
    Settings, TokenFacts, Urgency,
};
pub use self::state::Machine;
pub use self::status::{LastError, Report, StateName};

#[cfg(test)]
mod tests;
