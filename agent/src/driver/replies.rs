//! The replies to the calls, looked at: an answer is committed before the machine hears of it.

use telovix_contract::clean;

use super::calls::{Answered, Reply};
use super::drive::{Attempt, Driver, Event};
use super::effects::{complain, failed};
use super::enroll;
use super::error::DriverError;
use super::found::{HEARTBEAT, RENEWAL};
use crate::clock;
use crate::config::ConsoleUrl;
use crate::console::{EnrollReply, Issued};
use crate::machine::{Accepted, Heard, Identity, Outcome};
use crate::store::{Pending, SensorState};
use crate::verify::{self, Claim};

/// Most notices of one answer that are shown, and how long each may be in characters.
const MOST_NOTICES: usize = 8;
const LONGEST_NOTICE: usize = 300;

impl Driver {
    /// Looks at what a call brought, and tells the machine.
    pub(super) fn take_reply(&mut self, reply: Reply) -> Vec<Event> {
        self.in_flight = None;
        let outcome = match reply.0 {
            Answered::Enroll { pending, of, reply } => self.enrollment_answered(pending, &of, reply),
            Answered::Renew { pending, reply } => {
                let renewed = reply
                    .map_err(DriverError::from)
                    .and_then(|renewed| self.commit_renewal(pending, &renewed));
                self.events.push(Event::Renewal(attempt(&renewed)));
                renewed.map_or_else(|error| failed(&error), Outcome::Renewed)
            }
            Answered::Heartbeat { of, reply } => match reply {
                Ok(answer) if answer.sensor_id != of => {
                    failed(&DriverError::OtherSensor { ours: of, theirs: answer.sensor_id })
                }
                Ok(answer) => {
                    self.hear(&answer.notices);
                    Outcome::Accepted(Accepted {
                        interval: std::time::Duration::from_secs(answer.heartbeat_interval_seconds.into()),
                        trust_state: answer.trust_state,
                        renew_between: answer.renew_between,
                    })
                }
                Err(error) => failed(&error.into()),
            },
            Answered::Clock(reply) => {
                reply.map_or_else(|error| failed(&error.into()), |()| Outcome::ClockRead)
            }
            Answered::Decommission(reply) => {
                reply.map_or_else(|error| failed(&error.into()), |()| Outcome::Decommissioned)
            }
        };
        self.remember(&outcome);
        self.answer(outcome);
        self.drive()
    }

    /// Later processes know what this Console has answered. A disk that refuses is asked again by the next of them.
    fn remember(&mut self, outcome: &Outcome) {
        let before = self.heard;
        self.heard.heartbeat |= matches!(outcome, Outcome::Accepted(_));
        self.heard.renewal |= matches!(outcome, Outcome::Renewed(_));
        if self.heard != before && !self.store.is_read_only() {
            let Heard { heartbeat, renewal } = self.heard;
            let calls: Vec<&str> =
                heartbeat.then_some(HEARTBEAT).into_iter().chain(renewal.then_some(RENEWAL)).collect();
            complain(self.store.set_answered(&self.console_url.to_string(), &calls));
        }
    }

    /// What the Console wants the operator of this host to know: the first few, each logged when it is new.
    fn hear(&mut self, notices: &[String]) {
        let told: Vec<String> =
            notices.iter().take(MOST_NOTICES).map(|notice| clean(notice, LONGEST_NOTICE)).collect();
        for notice in told.iter().filter(|notice| !self.notices.contains(notice)) {
            tracing::warn!("the Console says: {notice}");
        }
        self.notices = told;
    }

    fn enrollment_answered(
        &mut self,
        pending: Pending,
        of: &ConsoleUrl,
        reply: Result<EnrollReply, DriverError>,
    ) -> Outcome {
        let enrolled = match reply {
            Ok(EnrollReply::Waiting(after)) => {
                self.events.push(Event::Enrollment(Attempt::Waiting));
                return Outcome::Waiting(after);
            }
            Ok(EnrollReply::Enrolled(enrolled)) => self.commit_enrollment(pending, of, &enrolled),
            Err(error) => Err(error),
        };
        self.events.push(Event::Enrollment(attempt(&enrolled)));
        enrolled.map_or_else(|error| failed(&error), Outcome::Enrolled)
    }

    fn commit_enrollment(
        &mut self,
        pending: Pending,
        of: &ConsoleUrl,
        enrolled: &Issued,
    ) -> Result<Identity, DriverError> {
        let now = clock::now(&self.host.clock);
        let (verified, state, warnings) = enroll::check(pending, enrolled, of, now)?;
        let identity = self.commit(verified, state)?;
        self.events.extend(warnings.into_iter().map(Event::Warning));
        Ok(identity)
    }

    fn commit_renewal(&mut self, pending: Pending, renewed: &Issued) -> Result<Identity, DriverError> {
        let now = clock::now(&self.host.clock);
        let current = self.current.as_ref().ok_or(DriverError::Gone("the current generation"))?;
        let mut warnings = renewed.warnings();
        let policy_key = enroll::policy_key(renewed, &mut warnings);
        let claim = Claim {
            // Not what the answer says: the identity does not change by a renewal.
            sensor_id: Some(current.verified().sensor_id()),
            certificate_pem: &renewed.control_plane_certificate_pem,
            ca_pem: &renewed.control_plane_ca_certificate_pem,
            policy_key_pem: policy_key.unwrap_or(current.verified().policy_key_pem()),
            naming: current.verified().naming(),
        };
        let state =
            SensorState { trust_state: renewed.trust_state(), enrolled_at: now, ..current.state().clone() };
        let verified = verify::check(claim, pending.key, now).map_err(DriverError::BadAnswer)?;
        let identity = self.commit(verified, state)?;
        self.events.extend(warnings.into_iter().map(Event::Warning));
        Ok(identity)
    }
}

fn attempt(done: &Result<Identity, DriverError>) -> Attempt {
    match done {
        Ok(_) => Attempt::Done,
        Err(error) => Attempt::Failed(error.code()),
    }
}
