//! What follows from the answer to a call.
//!
//! Invariant: an answer changes the identity that stands only by proving its successor, or by saying of that identity
//! itself that it is not accepted; whatever else goes wrong leaves it alone.

use std::time::Duration;

use telovix_contract::problem::Retry;
use telovix_contract::states::TokenType;

use super::effect::{Call, CommandResult, Effect};
use super::held::{Candidate, Held, Origin, Proof, Road, Verdict};
use super::input::{Accepted, Answer, Failure, Fault, Identity, Nature, Outcome};
use super::policy::{Advice, Until, advice};
use super::skew::{Clock, Skew};
use super::wait::Trouble;
use super::wish::Bar;
use super::{Job, Machine, Now};
use crate::schedule;

/// Bounds of the wait that a Console may ask of an enrollment which waits for approval.
const APPROVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

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
                self.candidate = Some(Candidate::new(identity, Origin::Enrollment));
            }
            (Call::Enroll { .. }, Outcome::Waiting(asked)) => {
                // Another token than the waiting one is tried at once.
                if self.is_outdated(Until::Token) {
                    return;
                }
                let asked = asked.clamp(APPROVAL.0, APPROVAL.1);
                self.enrolling.tries.again_after(now, schedule::repeat(asked, now.random));
                self.enrolling.waiting = true;
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
                let failure =
                    Failure { nature: Nature::Dates, retry: Retry::Backoff, fault, retry_after: None };
                self.probe.back_off(now, &failure);
            }
        }
    }

    fn renewed(&mut self, identity: Identity) {
        if let Some(held) = &mut self.held {
            held.renew.succeed();
            held.renew_now = false;
            held.renew_begun = false;
            held.renew_road = Road::Open;
        }
        self.candidate = Some(Candidate::new(identity, Origin::Renewal));
    }

    fn proved(&mut self, proof: Proof) {
        if let Some(candidate) = &mut self.candidate {
            candidate.proof = Some(proof);
            candidate.refused = false;
            candidate.prove.succeed();
        }
    }

    fn accepted(&mut self, now: Now, answer: &Accepted) {
        if let Some(held) = &mut self.held {
            held.accept(now, answer);
        }
    }

    fn failed(&mut self, now: Now, call: &Call, failure: &Failure, dated: bool, effects: &mut Vec<Effect>) {
        // Before a certificate is called invalid the Console is asked for the time, unless this answer told it.
        self.doubts_dates |= failure.nature == Nature::Dates && !dated;
        match call {
            Call::Enroll { .. } => self.enrollment_failed(now, failure),
            Call::Renew => self.renewal_failed(now, failure, effects),
            Call::Prove { generation } => self.proof_failed(now, *generation, failure, effects),
            Call::Heartbeat => self.heartbeat_failed(now, failure),
            Call::ProbeClock => self.probe.back_off(now, failure),
            Call::Decommission => self.retire(Some(failure.fault.clone()), effects),
        }
    }

    /// Whether what would have to change for another attempt has changed while the call was under way.
    fn is_outdated(&self, until: Until) -> bool {
        let now = self.at_hand();
        match until {
            Until::Token => now.token != self.presented.token,
            Until::TokenOrConfiguration => now != self.presented,
        }
    }

    fn enrollment_failed(&mut self, now: Now, failure: &Failure) {
        if self.is_outdated(Until::Token) {
            return;
        }
        let outdated = self.is_outdated(Until::TokenOrConfiguration);
        let enrolling = &mut self.enrolling;
        let until = match advice(failure) {
            Advice::BackOff | Advice::AskClock => return enrolling.tries.back_off(now, failure),
            // No credential is presented here that could be lost: something in between wants a client certificate.
            Advice::AskLater | Advice::Slowly | Advice::Missing | Advice::CredentialLost => {
                return enrolling.tries.slowly(now, failure);
            }
            Advice::Stop(Until::TokenOrConfiguration) if outdated => return,
            Advice::Stop(until) => until,
            Advice::Revoked => Until::Token,
        };
        enrolling.waiting = false;
        enrolling.tries.succeed();
        if let Some(token) = &self.token {
            enrolling.bar = Some(Bar { token: token.hash(), until, trouble: Trouble::new(failure) });
        }
    }

    fn renewal_failed(&mut self, now: Now, failure: &Failure, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.renew_asked) {
            effects.push(Effect::CommandDone(CommandResult::RenewFailed(failure.fault.clone())));
        }
        let outdated = self.is_outdated(Until::TokenOrConfiguration);
        let Some(held) = &mut self.held else { return };
        let advice = advice(failure);
        match advice {
            // Nothing came back that says whether it was done.
            Advice::BackOff | Advice::AskClock | Advice::AskLater => held.renew_begun = true,
            Advice::Slowly | Advice::Stop(_) | Advice::Missing | Advice::CredentialLost | Advice::Revoked => {
            }
        }
        match advice {
            Advice::BackOff | Advice::AskClock => held.renew.back_off(now, failure),
            Advice::AskLater | Advice::Slowly => held.renew.slowly(now, failure),
            Advice::Stop(_) if outdated => {}
            Advice::Stop(_) => {
                held.renew.stop(failure);
                held.renew_road = Road::Barred;
                held.renew_now = false;
                held.renew_begun = false;
            }
            Advice::Missing => {
                held.renew.rarely(now, failure, held.missing_wait());
                held.renew_road = Road::Missing;
                held.renew_now = false;
            }
            Advice::CredentialLost => self.credential_lost(now, failure),
            Advice::Revoked => self.sensor_revoked(failure),
        }
    }

    fn heartbeat_failed(&mut self, now: Now, failure: &Failure) {
        let outdated = self.is_outdated(Until::TokenOrConfiguration);
        let renewable = self.renewal_is_due(now) && !self.skew.is_behind();
        let Some(held) = &mut self.held else { return };
        match advice(failure) {
            Advice::BackOff | Advice::AskClock => held.beat.back_off(now, failure),
            Advice::AskLater => held.beat.slowly(now, failure),
            Advice::Slowly => {
                held.beat.slowly(now, failure);
                held.verdict = Verdict::Refused(Trouble::new(failure));
            }
            Advice::Stop(_) if outdated => {}
            Advice::Stop(_) => {
                held.beat.stop(failure);
                held.beat_road = Road::Barred;
                held.verdict = Verdict::Refused(Trouble::new(failure));
            }
            Advice::Missing => {
                held.beat.rarely(now, failure, held.missing_beat_wait());
                held.unheard();
            }
            // Perhaps it was superseded by a renewal whose answer was lost: that is asked for again before anything is
            // given up, and says for certain.
            Advice::CredentialLost
                if (renewable && held.renew_road == Road::Open) || held.may_have_a_successor() =>
            {
                held.beat.slowly(now, failure);
                held.verdict = Verdict::Refused(Trouble::new(failure));
                held.renew.hurry();
            }
            Advice::CredentialLost => self.credential_lost(now, failure),
            Advice::Revoked => self.sensor_revoked(failure),
        }
    }

    fn proof_failed(&mut self, now: Now, generation: u32, failure: &Failure, effects: &mut Vec<Effect>) {
        let outdated = self.is_outdated(Until::TokenOrConfiguration);
        let Some(candidate) = &mut self.candidate else { return };
        match advice(failure) {
            Advice::BackOff | Advice::AskClock => candidate.prove.back_off(now, failure),
            Advice::AskLater => candidate.prove.slowly(now, failure),
            Advice::Slowly => {
                candidate.prove.slowly(now, failure);
                candidate.refused = true;
                self.refuse_alike(failure);
            }
            Advice::Stop(_) if outdated => {}
            Advice::Stop(_) => {
                candidate.prove.stop(failure);
                candidate.road = Road::Barred;
                candidate.refused = true;
                self.refuse_alike(failure);
            }
            // A Console that answered the heartbeats before does not lack them now.
            Advice::Missing if self.held.as_ref().is_some_and(Held::was_heard) => {
                candidate.prove.slowly(now, failure);
            }
            Advice::Missing => self.proved(Proof::NoHeartbeat),
            Advice::CredentialLost => self.reject(now, generation, failure, effects),
            Advice::Revoked => {
                let same = self.is_of_same_sensor();
                self.reject(now, generation, failure, effects);
                if same {
                    self.sensor_revoked(failure);
                }
            }
        }
    }

    /// A refusal of the candidate that is about the sensor is about the identity that stands, too.
    fn refuse_alike(&mut self, failure: &Failure) {
        if self.is_of_same_sensor()
            && let Some(held) = &mut self.held
        {
            held.verdict = Verdict::Refused(Trouble::new(failure));
        }
    }

    fn is_of_same_sensor(&self) -> bool {
        let ids = (&self.candidate, &self.held);
        let (Some(candidate), Some(held)) = ids else { return false };
        candidate.identity.sensor_id == held.identity.sensor_id
    }

    /// The Console does not accept what it has just issued. The identity that stands is asked for again at once.
    fn reject(&mut self, now: Now, generation: u32, failure: &Failure, effects: &mut Vec<Effect>) {
        let Some(candidate) = self.candidate.take() else { return };
        effects.push(Effect::Discard { generation });
        let mut failure = failure.clone();
        failure.fault.message =
            format!("the Console issued a certificate and then did not accept it: {}", failure.fault.message);
        let recorded = candidate.identity.token_sha256;
        let is_renewal = match candidate.origin {
            Origin::Renewal => true,
            Origin::Enrollment => false,
            Origin::Earlier => self.held.as_ref().is_some_and(|held| held.identity.token_sha256 == recorded),
        };
        if let Some(held) = &mut self.held {
            held.beat.hurry();
            if is_renewal {
                held.renew.slowly(now, &failure);
            }
        }
        if is_renewal {
            return;
        }
        let token = self.token.filter(|token| token.matches(&recorded));
        match (token, candidate.identity.token_type) {
            (Some(token), Some(TokenType::Once) | None) => {
                let trouble = Trouble::new(&failure);
                self.enrolling.bar = Some(Bar { token: token.hash(), until: Until::Token, trouble });
            }
            (Some(_), Some(TokenType::Cluster)) => self.enrolling.tries.slowly(now, &failure),
            (None, _) => {}
        }
    }

    fn credential_lost(&mut self, now: Now, failure: &Failure) {
        let Some(held) = &mut self.held else { return };
        held.verdict = Verdict::Lost(Trouble::new(failure));
        held.renew_now = false;
        held.renew_begun = false;
        self.enrolling.lost(now, held);
    }

    fn sensor_revoked(&mut self, failure: &Failure) {
        let Some(held) = &mut self.held else { return };
        let trouble = Trouble::new(failure);
        held.verdict = Verdict::Revoked(trouble.clone());
        held.renew_now = false;
        held.renew_begun = false;
        self.enrolling.revoked = Some((held.identity.token_sha256, trouble));
    }
}

fn mismatch() -> Failure {
    Failure {
        nature: Nature::NoAnswer,
        retry: Retry::Backoff,
        fault: Fault {
            code: "internal".into(),
            message: "the outcome does not belong to the call that was made".into(),
            action: "report this as a bug".into(),
        },
        retry_after: None,
    }
}
