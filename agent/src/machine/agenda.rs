//! What is to be done next, and when: one list, from which both the next job and the next deadline are read.
//!
//! Invariant: a deadline that has come is a job that is due, so that a tick at the deadline always makes progress.

use std::time::Duration;

use jiff::Timestamp;

use super::effect::Call;
use super::identity::{Candidate, CurrentIdentity, ObtainedBy, Validity};
use super::input::{Identity, Now};
use super::retry::SHORTEST;
use super::skew::Clock;
use super::state::{Life, Machine, Retirement};

/// The first job that is due, and the moment when the next one will be.
#[derive(Debug)]
pub(super) struct Agenda {
    now: Duration,
    pub due: Option<Todo>,
    pub next: Option<Duration>,
    /// When the next thing is done; `next` may be no more than the end of something.
    pub attempt: Option<Duration>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Todo {
    Load,
    Publish(u32),
    SetAside,
    Call(Call),
}

impl Agenda {
    fn new(now: Now) -> Self {
        Self { now: now.mono, due: None, next: None, attempt: None }
    }

    /// To be done at that moment of the monotonic clock. What is added first goes first.
    fn add(&mut self, at: Duration, todo: impl FnOnce() -> Todo) {
        self.attempt = Some(self.attempt.map_or(at, |attempt| attempt.min(at)));
        if at > self.now {
            self.wake(at);
        } else if self.due.is_none() {
            self.due = Some(todo());
        }
    }

    /// To be looked at again at that moment: something ends then.
    fn wake(&mut self, at: Duration) {
        let at = at.max(self.now.saturating_add(SHORTEST));
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

impl Machine {
    pub(super) fn agenda(&self, now: Now) -> Agenda {
        let mut agenda = Agenda::new(now);
        if self.job.is_some() || self.life != Life::Running {
            return agenda;
        }
        match &self.retirement {
            Retirement::No => {}
            Retirement::Wanted => {
                agenda.add(Duration::ZERO, || Todo::Call(Call::Decommission));
                return agenda;
            }
            Retirement::Done { .. } => return agenda,
        }
        if self.reload {
            agenda.add(self.load.due(), || Todo::Load);
        }
        if !self.loaded {
            return agenda;
        }
        if self.asks_the_time(now) {
            agenda.add(self.probe.due(), || Todo::Call(Call::ProbeClock));
        }
        if let Some(candidate) = &self.candidate {
            self.plan_candidate(now, candidate, &mut agenda);
        }
        self.plan_enrollment(now, &mut agenda);
        if let Some(current) = &self.current {
            self.plan_identity(now, current, &mut agenda);
        }
        agenda
    }

    fn plan_candidate(&self, now: Now, candidate: &Candidate, agenda: &mut Agenda) {
        let generation = candidate.identity.generation;
        match candidate.validity(now, &self.skew) {
            Validity::Suspect => return,
            Validity::Expired => return agenda.add(Duration::ZERO, || Todo::SetAside),
            Validity::Good => self.wake_at_end(now, candidate.identity.not_after, agenda),
        }
        // Where nothing stands there is nothing that a proof would protect; one of before has to be worth it.
        let stands_alone = self.current.is_none() && candidate.obtained_by != ObtainedBy::Spare;
        if candidate.proof.is_some() || stands_alone {
            agenda.add(candidate.publish.due(), || Todo::Publish(generation));
        } else {
            agenda.add(candidate.prove.due(), || Todo::Call(Call::Prove { generation }));
        }
    }

    fn plan_enrollment(&self, now: Now, agenda: &mut Agenda) {
        if let Some(intent) = self.intent(now)
            && self.may_enroll_by_clock()
            && self.wants_to_enroll(now)
        {
            agenda.add(self.enrolling.tries.due(), || {
                Todo::Call(Call::Enroll { replaces: intent.replaces, reason: intent.reason })
            });
        }
    }

    fn plan_identity(&self, now: Now, current: &CurrentIdentity, agenda: &mut Agenda) {
        let validity = current.validity(now, &self.skew);
        match validity {
            Validity::Suspect => return,
            Validity::Good => self.wake_at_end(now, current.identity.not_after, agenda),
            Validity::Expired => {}
        }
        // Once the Console has seen the successor, this one may be worth nothing.
        if self.candidate.as_ref().is_some_and(|candidate| candidate.proof.is_some()) {
            return;
        }
        if current.may_renew(now, &self.skew) && self.candidate.as_ref().is_none_or(Candidate::is_stalled) {
            let moment = if current.renews_at_once(now, &self.skew) {
                Duration::ZERO
            } else {
                self.renewal_moment(now, current)
            };
            agenda.add(moment.max(current.renew.due()), || Todo::Call(Call::Renew));
        }
        if validity == Validity::Good {
            agenda.add(current.heartbeat.due(), || Todo::Call(Call::Heartbeat));
        }
    }

    fn wake_at_end(&self, now: Now, end: Timestamp, agenda: &mut Agenda) {
        // By whichever clock says so last: the other one cannot condemn a certificate.
        let by_wall = end.duration_since(now.wall);
        let by_wall =
            now.mono.saturating_add(if by_wall.is_positive() { by_wall.unsigned_abs() } else { SHORTEST });
        agenda.wake(by_wall.max(self.skew.mono_of(now, end)));
    }

    /// A fresh certificate has to be valid at once by this host's clock, or a token is spent for nothing. Who was not answered
    /// does not know: a host may come up before its network, and with a clock that nobody has set yet.
    fn may_enroll_by_clock(&self) -> bool {
        self.skew.was_told() && !self.skew.is_behind()
    }

    /// Whether something waits for the Console's time.
    pub(super) fn asks_the_time(&self, now: Now) -> bool {
        if self.doubts_dates {
            return true;
        }
        let loss_may_be_the_clock =
            || self.loss.as_ref().is_some_and(|loss| self.may_be_the_clock(now, loss));
        match self.skew.clock() {
            Clock::Right => false,
            Clock::Unknown => {
                loss_may_be_the_clock()
                    || self
                        .candidate
                        .as_ref()
                        .is_some_and(|c| c.validity(now, &self.skew) == Validity::Suspect)
                    || self.current.as_ref().is_some_and(|c| c.validity(now, &self.skew) == Validity::Suspect)
                    || (!self.skew.was_told() && self.wants_to_enroll(now))
            }
            Clock::Wrong(_) => {
                loss_may_be_the_clock() || (self.skew.is_behind() && self.wants_to_enroll(now))
            }
        }
    }

    pub(super) fn wants_to_enroll(&self, now: Now) -> bool {
        self.intent(now).is_some()
    }

    /// Whether the identity's time for renewal has come, whatever stands in its way.
    pub(super) fn renewal_is_due(&self, now: Now) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.may_renew(now, &self.skew)
                && (current.renews_at_once(now, &self.skew) || self.renewal_moment(now, current) <= now.mono)
        })
    }

    /// When a renewal comes due, on the monotonic clock: by the Console's clock, and in the last tenth of the life by this host's as
    /// well. No doubt about a clock postpones a renewal to the end (docs/contract.md section 3).
    fn renewal_moment(&self, now: Now, current: &CurrentIdentity) -> Duration {
        let by_console = self.skew.mono_of(now, current.renew_at());
        let Identity { not_before, not_after, .. } = current.identity;
        let tenth = not_after.duration_since(not_before) / 10;
        let left = not_after.duration_since(now.wall).saturating_sub(tenth);
        if now.wall >= not_after {
            by_console
        } else if left.is_positive() {
            by_console.min(now.mono.saturating_add(left.unsigned_abs()))
        } else {
            Duration::ZERO
        }
    }
}
