//! How the reference model takes what happens.

use super::model_rules::{Gate, Gone, Id, Mind, Next, Rules, Step, Way};
use super::*;

/// What a failure means, from the table of CONTRACT.md section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Passes,
    SlowAnswer,
    SlowSilence,
    Final(bool),
    Unknown,
    Revoked,
    Missing,
}

pub(super) fn meaning(failure: &Failure) -> Meaning {
    match failure.nature {
        Nature::MissingPath => return Meaning::Missing,
        Nature::Disk => return Meaning::Passes,
        Nature::NoAnswer if failure.retry == Retry::Backoff => return Meaning::Passes,
        Nature::NoAnswer => return Meaning::SlowSilence,
        Nature::Answer => {}
        Nature::Dates => panic!("not in this model"),
    }
    match failure.retry {
        Retry::Backoff => Meaning::Passes,
        Retry::Slowly | Retry::KeepAndRetrySlowly => Meaning::SlowAnswer,
        Retry::OtherToken => Meaning::Final(false),
        Retry::OtherTokenOrConfiguration | Retry::Never => Meaning::Final(true),
        Retry::CredentialLost => Meaning::Unknown,
        Retry::Final => Meaning::Revoked,
    }
}

impl Rules {
    pub(super) fn token(&mut self, token: Option<u8>) {
        self.token = token;
        let Some(token) = token else { return };
        if self.known == Some(token) {
            return;
        }
        self.known = Some(token);
        self.enroll = Gate::open();
        self.waiting = false;
        self.shut = self.shut.filter(|(shut, _)| *shut == token);
        self.reopen();
        if let Some(then) = self.retired
            && then != Some(token)
            && self.id.as_ref().is_none_or(|id| id.paid_by != token)
        {
            self.retired = None;
            self.look = true;
        }
    }

    pub(super) fn configuration(&mut self) {
        self.look = true;
        self.load.from = Duration::ZERO;
        self.load.until = Duration::ZERO;
        self.enroll = Gate::open();
        self.shut = self.shut.filter(|(_, helps)| !helps);
        self.reopen();
        if let Some(id) = &mut self.id
            && id.mind == Mind::DoesNotKnow
        {
            id.mind = Mind::Fine;
            id.beat = Gate::open();
        }
    }

    fn reopen(&mut self) {
        if let Some(id) = &mut self.id {
            if id.beat_way == Way::Shut {
                (id.beat_way, id.beat) = (Way::Open, Gate::open());
            }
            if id.renew_way == Way::Shut {
                (id.renew_way, id.renew) = (Way::Open, Gate::open());
            }
        }
        if let Some(next) = &mut self.next
            && next.shut
        {
            (next.shut, next.prove) = (false, Gate::open());
        }
    }

    pub(super) fn loaded(&mut self, now: Now, loaded: &Loaded, paid_by: impl Fn(&TokenHash) -> u8) {
        (self.loaded, self.busy, self.load) = (true, None, Gate::open());
        match &loaded.current {
            Current::Intact(is) if is.made_on == MadeOn::ThisHost => {
                self.gone = None;
                match &mut self.id {
                    Some(id) if id.is.serial == is.serial => id.is = is.clone(),
                    _ => {
                        if self.next.as_ref().is_some_and(|next| next.is.serial == is.serial) {
                            self.next = None;
                        }
                        let old = self.id.replace(Id::new(is.clone(), paid_by(&is.token_sha256)));
                        self.relapse(now, old.and_then(|old| old.enrolled));
                    }
                }
            }
            Current::Intact(copied) => {
                self.lose(now);
                let paid_by = Some(paid_by(&copied.token_sha256));
                self.gone = Some(Gone { paid_by, kind: copied.token_type, dates: false });
            }
            Current::Lost(loss) => {
                let same = self.id.as_ref().is_some_and(|id| Some(id.is.sensor_id) == loss.sensor_id);
                if !(same && loss.about_time.is_some()) {
                    self.lose(now);
                    let gone = Gone {
                        paid_by: loss.token_sha256.as_ref().map(&paid_by),
                        kind: loss.token_type,
                        dates: loss.about_time.is_some(),
                    };
                    self.gone = Some(gone);
                }
            }
            Current::Nothing => {
                if self.id.is_some() || self.gone.is_some() {
                    self.lose(now);
                    self.gone = Some(Gone { paid_by: None, kind: None, dates: false });
                }
            }
        }
        if let (Some(id), Current::Intact(_)) = (&mut self.id, &loaded.current) {
            id.begun |= loaded.renewal_begun;
        }
        match &loaded.committed {
            None => {
                // What could not be published and is not there is given up.
                let failed = |next: &Next| next.publish != Gate::open();
                self.next = self.next.take().filter(|next| !failed(next));
            }
            Some(is) if self.next.as_ref().is_none_or(|next| next.is.generation != is.generation) => {
                let paid_by = paid_by(&is.token_sha256);
                let renewal = self.id.as_ref().is_some_and(|id| id.paid_by == paid_by);
                self.next = Some(Next { earlier: true, ..Next::new(is.clone(), paid_by, renewal) });
            }
            Some(_) => {}
        }
    }

    fn lose(&mut self, now: Now) {
        if let Some(id) = self.id.take() {
            self.relapse(now, id.enrolled);
        }
    }

    pub(super) fn published(&mut self, now: Now) {
        self.busy = None;
        let next = self.next.take().unwrap();
        let old = self.id.as_ref().and_then(|id| id.enrolled);
        let mut id = Id::new(next.is, next.paid_by);
        id.enrolled = if next.renewal && !next.earlier { old } else { Some(now.mono) };
        match next.proven {
            Some(Some(answer)) => id.accepted(now, &answer),
            Some(None) => {
                id.beat_way = Way::Missing;
                let rest = id.rest();
                id.beat = Gate::between(now, rest, rest);
            }
            None => {}
        }
        self.gone = None;
        self.id = Some(id);
    }

    pub(super) fn failed(&mut self, now: Now, step: Step, failure: &Failure, changed: (bool, bool)) {
        let what = meaning(failure);
        let asked = failure.retry_after;
        let (other_token, other_configuration) = changed;
        let outdated = other_token || other_configuration;
        match step {
            Step::Enroll if other_token => {}
            Step::Enroll => match what {
                Meaning::Passes => self.enroll.backs_off(now, asked),
                Meaning::SlowAnswer | Meaning::SlowSilence | Meaning::Missing | Meaning::Unknown => {
                    self.enroll.slowly(now, asked);
                }
                Meaning::Final(true) if other_configuration => {}
                Meaning::Final(helps) => self.shut_out(helps),
                Meaning::Revoked => self.shut_out(false),
            },
            Step::Renew => {
                let id = self.id.as_mut().unwrap();
                id.begun |= matches!(what, Meaning::Passes | Meaning::SlowSilence);
                match what {
                    Meaning::Passes => id.renew.backs_off(now, asked),
                    Meaning::SlowAnswer | Meaning::SlowSilence => id.renew.slowly(now, asked),
                    Meaning::Final(_) if outdated => {}
                    Meaning::Final(_) => {
                        (id.renew_way, id.forced, id.begun) = (Way::Shut, false, false);
                    }
                    Meaning::Missing => {
                        let rest = id.rest();
                        id.renew.rarely(now, rest);
                        (id.renew_way, id.forced) = (Way::Missing, false);
                    }
                    Meaning::Unknown => self.unknown(now),
                    Meaning::Revoked => self.revoke(),
                }
            }
            Step::Beat => {
                let id = self.id.as_mut().unwrap();
                match what {
                    Meaning::Passes => id.beat.backs_off(now, asked),
                    Meaning::SlowSilence => id.beat.slowly(now, asked),
                    Meaning::SlowAnswer => {
                        id.beat.slowly(now, asked);
                        id.mind = Mind::Refuses;
                    }
                    Meaning::Final(_) if outdated => {}
                    Meaning::Final(_) => (id.beat_way, id.mind) = (Way::Shut, Mind::Refuses),
                    Meaning::Missing => {
                        let rest = if id.heard { 300.0 } else { id.rest() };
                        id.beat.rarely(now, rest);
                        id.beat_way = Way::Missing;
                    }
                    Meaning::Unknown
                        if id.due(now) && id.renew_way == Way::Open
                            || id.begun && id.renew_way != Way::Shut =>
                    {
                        id.beat.slowly(now, asked);
                        id.mind = Mind::Refuses;
                        (id.renew.from, id.renew.until) = (Duration::ZERO, Duration::ZERO);
                    }
                    Meaning::Unknown => self.unknown(now),
                    Meaning::Revoked => self.revoke(),
                }
            }
            Step::Prove => self.not_proven(now, what, asked, outdated),
            Step::Retire => self.retired = Some(self.token),
            Step::Probe | Step::Load | Step::Publish => {}
        }
    }

    fn not_proven(&mut self, now: Now, what: Meaning, asked: Option<Duration>, outdated: bool) {
        let next = self.next.as_mut().unwrap();
        let same = self.id.as_ref().is_some_and(|id| id.is.sensor_id == next.is.sensor_id);
        match what {
            Meaning::Passes => next.prove.backs_off(now, asked),
            Meaning::SlowSilence => next.prove.slowly(now, asked),
            Meaning::Missing if self.id.as_ref().is_some_and(|id| id.heard) => next.prove.slowly(now, asked),
            Meaning::Missing => next.proven = Some(None),
            Meaning::Final(_) if outdated => {}
            Meaning::SlowAnswer | Meaning::Final(_) => {
                next.refused = true;
                if what == Meaning::SlowAnswer {
                    next.prove.slowly(now, asked);
                } else {
                    next.shut = true;
                }
                if let Some(id) = self.id.as_mut().filter(|_| same) {
                    id.mind = Mind::Refuses;
                }
            }
            Meaning::Unknown | Meaning::Revoked => {
                let next = self.next.take().unwrap();
                let id = self.id.as_mut().unwrap();
                (id.beat.from, id.beat.until) = (Duration::ZERO, Duration::ZERO);
                if next.renewal {
                    id.renew.slowly(now, asked);
                } else if self.token == Some(next.paid_by) {
                    match next.is.token_type {
                        Some(TokenType::Cluster) => self.enroll.slowly(now, asked),
                        Some(TokenType::Once) | None => self.shut = Some((next.paid_by, false)),
                    }
                }
                if what == Meaning::Revoked && same {
                    self.revoke();
                }
            }
        }
    }

    fn shut_out(&mut self, helps: bool) {
        self.waiting = false;
        self.enroll = Gate::open();
        self.shut = self.token.map(|token| (token, helps)).or(self.shut);
    }

    fn unknown(&mut self, now: Now) {
        let id = self.id.as_mut().unwrap();
        (id.mind, id.forced, id.begun) = (Mind::DoesNotKnow, false, false);
        let enrolled = id.enrolled;
        self.relapse(now, enrolled);
    }

    fn revoke(&mut self) {
        let id = self.id.as_mut().unwrap();
        (id.mind, id.forced, id.begun) = (Mind::Revoked, false, false);
        self.revoked = Some(id.paid_by);
    }

    /// `renew`, forced or not, as far as there is something to renew.
    pub(super) fn renew(&mut self, now: Now, urgency: Urgency) {
        if self.retire || self.retired.is_some() || self.next.is_some() || !self.usable(now) {
            return;
        }
        let id = self.id.as_mut().unwrap();
        if urgency == Urgency::WhenDue && !id.due(now) {
            return;
        }
        (id.renew.from, id.renew.until) = (Duration::ZERO, Duration::ZERO);
        if urgency == Urgency::Now {
            id.forced = true;
            if id.renew_way == Way::Shut {
                id.renew_way = Way::Open;
            }
        }
    }
}

impl Id {
    pub(super) fn accepted(&mut self, now: Now, answer: &Accepted) {
        let interval = answer.interval.as_secs_f64().clamp(5.0, 3600.0);
        self.beat = Gate::between(now, interval * 0.9 - 0.001, interval * 1.1 + 0.001);
        (self.beat_way, self.heard) = (Way::Open, true);
        self.mind = match answer.trust_state {
            TrustState::Trusted | TrustState::Rotated => Mind::Fine,
            TrustState::BootstrapPending | TrustState::TrustRevoked => Mind::Refuses,
        };
    }
}

impl Next {
    pub(super) fn new(is: Identity, paid_by: u8, renewal: bool) -> Self {
        Self {
            is,
            paid_by,
            renewal,
            earlier: false,
            proven: None,
            prove: Gate::open(),
            shut: false,
            refused: false,
            publish: Gate::open(),
        }
    }
}
