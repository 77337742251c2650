//! What the Console says of the identity in use (docs/contract.md section 6, verdicts).
//!
//! Invariant: no single answer ends anything, and whatever was said, it is asked again.

use telovix_contract::problem::ErrorCode;

use super::code::Code;
use super::enroll::Block;
use super::identity::ObtainedBy;
use super::identity::{CurrentIdentity, Validity, Verdict};
use super::input::{Accepted, Failure, Now};
use super::schedule;
use super::skew::Clock;
use super::state::Machine;

impl Machine {
    pub(super) fn accepted(&mut self, now: Now, answer: &Accepted) {
        self.heard.heartbeat = true;
        let Some(current) = &mut self.current else { return };
        current.accept(now, answer);
        if current.verdict == Verdict::Accepted {
            self.untried.clear();
            self.candidate.take_if(|it| it.obtained_by == ObtainedBy::Spare && it.proof.is_none());
        }
    }

    /// The Console does not know this identity: the others on the disk are tried, it is asked once more one heartbeat later, and
    /// the second like answer is believed. It is asked again even then.
    pub(super) fn not_accepted(&mut self, now: Now, failure: &Failure) {
        let Some(current) = &mut self.current else { return };
        if current.is_doubted() {
            current.heartbeat.retry_in_minutes(now, failure);
            if !matches!(current.verdict, Verdict::Lost(_)) {
                current.verdict = Verdict::Lost(failure.fault.clone());
                current.renew_now = false;
                self.enrolling.lost(now, current);
            }
        } else {
            current.doubt(now, &self.skew, failure);
        }
        self.try_others(now);
    }

    /// The Console says that the certificate has expired: it is renewed with. Where no clock of this host's says so, the Console's is
    /// the likelier fault, and only the second like answer is acted on.
    pub(super) fn called_expired(&mut self, now: Now, failure: &Failure) {
        let Some(current) = &mut self.current else { return };
        let is_in_force = current.validity(now, &self.skew) == Validity::Good
            && current.identity.not_before <= now.wall
            && self.skew.clock() == Clock::Right;
        let is_second = current.heartbeat.fault().is_some_and(|fault| is_expiry(fault.code));
        if !matches!(current.verdict, Verdict::Lost(_)) {
            current.verdict = Verdict::Refused(failure.fault.clone());
        }
        current.heartbeat.refuse(now, failure, schedule::REFUSED);
        if is_second || !is_in_force {
            current.renew_begun = true;
            current.renew.retry_now();
        }
    }

    pub(super) fn sensor_revoked(&mut self, now: Now, failure: &Failure) {
        if let Some(current) = &mut self.current {
            current.revoke(now, failure);
        }
    }

    /// The identity in use is no more. The token of one that was revoked is not presented at once for that.
    pub(super) fn gone(&mut self, now: Now, current: &CurrentIdentity) {
        self.enrolling.lost(now, current);
        let paid = self.token.filter(|token| token.matches(&current.identity.token_sha256));
        if let (Verdict::Revoked(fault), Some(token)) = (&current.verdict, paid) {
            let failure = Failure { fault: fault.clone(), retry_after: None };
            self.enrolling.tries.refuse(now, &failure, schedule::REVOKED);
            self.enrolling.block = Some(Block { token: token.hash(), fault: failure.fault });
        }
    }
}

pub(super) fn is_expiry(code: Code) -> bool {
    code == Code::Console(ErrorCode::CertificateExpired)
}
