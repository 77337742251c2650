//! The agent's whole life as a machine without I/O: it is told what happened, and says what to do.

mod effect;
mod input;

use std::time::Duration;

use jiff::Timestamp;

pub use self::effect::{Call, CommandResult, Effect, EnrollReason};
pub use self::input::{
    Accepted, Answer, Current, Failure, Fault, Identity, Input, Loaded, Loss, MadeOn, Nature, Outcome,
    Settings, TokenFacts, Urgency,
};
use crate::status::Report;

/// One moment, and a number drawn for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// A clock that is never set and goes on during suspend (`CLOCK_BOOTTIME`), from any origin.
    pub mono: Duration,
    /// Drawn anew for every step, evenly over all of `u64`; all jitter comes from it.
    pub random: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
}

impl Machine {
    /// A machine that waits for [`Input::Started`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Takes one input and says what to do, in this order.
    #[must_use]
    pub fn step(&mut self, _now: Now, _input: Input) -> Vec<Effect> {
        Vec::new()
    }

    /// How long until [`Input::Tick`] is wanted. `None`: not before something else happens.
    #[must_use]
    pub fn next_deadline(&self, _now: Now) -> Option<Duration> {
        None
    }

    /// Everything that can be said at this moment.
    #[must_use]
    pub fn report(&self, _now: Now) -> Report {
        Report {
            node_name: Some(self.settings.node_name.clone()),
            ..Report::new(crate::status::StateName::Starting, "", crate::status::Actor::Agent)
        }
    }
}
