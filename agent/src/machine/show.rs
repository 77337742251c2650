//! What people see of the facts: the state with its reason and who must act, and the whole report.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::effect::Call;
use super::held::{Held, Road, Standing, Verdict};
use super::input::{Fault, MadeOn};
use super::wait::{Tries, Trouble};
use super::wish::Wish;
use super::{Job, Machine, Now, Retirement};
use crate::status::{Actor, LastError, Report, StateName};

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
type Failed<'a> = (&'a Trouble, Option<Duration>);

const GIVE_TOKEN: &str = "make a re-enrollment token for this sensor in the Console and give it to this host";

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
        if let Some(held) = &self.held {
            let identity = &held.identity;
            report.sensor_id = Some(identity.sensor_id);
            report.trust_state = Some(held.trust_state.to_string());
            report.not_before = Some(identity.not_before);
            report.not_after = Some(identity.not_after);
            report.renew_at = held.is_usable(now, &self.skew).then(|| held.renew_at());
            report.serial = Some(telovix_contract::token::hex(&identity.serial));
            report.generation = Some(identity.generation);
            report.last_contact = held.last_contact;
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
            return match self.load.trouble() {
                None => line(StateName::Starting, "reading the state directory", Actor::Agent),
                Some(trouble) => line(StateName::Starting, trouble.fault.message.clone(), trouble.who),
            };
        }
        match &self.held {
            Some(held) => self.line_of_identity(now, held),
            None => self.line_without(now),
        }
    }

    fn line_of_identity(&self, now: Now, held: &Held) -> Line {
        match (&held.verdict, held.standing(now, &self.skew)) {
            (Verdict::Revoked(trouble), _) => self.line_of_attempt(now).unwrap_or_else(|| refused(trouble)),
            (Verdict::Lost(trouble), _) => self.line_of_attempt(now).unwrap_or_else(|| {
                let why = format!("the Console does not accept the identity: {}", trouble.fault.message);
                line(StateName::Lost, why, Actor::HostOperator)
            }),
            (Verdict::Refused(trouble), Standing::Good | Standing::Suspect) => refused(trouble),
            (_, Standing::Expired) => self.line_of_attempt(now).unwrap_or_else(|| {
                let at = held.identity.not_after;
                line(StateName::Lost, format!("the certificate expired at {at:.0}"), Actor::HostOperator)
            }),
            (Verdict::Unknown | Verdict::Accepted, Standing::Suspect) => {
                let at = held.identity.not_after;
                let why = format!(
                    "by this host's clock the certificate expired at {at:.0}; asking the Console for the time"
                );
                line(StateName::Active, why, Actor::Agent)
            }
            (Verdict::Unknown | Verdict::Accepted, Standing::Good) => self.line_while_good(now, held),
        }
    }

    fn line_while_good(&self, now: Now, held: &Held) -> Line {
        if let Some(fault) = self.skew.fault() {
            return line(StateName::Active, fault.message, Actor::HostOperator);
        }
        if let Some(candidate) = &self.candidate {
            let why = match candidate.prove.trouble().or(candidate.publish.trouble()) {
                None => "proving the new certificate".to_owned(),
                Some(trouble) => format!("the new certificate is not proven yet: {}", trouble.fault.message),
            };
            return line(StateName::Renewing, why, Actor::Agent);
        }
        if self.barred().is_none()
            && let Some(Wish { reason, .. }) = self.wish(now)
        {
            let trouble = self.enrolling.tries.trouble();
            let (why, who) = match trouble {
                None if self.enrolling.waiting => {
                    ("an operator has to approve the new enrollment".to_owned(), Actor::ConsoleOperator)
                }
                None => (reason.to_string(), Actor::Agent),
                Some(trouble) => (format!("{reason}; {}", trouble.fault.message), trouble.who),
            };
            return line(StateName::Renewing, why, who);
        }
        if held.renew_road == Road::Open
            && (self.renewal_is_due(now) || self.job == Some(Job::Call(Call::Renew)))
        {
            let (why, who) = match held.renew.trouble() {
                None => ("renewing the certificate".to_owned(), Actor::Agent),
                Some(trouble) => {
                    (format!("renewing the certificate; {}", trouble.fault.message), trouble.who)
                }
            };
            return line(StateName::Renewing, why, who);
        }
        if held.beat_road == Road::Open
            && let Some(trouble) = held.beat.trouble()
        {
            return line(StateName::Active, trouble.fault.message.clone(), trouble.who);
        }
        let why = match (&held.verdict, held.beat_road) {
            (Verdict::Accepted, Road::Missing) => "the identity stands; this Console has no heartbeat",
            (Verdict::Accepted, Road::Open | Road::Barred) => "the Console accepts the identity",
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
            None => {
                line(StateName::Unenrolled, "this host has no identity and no token", Actor::HostOperator)
            }
        }
    }

    /// The state of an enrollment, where there is something to enroll with and no identity to fall back on.
    fn line_of_attempt(&self, now: Now) -> Option<Line> {
        if let Some(candidate) = &self.candidate {
            let trouble = candidate.prove.trouble().or(candidate.publish.trouble());
            let (why, who) = match trouble {
                None => ("an identity was issued; taking it into use".to_owned(), Actor::Agent),
                Some(trouble) => (trouble.fault.message.clone(), trouble.who),
            };
            return Some(line(StateName::Enrolling, why, who));
        }
        let wish = self.wish(now)?;
        if let Some(trouble) = self.barred() {
            return Some(refused(trouble));
        }
        if let Some(fault) = self.skew.fault().filter(|_| self.skew.is_behind()) {
            return Some(line(StateName::Enrolling, fault.message, Actor::HostOperator));
        }
        let trouble = self.enrolling.tries.trouble();
        Some(match (self.enrolling.waiting, trouble) {
            (true, None) => line(
                StateName::AwaitingApproval,
                "an operator has to approve this node in the Console",
                Actor::ConsoleOperator,
            ),
            (true, Some(trouble)) => {
                line(StateName::AwaitingApproval, trouble.fault.message.clone(), Actor::ConsoleOperator)
            }
            (false, None) => line(StateName::Enrolling, wish.reason.to_string(), Actor::Agent),
            (false, Some(trouble)) => {
                let why = format!("{}; {}", wish.reason, trouble.fault.message);
                line(StateName::Enrolling, why, trouble.who)
            }
        })
    }

    fn last_error(&self, now: Now, line: &Line) -> Option<LastError> {
        // What the Console has said of this identity or of the token for good is true by any clock.
        let judged = self.barred().is_some()
            || self.held.as_ref().is_some_and(|held| match held.verdict {
                Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => false,
                Verdict::Lost(_) | Verdict::Revoked(_) => self.wish(now).is_none(),
            });
        if let Some(fault) = self.skew.fault().filter(|_| !judged) {
            return Some(said(now, &fault, self.agenda(now).next));
        }
        let failed = self.troubles(now).next();
        if let Some((trouble, next)) = failed {
            return Some(said(now, &trouble.fault, next));
        }
        let code = match line.state {
            StateName::Unenrolled => "unenrolled",
            StateName::Lost => "credential_lost",
            StateName::AwaitingApproval => {
                let fault = Fault {
                    code: "bootstrap_pending".into(),
                    message: line.reason.clone(),
                    action: "approve this node in the Console; the agent asks again by itself".into(),
                };
                return Some(said(now, &fault, Some(self.enrolling.tries.due())));
            }
            StateName::Starting
            | StateName::Enrolling
            | StateName::Active
            | StateName::Renewing
            | StateName::Refused
            | StateName::Decommissioned => return None,
        };
        let copied = self.loss.as_ref().is_some_and(|loss| loss.made_on == MadeOn::AnotherHost);
        let action = if line.state == StateName::Lost && !copied {
            GIVE_TOKEN
        } else {
            "make a token for this host in the Console and give it to this host"
        };
        let fault = Fault { code: code.into(), message: line.reason.clone(), action: action.into() };
        Some(said(now, &fault, None))
    }

    /// The failures that still matter, the weightiest first. Calls that an identity is no good for any more are not made
    /// again, and why they failed says nothing; nor does an enrollment that nobody wants any more.
    fn troubles(&self, now: Now) -> impl Iterator<Item = Failed<'_>> {
        let usable = self.held.as_ref().filter(|held| held.is_usable(now, &self.skew));
        let verdict = self.held.as_ref().and_then(|held| match &held.verdict {
            Verdict::Unknown | Verdict::Accepted => None,
            Verdict::Refused(_) if held.standing(now, &self.skew) == Standing::Expired => None,
            Verdict::Refused(trouble) => {
                Some((trouble, (held.beat_road != Road::Barred).then(|| held.beat.due())))
            }
            Verdict::Lost(trouble) | Verdict::Revoked(trouble) => Some((trouble, None)),
        });
        let candidate = self.candidate.as_ref();
        let prove = candidate.and_then(|c| attempt(&c.prove, c.road));
        let publish = candidate.and_then(|c| attempt(&c.publish, Road::Open));
        let barred = self.barred().map(|trouble| (trouble, None));
        let enroll = attempt(&self.enrolling.tries, Road::Open).filter(|_| self.wish(now).is_some());
        let renew = usable.and_then(|held| attempt(&held.renew, held.renew_road));
        let beat = usable.and_then(|held| attempt(&held.beat, held.beat_road));
        let load = attempt(&self.load, Road::Open);
        let probe = attempt(&self.probe, Road::Open);
        // A refused token weighs more than the loss that made it necessary.
        [barred, publish, prove, enroll, verdict, renew, beat, load, probe].into_iter().flatten()
    }

    fn all_notes(&self, now: Now) -> Vec<String> {
        let mut notes: Vec<String> = self.notes.iter().cloned().collect();
        let Some(held) = &self.held else { return notes };
        if held.beat_road == Road::Missing {
            notes.push(
                "this Console has no heartbeat; the agent goes on without it and asks again now and then"
                    .into(),
            );
        }
        if held.renew_road == Road::Missing {
            notes.push(format!(
                "this Console does not renew certificates; give this host a token before {:.0}",
                held.identity.not_after
            ));
        }
        let token = self.token.as_ref().filter(|_| self.barred().is_none());
        if let Some(change) = &held.identity.changed
            && (token.is_none() || self.wish(now).is_none())
        {
            notes.push(format!(
                "{change}: this takes effect when the host enrolls again; give it a re-enrollment token"
            ));
        }
        notes
    }
}

fn refused(trouble: &Trouble) -> Line {
    line(StateName::Refused, trouble.fault.message.clone(), trouble.who)
}

fn attempt(tries: &Tries, road: Road) -> Option<Failed<'_>> {
    let next = match road {
        Road::Open | Road::Missing => Some(tries.due()),
        Road::Barred => None,
    };
    tries.trouble().map(|trouble| (trouble, next))
}

fn said(now: Now, fault: &Fault, next: Option<Duration>) -> LastError {
    LastError {
        code: fault.code.clone(),
        message: fault.message.clone(),
        action: fault.action.clone(),
        next_attempt: next.map(|at| wall_of(now, at)),
    }
}

/// A moment of the monotonic clock on the wall clock.
fn wall_of(now: Now, at: Duration) -> Timestamp {
    let left = SignedDuration::try_from(at.saturating_sub(now.mono)).unwrap_or(SignedDuration::MAX);
    now.wall.checked_add(left).unwrap_or(Timestamp::MAX)
}
