//! Attempts to enroll, and what was refused.
//!
//! Invariant: a token that was refused is presented again, ten minutes later.

use std::time::Duration;

use telovix_contract::{SensorId, TokenHash};

use super::effect::EnrollReason;
use super::identity::CurrentIdentity;
use super::input::{Fault, Now, TokenFacts};
use super::retry::RetryState;

/// How soon after its enrollment an identity is lost for the next enrollment to wait, longer each time: two hosts that
/// the Console takes for one node would otherwise push each other out as fast as they can.
const RELAPSE: Duration = Duration::from_secs(3600);

/// Attempts to enroll, and what stands in their way.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Enrolling {
    pub tries: RetryState,
    /// An operator has to approve.
    pub waiting: bool,
    /// What was refused.
    pub block: Option<Block>,
    /// How often in a row what was enrolled was lost soon after.
    relapses: u32,
}

/// A refusal of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Block {
    pub token: TokenHash,
    pub fault: Fault,
}

/// An enrollment that this host wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnrollIntent {
    pub reason: EnrollReason,
    pub replaces: Option<SensorId>,
    /// The token is known to have paid already, and for one use. It is asked for all the same, for a Console that was restored may
    /// not know that; people hear of the loss and not of this.
    pub is_spent: bool,
}

impl Enrolling {
    /// Why this token was refused.
    pub(super) fn blocked(&self, token: &TokenFacts) -> Option<&Fault> {
        self.block.as_ref().filter(|block| block.token == token.hash()).map(|block| &block.fault)
    }

    /// Whether the Console lost, soon after, what this process had enrolled.
    pub(super) fn has_relapsed(&self) -> bool {
        self.relapses > 0
    }

    /// Another token is there than the one before.
    pub(super) fn token_changed(&mut self) {
        self.tries.succeed();
        self.waiting = false;
        self.block = None;
    }

    /// Another configuration is in force.
    pub(super) fn configuration_changed(&mut self) {
        self.tries.succeed();
        self.block = None;
    }

    /// An identity that this process enrolled was lost.
    pub(super) fn lost(&mut self, now: Now, current: &CurrentIdentity) {
        let Some(enrolled) = current.enrolled else { return };
        if now.mono.saturating_sub(enrolled) >= RELAPSE {
            self.relapses = 0;
            return;
        }
        self.tries.slow_down(now, self.relapses);
        self.relapses = self.relapses.saturating_add(1);
    }
}
