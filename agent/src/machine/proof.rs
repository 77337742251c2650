//! The proof of an identity that is not current yet, and the other generations on the disk.
//!
//! Invariant: nothing that the Console may accept one day is thrown away, and nothing waits for a proof that has failed: heartbeats,
//! renewals and new tokens go on beside it, and the request that brought the identity is repeated, for a mended answer
//! (docs/contract.md section 3).

use telovix_contract::problem::Advice;
use telovix_contract::states::TokenType;

use super::code::Code;
use super::effect::{CommandResult, Effect};
use super::enroll::Block;
use super::identity::{Candidate, ObtainedBy, Proof, Validity, validity};
use super::input::{Failure, Fault, Identity, Loss, MadeOn, Now};
use super::schedule;
use super::state::Machine;

/// Most generations that the disk keeps (docs/contract.md section 6).
const MOST_SPARES: usize = 8;

impl Machine {
    /// A renewal brought a successor. One that ends first, and soon, is not worth its predecessor.
    pub(super) fn renewed(&mut self, now: Now, identity: Identity, effects: &mut Vec<Effect>) {
        self.heard.renewal = true;
        if let Some(current) = &mut self.current {
            current.renew.succeed();
            current.renew_now = false;
            current.renew_begun = false;
            current.renewal_endpoint = super::identity::Endpoint::Available;
            if identity.not_after < current.identity.not_after {
                let (end, stands) = (identity.not_after, current.identity.not_after);
                let life = end.duration_since(identity.not_before).unsigned_abs();
                let left = end.duration_since(self.skew.corrected(now));
                let why =
                    format!("the new certificate ends at {end:.0}, before the current one ({stands:.0})");
                if left.is_negative() || left.unsigned_abs() <= schedule::renewal_floor(life) {
                    let fault = Fault::new(Code::BadAnswer, format!("{why}; it was set aside"));
                    let wait = current.refused_renewal_wait(now);
                    current.renew.refuse(now, &Failure { fault: fault.clone(), retry_after: None }, wait);
                    self.put_aside(identity);
                    return self.renewal_command_failed(&fault, effects);
                }
                self.note(why);
            }
        }
        self.candidate = Some(Candidate::new(identity, ObtainedBy::Renewal));
    }

    pub(super) fn proved(&mut self, proof: Proof) {
        self.heard.heartbeat |= matches!(proof, Proof::Accepted(_));
        if let Some(candidate) = &mut self.candidate {
            candidate.proof = Some(proof);
            candidate.prove.succeed();
        }
        if let Some(current) = &mut self.current {
            current.renew.succeed();
            current.renew_begun = false;
        }
    }

    pub(super) fn proof_failed(&mut self, now: Now, failure: &Failure, effects: &mut Vec<Effect>) {
        self.renewal_command_failed(&failure.fault, effects);
        let outdated = self.is_outdated();
        let Some(candidate) = &mut self.candidate else { return };
        let advice = failure.fault.code.advice();
        if candidate.obtained_by == ObtainedBy::Spare {
            match advice {
                Advice::BackOff | Advice::AskTime => candidate.prove.back_off(now, failure),
                Advice::Later
                | Advice::Slowly
                | Advice::Refused
                | Advice::CredentialLost
                | Advice::Revoked
                | Advice::MissingPath => {
                    self.candidate = None;
                    self.try_next(now);
                    self.try_others_again(now, failure);
                }
            }
            return;
        }
        match advice {
            Advice::BackOff | Advice::AskTime => candidate.prove.back_off(now, failure),
            // A Console that answered the heartbeats before does not lack them now.
            Advice::MissingPath if !self.heard.heartbeat => return self.proved(Proof::NoHeartbeat),
            Advice::Later | Advice::MissingPath => candidate.prove.retry_in_minutes(now, failure),
            Advice::Slowly => {
                candidate.prove.retry_in_minutes(now, failure);
                self.refuse_alike(failure);
            }
            Advice::Refused if outdated => return,
            Advice::Refused => {
                candidate.prove.refuse(now, failure, schedule::REFUSED);
                self.refuse_alike(failure);
            }
            Advice::CredentialLost => return self.reject(now, failure, effects),
            Advice::Revoked => {
                let same = self.is_of_same_sensor();
                self.reject(now, failure, effects);
                if same {
                    self.sensor_revoked(now, failure);
                }
                return;
            }
        }
        self.repeat_request(now, failure);
    }

    /// The request that brought the candidate is made once more beside its proof, with the same key.
    fn repeat_request(&mut self, now: Now, failure: &Failure) {
        let is_renewal = self.candidate.as_ref().is_some_and(|candidate| self.is_renewal(candidate));
        let tries = match &mut self.current {
            Some(current) if is_renewal => {
                current.renew_begun = true;
                &mut current.renew
            }
            Some(_) | None => &mut self.enrolling.tries,
        };
        // One that waits already is not put off.
        if tries.fault().is_none() {
            tries.retry_in_minutes(now, failure);
        }
    }

    /// A refusal of the candidate that is about the sensor is about the identity in use, too.
    fn refuse_alike(&mut self, failure: &Failure) {
        if self.is_of_same_sensor()
            && let Some(current) = &mut self.current
        {
            current.refuse(&failure.fault);
        }
    }

    fn is_of_same_sensor(&self) -> bool {
        let ids = (&self.candidate, &self.current);
        let (Some(candidate), Some(current)) = ids else { return false };
        candidate.identity.sensor_id == current.identity.sensor_id
    }

    fn is_renewal(&self, candidate: &Candidate) -> bool {
        match candidate.obtained_by {
            ObtainedBy::Renewal => true,
            ObtainedBy::Enrollment => false,
            ObtainedBy::Earlier | ObtainedBy::Spare => self
                .current
                .as_ref()
                .is_some_and(|current| current.identity.token_sha256 == candidate.identity.token_sha256),
        }
    }

    /// The Console does not accept what it has just issued: it is set aside, and the same request repeated. Only where that brings the
    /// same certificate, refused as before, the next renewal is made with another key. The identity in use is asked for again at once.
    fn reject(&mut self, now: Now, failure: &Failure, effects: &mut Vec<Effect>) {
        let Some(candidate) = self.candidate.take() else { return };
        let is_renewal = self.is_renewal(&candidate);
        let Identity { token_sha256: recorded, token_type, ref serial, .. } = candidate.identity;
        let is_second = self.set_aside.as_ref().is_some_and(|before| before.serial == *serial);
        self.set_aside = Some(candidate.identity.clone());
        self.put_aside(candidate.identity);
        let mut failure = failure.clone();
        failure.fault.message =
            format!("the Console issued a certificate and then did not accept it: {}", failure.fault.message);
        if let Some(current) = &mut self.current {
            // What failed already has its wait, which is a part of the verdict.
            if current.heartbeat.fault().is_none() {
                current.heartbeat.retry_now();
            }
            if is_renewal && is_second {
                effects.push(Effect::ForgetRenewal);
                let wait = current.refused_renewal_wait(now);
                current.renew.refuse(now, &failure, wait);
                current.renew_begun = false;
            } else if is_renewal {
                current.renew.retry_in_minutes(now, &failure);
                current.renew_begun = true;
            }
        }
        if !is_renewal && let Some(token) = self.token.filter(|token| token.matches(&recorded)) {
            match token_type {
                Some(TokenType::Once) | None => {
                    self.enrolling.tries.refuse(now, &failure, schedule::REFUSED);
                    self.enrolling.block = Some(Block { token: token.hash(), fault: failure.fault });
                }
                Some(TokenType::Cluster) if self.enrolling.block.is_some() => {}
                Some(TokenType::Cluster) => self.enrolling.tries.retry_in_minutes(now, &failure),
            }
        }
        self.try_next(now);
    }

    /// The Console does not know the current identity: every other one that is in force is tried, newest first, once.
    pub(super) fn try_others(&mut self, now: Now) {
        let is_busy = |candidate: &Candidate| {
            candidate.proof.is_some() || candidate.obtained_by == ObtainedBy::Spare || !candidate.is_stalled()
        };
        if self.candidate.as_ref().is_some_and(is_busy) || self.current.is_none() {
            return;
        }
        if let Some(candidate) = self.candidate.take() {
            self.put_aside(candidate.identity);
        }
        self.try_all_others(now);
    }

    /// Where nothing stands, and that is not this host's clock, whatever else on the disk is in force is asked for, and used once the
    /// Console has accepted it: what `current` leads to may not be in force yet, or the link may be gone.
    pub(super) fn try_others_alone(&mut self, now: Now) {
        let is_in_doubt =
            |loss: &Loss| loss.made_on == MadeOn::AnotherHost || self.may_be_the_clock(now, loss);
        if self.current.is_none() && self.candidate.is_none() && !self.loss.as_ref().is_some_and(is_in_doubt)
        {
            self.try_all_others(now);
        }
    }

    /// Where nothing stands, no refusal of what is in force is the last word on it.
    fn try_others_again(&mut self, now: Now, failure: &Failure) {
        if self.candidate.is_none() {
            self.try_others_alone(now);
            if let Some(candidate) = &mut self.candidate {
                candidate.prove.retry_in_minutes(now, failure);
            }
        }
    }

    /// Newest first, each once.
    fn try_all_others(&mut self, now: Now) {
        self.untried = self.spares.iter().rev().map(|spare| spare.generation).collect();
        self.try_next(now);
    }

    pub(super) fn try_next(&mut self, now: Now) {
        while let Some(generation) = self.untried.pop() {
            let spare = self.spares.iter().find(|spare| spare.generation == generation);
            if let Some(spare) = spare.filter(|spare| validity(spare, now, &self.skew) == Validity::Good) {
                self.candidate = Some(Candidate::new(spare.clone(), ObtainedBy::Spare));
                return;
            }
        }
    }

    /// Remembers an identity on the disk that is not the current one.
    pub(super) fn put_aside(&mut self, identity: Identity) {
        self.spares.retain(|spare| spare.generation != identity.generation);
        let place = self.spares.partition_point(|spare| spare.generation > identity.generation);
        self.spares.insert(place, identity);
        self.spares.truncate(MOST_SPARES);
    }

    /// Whoever waits for a renewal hears why it came to nothing; the agent goes on by itself.
    pub(super) fn renewal_command_failed(&mut self, fault: &Fault, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.renew_asked) {
            effects.push(Effect::CommandDone(CommandResult::RenewFailed(fault.clone())));
        }
    }
}
