//! What the calls brought, looked at: an answer is committed before the machine hears of it.

use telovix_contract::enroll::Enrolled;
use telovix_contract::problem::ErrorCode;
use telovix_contract::session::Renewed;

use super::calls::Landed;
use super::effects::{complain, gone};
use super::{Supervisor, summary};
use crate::clock;
use crate::config::ConsoleUrl;
use crate::console::{ConsoleError, EnrollReply};
use crate::enrollment::{EnrollError, obtain};
use crate::machine::{Accepted, Identity, Outcome};
use crate::metrics;
use crate::store::{Pending, PendingKind, SensorState};
use crate::verify::{self, Claim};

impl Supervisor {
    /// Looks at what a call brought, and tells the machine.
    pub(super) fn land(&mut self, landed: Landed) {
        self.flight = None;
        let outcome = match landed {
            Landed::Enroll { pending, of, reply } => self.landed_enrollment(pending, &of, reply),
            Landed::Renew { pending, reply } => {
                self.forget_refused_request(&reply);
                let renewed = reply
                    .map_err(EnrollError::from)
                    .and_then(|renewed| self.commit_renewal(pending, &renewed));
                self.metrics.renewal(counted(&renewed));
                renewed.map_or_else(|error| Outcome::Failed(summary::enrollment(&error)), Outcome::Renewed)
            }
            Landed::Heartbeat { of, reply } => match reply {
                Ok(answer) if answer.sensor_id != of => {
                    let error = EnrollError::OtherSensor { ours: of, theirs: answer.sensor_id };
                    Outcome::Failed(summary::enrollment(&error))
                }
                Ok(answer) => Outcome::Accepted(Accepted {
                    interval: std::time::Duration::from_secs(answer.heartbeat_interval_seconds.into()),
                    trust_state: answer.trust_state,
                    renew_between: answer.renew_between,
                }),
                Err(error) => failed(&error),
            },
            Landed::Clock(reply) => reply.map_or_else(|error| failed(&error), |()| Outcome::ClockRead),
            Landed::Decommission(reply) => {
                reply.map_or_else(|error| failed(&error), |()| Outcome::Decommissioned)
            }
        };
        self.answer(outcome);
        if let Some(input) = self.inputs.pop_front() {
            self.tell(input);
        }
    }

    fn landed_enrollment(
        &mut self,
        pending: Pending,
        of: &ConsoleUrl,
        reply: Result<EnrollReply, EnrollError>,
    ) -> Outcome {
        let enrolled = match reply {
            Ok(EnrollReply::Waiting(after)) => {
                self.metrics.enrollment(metrics::Outcome::Waiting);
                return Outcome::Waiting(after);
            }
            Ok(EnrollReply::Enrolled(enrolled)) => self.commit_enrollment(pending, of, &enrolled),
            Err(error) => Err(error),
        };
        self.metrics.enrollment(counted(&enrolled));
        enrolled.map_or_else(|error| Outcome::Failed(summary::enrollment(&error)), Outcome::Enrolled)
    }

    fn commit_enrollment(
        &mut self,
        pending: Pending,
        of: &ConsoleUrl,
        enrolled: &Enrolled,
    ) -> Result<Identity, EnrollError> {
        let now = clock::now(&self.here.clock);
        let (generation, warnings) = obtain::commit(&mut self.store, pending, enrolled, of, now)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let identity = summary::identity(&self.here.host(), &generation);
        self.committed = Some(generation);
        Ok(identity)
    }

    /// A request that the Console cannot read is not sent again: the next attempt makes another.
    fn forget_refused_request(&mut self, reply: &Result<Renewed, ConsoleError>) {
        if let Err(ConsoleError::Refused { known: Some(ErrorCode::InvalidCsr), .. }) = reply {
            complain(self.store.discard(PendingKind::Renewal));
        }
    }

    fn commit_renewal(&mut self, pending: Pending, renewed: &Renewed) -> Result<Identity, EnrollError> {
        let now = clock::now(&self.here.clock);
        let current = self.current.as_ref().ok_or_else(|| gone("the current generation"))?;
        let claim = Claim {
            // Not what the answer says: the identity does not change by a renewal.
            sensor_id: current.verified().sensor_id(),
            certificate_pem: &renewed.control_plane_certificate_pem,
            ca_pem: &renewed.control_plane_ca_certificate_pem,
            policy_key_pem: &renewed.policy_signing_public_key_pem,
        };
        let state =
            SensorState { trust_state: renewed.trust_state, enrolled_at: now, ..current.state().clone() };
        let verified = verify::check(claim, pending.key, now).map_err(EnrollError::BadAnswer)?;
        let generation = self.store.commit(verified, state)?;
        let identity = summary::identity(&self.here.host(), &generation);
        self.committed = Some(generation);
        Ok(identity)
    }
}

/// What the metrics count an enrollment or a renewal as.
fn counted(done: &Result<Identity, EnrollError>) -> metrics::Outcome {
    match done {
        Ok(_) => metrics::Outcome::Success,
        Err(EnrollError::Refused(_)) => metrics::Outcome::Refused,
        Err(_) => metrics::Outcome::Failed,
    }
}

fn failed(error: &ConsoleError) -> Outcome {
    Outcome::Failed(summary::call(error))
}
