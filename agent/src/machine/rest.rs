//! When a command that drives the machine is done: nothing more happens soon unless somebody else acts.

use telovix_contract::problem::Advice;

use super::identity::{Validity, Verdict};
use super::input::{Fault, Now};
use super::retry::RetryState;
use super::state::{Life, Machine, Retirement};
use super::status::StateName;

impl Machine {
    /// Whether waiting longer is pointless: nothing is under way or due, and what failed last is not of the kind that
    /// passes. An enrollment that waits for approval is not at rest; see [`Machine::awaits_approval`].
    pub fn is_at_rest(&self, now: Now) -> bool {
        if self.life != Life::Running || self.job.is_some() || self.agenda(now).due.is_some() {
            return self.life == Life::Stopped;
        }
        match self.retirement {
            Retirement::No => {}
            Retirement::Wanted => return false,
            Retirement::Done { .. } => return true,
        }
        if !self.loaded {
            return self.load.fault().is_some();
        }
        if let Some(candidate) = &self.candidate {
            return has_stopped(&candidate.prove) || candidate.publish.fault().is_some();
        }
        if self.asks_the_time(now) {
            return has_stopped(&self.probe);
        }
        if self.wants_to_enroll(now) && self.blocked().is_none() {
            // What the Console has just issued and then refused is not asked for over and over while somebody waits.
            return has_stopped(&self.enrolling.tries) || self.enrolling.has_relapsed();
        }
        match &self.current {
            Some(current) if current.validity(now, &self.skew) == Validity::Expired => {
                match current.verdict {
                    Verdict::Lost(_) | Verdict::Revoked(_) => true,
                    Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => {
                        !current.is_doubted() && has_stopped(&current.renew)
                    }
                }
            }
            // An identity of before is asked for once: a Console that is down does not take it away.
            Some(current) if current.verdict == Verdict::Unknown => {
                let asked = current.heartbeat.fault().is_some();
                asked && (current.enrolled.is_none() || has_stopped(&current.heartbeat))
            }
            // Nor is it believed at once that the Console does not know it; a renewal that cannot be asked for says nothing.
            Some(current) => {
                let is_told = current.renew.fault().is_none() || current.renew.met(Advice::CredentialLost);
                !current.is_doubted() || !current.is_usable(now, &self.skew) || !is_told
            }
            None => true,
        }
    }

    /// Whether this host holds the identity that it could; else why not, where that is known. What an attempt at another
    /// identity met weighs more than the identity in use.
    pub fn result(&self, now: Now) -> Result<(), Option<Fault>> {
        let last = || {
            let report = self.report(now);
            let is_lost = report.state == StateName::Lost;
            report
                .last_error
                .map(|error| Fault::new(error.code, if is_lost { report.reason } else { error.message }))
        };
        let wanted = self.candidate.is_some() || self.intent(now).is_some();
        match &self.current {
            _ if wanted => Err(last()),
            Some(current) if current.validity(now, &self.skew) != Validity::Expired => match &current.verdict
            {
                Verdict::Accepted => Ok(()),
                // A Console that is down does not take away an identity of before.
                Verdict::Unknown if current.enrolled.is_none() && current.heartbeat.may_pass() => Ok(()),
                Verdict::Unknown | Verdict::Refused(_) | Verdict::Lost(_) | Verdict::Revoked(_) => {
                    Err(last())
                }
            },
            Some(_) | None => Err(last()),
        }
    }

    /// Whether an operator has to approve the enrollment under way.
    pub fn awaits_approval(&self, now: Now) -> bool {
        self.enrolling.waiting && self.wants_to_enroll(now)
    }

    /// Somebody waits: what failed on something that passes is tried at once, unless the Console asked for the wait.
    pub(super) fn retry_everything_now(&mut self) {
        let current = self.current.as_mut().map(|current| [&mut current.heartbeat, &mut current.renew]);
        let candidate =
            self.candidate.as_mut().map(|candidate| [&mut candidate.prove, &mut candidate.publish]);
        let own = [&mut self.load, &mut self.probe, &mut self.enrolling.tries];
        let all = own.into_iter().chain(current.into_iter().flatten()).chain(candidate.into_iter().flatten());
        all.filter(|tries| tries.may_hurry()).for_each(RetryState::retry_now);
    }
}

fn has_stopped(tries: &RetryState) -> bool {
    tries.fault().is_some() && !tries.may_pass()
}
