//! Whether this host wants to enroll, with what, and whether it may.
//!
//! Invariant: while an identity is in use, only a reason of its own makes the host ask for another.

use telovix_contract::problem::Advice;
use telovix_contract::states::TokenType;

use super::code::Code;
use super::effect::EnrollReason;
use super::enroll::EnrollIntent;
use super::identity::{Candidate, CurrentIdentity, Endpoint, ObtainedBy, Validity, Verdict};
use super::input::{Fault, Identity, Loss, MadeOn, Now, TokenFacts};
use super::skew::Clock;
use super::state::Machine;

/// Answered renewals of an expired certificate that have to come to nothing before a token is spent.
const LATE_RENEWALS: u32 = 2;

impl Machine {
    /// The enrollment that this host wants and has a token for, whether or not it may be tried now.
    pub(super) fn intent(&self, now: Now) -> Option<EnrollIntent> {
        let token = self.token.as_ref()?;
        // Where nothing stands, the Console's word on what is there comes before a token is spent on another.
        let is_asked_for = |candidate: &Candidate| {
            let stands_in = self.current.is_none() && candidate.obtained_by == ObtainedBy::Spare;
            !candidate.is_stalled() || (stands_in && candidate.prove.may_pass())
        };
        if self.candidate.as_ref().is_some_and(is_asked_for) {
            return None;
        }
        if let Some(current) = &self.current {
            let reason = self.reason_to_replace(now, current, token)?;
            let Identity { sensor_id, token_sha256, token_type, .. } = &current.identity;
            let is_spent = token.matches(token_sha256) && !can_pay_again(*token_type);
            return Some(EnrollIntent { reason, replaces: Some(*sensor_id), is_spent });
        }
        match &self.loss {
            None => Some(EnrollIntent { reason: EnrollReason::First, replaces: None, is_spent: false }),
            Some(loss) if self.may_be_the_clock(now, loss) => None,
            Some(loss) => Some(after_loss(loss, token)),
        }
    }

    /// Why the token in hand was refused.
    pub(super) fn blocked(&self) -> Option<&Fault> {
        self.enrolling.blocked(self.token.as_ref()?)
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

    fn reason_to_replace(
        &self,
        now: Now,
        current: &CurrentIdentity,
        token: &TokenFacts,
    ) -> Option<EnrollReason> {
        let identity = &current.identity;
        if !token.matches(&identity.token_sha256) {
            return Some(EnrollReason::NewToken);
        }
        match &current.verdict {
            Verdict::Revoked(_) => return None,
            Verdict::Lost(fault) => return Some(EnrollReason::NotAccepted(fault.message.clone())),
            Verdict::Unknown if self.is_not_vouched(current) => return Some(EnrollReason::NotVouched),
            Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => {}
        }
        match current.validity(now, &self.skew) {
            Validity::Suspect => None,
            // A renewal is asked for before a token is spent.
            Validity::Expired => {
                (current.late >= LATE_RENEWALS).then_some(EnrollReason::Expired(identity.not_after))
            }
            Validity::Good => self.reason_while_good(now, current),
        }
    }

    /// Whether the identity was never of use because of the CA that came with it: one misleading answer must not be the last word
    /// (docs/contract.md section 6).
    fn is_not_vouched(&self, current: &CurrentIdentity) -> bool {
        let heard = current.heartbeat.fault();
        self.ready == Some(false) && heard.is_some_and(|fault| fault.code == Code::ConsoleNotTrusted)
    }

    /// Without need only a token that is known to pay for many nodes is used a second time.
    fn reason_while_good(&self, now: Now, current: &CurrentIdentity) -> Option<EnrollReason> {
        let Identity { token_type, changed, .. } = &current.identity;
        if *token_type != Some(TokenType::Cluster) {
            return None;
        }
        if let Some(change) = changed {
            return Some(EnrollReason::Changed(change.clone()));
        }
        let is_denied =
            current.renewal_endpoint == Endpoint::Unsupported || current.renew.met(Advice::Refused);
        (is_denied && self.skew.corrected(now) >= current.renew_at()).then_some(EnrollReason::NoRenewal)
    }
}

fn after_loss(loss: &Loss, token: &TokenFacts) -> EnrollIntent {
    let paid = loss.token_sha256.as_ref().is_some_and(|recorded| token.matches(recorded));
    let is_spent = paid && !can_pay_again(loss.token_type);
    match loss.made_on {
        MadeOn::AnotherHost => EnrollIntent { reason: EnrollReason::Cloned, replaces: None, is_spent },
        MadeOn::ThisHost => {
            let reason = EnrollReason::Lost(loss.reason.clone());
            EnrollIntent { reason, replaces: loss.sensor_id, is_spent }
        }
    }
}

/// Whether a token that paid for an identity may pay for another. Where the Console did not say what kind it is, it is
/// asked: a refusal costs nothing and bars the token.
fn can_pay_again(token_type: Option<TokenType>) -> bool {
    token_type != Some(TokenType::Once)
}
