//! Whether this host wants to enroll, with what, and whether it may.
//!
//! Invariant: a token that was refused for good, or that the sensor which it paid for was revoked with, is not presented
//! again; and while an identity stands, only a reason of its own makes the host ask for another.

use std::time::Duration;

use telovix_contract::states::TokenType;
use telovix_contract::{SensorId, TokenHash};

use super::effect::EnrollReason;
use super::held::{Held, Road, Standing, Verdict};
use super::input::{Identity, Loss, MadeOn, TokenFacts};
use super::policy::Until;
use super::skew::Clock;
use super::wait::{Tries, Trouble};
use super::{Machine, Now};

/// How soon after its enrollment an identity is lost for the next enrollment to wait, longer each time: two hosts that
/// the Console takes for one node would otherwise push each other out as fast as they can.
const RELAPSE: Duration = Duration::from_secs(3600);

/// Attempts to enroll, and what stands in their way.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Enrolling {
    pub tries: Tries,
    /// An operator has to approve.
    pub waiting: bool,
    /// What was refused for good.
    pub bar: Option<Bar>,
    /// The token that paid for a sensor which was revoked.
    pub revoked: Option<(TokenHash, Trouble)>,
    /// How often in a row what was enrolled was lost soon after.
    relapses: u32,
}

/// A refusal for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bar {
    pub token: TokenHash,
    pub until: Until,
    pub trouble: Trouble,
}

/// An enrollment that this host wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub reason: EnrollReason,
    pub replaces: Option<SensorId>,
}

impl Enrolling {
    /// Why this token is not presented.
    pub(super) fn barred(&self, token: &TokenFacts) -> Option<&Trouble> {
        let bar = self.bar.as_ref().filter(|bar| bar.token == token.hash()).map(|bar| &bar.trouble);
        bar.or_else(|| self.revoked.as_ref().filter(|(paid, _)| token.matches(paid)).map(|(_, why)| why))
    }

    /// Another token is there than the one before.
    pub(super) fn token_changed(&mut self) {
        self.tries.succeed();
        self.waiting = false;
        self.bar = None;
    }

    /// Another configuration is in force.
    pub(super) fn configuration_changed(&mut self) {
        self.tries.succeed();
        self.bar.take_if(|bar| bar.until == Until::TokenOrConfiguration);
    }

    /// An identity that this process enrolled was lost.
    pub(super) fn lost(&mut self, now: Now, held: &Held) {
        let Some(enrolled) = held.enrolled else { return };
        if now.mono.saturating_sub(enrolled) >= RELAPSE {
            self.relapses = 0;
            return;
        }
        self.tries.slow_down(now, self.relapses);
        self.relapses = self.relapses.saturating_add(1);
    }
}

impl Machine {
    /// The enrollment that this host wants and has a token for, whether or not it may be tried now.
    pub(super) fn wish(&self, now: Now) -> Option<Wish> {
        let token = self.token.as_ref()?;
        if self.candidate.is_some() {
            return None;
        }
        if let Some(held) = &self.held {
            let reason = self.reason_to_replace(now, held, token)?;
            return Some(Wish { reason, replaces: Some(held.identity.sensor_id) });
        }
        match &self.loss {
            None => Some(Wish { reason: EnrollReason::First, replaces: None }),
            Some(loss) if self.may_be_the_clock(now, loss) => None,
            Some(loss) => after_loss(loss, token),
        }
    }

    /// Why the wish is not followed: refused for good.
    pub(super) fn barred(&self) -> Option<&Trouble> {
        self.enrolling.barred(self.token.as_ref()?)
    }

    /// Whether the loss may be the clock's fault: its dates fail, and the Console has not confirmed that they do.
    pub(super) fn may_be_the_clock(&self, now: Now, loss: &Loss) -> bool {
        let Some((from, until)) = loss.about_time else { return false };
        match self.skew.clock() {
            Clock::Unknown => true,
            Clock::Right => false,
            Clock::Wrong(_) => (from..until).contains(&self.skew.corrected(now)),
        }
    }

    fn reason_to_replace(&self, now: Now, held: &Held, token: &TokenFacts) -> Option<EnrollReason> {
        let identity = &held.identity;
        if !token.matches(&identity.token_sha256) {
            return Some(EnrollReason::NewToken);
        }
        match &held.verdict {
            Verdict::Revoked(_) => return None,
            Verdict::Lost(trouble) => {
                return can_pay_again(identity.token_type)
                    .then(|| EnrollReason::NotAccepted(trouble.fault.message.clone()));
            }
            Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => {}
        }
        match held.standing(now, &self.skew) {
            Standing::Suspect => None,
            Standing::Expired => {
                can_pay_again(identity.token_type).then_some(EnrollReason::Expired(identity.not_after))
            }
            Standing::Good => self.reason_while_good(now, held),
        }
    }

    /// Without need only a token that is known to pay for many nodes is used a second time.
    fn reason_while_good(&self, now: Now, held: &Held) -> Option<EnrollReason> {
        let Identity { token_type, changed, .. } = &held.identity;
        if *token_type != Some(TokenType::Cluster) {
            return None;
        }
        if let Some(change) = changed {
            return Some(EnrollReason::Changed(change.clone()));
        }
        match held.renew_road {
            Road::Open => None,
            Road::Missing | Road::Barred => {
                (self.skew.corrected(now) >= held.renew_at()).then_some(EnrollReason::NoRenewal)
            }
        }
    }
}

fn after_loss(loss: &Loss, token: &TokenFacts) -> Option<Wish> {
    let paid = loss.token_sha256.as_ref().is_some_and(|recorded| token.matches(recorded));
    if paid && !can_pay_again(loss.token_type) {
        return None;
    }
    Some(match loss.made_on {
        MadeOn::AnotherHost => Wish { reason: EnrollReason::Cloned, replaces: None },
        MadeOn::ThisHost => {
            Wish { reason: EnrollReason::Lost(loss.reason.clone()), replaces: loss.sensor_id }
        }
    })
}

/// Whether a token that paid for an identity may pay for another. Where the Console did not say what kind it is, it is
/// asked: a refusal costs nothing and bars the token.
fn can_pay_again(token_type: Option<TokenType>) -> bool {
    token_type != Some(TokenType::Once)
}
