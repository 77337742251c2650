//! The reference model: what the contract allows and obliges a host to do, written from CONTRACT.md and DESIGN.md and
//! not from the machine. It draws no jitter: it knows the earliest and the latest moment for each call.
//!
//! It covers a host whose clock is right and whose Console tells the time with every answer; wrong clocks have tests of
//! their own (`clock.rs`).

use super::*;
use crate::schedule;

/// When a call may be made at the earliest, and has to be made at the latest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) from: Duration,
    pub(super) until: Duration,
    failures: u32,
}

/// Whether the Console offers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    #[default]
    Open,
    Missing,
    Shut,
}

/// What the Console thinks of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mind {
    #[default]
    Fine,
    Refuses,
    DoesNotKnow,
    Revoked,
}

#[derive(Debug, Clone)]
pub(super) struct Id {
    pub(super) is: Identity,
    pub(super) paid_by: u8,
    pub(super) mind: Mind,
    pub(super) beat: Gate,
    pub(super) beat_way: Way,
    pub(super) heard: bool,
    pub(super) renew: Gate,
    pub(super) renew_way: Way,
    pub(super) forced: bool,
    /// A renewal was asked for, and it is not known whether it was done: section 3 makes it the same one when it is
    /// repeated, and ends the old certificate an hour after it was done.
    pub(super) begun: bool,
    /// When this process enrolled it.
    pub(super) enrolled: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(super) struct Next {
    pub(super) is: Identity,
    pub(super) paid_by: u8,
    pub(super) renewal: bool,
    /// An earlier process obtained it.
    pub(super) earlier: bool,
    pub(super) proven: Option<Option<Accepted>>,
    pub(super) prove: Gate,
    pub(super) shut: bool,
    pub(super) refused: bool,
    pub(super) publish: Gate,
}

#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) paid_by: Option<u8>,
    pub(super) kind: Option<TokenType>,
    pub(super) dates: bool,
}

/// What may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Load,
    Publish,
    Probe,
    Enroll,
    Renew,
    Prove,
    Beat,
    Retire,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) loaded: bool,
    pub(super) look: bool,
    pub(super) load: Gate,
    pub(super) busy: Option<Step>,
    pub(super) id: Option<Id>,
    pub(super) gone: Option<Gone>,
    pub(super) next: Option<Next>,
    pub(super) token: Option<u8>,
    pub(super) known: Option<u8>,
    /// The refused token, and whether another configuration helps.
    pub(super) shut: Option<(u8, bool)>,
    pub(super) revoked: Option<u8>,
    pub(super) enroll: Gate,
    pub(super) waiting: bool,
    pub(super) relapses: u32,
    pub(super) time_known: bool,
    pub(super) retire: bool,
    pub(super) retired: Option<Option<u8>>,
}

const FOREVER: Duration = Duration::MAX;

impl Gate {
    pub(super) fn open() -> Self {
        Self::default()
    }

    pub(super) fn between(now: Now, from: f64, until: f64) -> Self {
        let at = |seconds: f64| now.mono + Duration::from_secs_f64(seconds);
        Self { from: at(from), until: at(until), failures: 0 }
    }

    pub(super) fn backs_off(&mut self, now: Now, asked: Option<Duration>) {
        let failures = self.failures + 1;
        *self = match asked.map(|asked| asked.as_secs_f64().min(86_400.0)) {
            Some(asked) => Self::between(now, asked, asked * 1.1 + 1.1),
            None => Self::between(now, 0.1, 2f64.powi(failures.min(20) as i32 - 1).clamp(0.1, 300.0)),
        };
        self.failures = failures;
    }

    pub(super) fn slowly(&mut self, now: Now, asked: Option<Duration>) {
        let failures = self.failures;
        let wait = asked.map_or(300.0, |asked| asked.as_secs_f64().clamp(300.0, 86_400.0));
        *self = Self::between(now, wait, wait * 1.1);
        self.failures = failures;
    }

    pub(super) fn rarely(&mut self, now: Now, wait: f64) {
        let failures = self.failures;
        *self = Self::between(now, wait, wait * 1.1);
        self.failures = failures;
    }
}

impl Id {
    pub(super) fn new(is: Identity, paid_by: u8) -> Self {
        Self {
            is,
            paid_by,
            mind: Mind::Fine,
            beat: Gate::open(),
            beat_way: Way::Open,
            heard: false,
            renew: Gate::open(),
            renew_way: Way::Open,
            forced: false,
            begun: false,
            enrolled: None,
        }
    }

    pub(super) fn due(&self, now: Now) -> bool {
        let at = schedule::renew_at(self.is.not_before, self.is.not_after, &self.is.serial);
        self.forced || self.begun || now.wall >= at
    }

    fn renew_gate(&self, now: Now) -> Gate {
        if self.forced || self.begun {
            return self.renew;
        }
        let at = schedule::renew_at(self.is.not_before, self.is.not_after, &self.is.serial);
        let left = at.duration_since(now.wall);
        let at = if left.is_positive() { now.mono + left.unsigned_abs() } else { Duration::ZERO };
        Gate { from: at.max(self.renew.from), until: at.max(self.renew.until), failures: 0 }
    }

    fn over(&self, now: Now) -> bool {
        now.wall >= self.is.not_after
    }

    /// How long a missing call is left alone: a day, or a tenth of a shorter life.
    pub(super) fn rest(&self) -> f64 {
        (self.is.not_after.duration_since(self.is.not_before).as_secs_f64() / 10.0).clamp(300.0, 86_400.0)
    }
}

impl Rules {
    /// Whether the host wants to present its token, refused or not.
    fn wants(&self, now: Now) -> bool {
        let Some(token) = self.token else { return false };
        if self.next.is_some() {
            return false;
        }
        let again = |kind: Option<TokenType>| kind != Some(TokenType::Once);
        match (&self.id, &self.gone) {
            (Some(id), _) if id.paid_by != token => true,
            (Some(id), _) => match id.mind {
                Mind::Revoked => false,
                Mind::DoesNotKnow => again(id.is.token_type),
                Mind::Fine | Mind::Refuses if id.over(now) => self.time_known && again(id.is.token_type),
                Mind::Fine | Mind::Refuses => {
                    let closed = id.renew_way != Way::Open && now.wall >= self.own_moment(id);
                    id.is.token_type == Some(TokenType::Cluster) && (id.is.changed.is_some() || closed)
                }
            },
            (None, Some(gone)) if gone.dates && !self.time_known => false,
            (None, Some(gone)) => gone.paid_by != Some(token) || again(gone.kind),
            (None, None) => true,
        }
    }

    fn own_moment(&self, id: &Id) -> Timestamp {
        schedule::renew_at(id.is.not_before, id.is.not_after, &id.is.serial)
    }

    fn refused(&self) -> bool {
        self.token.is_some_and(|token| {
            self.shut.is_some_and(|(shut, _)| shut == token) || self.revoked == Some(token)
        })
    }

    pub(super) fn usable(&self, now: Now) -> bool {
        self.id.as_ref().is_some_and(|id| !id.over(now) && matches!(id.mind, Mind::Fine | Mind::Refuses))
    }

    /// Every call that may be made, with its earliest and latest moment.
    pub(super) fn open(&self, now: Now) -> Vec<(Step, Gate)> {
        if self.busy.is_some() || self.retired.is_some() {
            return Vec::new();
        }
        if self.retire {
            return vec![(Step::Retire, Gate::open())];
        }
        let mut open = Vec::new();
        if self.look {
            open.push((Step::Load, self.load));
        }
        if !self.loaded {
            return open;
        }
        let in_doubt = self.gone.as_ref().is_some_and(|gone| gone.dates)
            || self
                .id
                .as_ref()
                .is_some_and(|id| id.over(now) && matches!(id.mind, Mind::Fine | Mind::Refuses))
            || self.next.as_ref().is_some_and(|next| now.wall >= next.is.not_after);
        if !self.time_known && (in_doubt || (self.wants(now) && !self.refused())) {
            // How often the Console is asked for the time is not the contract's.
            open.push((Step::Probe, Gate { until: FOREVER, ..Gate::open() }));
        }
        if let Some(next) = &self.next {
            if now.wall >= next.is.not_after {
                return open;
            }
            if next.proven.is_some() || self.id.is_none() {
                open.push((Step::Publish, next.publish));
            } else if !next.shut {
                open.push((Step::Prove, next.prove));
            }
            return open;
        }
        if self.wants(now) && !self.refused() && self.time_known {
            open.push((Step::Enroll, self.enroll));
        }
        if let Some(id) = self.id.as_ref().filter(|_| self.usable(now)) {
            if id.renew_way != Way::Shut {
                open.push((Step::Renew, id.renew_gate(now)));
            }
            if id.beat_way != Way::Shut {
                open.push((Step::Beat, id.beat));
            }
        }
        open
    }

    /// What people have to be told.
    pub(super) fn state(&self, now: Now) -> StateName {
        if self.retired.is_some() {
            return StateName::Decommissioned;
        }
        if !self.loaded {
            return StateName::Starting;
        }
        let Some(id) = &self.id else {
            return match &self.gone {
                Some(gone) if gone.dates && !self.time_known => StateName::Starting,
                Some(_) => self.attempt(now).unwrap_or(StateName::Lost),
                None => self.attempt(now).unwrap_or(StateName::Unenrolled),
            };
        };
        match id.mind {
            Mind::Revoked => self.attempt(now).unwrap_or(StateName::Refused),
            Mind::DoesNotKnow => self.attempt(now).unwrap_or(StateName::Lost),
            Mind::Fine | Mind::Refuses if id.over(now) && self.time_known => {
                self.attempt(now).unwrap_or(StateName::Lost)
            }
            Mind::Refuses => StateName::Refused,
            Mind::Fine if id.over(now) => StateName::Active,
            Mind::Fine => {
                let successor = self.next.is_some()
                    || (self.wants(now) && !self.refused())
                    || (id.renew_way == Way::Open && id.due(now))
                    || self.busy == Some(Step::Renew) && id.renew_way == Way::Open;
                if successor { StateName::Renewing } else { StateName::Active }
            }
        }
    }

    fn attempt(&self, now: Now) -> Option<StateName> {
        if self.next.is_some() {
            return Some(StateName::Enrolling);
        }
        self.wants(now).then(|| match (self.refused(), self.waiting) {
            (true, _) => StateName::Refused,
            (false, true) => StateName::AwaitingApproval,
            (false, false) => StateName::Enrolling,
        })
    }

    /// What follows by itself: a candidate that is over, or refused while another token is there, is thrown away.
    /// Returns how many were. A look at the directory, where it is due, goes first.
    pub(super) fn settle(&mut self, now: Now, looks: bool) -> usize {
        if self.busy.is_some() || self.retire || self.retired.is_some() || !self.loaded || looks {
            return 0;
        }
        let Some(next) = &self.next else { return 0 };
        let over = now.wall >= next.is.not_after && self.time_known;
        let another = self.id.is_some()
            && next.proven.is_none()
            && next.refused
            && !self.refused()
            && self.token.is_some_and(|token| token != next.paid_by);
        if over || another {
            self.next = None;
            return 1;
        }
        0
    }

    /// An identity is no longer there, or no longer accepted: soon after its enrollment the next one is put off.
    pub(super) fn relapse(&mut self, now: Now, enrolled: Option<Duration>) {
        let Some(enrolled) = enrolled else { return };
        if now.mono - enrolled >= Duration::from_secs(3600) {
            self.relapses = 0;
            return;
        }
        if self.relapses > 0 {
            let most = 2f64.powi(self.relapses.min(20) as i32 - 1).clamp(0.1, 300.0);
            let failures = self.enroll.failures;
            self.enroll = Gate { failures, ..Gate::between(now, 0.1, most) };
        }
        self.relapses += 1;
    }
}
