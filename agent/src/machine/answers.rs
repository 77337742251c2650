//! What follows from the answer to a call.
//!
//! Invariant: an answer changes the identity in use only by proving its successor, or by saying of that identity
//! itself that it is not accepted; whatever else goes wrong leaves it alone.

use std::time::Duration;

use telovix_contract::problem::Advice;
use telovix_contract::states::TokenType;

use super::code::Code;
use super::effect::{Call, CommandResult, Effect};
use super::enroll::Block;
use super::identity::{Candidate, Endpoint, ObtainedBy, Proof, Verdict};
use super::input::{Accepted, Answer, Failure, Fault, Identity, Now, Outcome};
use super::schedule;
use super::skew::{Clock, Skew};
use super::state::{Job, Machine};

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
            (Call::Renew, Outcome::Renewed(identity)) => self.renewed(identity),
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

    fn renewed(&mut self, identity: Identity) {
        self.heard.renewal = true;
        if let Some(current) = &mut self.current {
            current.renew.succeed();
            current.renew_now = false;
            current.renew_begun = false;
            current.renewal_endpoint = Endpoint::Available;
        }
        self.candidate = Some(Candidate::new(identity, ObtainedBy::Renewal));
    }

    fn proved(&mut self, proof: Proof) {
        self.heard.heartbeat |= matches!(proof, Proof::Accepted(_));
        if let Some(candidate) = &mut self.candidate {
            candidate.proof = Some(proof);
            candidate.refused = false;
            candidate.prove.succeed();
        }
    }

    fn accepted(&mut self, now: Now, answer: &Accepted) {
        self.heard.heartbeat = true;
        let Some(current) = &mut self.current else { return };
        current.accept(now, answer);
        // Whatever the Console said before.
        let paid = current.identity.token_sha256;
        self.enrolling.revoked.take_if(|(token, _)| current.verdict == Verdict::Accepted && *token == paid);
    }

    fn failed(&mut self, now: Now, call: &Call, failure: &Failure, dated: bool, effects: &mut Vec<Effect>) {
        // Before a certificate is called invalid the Console is asked for the time, unless this answer told it.
        self.doubts_dates |= failure.fault.code.advice() == Advice::AskTime && !dated;
        match call {
            Call::Enroll { .. } => self.enrollment_failed(now, failure),
            Call::Renew => self.renewal_failed(now, failure, effects),
            Call::Prove { generation } => self.proof_failed(now, *generation, failure, effects),
            Call::Heartbeat => self.heartbeat_failed(now, failure),
            Call::ProbeClock => self.probe.back_off(now, failure),
            Call::Decommission => self.retire(Some(failure.fault.clone()), effects),
        }
    }

    /// Whether the token changed while the call was under way.
    fn token_changed_meanwhile(&self) -> bool {
        self.at_hand().token != self.presented.token
    }

    /// Whether token or configuration changed while the call was under way: then a refusal is of what was.
    fn is_outdated(&self) -> bool {
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
        if std::mem::take(&mut self.renew_asked) {
            effects.push(Effect::CommandDone(CommandResult::RenewFailed(failure.fault.clone())));
        }
        let outdated = self.is_outdated();
        let Some(current) = &mut self.current else { return };
        let advice = failure.fault.code.advice();
        // Nothing came back that says whether it was done.
        current.renew_begun |= matches!(advice, Advice::BackOff | Advice::AskTime | Advice::Later);
        match advice {
            Advice::BackOff | Advice::AskTime => current.renew.back_off(now, failure),
            Advice::Later | Advice::Slowly => current.renew.retry_in_minutes(now, failure),
            Advice::Refused if outdated => {}
            Advice::Refused => {
                current.renew.refuse(now, failure, current.refused_renewal_wait(now));
                current.renew_now = false;
                current.renew_begun = false;
            }
            // One that worked before is more likely behind a proxy that lost its way than gone.
            Advice::MissingPath if self.heard.renewal => current.renew.retry_in_minutes(now, failure),
            Advice::MissingPath => {
                current.renew.missing(now, failure);
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
        let renewable = self.renewal_is_due(now) && !self.skew.is_behind();
        let Some(current) = &mut self.current else { return };
        let renewable = renewable
            && current.renewal_endpoint == Endpoint::Available
            && !current.renew.met(Advice::Refused);
        match failure.fault.code.advice() {
            Advice::BackOff | Advice::AskTime => current.heartbeat.back_off(now, failure),
            Advice::Later => current.heartbeat.retry_in_minutes(now, failure),
            Advice::Slowly => {
                current.heartbeat.retry_in_minutes(now, failure);
                current.verdict = Verdict::Refused(failure.fault.clone());
            }
            Advice::Refused if outdated => {}
            Advice::Refused => {
                current.heartbeat.refuse(now, failure, schedule::REFUSED);
                current.verdict = Verdict::Refused(failure.fault.clone());
            }
            Advice::MissingPath if self.heard.heartbeat => current.heartbeat.retry_in_minutes(now, failure),
            Advice::MissingPath => {
                current.heartbeat.missing(now, failure);
                current.no_heartbeat_endpoint();
            }
            // Perhaps it was superseded by the candidate, whose proof says for certain.
            Advice::CredentialLost if let Some(candidate) = &mut self.candidate => {
                current.heartbeat.retry_in_minutes(now, failure);
                current.verdict = Verdict::Refused(failure.fault.clone());
                candidate.prove.retry_now();
            }
            // Perhaps it was superseded by a renewal whose answer was lost: that is asked for again before anything is
            // given up, and says for certain.
            Advice::CredentialLost
                if (current.renew_begun || renewable)
                    && !(current.is_doubted() && current.renew.met(Advice::CredentialLost)) =>
            {
                current.heartbeat.retry_in_minutes(now, failure);
                current.verdict = Verdict::Refused(failure.fault.clone());
                current.renew.retry_now();
            }
            Advice::CredentialLost => self.not_accepted(now, failure),
            Advice::Revoked => self.sensor_revoked(now, failure),
        }
    }

    fn proof_failed(&mut self, now: Now, generation: u32, failure: &Failure, effects: &mut Vec<Effect>) {
        let outdated = self.is_outdated();
        let Some(candidate) = &mut self.candidate else { return };
        match failure.fault.code.advice() {
            Advice::BackOff | Advice::AskTime => candidate.prove.back_off(now, failure),
            Advice::Later => candidate.prove.retry_in_minutes(now, failure),
            Advice::Slowly => {
                candidate.prove.retry_in_minutes(now, failure);
                candidate.refused = true;
                self.refuse_alike(failure);
            }
            Advice::Refused if outdated => {}
            Advice::Refused => {
                candidate.prove.refuse(now, failure, schedule::REFUSED);
                candidate.refused = true;
                self.refuse_alike(failure);
            }
            // A Console that answered the heartbeats before does not lack them now.
            Advice::MissingPath if self.heard.heartbeat => candidate.prove.retry_in_minutes(now, failure),
            Advice::MissingPath => self.proved(Proof::NoHeartbeat),
            Advice::CredentialLost => self.reject(now, generation, failure, effects),
            Advice::Revoked => {
                let same = self.is_of_same_sensor();
                self.reject(now, generation, failure, effects);
                if same {
                    self.sensor_revoked(now, failure);
                }
            }
        }
    }

    /// A refusal of the candidate that is about the sensor is about the identity that stands, too.
    fn refuse_alike(&mut self, failure: &Failure) {
        if self.is_of_same_sensor()
            && let Some(current) = &mut self.current
        {
            current.verdict = Verdict::Refused(failure.fault.clone());
        }
    }

    fn is_of_same_sensor(&self) -> bool {
        let ids = (&self.candidate, &self.current);
        let (Some(candidate), Some(current)) = ids else { return false };
        candidate.identity.sensor_id == current.identity.sensor_id
    }

    /// The Console does not accept what it has just issued. The identity that stands is asked for again at once.
    fn reject(&mut self, now: Now, generation: u32, failure: &Failure, effects: &mut Vec<Effect>) {
        let Some(candidate) = self.candidate.take() else { return };
        effects.push(Effect::Discard { generation });
        let mut failure = failure.clone();
        failure.fault.message =
            format!("the Console issued a certificate and then did not accept it: {}", failure.fault.message);
        let recorded = candidate.identity.token_sha256;
        let is_renewal = match candidate.obtained_by {
            ObtainedBy::Renewal => true,
            ObtainedBy::Enrollment => false,
            ObtainedBy::Earlier => {
                self.current.as_ref().is_some_and(|current| current.identity.token_sha256 == recorded)
            }
        };
        if let Some(current) = &mut self.current {
            current.heartbeat.retry_now();
            if is_renewal {
                current.renew.retry_in_minutes(now, &failure);
            }
        }
        if is_renewal {
            return;
        }
        let token = self.token.filter(|token| token.matches(&recorded));
        match (token, candidate.identity.token_type) {
            (Some(token), Some(TokenType::Once) | None) => {
                self.enrolling.tries.refuse(now, &failure, schedule::REFUSED);
                self.enrolling.block = Some(Block { token: token.hash(), fault: failure.fault });
            }
            (Some(_), Some(TokenType::Cluster)) if self.enrolling.block.is_some() => {}
            (Some(_), Some(TokenType::Cluster)) => self.enrolling.tries.retry_in_minutes(now, &failure),
            (None, _) => {}
        }
    }

    /// The Console does not know this identity: believed at the second like answer in a row, and asked again even then.
    fn not_accepted(&mut self, now: Now, failure: &Failure) {
        let Some(current) = &mut self.current else { return };
        if !current.is_doubted() {
            return current.doubt(now, failure);
        }
        current.heartbeat.retry_in_minutes(now, failure);
        if matches!(current.verdict, Verdict::Lost(_)) {
            return;
        }
        current.verdict = Verdict::Lost(failure.fault.clone());
        current.renew_now = false;
        current.renew_begun = false;
        self.enrolling.lost(now, current);
    }

    fn sensor_revoked(&mut self, now: Now, failure: &Failure) {
        let Some(current) = &mut self.current else { return };
        current.heartbeat.refuse(now, failure, schedule::REVOKED);
        let failure = failure.fault.clone();
        current.verdict = Verdict::Revoked(failure.clone());
        current.renew_now = false;
        current.renew_begun = false;
        self.enrolling.revoked = Some((current.identity.token_sha256, failure));
    }
}

fn mismatch() -> Failure {
    let fault = Fault::new(Code::Internal, "the outcome does not belong to the call that was made");
    Failure { fault, retry_after: None }
}
