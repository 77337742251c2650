//! What follows from the answer to a call.
//!
//! Invariant: an answer changes the identity in use only by proving its successor, or by saying of that identity
//! itself that it is not accepted; whatever else goes wrong leaves it alone.

use std::time::Duration;

use telovix_contract::problem::Advice;

use super::code::Code;
use super::effect::{Call, Effect};
use super::enroll::Block;
use super::identity::{Candidate, Endpoint, ObtainedBy, Proof, Validity, validity};
use super::input::{Answer, Failure, Fault, Identity, Now, Outcome};
use super::schedule;
use super::skew::{Clock, Skew};
use super::state::{Job, Machine};
use super::verdict::is_expiry;

/// Bounds of the wait that a Console may ask of an enrollment which waits for approval.
const APPROVAL: (Duration, Duration) = (Duration::from_secs(1), schedule::LONGEST);

impl Machine {
    pub(super) fn answered(&mut self, now: Now, answer: Answer, effects: &mut Vec<Effect>) {
        let call = match self.job.take() {
            Some(Job::Call(call)) => call,
            other => {
                // The answer of a call that was cancelled: nobody waits for it.
                self.job = other;
                return;
            }
        };
        let dated = answer.server_date.is_some();
        if let Some(date) = answer.server_date {
            self.clock_read(|skew| skew.measure(now, date));
        }
        match (call, answer.outcome) {
            // By this host's clock it was worth verifying, and by the Console's it is over: asked again, and not at once.
            (call, Outcome::Enrolled(identity) | Outcome::Renewed(identity))
                if validity(&identity, now, &self.skew) == Validity::Expired =>
            {
                let end = identity.not_after;
                let fault = Fault::new(Code::IssuedDates, format!("the new certificate expired at {end:.0}"));
                self.failed(now, &call, &Failure { fault, retry_after: None }, dated, effects);
            }
            // The answer of before once more: it may be another one later.
            (Call::Enroll { .. }, Outcome::Enrolled(identity)) if self.is_current(&identity) => {
                let fault = self.current.as_ref().and_then(|current| current.heartbeat.fault()).cloned();
                let fault = fault.unwrap_or_else(|| mismatch().fault);
                self.enrolling.tries.retry_in_minutes(now, &Failure { fault, retry_after: None });
            }
            (Call::Enroll { .. }, Outcome::Enrolled(identity)) => {
                self.enrolling.tries.succeed();
                self.enrolling.waiting = false;
                self.enrolling.block = None;
                self.candidate = Some(Candidate::new(identity, ObtainedBy::Enrollment));
            }
            (Call::Enroll { .. }, Outcome::Waiting(asked)) => {
                // Another token than the waiting one is tried at once.
                if self.token_changed_meanwhile() {
                    return;
                }
                let asked = asked.clamp(APPROVAL.0, APPROVAL.1);
                self.enrolling.tries.again_after(now, schedule::repeat(asked, now.random));
                self.enrolling.waiting = true;
                self.enrolling.block = None;
            }
            (Call::Renew, Outcome::Renewed(identity)) => self.renewed(now, identity, effects),
            (Call::Prove { .. }, Outcome::Accepted(answer)) => self.proved(Proof::Accepted(answer)),
            (Call::Heartbeat, Outcome::Accepted(answer)) => self.accepted(now, &answer),
            (Call::ProbeClock, Outcome::ClockRead) => self.probed(now, dated),
            (Call::Decommission, Outcome::Decommissioned) => self.retire(None, effects),
            (call, Outcome::Failed(failure)) => self.failed(now, &call, &failure, dated, effects),
            (
                call,
                Outcome::Enrolled(_)
                | Outcome::Waiting(_)
                | Outcome::Renewed(_)
                | Outcome::Accepted(_)
                | Outcome::ClockRead
                | Outcome::Decommissioned,
            ) => self.failed(now, &call, &mismatch(), dated, effects),
        }
    }

    /// A reading of the Console's clock, good or none; what waited for it goes on.
    fn clock_read(&mut self, read: impl FnOnce(&mut Skew)) {
        let before = self.skew.clock();
        read(&mut self.skew);
        self.doubts_dates = false;
        match self.skew.clock() {
            // Nobody asks any more, so that why it could not be asked before says nothing.
            Clock::Right if before == Clock::Right => self.probe.succeed(),
            Clock::Right => self.clock_is_right(),
            Clock::Unknown | Clock::Wrong(_) => {}
        }
    }

    fn probed(&mut self, now: Now, dated: bool) {
        if !dated {
            self.clock_read(Skew::dateless);
        }
        match self.skew.clock() {
            Clock::Unknown | Clock::Right => self.probe.succeed(),
            // Ask again now and then: it may have been the Console's clock.
            Clock::Wrong(_) => {
                let fault = self.skew.fault().unwrap_or_else(|| mismatch().fault);
                self.probe.back_off(now, &Failure { fault, retry_after: None });
            }
        }
    }

    fn failed(&mut self, now: Now, call: &Call, failure: &Failure, dated: bool, effects: &mut Vec<Effect>) {
        // Before a certificate is called invalid the Console is asked for the time, unless this answer told it.
        self.doubts_dates |= failure.fault.code.advice() == Advice::AskTime && !dated;
        match call {
            Call::Enroll { .. } => self.enrollment_failed(now, failure),
            Call::Renew => self.renewal_failed(now, failure, effects),
            Call::Prove { .. } => self.proof_failed(now, failure, effects),
            Call::Heartbeat => self.heartbeat_failed(now, failure),
            Call::ProbeClock => self.probe.back_off(now, failure),
            Call::Decommission => self.retire(Some(failure.fault.clone()), effects),
        }
    }

    fn is_current(&self, identity: &Identity) -> bool {
        self.current.as_ref().is_some_and(|current| current.identity.generation == identity.generation)
    }

    /// Whether the token changed while the call was under way.
    fn token_changed_meanwhile(&self) -> bool {
        self.at_hand().token != self.presented.token
    }

    /// Whether token or configuration changed while the call was under way: then a refusal is of what was.
    pub(super) fn is_outdated(&self) -> bool {
        self.at_hand() != self.presented
    }

    fn enrollment_failed(&mut self, now: Now, failure: &Failure) {
        if self.token_changed_meanwhile() {
            return;
        }
        let outdated = self.is_outdated();
        let enrolling = &mut self.enrolling;
        match failure.fault.code.advice() {
            Advice::BackOff | Advice::AskTime => return enrolling.tries.back_off(now, failure),
            // No credential is presented here that could be lost: something in between wants a client certificate.
            Advice::Later | Advice::Slowly | Advice::MissingPath | Advice::CredentialLost => {
                return enrolling.tries.retry_in_minutes(now, failure);
            }
            Advice::Refused if outdated => return,
            Advice::Refused | Advice::Revoked => {}
        }
        enrolling.waiting = false;
        enrolling.tries.refuse(now, failure, schedule::REFUSED);
        if let Some(token) = &self.token {
            enrolling.block = Some(Block { token: token.hash(), fault: failure.fault.clone() });
        }
    }

    fn renewal_failed(&mut self, now: Now, failure: &Failure, effects: &mut Vec<Effect>) {
        self.renewal_command_failed(&failure.fault, effects);
        let outdated = self.is_outdated();
        let Some(current) = &mut self.current else { return };
        let (code, advice) = (failure.fault.code, failure.fault.code.advice());
        // Nothing came back that says whether it was done.
        current.renew_begun |= matches!(advice, Advice::BackOff | Advice::AskTime | Advice::Later);
        let is_late = current.validity(now, &self.skew) == Validity::Expired;
        if is_late && !matches!(code, Code::ConsoleUnreachable | Code::ProxyFailed | Code::DeadlineExceeded) {
            current.late = current.late.saturating_add(1);
        }
        match advice {
            Advice::BackOff | Advice::AskTime => {
                // What was issued by a wrong clock comes again with the same key, whatever the clocks are now.
                let is_stale = code == Code::IssuedDates && self.skew.clock() == Clock::Right;
                if is_stale && current.renew.fault().is_some_and(|before| before.code == code) {
                    effects.push(Effect::ForgetRenewal);
                }
                current.renew.back_off(now, failure);
            }
            Advice::Later | Advice::Slowly => current.renew.retry_in_minutes(now, failure),
            Advice::Refused if outdated => {}
            Advice::Refused => {
                current.renew.refuse(now, failure, current.refused_renewal_wait(now));
                current.renew_now = false;
                current.renew_begun = false;
                effects.push(Effect::ForgetRenewal);
            }
            // One that worked before is more likely behind a proxy that lost its way than gone.
            Advice::MissingPath if self.heard.renewal => current.renew.retry_in_minutes(now, failure),
            Advice::MissingPath => {
                let most = current.refused_renewal_wait(now).min(schedule::REFUSED);
                current.renew.refuse(now, failure, most);
                current.renewal_endpoint = Endpoint::Unsupported;
                current.renew_now = false;
            }
            Advice::CredentialLost => {
                current.renew.retry_in_minutes(now, failure);
                self.not_accepted(now, failure);
            }
            Advice::Revoked => self.sensor_revoked(now, failure),
        }
    }

    fn heartbeat_failed(&mut self, now: Now, failure: &Failure) {
        let outdated = self.is_outdated();
        let is_due = self.renewal_is_due(now);
        let Some(current) = &mut self.current else { return };
        match failure.fault.code.advice() {
            Advice::BackOff | Advice::AskTime => current.heartbeat.back_off(now, failure),
            Advice::Later => current.heartbeat.retry_in_minutes(now, failure),
            Advice::Slowly => {
                current.heartbeat.retry_in_minutes(now, failure);
                current.refuse(&failure.fault);
            }
            Advice::Refused if outdated => {}
            Advice::Refused => {
                current.heartbeat.refuse(now, failure, schedule::REFUSED);
                current.refuse(&failure.fault);
            }
            Advice::MissingPath if self.heard.heartbeat => current.heartbeat.retry_in_minutes(now, failure),
            Advice::MissingPath => {
                current.heartbeat.refuse(now, failure, schedule::REFUSED);
                current.no_heartbeat_endpoint();
            }
            Advice::CredentialLost if is_expiry(failure.fault.code) => self.called_expired(now, failure),
            // Perhaps it was superseded by a candidate, or by a renewal whose answer was lost: those are asked for before
            // anything is given up, and say for certain.
            Advice::CredentialLost if !current.is_doubted() && (self.candidate.is_some() || is_due) => {
                current.doubt(now, &self.skew, failure);
                current.renew.retry_now();
                if let Some(candidate) = &mut self.candidate {
                    candidate.prove.retry_now();
                }
            }
            Advice::CredentialLost => self.not_accepted(now, failure),
            Advice::Revoked => self.sensor_revoked(now, failure),
        }
    }
}

fn mismatch() -> Failure {
    let fault = Fault::new(Code::Internal, "the outcome does not belong to the call that was made");
    Failure { fault, retry_after: None }
}
