//! The machine and the reference model agree, over random lives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model_rules::{Rules, Step};
use super::sim::Random;
use super::*;

const CASES: u32 = 300;
const STEPS: usize = 400;
/// Rounding of waits, and the floor under them.
const SLACK: Duration = Duration::from_millis(150);

/// The machine, the model, and what both are told.
pub(super) struct Pair {
    pub(super) machine: Machine,
    pub(super) rules: Rules,
    pub(super) now: Now,
    pub(super) disk: Current,
    pub(super) ready: bool,
    pub(super) serial: u32,
    /// Whether token and configuration changed since the call in flight was made.
    pub(super) changed: (bool, bool),
    pub(super) presented: Option<u8>,
    pub(super) random: Random,
    pub(super) seen: BTreeMap<String, usize>,
}

pub(super) fn number_of(hash: &TokenHash) -> u8 {
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
        Effect::CancelCall
        | Effect::Discard { .. }
        | Effect::DiscardCopied
        | Effect::SetReady(_)
        | Effect::NotifyConsumers { .. }
        | Effect::TokenSpent { .. }
        | Effect::StateChanged { .. }
        | Effect::CommandDone(_) => return None,
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
            seen: BTreeMap::new(),
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

    pub(super) fn dice(&mut self, sides: u64) -> u64 {
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
    pub(super) fn step(&mut self, input: Input, discards: usize) {
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
        let started: Vec<Step> = effects.iter().filter_map(step_of).collect();
        assert!(started.len() <= 1, "one at a time: {effects:?}");
        let discards = discards + self.rules.settle(self.now, started == [Step::Load]);
        let thrown = effects.iter().filter(|effect| matches!(effect, Effect::Discard { .. })).count();
        assert_eq!(thrown, discards, "discards after {shown}: {effects:?}");
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
            self.saw(format!("{step:?}"));
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
        self.saw(self.rules.state(self.now).as_str().to_owned());
        self.compare(&effects, &shown);
    }

    pub(super) fn saw(&mut self, what: String) {
        *self.seen.entry(what).or_default() += 1;
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
                    self.step(Input::PublishFailed(fault(Code::StateIoError)), 0);
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
}

#[test]
fn machine_and_model_agree_over_a_hundred_thousand_transitions() {
    let transitions = AtomicUsize::new(0);
    let seen = RefCell::new(BTreeMap::<String, usize>::new());
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let life = proptest::collection::vec((any::<u8>(), any::<u64>()), STEPS);
    let result = runner.run(&(any::<u64>(), life), |(seed, life)| {
        let mut pair = Pair::new(seed);
        for (choice, seed) in life {
            pair.one(choice, seed);
            transitions.fetch_add(1, Ordering::Relaxed);
        }
        for (what, count) in pair.seen {
            *seen.borrow_mut().entry(what).or_default() += count;
        }
        Ok(())
    });
    let transitions = transitions.into_inner();
    let seen = seen.into_inner();
    println!("{transitions} transitions: {seen:?}");
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(transitions >= 100_000, "{transitions}");
    // No corner of the model is left out.
    for state in StateName::ALL {
        assert!(seen.get(state.as_str()).is_some_and(|count| *count > 100), "{state:?}: {seen:?}");
    }
    for step in ["Enroll", "Renew", "Prove", "Beat"] {
        for meaning in [
            "Passes",
            "SlowAnswer",
            "SlowSilence",
            "Final(true)",
            "Final(false)",
            "Unknown",
            "Revoked",
            "Missing",
        ] {
            assert!(seen.contains_key(&format!("{step} {meaning}")), "{step} {meaning}: {seen:?}");
        }
    }
}
