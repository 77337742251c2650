//! What people see of the facts: the state with its reason and who must act, and the whole report.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use telovix_contract::problem::Advice;

use super::code::{Actor, Code};
use super::effect::Call;
use super::enroll::EnrollIntent;
use super::identity::{CurrentIdentity, Endpoint, Validity, Verdict};
use super::input::{Fault, MadeOn, Now};
use super::retry::RetryState;
use super::state::{Job, Machine, Retirement};
use super::status::{LastError, Report, StateName};

/// The state, why, and who has to act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub state: StateName,
    pub reason: String,
    pub who: Actor,
}

fn line(state: StateName, reason: impl Into<String>, who: Actor) -> Line {
    Line { state, reason: reason.into(), who }
}

/// A failure and when the attempt is repeated; `None` for one that is not.
type Failed<'a> = (&'a Fault, Option<Duration>);

impl Machine {
    /// Everything that can be said at this moment.
    pub fn report(&self, now: Now) -> Report {
        let line = self.line(now);
        let mut report = Report {
            node_name: Some(self.settings.node_name.clone()),
            node_role: Some(self.settings.node_role.clone()),
            cluster_name: self.settings.cluster_name.clone(),
            console_url: self.settings.console_url.clone(),
            last_error: self.last_error(now, &line),
            notes: self.all_notes(now),
            accepted: self.ready == Some(true),
            clock_skew_seconds: self.skew.seconds_ahead(),
            ..Report::new(line.state, line.reason, line.who)
        };
        if let Some(current) = &self.current {
            let identity = &current.identity;
            report.sensor_id = Some(identity.sensor_id);
            report.trust_state = Some(current.trust_state.to_string());
            report.not_before = Some(identity.not_before);
            report.not_after = Some(identity.not_after);
            report.renew_at = current.is_usable(now, &self.skew).then(|| current.renew_at());
            report.serial = Some(telovix_contract::token::hex(&identity.serial));
            report.generation = Some(identity.generation);
            report.last_contact = current.last_contact;
            report.renewal_error = attempt(&current.renew).map(|(fault, next)| said(now, fault, next));
        } else if let Some(loss) = &self.loss {
            report.sensor_id = loss.sensor_id;
            report.not_before = loss.about_time.map(|(from, _)| from);
            report.not_after = loss.about_time.map(|(_, until)| until);
        }
        report
    }

    pub(super) fn line(&self, now: Now) -> Line {
        if let Retirement::Done { untold, .. } = &self.retirement {
            let told = untold.as_ref().map_or_else(
                || "the Console has retired this node".to_owned(),
                |why| format!("this node is retired; the Console was not told: {}", why.message),
            );
            let how = "; a new token or a restart brings it back";
            return line(StateName::Decommissioned, told + how, Actor::HostOperator);
        }
        if !self.loaded {
            return match self.load.fault() {
                None => line(StateName::Starting, "reading the state directory", Actor::Agent),
                Some(failure) => line(StateName::Starting, failure.message.clone(), failure.code.actor()),
            };
        }
        match &self.current {
            Some(current) => self.line_of_identity(now, current),
            None => self.line_without(now),
        }
    }

    fn line_of_identity(&self, now: Now, current: &CurrentIdentity) -> Line {
        match (&current.verdict, current.validity(now, &self.skew)) {
            (Verdict::Revoked(failure), _) => self.line_of_attempt(now).unwrap_or_else(|| refused(failure)),
            (Verdict::Lost(failure), _) => self.line_of_attempt(now).unwrap_or_else(|| {
                let why = format!("the Console does not accept the identity: {}", failure.message);
                line(StateName::Lost, why, Actor::HostOperator)
            }),
            (Verdict::Refused(failure), Validity::Good | Validity::Suspect) => refused(failure),
            (_, Validity::Expired) => self.line_of_attempt(now).unwrap_or_else(|| {
                let at = current.identity.not_after;
                line(StateName::Lost, format!("the certificate expired at {at:.0}"), Actor::HostOperator)
            }),
            (Verdict::Unknown | Verdict::Accepted, Validity::Suspect) => {
                let at = current.identity.not_after;
                let why = format!(
                    "by this host's clock the certificate expired at {at:.0}; asking the Console for the time"
                );
                line(StateName::Active, why, Actor::Agent)
            }
            (Verdict::Unknown | Verdict::Accepted, Validity::Good) => self.line_while_good(now, current),
        }
    }

    fn line_while_good(&self, now: Now, current: &CurrentIdentity) -> Line {
        if let Some(fault) = self.skew.fault() {
            return line(StateName::Active, fault.message, Actor::HostOperator);
        }
        if let Some(candidate) = &self.candidate {
            let why = match candidate.prove.fault().or(candidate.publish.fault()) {
                None => "proving the new certificate".to_owned(),
                Some(failure) => format!("the new certificate is not proven yet: {}", failure.message),
            };
            return line(StateName::Renewing, why, Actor::Agent);
        }
        if self.blocked().is_none()
            && let Some(EnrollIntent { reason, .. }) = self.intent(now)
        {
            let failure = self.enrolling.tries.fault();
            let (why, who) = match failure {
                None if self.enrolling.waiting => {
                    ("an operator has to approve the new enrollment".to_owned(), Actor::ConsoleOperator)
                }
                None => (reason.to_string(), Actor::Agent),
                Some(failure) => (format!("{reason}; {}", failure.message), failure.code.actor()),
            };
            return line(StateName::Renewing, why, who);
        }
        if current.renewal_endpoint == Endpoint::Available
            && !current.renew.met(Advice::Refused)
            && ((self.renewal_is_due(now) && !current.renew.rests(now))
                || self.job == Some(Job::Call(Call::Renew)))
        {
            let (why, who) = match current.renew.fault() {
                None => ("renewing the certificate".to_owned(), Actor::Agent),
                Some(failure) => {
                    (format!("renewing the certificate; {}", failure.message), failure.code.actor())
                }
            };
            return line(StateName::Renewing, why, who);
        }
        if current.heartbeat_endpoint == Endpoint::Available
            && let Some(failure) = current.heartbeat.fault()
        {
            return line(StateName::Active, failure.message.clone(), failure.code.actor());
        }
        // Barred, or between two attempts before its time.
        if let Some(failure) = current.renew.fault() {
            let why = format!("the certificate is not renewed: {}", failure.message);
            return line(StateName::Active, why, failure.code.actor());
        }
        let why = match (&current.verdict, current.heartbeat_endpoint) {
            (Verdict::Accepted, Endpoint::Unsupported) => {
                "the identity stands; this Console has no heartbeat"
            }
            (Verdict::Accepted, Endpoint::Available) => "the Console accepts the identity",
            (Verdict::Unknown | Verdict::Refused(_) | Verdict::Lost(_) | Verdict::Revoked(_), _) => {
                "the identity stands; asking the Console whether it accepts it"
            }
        };
        line(StateName::Active, why, Actor::Agent)
    }

    fn line_without(&self, now: Now) -> Line {
        if let Some(loss) = &self.loss
            && self.may_be_the_clock(now, loss)
        {
            return match self.skew.fault() {
                Some(fault) => line(StateName::Starting, fault.message, Actor::HostOperator),
                None => {
                    let why = format!("{}; asking the Console for the time", loss.reason);
                    line(StateName::Starting, why, Actor::Agent)
                }
            };
        }
        if let Some(attempt) = self.line_of_attempt(now) {
            return attempt;
        }
        match &self.loss {
            Some(loss) => {
                let why = format!("the identity was lost: {}", loss.reason);
                line(StateName::Lost, why, Actor::HostOperator)
            }
            None if self.enrollment_begun => {
                let why = "an enrollment is under way, and goes on with its token";
                line(StateName::Enrolling, why, Actor::HostOperator)
            }
            None => {
                line(StateName::Unenrolled, "this host has no identity and no token", Actor::HostOperator)
            }
        }
    }

    /// The state of an enrollment, where there is something to enroll with and no identity to fall back on.
    fn line_of_attempt(&self, now: Now) -> Option<Line> {
        if let Some(candidate) = &self.candidate {
            let failure = candidate.prove.fault().or(candidate.publish.fault());
            let (why, who) = match failure {
                None => ("an identity was issued; taking it into use".to_owned(), Actor::Agent),
                Some(failure) => (failure.message.clone(), failure.code.actor()),
            };
            return Some(line(StateName::Enrolling, why, who));
        }
        let intent = self.intent(now).filter(|intent| !intent.is_spent || self.enrolling.waiting)?;
        if let Some(failure) = self.blocked() {
            return Some(refused(failure));
        }
        if let Some(fault) = self.skew.fault().filter(|_| self.skew.is_behind()) {
            return Some(line(StateName::Enrolling, fault.message, Actor::HostOperator));
        }
        let failure = self.enrolling.tries.fault();
        Some(match (self.enrolling.waiting, failure) {
            (true, None) => line(
                StateName::AwaitingApproval,
                "an operator has to approve this node in the Console",
                Actor::ConsoleOperator,
            ),
            (true, Some(failure)) => {
                line(StateName::AwaitingApproval, failure.message.clone(), Actor::ConsoleOperator)
            }
            (false, None) => line(StateName::Enrolling, intent.reason.to_string(), Actor::Agent),
            (false, Some(failure)) => {
                let why = format!("{}; {}", intent.reason, failure.message);
                line(StateName::Enrolling, why, failure.code.actor())
            }
        })
    }

    fn last_error(&self, now: Now, line: &Line) -> Option<LastError> {
        // What the Console has said of this identity or of the token for good is true by any clock.
        let judged = self.blocked().is_some()
            || self.current.as_ref().is_some_and(|current| match current.verdict {
                Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => false,
                Verdict::Lost(_) | Verdict::Revoked(_) => self.intent(now).is_none(),
            });
        if let Some(fault) = self.skew.fault().filter(|_| !judged) {
            return Some(said(now, &fault, self.agenda(now).next));
        }
        let failed = self.troubles(now).next();
        if let Some((failure, next)) = failed {
            return Some(said(now, failure, next));
        }
        let copied = self.loss.as_ref().is_some_and(|loss| loss.made_on == MadeOn::AnotherHost);
        let code = match line.state {
            StateName::Unenrolled => Code::Unenrolled,
            StateName::Enrolling if self.token.is_none() && self.candidate.is_none() => Code::Unenrolled,
            StateName::Lost if copied => Code::IdentityCopied,
            StateName::Lost => Code::IdentityLost,
            StateName::AwaitingApproval => {
                let fault = Fault::new(Code::BootstrapPending, line.reason.clone());
                return Some(said(now, &fault, Some(self.enrolling.tries.due())));
            }
            StateName::Starting
            | StateName::Enrolling
            | StateName::Active
            | StateName::Renewing
            | StateName::Refused
            | StateName::Decommissioned => return None,
        };
        Some(said(now, &Fault::new(code, line.reason.clone()), self.agenda(now).attempt))
    }

    /// The failures that still matter, the weightiest first. Calls that an identity is no good for any more are not made
    /// again, and why they failed says nothing; nor does an enrollment that nobody wants any more.
    fn troubles(&self, now: Now) -> impl Iterator<Item = Failed<'_>> {
        let usable = self.current.as_ref().filter(|current| current.is_usable(now, &self.skew));
        let renewable = self.current.as_ref().filter(|current| current.may_renew(now, &self.skew));
        let verdict = self.current.as_ref().and_then(|current| match &current.verdict {
            Verdict::Unknown | Verdict::Accepted => None,
            Verdict::Refused(_) if current.validity(now, &self.skew) == Validity::Expired => None,
            Verdict::Refused(failure) => Some((failure, Some(current.heartbeat.due()))),
            Verdict::Lost(failure) | Verdict::Revoked(failure) => {
                let expired = current.validity(now, &self.skew) == Validity::Expired;
                let next = if expired { &current.renew } else { &current.heartbeat };
                Some((failure, Some(next.due())))
            }
        });
        let candidate = self.candidate.as_ref();
        let prove = candidate.and_then(|c| attempt(&c.prove));
        let publish = candidate.and_then(|c| attempt(&c.publish));
        let again = self.wants_to_enroll(now).then(|| self.enrolling.tries.due());
        let is_spent = self.intent(now).is_some_and(|intent| intent.is_spent);
        let blocked = self.blocked().filter(|_| !is_spent && again.is_some());
        let blocked = blocked.map(|failure| (failure, again));
        let enroll = attempt(&self.enrolling.tries).filter(|_| !is_spent && again.is_some());
        let renew = renewable.and_then(|current| attempt(&current.renew));
        let heartbeat = usable.and_then(|current| attempt(&current.heartbeat));
        let load = attempt(&self.load);
        let probe = attempt(&self.probe);
        // A refused token weighs more than the loss that made it necessary.
        [blocked, publish, prove, enroll, verdict, renew, heartbeat, load, probe].into_iter().flatten()
    }

    fn all_notes(&self, now: Now) -> Vec<String> {
        let mut notes: Vec<String> = self.notes.iter().cloned().collect();
        let Some(current) = &self.current else { return notes };
        if current.heartbeat_endpoint == Endpoint::Unsupported {
            notes.push(
                "this Console has no heartbeat; the agent goes on without it and asks again now and then"
                    .into(),
            );
        }
        if current.renewal_endpoint == Endpoint::Unsupported {
            notes.push(format!(
                "this Console does not renew certificates; give this host a token before {:.0}",
                current.identity.not_after
            ));
        }
        let token = self.token.as_ref().filter(|_| self.blocked().is_none());
        if let Some(change) = &current.identity.changed
            && (token.is_none() || self.intent(now).is_none())
        {
            notes.push(format!(
                "{change}: this takes effect when the host enrolls again; give it a re-enrollment token"
            ));
        }
        notes
    }
}

fn refused(failure: &Fault) -> Line {
    line(StateName::Refused, failure.message.clone(), failure.code.actor())
}

fn attempt(tries: &RetryState) -> Option<Failed<'_>> {
    tries.fault().map(|failure| (failure, Some(tries.due())))
}

fn said(now: Now, fault: &Fault, next: Option<Duration>) -> LastError {
    LastError {
        code: fault.code,
        message: fault.message.clone(),
        action: fault.code.action().to_owned(),
        next_attempt: next.map(|at| wall_of(now, at)),
    }
}

/// A moment of the monotonic clock on the wall clock.
fn wall_of(now: Now, at: Duration) -> Timestamp {
    let left = SignedDuration::try_from(at.saturating_sub(now.mono)).unwrap_or(SignedDuration::MAX);
    now.wall.checked_add(left).unwrap_or(Timestamp::MAX)
}
