//! The machine from outside: tables, what holds whatever happens, and fleets in virtual time. Nothing here sleeps.
//!
//! What a machine does together with a disk, a wire and a Console is simulated once, with the real ones (`tests/src/sim`,
//! `tests/tests/month`), and searched in every order (`tests/tests/model`).

mod begun;
mod candidates;
mod clock;
mod fleet;
mod honest;
mod invariants;
mod life;
mod liveness;
mod losses;
mod orders;
mod pace;
mod refusals;
mod report;
mod table;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use telovix_contract::problem::{Advice, ErrorCode};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{EnrollmentToken, SensorId};

use super::*;
use crate::machine::Report;

/// Thirty days, the life that the contract names.
pub(super) const LIFE: SignedDuration = SignedDuration::from_hours(720);

pub(super) fn start() -> Timestamp {
    // 2026-11-02T10:00:00Z, not parsed: the fleets ask for it often.
    Timestamp::constant(1_793_613_600, 0)
}

pub(super) fn token(number: u8) -> TokenFacts {
    TokenFacts::of(&EnrollmentToken::from_bytes(&[number; 32]))
}

pub(super) fn sensor(number: u32) -> SensorId {
    format!("00000000-0000-4000-8000-{number:012x}").parse().unwrap()
}

pub(super) fn identity(generation: u32, from: Timestamp, paid_by: TokenFacts) -> Identity {
    Identity {
        generation,
        sensor_id: sensor(1),
        serial: generation.to_be_bytes().to_vec(),
        not_before: from - crate::clock::TOLERATED_SKEW,
        not_after: from - crate::clock::TOLERATED_SKEW + LIFE,
        token_sha256: paid_by.hash(),
        token_type: Some(TokenType::Once),
        trust_state: TrustState::Trusted,
        made_on: MadeOn::ThisHost,
        changed: None,
    }
}

pub(super) fn accepted() -> Accepted {
    Accepted { interval: Duration::from_secs(15), trust_state: TrustState::Trusted, renew_between: None }
}

pub(super) fn fault(code: Code) -> Fault {
    Fault::new(code, format!("it says {code}"))
}

pub(super) fn failure(code: Code) -> Failure {
    Failure { fault: fault(code), retry_after: None }
}

pub(super) fn refusal(code: ErrorCode) -> Failure {
    failure(Code::Console(code))
}

pub(super) fn unreachable() -> Failure {
    failure(Code::ConsoleUnreachable)
}

/// What the state directory says in answer to a look.
pub(super) fn disk(current: Current) -> Loaded {
    Loaded {
        current,
        committed: None,
        others: Vec::new(),
        renewal_begun: false,
        enrollment_begun: false,
        heard: Heard::default(),
        ready_since: None,
        told: true,
        notes: Vec::new(),
    }
}

/// The identity that token 1 paid for.
pub(super) fn intact() -> Current {
    Current::Intact(identity(1, start(), token(1)))
}

pub(super) fn loss(reason: &str) -> Loss {
    Loss {
        reason: reason.into(),
        about_time: None,
        sensor_id: Some(sensor(1)),
        token_sha256: Some(token(1).hash()),
        token_type: Some(TokenType::Once),
        made_on: MadeOn::ThisHost,
    }
}

/// A small generator (SplitMix64), so that a run repeats.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(super) fn within(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap().max(1)))
    }
}

/// A machine, its time, and what it wanted last.
pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
    /// How far the Console's clock is ahead of this host's.
    pub(super) skew: SignedDuration,
    /// What `.sensor-ready` says.
    pub(super) ready: Option<Timestamp>,
    /// How often it was told something: a machine that goes round in circles is to fail a test, and not to keep it.
    told: u32,
}

impl Rig {
    /// A process that has just started and was told what the disk holds.
    pub(super) fn started(token: Option<TokenFacts>, loaded: Loaded) -> Self {
        let now = Now { wall: start(), mono: Duration::from_secs(1000), random: u64::MAX / 2 };
        let machine = Machine::new(Settings { node_name: "edge-1".into(), ..Settings::default() });
        let ready = loaded.ready_since;
        let mut rig = Self { machine, now, effects: Vec::new(), skew: SignedDuration::ZERO, ready, told: 0 };
        rig.send(Input::Started(token));
        assert_eq!(rig.effects, [Effect::Load]);
        rig.loaded(loaded);
        rig
    }

    /// A host that presents token 1 for the first time.
    pub(super) fn enrolling() -> Self {
        let mut rig = Self::started(Some(token(1)), disk(Current::Nothing));
        assert_eq!(rig.call(), Call::ProbeClock);
        rig.answer(Outcome::ClockRead);
        assert!(matches!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::First }));
        rig
    }

    /// A host whose identity, paid for by token 1, has just been accepted.
    pub(super) fn active() -> Self {
        Self::active_with(identity(1, start(), token(1)))
    }

    pub(super) fn active_with(identity: Identity) -> Self {
        let mut rig = Self::started(Some(token(1)), disk(Current::Intact(identity)));
        assert_eq!(rig.call(), Call::Heartbeat);
        rig.answer(Outcome::Accepted(accepted()));
        assert_eq!(rig.state(), StateName::Active);
        rig
    }

    /// A host whose identity is due for renewal, with the call in flight.
    pub(super) fn renewing() -> Self {
        Self::renewing_with(identity(1, start(), token(1)))
    }

    pub(super) fn renewing_with(identity: Identity) -> Self {
        let mut rig = Self::active_with(identity);
        rig.jump_to_renewal();
        rig
    }

    pub(super) fn jump_to_renewal(&mut self) {
        let renew_at = self.report().renew_at.unwrap();
        let left = renew_at.duration_since(self.now.wall).unsigned_abs();
        self.advance(left - Duration::from_secs(8));
        self.send(Input::Tick);
        assert_eq!(self.call(), Call::Heartbeat);
        self.answer(Outcome::Accepted(accepted()));
        self.wake();
        assert_eq!(self.call(), Call::Renew);
        assert_eq!(self.state(), StateName::Renewing);
    }

    pub(super) fn send(&mut self, mut input: Input) -> &[Effect] {
        if let Input::Loaded(loaded) = &mut input {
            loaded.ready_since = self.ready;
        }
        self.told += 1;
        assert!(self.told < 100_000, "there is no end to it: {input:?} after {:?}", self.effects);
        self.effects = self.machine.step(self.now, input);
        for effect in &self.effects {
            if let Effect::SetReady(ready) = effect {
                self.ready = ready.then_some(self.now.wall);
            }
        }
        &self.effects
    }

    /// What the look at the disk brought.
    pub(super) fn loaded(&mut self, loaded: Loaded) -> &[Effect] {
        self.send(Input::Loaded(Box::new(loaded)))
    }

    /// The call that the last step started.
    pub(super) fn call(&self) -> Call {
        self.calls().unwrap_or_else(|| panic!("no call in {:?}", self.effects))
    }

    pub(super) fn calls(&self) -> Option<Call> {
        self.effects
            .iter()
            .find_map(|effect| if let Effect::Call(call) = effect { Some(call.clone()) } else { None })
    }

    /// Answers the call in flight, with the Console's time.
    pub(super) fn answer(&mut self, outcome: Outcome) -> &[Effect] {
        let server_date = Some(self.now.wall + self.skew);
        self.send(Input::Answered(Box::new(Answer { server_date, outcome })))
    }

    /// Answers the call in flight with a failure that brought no date.
    pub(super) fn fail(&mut self, failure: Failure) -> &[Effect] {
        let outcome = Outcome::Failed(failure);
        self.send(Input::Answered(Box::new(Answer { server_date: None, outcome })))
    }

    pub(super) fn look(&mut self, loaded: Loaded) -> &[Effect] {
        self.send(Input::FilesChanged);
        assert_eq!(self.effects, [Effect::Load]);
        self.loaded(loaded)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now.mono += by;
        self.now.wall += by;
        self.now.random = self.now.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
    }

    /// Sets the wall clock without the other one.
    pub(super) fn set_clock(&mut self, by: SignedDuration) {
        self.now.wall += by;
        self.skew -= by;
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.machine.next_deadline(self.now)
    }

    /// The call that the last step started, or the next one.
    pub(super) fn call_or_wake(&mut self) -> Call {
        while self.calls().is_none() {
            self.wake();
        }
        self.call()
    }

    /// Waits until the machine wants to be woken, and wakes it.
    pub(super) fn wake(&mut self) -> Duration {
        let wait = self.deadline().expect("the machine waits for something");
        self.advance(wait);
        self.send(Input::Tick);
        wait
    }

    /// Wakes the machine until it makes a call like this one; heartbeats on the way are answered.
    pub(super) fn wake_until(&mut self, wanted: impl Fn(&Call) -> bool, most: Duration) -> Duration {
        let from = self.now.mono;
        loop {
            let waited = self.now.mono - from;
            assert!(waited <= most, "waited {waited:?} already");
            match self.calls() {
                Some(call) if wanted(&call) => return waited,
                Some(Call::Heartbeat) => {
                    self.answer(Outcome::Accepted(accepted()));
                }
                Some(other) => panic!("{other:?} after {waited:?}"),
                None => {
                    self.wake();
                }
            }
        }
    }

    /// The same for the proof of this generation; nobody is reached on the way.
    pub(super) fn wake_until_proof(&mut self, wanted: u32, most: Duration) -> Duration {
        let from = self.now.mono;
        while self.calls() != Some(Call::Prove { generation: wanted }) {
            match self.calls() {
                Some(Call::Heartbeat) => self.answer(Outcome::Accepted(accepted())),
                Some(_) => self.fail(unreachable()),
                None => {
                    self.wake();
                    continue;
                }
            };
        }
        let waited = self.now.mono - from;
        assert!(waited <= most, "waited {waited:?}");
        waited
    }

    /// The Console does not know the identity, and says so twice.
    pub(super) fn lose(&mut self) {
        for _ in 0..2 {
            assert_eq!(self.call_or_wake(), Call::Heartbeat);
            self.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
        }
    }

    /// Runs for this long, answers heartbeats, and fails on any other call.
    pub(super) fn only_heartbeats_for(&mut self, length: Duration) {
        let until = self.now.mono + length;
        loop {
            match self.calls() {
                Some(Call::Heartbeat) => {
                    self.answer(Outcome::Accepted(accepted()));
                }
                Some(other) => panic!("{other:?}"),
                None if self.deadline().is_some_and(|wait| self.now.mono + wait <= until) => {
                    self.wake();
                }
                None => break,
            }
        }
        self.advance(until.saturating_sub(self.now.mono));
    }

    pub(super) fn report(&self) -> Report {
        self.machine.report(self.now)
    }

    pub(super) fn state(&self) -> StateName {
        self.report().state
    }

    pub(super) fn code(&self) -> String {
        self.report().last_error.map(|error| error.code.to_string()).unwrap_or_default()
    }

    pub(super) fn wanted(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }
}

pub(super) fn is_enroll(call: &Call) -> bool {
    matches!(call, Call::Enroll { .. })
}

pub(super) fn is_renew(call: &Call) -> bool {
    *call == Call::Renew
}
