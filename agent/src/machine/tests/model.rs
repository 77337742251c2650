//! The machine and the reference model agree, over random lives.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model_inputs::{Meaning, meaning};
use super::model_rules::{Gate, Next, Rules, Step, Way};
use super::sim::Random;
use super::*;

const CASES: u32 = 300;
const STEPS: usize = 400;
/// Rounding of waits, and the floor under them.
const SLACK: Duration = Duration::from_millis(150);

/// The machine, the model, and what both are told.
struct Pair {
    machine: Machine,
    rules: Rules,
    now: Now,
    disk: Current,
    ready: bool,
    serial: u32,
    /// Whether token and configuration changed since the call in flight was made.
    changed: (bool, bool),
    presented: Option<u8>,
    random: Random,
}

fn number_of(hash: &TokenHash) -> u8 {
    (1..=4).find(|number| token(*number).matches(hash)).expect("one of the tokens")
}

fn step_of(effect: &Effect) -> Option<Step> {
    Some(match effect {
        Effect::Load => Step::Load,
        Effect::Publish { .. } => Step::Publish,
        Effect::Call(Call::Enroll { .. }) => Step::Enroll,
        Effect::Call(Call::Renew) => Step::Renew,
        Effect::Call(Call::Prove { .. }) => Step::Prove,
        Effect::Call(Call::Heartbeat) => Step::Beat,
        Effect::Call(Call::ProbeClock) => Step::Probe,
        Effect::Call(Call::Decommission) => Step::Retire,
        _ => return None,
    })
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut pair = Self {
            machine: Machine::new(Settings::default()),
            rules: Rules::default(),
            now: Now { wall: start(), mono: Duration::from_secs(50), random: 0 },
            disk: Current::Nothing,
            ready: false,
            serial: 0,
            changed: (false, false),
            presented: None,
            random: Random(seed),
        };
        pair.boot();
        pair
    }

    fn boot(&mut self) {
        self.machine = Machine::new(Settings::default());
        self.rules = Rules { look: true, ..Rules::default() };
        let number = self.some_token();
        self.rules.token = number;
        self.rules.known = number;
        self.step(Input::Started(number.map(token)), 0);
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random.below(sides)
    }

    fn some_token(&mut self) -> Option<u8> {
        let number = u8::try_from(self.dice(5)).unwrap();
        (number > 0).then_some(number)
    }

    fn advance(&mut self, by: Duration) {
        self.now.mono += by;
        self.now.wall += by;
    }

    /// Gives the machine an input that the model has taken already, and compares.
    fn step(&mut self, input: Input, discards: usize) {
        self.now.random = self.random.next();
        let shown = format!("{input:?}");
        let effects = self.machine.step(self.now, input);
        if self.rules.retire
            && self.rules.retired.is_none()
            && self.rules.busy.is_none()
            && !self.rules.usable(self.now)
        {
            self.rules.retired = Some(self.rules.token);
        }
        let discards = discards + self.rules.settle(self.now);
        let thrown = effects.iter().filter(|effect| matches!(effect, Effect::Discard { .. })).count();
        assert_eq!(thrown, discards, "discards after {shown}: {effects:?}");
        let started: Vec<Step> = effects.iter().filter_map(step_of).collect();
        assert!(started.len() <= 1, "one at a time: {effects:?}");
        let open = self.rules.open(self.now);
        if let Some(step) = started.first() {
            assert_eq!(self.rules.busy, None, "one at a time: {step:?} after {shown}");
            let gate = open.iter().find(|(open, _)| open == step).map(|(_, gate)| *gate);
            let Some(gate) = gate else { panic!("{step:?} is not allowed after {shown}; only {open:?}") };
            let at = self.now.mono;
            assert!(
                gate.from <= at + Duration::from_millis(1),
                "{step:?} too early: {gate:?}, {at:?}, after {shown}"
            );
            self.rules.busy = Some(*step);
            if *step == Step::Load {
                self.rules.look = false;
            }
            self.changed = (false, false);
            self.presented = self.rules.token;
        } else {
            for (step, gate) in &open {
                assert!(
                    self.now.mono < gate.until.saturating_add(SLACK),
                    "{step:?} is overdue: {gate:?} after {shown}"
                );
            }
        }
        self.compare(&effects, &shown);
    }

    fn compare(&mut self, effects: &[Effect], shown: &str) {
        let (rules, now) = (&self.rules, self.now);
        let report = self.machine.report(now);
        assert_eq!(report.state, rules.state(now), "after {shown}: {report:?}\n{rules:?}");
        assert!(!report.reason.is_empty());
        for effect in effects {
            if let Effect::SetReady(ready) = effect {
                self.ready = *ready;
            }
        }
        let accepted = rules.state(now).holds_identity() && rules.retired.is_none();
        assert!(
            !self.ready || !rules.loaded || accepted || rules.state(now) == StateName::Starting,
            "ready after {shown}: {report:?}"
        );
        let deadline = self.machine.next_deadline(now);
        if rules.busy.is_some() {
            assert_eq!(deadline, None, "it waits for an answer");
            return;
        }
        assert_ne!(deadline, Some(Duration::ZERO), "what is due is done at once");
        let latest =
            rules.open(now).iter().map(|(_, gate)| gate.until).filter(|at| *at < Duration::MAX).min();
        if let Some(latest) = latest {
            let wait = deadline.unwrap_or_else(|| panic!("no deadline, and {latest:?} after {shown}"));
            assert!(now.mono + wait <= latest + SLACK, "it oversleeps after {shown}");
        }
        let shown_next = report.last_error.and_then(|error| error.next_attempt);
        assert!(shown_next.is_none_or(|at| at >= now.wall), "an attempt in the past is no plan");
    }

    fn one(&mut self, choice: u8, seed: u64) {
        self.random = Random(seed);
        self.advance(Duration::from_millis(seed % 2000));
        match (self.rules.busy, choice) {
            (Some(step), 0..190) => self.answer(step),
            (_, 0..200) => {
                let wait = self.machine.next_deadline(self.now).unwrap_or(Duration::from_secs(60));
                // A heartbeat a minute would fill the life of a host: most of the time, jump.
                let jump =
                    if seed.is_multiple_of(16) { Duration::from_secs(self.dice(40_000)) } else { wait };
                self.advance(jump);
                self.step(Input::Tick, 0);
            }
            (_, 200..215) => {
                let number = self.some_token();
                self.changed.0 |= number != self.rules.token;
                self.rules.token(number);
                // Back to the token that was presented is no change.
                self.changed.0 = self.rules.busy.is_some() && self.rules.token != self.presented;
                self.step(Input::Token(number.map(token)), 0);
            }
            (_, 215..221) => {
                self.changed.1 = true;
                self.rules.configuration();
                self.step(Input::ConfigChanged(Settings::default()), 0);
            }
            (_, 221..233) => {
                self.rules.look = true;
                self.step(Input::FilesChanged, 0);
            }
            (_, 233..243) => {
                let urgency = if seed.is_multiple_of(2) { Urgency::Now } else { Urgency::WhenDue };
                self.rules.renew(self.now, urgency);
                self.step(Input::Renew(urgency), 0);
            }
            (_, 243..246) => {
                if self.rules.retired.is_none() && !self.rules.retire {
                    self.rules.retire = true;
                    let is_call = !matches!(self.rules.busy, None | Some(Step::Load | Step::Publish));
                    if is_call {
                        self.rules.busy = None;
                    }
                }
                self.step(Input::Decommission, 0);
            }
            (_, 246..250) => self.boot(),
            (_, 250..) => self.step(Input::Tick, 0),
        }
        if self.rules.retired.is_some() {
            self.rules.retire = false;
        }
    }

    fn answer(&mut self, step: Step) {
        match step {
            Step::Load => self.answer_load(),
            Step::Publish => {
                if self.dice(8) == 0 {
                    self.rules.busy = None;
                    self.rules.look = true;
                    let now = self.now;
                    self.rules.next.as_mut().unwrap().publish.backs_off(now, None);
                    self.step(Input::PublishFailed(fault("disk")), 0);
                } else {
                    self.disk = Current::Intact(self.rules.next.as_ref().unwrap().is.clone());
                    self.rules.published(self.now);
                    self.step(Input::Published, 0);
                }
            }
            Step::Probe | Step::Enroll | Step::Renew | Step::Prove | Step::Beat | Step::Retire => {
                self.rules.busy = None;
                // The first reading of the clock: what was lost to dates is looked at once more.
                let first = !std::mem::replace(&mut self.rules.time_known, true);
                self.rules.look |= first && self.rules.gone.as_ref().is_some_and(|gone| gone.dates);
                let (outcome, discards) =
                    if self.dice(5) < 2 { self.failure(step) } else { (self.success(step), 0) };
                let answer = Answer { server_date: Some(self.now.wall), outcome };
                self.step(Input::Answered(Box::new(answer)), discards);
            }
        }
    }

    fn failure(&mut self, step: Step) -> (Outcome, usize) {
        let codes = ErrorCode::ALL;
        let code = codes[usize::try_from(self.dice(codes.len() as u64)).unwrap()];
        let mut failure = match self.dice(8) {
            0 => failure(Nature::MissingPath, Retry::Never),
            1 => failure(Nature::NoAnswer, Retry::Never),
            2 | 3 => unreachable(),
            _ => refusal(code),
        };
        failure.retry_after = (self.dice(4) == 0).then(|| Duration::from_secs(self.random.below(500)));
        let thrown = step == Step::Prove && matches!(meaning(&failure), Meaning::Unknown | Meaning::Revoked);
        self.rules.failed(self.now, step, &failure, self.changed);
        (Outcome::Failed(failure), usize::from(thrown))
    }

    fn success(&mut self, step: Step) -> Outcome {
        let now = self.now;
        match step {
            Step::Probe => Outcome::ClockRead,
            Step::Retire => {
                self.rules.retired = Some(self.rules.token);
                Outcome::Decommissioned
            }
            Step::Enroll if self.dice(3) == 0 => {
                let asked = Duration::from_secs(self.dice(5000));
                if !self.changed.0 {
                    let wait = asked.as_secs_f64().clamp(1.0, 3600.0);
                    self.rules.enroll = Gate::between(now, wait, wait * 1.1);
                    self.rules.waiting = true;
                }
                Outcome::Waiting(asked)
            }
            Step::Enroll => {
                let paid_by = self.presented.unwrap();
                let identity = self.make(paid_by);
                self.rules.enroll = Gate::open();
                self.rules.waiting = false;
                self.rules.next = Some(Next::new(identity.clone(), paid_by, false));
                Outcome::Enrolled(identity)
            }
            Step::Renew => {
                let id = self.rules.id.as_mut().unwrap();
                (id.renew, id.forced, id.renew_way) = (Gate::open(), false, Way::Open);
                let (paid_by, sensor_id) = (id.paid_by, id.is.sensor_id);
                let identity = Identity { sensor_id, ..self.make(paid_by) };
                self.rules.next = Some(Next::new(identity.clone(), paid_by, true));
                Outcome::Renewed(identity)
            }
            Step::Prove | Step::Beat => {
                let trust_state =
                    if self.dice(16) == 0 { TrustState::TrustRevoked } else { TrustState::Trusted };
                let answer =
                    Accepted { interval: Duration::from_secs(self.dice(4000)), trust_state, ..accepted() };
                match step {
                    Step::Prove => self.rules.next.as_mut().unwrap().proven = Some(Some(answer)),
                    _ => self.rules.id.as_mut().unwrap().accepted(now, &answer),
                }
                Outcome::Accepted(answer)
            }
            Step::Load | Step::Publish => panic!("no call"),
        }
    }

    fn make(&mut self, paid_by: u8) -> Identity {
        self.serial += 1;
        let from = self.now.wall - SignedDuration::from_mins(5);
        Identity {
            sensor_id: sensor(u32::try_from(self.dice(8) / 6).unwrap()),
            not_before: from,
            not_after: from + SignedDuration::from_hours(24),
            token_type: [Some(TokenType::Once), Some(TokenType::Cluster), None]
                [usize::try_from(self.dice(3)).unwrap()],
            changed: (self.dice(6) == 0).then(|| "the node name is another".to_owned()),
            ..identity(self.serial, self.now.wall, token(paid_by))
        }
    }

    fn answer_load(&mut self) {
        if self.dice(12) == 0 {
            self.rules.busy = None;
            self.rules.look = true;
            let now = self.now;
            self.rules.load.backs_off(now, None);
            return self.step(Input::LoadFailed(fault("io")), 0);
        }
        let number = u8::try_from(1 + self.dice(4)).unwrap();
        let lost =
            Loss { token_sha256: Some(token(number).hash()), sensor_id: Some(sensor(0)), ..loss("torn") };
        match self.dice(24) {
            0 => self.disk = Current::Nothing,
            1 => self.disk = Current::Lost(lost),
            2 => self.disk = Current::Lost(Loss { token_type: Some(TokenType::Cluster), ..lost }),
            3 => {
                let dates = (self.now.wall - SignedDuration::from_hours(99), self.now.wall);
                self.disk = Current::Lost(Loss { about_time: Some(dates), ..lost });
            }
            4 | 5 => self.disk = Current::Intact(self.make(number)),
            6 => {
                let copied = Identity { made_on: MadeOn::AnotherHost, ..self.make(number) };
                self.disk = Current::Intact(copied);
            }
            _ => {}
        }
        let mut current = self.disk.clone();
        if let Current::Intact(identity) = &current
            && self.now.wall >= identity.not_after
            && identity.made_on == MadeOn::ThisHost
        {
            current = Current::Lost(Loss {
                about_time: Some((identity.not_before, identity.not_after)),
                sensor_id: Some(identity.sensor_id),
                token_sha256: Some(identity.token_sha256),
                token_type: identity.token_type,
                ..loss("over")
            });
        }
        let committed = match &self.rules.next {
            Some(next) => (self.random.below(8) > 0).then(|| next.is.clone()),
            None => (self.dice(20) == 0).then(|| self.make(number)),
        };
        let ready_since = self.ready.then_some(self.now.wall);
        let loaded = Loaded { current, committed, ready_since, notes: Vec::new() };
        let now = self.now;
        self.rules.loaded(now, &loaded, number_of);
        self.step(Input::Loaded(Box::new(loaded)), 0);
    }
}

#[test]
fn machine_and_model_agree_over_a_hundred_thousand_transitions() {
    let transitions = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let life = proptest::collection::vec((any::<u8>(), any::<u64>()), STEPS);
    let result = runner.run(&(any::<u64>(), life), |(seed, life)| {
        let mut pair = Pair::new(seed);
        for (choice, seed) in life {
            pair.one(choice, seed);
            transitions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    let transitions = transitions.into_inner();
    println!("{transitions} transitions");
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(transitions >= 100_000, "{transitions}");
}
