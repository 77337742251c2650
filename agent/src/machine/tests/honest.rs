//! A host with a disk before an honest Console: what [`super::liveness`] makes trouble for.

use std::collections::BTreeSet;

use super::*;

/// What survives a kill.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) generations: Vec<Identity>,
    pub(super) current: Option<u32>,
    /// The key of the renewal under way, and of the enrollment under way with its token.
    pub(super) renewal: Option<u32>,
    pub(super) pending: Option<(u32, u8)>,
    pub(super) ready: bool,
}

/// A Console: the serials that it has issued, with the key of each; and those that it accepts.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    pub(super) issued: Vec<(u32, Identity)>,
    /// The serial number of the newest.
    pub(super) newest: u32,
    pub(super) accepts: BTreeSet<Vec<u8>>,
    /// Tokens that it answers with 201 for a new key.
    pub(super) pays: BTreeSet<u8>,
}

#[derive(Clone)]
pub(super) struct Host {
    pub(super) machine: Machine,
    pub(super) now: Now,
    pub(super) random: Random,
    pub(super) disk: Disk,
    pub(super) console: Console,
    pub(super) token: Option<u8>,
    /// The Console's clock minus the true time; and the host's.
    pub(super) skews: (SignedDuration, SignedDuration),
    pub(super) truth: Timestamp,
    pub(super) keys: u32,
    pub(super) job: Option<Effect>,
    /// What the keys stand for that wait on the disk.
    pub(super) key_of: Vec<(u32, u32)>,
    pub(super) steps: u64,
}

impl Host {
    pub(super) fn new(seed: u64) -> Self {
        let mut host = Self {
            machine: Machine::new(Settings::default()),
            now: Now { wall: start(), mono: Duration::from_secs(9), random: 0 },
            random: Random(seed),
            disk: Disk::default(),
            console: Console { pays: BTreeSet::from([1]), ..Console::default() },
            token: Some(1),
            skews: (SignedDuration::ZERO, SignedDuration::ZERO),
            truth: start(),
            keys: 0,
            job: None,
            key_of: Vec::new(),
            steps: 0,
        };
        host.start();
        host
    }

    pub(super) fn start(&mut self) {
        self.machine = Machine::new(Settings::default());
        self.job = None;
        self.tell(Input::Started(self.token.map(token)));
    }

    pub(super) fn dice(&mut self, sides: u64) -> u64 {
        self.random.below(sides)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.truth += time;
        self.now.wall = self.truth + self.skews.1;
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.steps += 1;
        self.now.random = self.random.next();
        for effect in self.machine.step(self.now, input) {
            match effect {
                Effect::Load | Effect::Publish { .. } | Effect::Call(_) => self.job = Some(effect),
                Effect::CancelCall => self.job = None,
                Effect::ForgetRenewal => self.disk.renewal = None,
                Effect::SetReady(ready) => self.disk.ready = ready,
                Effect::TokenSpent { .. }
                | Effect::DiscardCopied
                | Effect::NotifyConsumers { .. }
                | Effect::StateChanged { .. }
                | Effect::CommandDone(_) => {}
            }
        }
        self.always_goes_on();
    }

    /// In every state but decommissioned, with an identity or a token, something is tried within ten minutes; a revoked one within
    /// the hour.
    pub(super) fn always_goes_on(&self) {
        let has_something = self.token.is_some() || self.machine.current.is_some();
        if self.job.is_some() || !has_something {
            return;
        }
        let agenda = self.machine.agenda(self.now);
        let report = self.machine.report(self.now);
        let is_revoked = report.last_error.as_ref().is_some_and(|error| {
            error.code == Code::TrustRevoked || error.code == Code::Console(ErrorCode::SensorRevoked)
        });
        let most = Duration::from_secs(if is_revoked { 3600 } else { 600 });
        let attempt = agenda.attempt.expect("something is tried some time");
        let wait = attempt.saturating_sub(self.now.mono);
        assert!(wait <= most, "{wait:?}: {report:?} {:?}", self.machine);
        let said = report.last_error.as_ref().map(|error| error.next_attempt);
        assert_ne!(said, Some(None), "{report:?} {:?}", self.machine);
    }

    pub(super) fn held(&self, generation: u32) -> Option<&Identity> {
        self.disk.generations.iter().find(|held| held.generation == generation)
    }

    /// `store::load`: where `current` is gone, the newest that is not under way.
    pub(super) fn mend(&mut self) {
        let under_way = [self.disk.pending.map(|(key, _)| key), self.disk.renewal];
        let is_under_way = |held: &Identity| {
            self.key_of.iter().any(|(of, key)| *of == held.generation && under_way.contains(&Some(*key)))
        };
        let newest = self.disk.generations.iter().rev().find(|held| !is_under_way(held));
        self.disk.current = self.disk.current.or(newest.map(|held| held.generation));
    }

    pub(super) fn loaded(&mut self) -> Loaded {
        self.mend();
        let is_in_force = |held: &&Identity| {
            Some(held.generation) != self.disk.current
                && (held.not_before..held.not_after).contains(&self.now.wall)
        };
        let mut others: Vec<Identity> = self.disk.generations.iter().filter(is_in_force).cloned().collect();
        others.reverse();
        let under_way = [self.disk.pending.map(|(key, _)| key), self.disk.renewal];
        let key_of = |generation| self.key_of.iter().find(|(of, _)| *of == generation).map(|(_, key)| *key);
        let is_committed = |held: &&Identity| {
            Some(held.generation) > self.disk.current && under_way.contains(&key_of(held.generation))
        };
        let committed = others.iter().find(is_committed).cloned();
        let current = match self.disk.current.and_then(|current| self.held(current)) {
            None => Current::Nothing,
            Some(held) if self.now.wall < held.not_before => Current::Lost(Loss {
                about_time: Some((held.not_before, held.not_after)),
                sensor_id: Some(held.sensor_id),
                token_sha256: Some(held.token_sha256),
                token_type: held.token_type,
                ..loss("early")
            }),
            Some(held) => Current::Intact(held.clone()),
        };
        Loaded {
            current,
            renewal_begun: committed.is_none() && self.disk.renewal.is_some(),
            committed,
            others,
            ready_since: self.disk.ready.then_some(self.now.wall),
            ..disk(Current::Nothing)
        }
    }

    /// What the driver does before a call, and the Console after it, honestly.
    pub(super) fn honest(&mut self, job: &Effect) -> Input {
        let outcome = match job {
            Effect::Load => return Input::Loaded(Box::new(self.loaded())),
            Effect::Publish { generation } => {
                if self.held(*generation).is_none() {
                    return Input::PublishFailed(fault(Code::StateDamaged));
                }
                self.disk.current = Some(*generation);
                let key = self.key_of.iter().find(|(of, _)| of == generation).map(|(_, key)| *key);
                self.disk.renewal.take_if(|renewal| Some(*renewal) == key);
                self.disk.pending.take_if(|(pending, _)| Some(*pending) == key);
                return Input::Published;
            }
            Effect::Call(Call::Enroll { reason, .. }) => {
                let Some(paid) = self.token else { return self.answered(Outcome::Failed(unreachable())) };
                let key = match self.disk.pending.filter(|(_, of)| *of == paid) {
                    Some((key, _)) => key,
                    None if *reason == EnrollReason::NotVouched => self.key_of_current(),
                    None => self.draw(),
                };
                self.disk.pending = Some((key, paid));
                let repeated = self.console.issued.iter().any(|(of, _)| *of == key);
                if repeated || self.console.pays.contains(&paid) {
                    self.issue(key, paid).map_or_else(Outcome::Failed, Outcome::Enrolled)
                } else {
                    Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed))
                }
            }
            Effect::Call(Call::Renew) => {
                let key = self.disk.renewal.unwrap_or_else(|| self.draw());
                self.disk.renewal = Some(key);
                let Some(current) = self.presented() else {
                    return self.answered(Outcome::Failed(unreachable()));
                };
                if self.accepts(&current) || self.console.issued.iter().any(|(of, _)| *of == key) {
                    self.issue(key, 1).map_or_else(Outcome::Failed, Outcome::Renewed)
                } else {
                    Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust))
                }
            }
            Effect::Call(Call::Prove { generation }) => self.beat(self.held(*generation).cloned()),
            Effect::Call(Call::Heartbeat) => self.beat(self.presented()),
            Effect::Call(Call::ProbeClock) => Outcome::ClockRead,
            Effect::Call(Call::Decommission)
            | Effect::CancelCall
            | Effect::ForgetRenewal
            | Effect::DiscardCopied
            | Effect::SetReady(_)
            | Effect::NotifyConsumers { .. }
            | Effect::TokenSpent { .. }
            | Effect::StateChanged { .. }
            | Effect::CommandDone(_) => panic!("{job:?} is not answered"),
        };
        self.answered(outcome)
    }

    pub(super) fn answered(&self, outcome: Outcome) -> Input {
        Input::Answered(Box::new(Answer { server_date: Some(self.console_now()), outcome }))
    }

    pub(super) fn console_now(&self) -> Timestamp {
        self.truth + self.skews.0
    }

    pub(super) fn presented(&self) -> Option<Identity> {
        self.machine.current.as_ref().and_then(|current| self.held(current.identity.generation)).cloned()
    }

    pub(super) fn accepts(&self, held: &Identity) -> bool {
        self.console.accepts.contains(&held.serial)
    }

    pub(super) fn beat(&mut self, with: Option<Identity>) -> Outcome {
        let Some(held) = with else { return Outcome::Failed(unreachable()) };
        if !self.accepts(&held) {
            return Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust));
        }
        if !(held.not_before..held.not_after).contains(&self.console_now()) {
            return Outcome::Failed(refusal(ErrorCode::CertificateExpired));
        }
        // Seen: what it supersedes is worth nothing any more.
        let newer = |serial: &Vec<u8>| *serial >= held.serial;
        self.console.accepts.retain(newer);
        Outcome::Accepted(accepted())
    }

    fn key_of_current(&mut self) -> u32 {
        let key = self.key_of.iter().find(|(of, _)| Some(*of) == self.disk.current).map(|(_, key)| *key);
        key.unwrap_or_else(|| self.draw())
    }

    pub(super) fn draw(&mut self) -> u32 {
        self.keys += 1;
        self.keys
    }

    /// Issues, or repeats, and commits what the agent would take.
    pub(super) fn issue(&mut self, key: u32, paid: u8) -> Result<Identity, Failure> {
        let known = self.console.issued.iter().find(|(of, _)| *of == key).map(|(_, made)| made.clone());
        let now = self.console_now();
        let is_worth_it = |made: &Identity| {
            self.console.accepts.contains(&made.serial) && (made.not_before..made.not_after).contains(&now)
        };
        let known = known.filter(is_worth_it);
        let made = known.unwrap_or_else(|| {
            self.console.newest += 1;
            Identity {
                token_type: [Some(TokenType::Once), Some(TokenType::Cluster)][usize::from(paid % 2)],
                ..identity(self.console.newest, self.console_now(), token(paid))
            }
        });
        self.console.accepts.insert(made.serial.clone());
        self.console.issued.retain(|(of, _)| *of != key);
        self.console.issued.push((key, made.clone()));
        self.commit(key, made)
    }

    pub(super) fn commit(&mut self, key: u32, made: Identity) -> Result<Identity, Failure> {
        if !(made.not_before..made.not_after).contains(&self.now.wall) {
            return Err(failure(Code::IssuedDates));
        }
        if let Some(same) = self.disk.generations.iter().find(|held| held.serial == made.serial) {
            return Ok(same.clone());
        }
        let generation = self.disk.generations.last().map_or(1, |last| last.generation + 1);
        let held = Identity { generation, ..made };
        self.disk.generations.push(held.clone());
        self.key_of.push((generation, key));
        let current = self.disk.current;
        while self.disk.generations.len() > 8 {
            let oldest = self.disk.generations.iter().position(|held| Some(held.generation) != current);
            self.disk.generations.remove(oldest.unwrap());
        }
        self.key_of.retain(|(of, _)| self.disk.generations.iter().any(|held| held.generation == *of));
        Ok(held)
    }
}
