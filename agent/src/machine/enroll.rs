//! Attempts to enroll, and what was refused.
//!
//! Invariant: a token whose sensor was revoked is not presented again; one that was refused is, ten minutes later.

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
    /// The token that paid for a sensor which was revoked.
    pub revoked: Option<(TokenHash, Fault)>,
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
}

impl Enrolling {
    /// Why this token was refused, or is not presented.
    pub(super) fn blocked(&self, token: &TokenFacts) -> Option<&Fault> {
        let block = self.block.as_ref().filter(|block| block.token == token.hash()).map(|block| &block.fault);
        block.or_else(|| self.barred(token))
    }

    /// Why this token is never presented again.
    pub(super) fn barred(&self, token: &TokenFacts) -> Option<&Fault> {
        self.revoked.as_ref().filter(|(paid, _)| token.matches(paid)).map(|(_, why)| why)
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
