//! What holds whatever happens: any input in any order, answers that nobody waits for, clocks that are set at random and
//! Consoles whose clocks are wrong.

use proptest::prelude::*;

use super::*;

/// What was seen, and what must not be seen any more.
struct Watch {
    machine: Machine,
    now: Now,
    random: Random,
    in_flight: Option<Effect>,
    token: Option<u8>,
    /// Token and configuration of the call in flight.
    presented: (Option<u8>, u32),
    configuration: u32,
    /// The token that was refused, with which configuration, and until when.
    refused: Option<(u8, u32, Duration)>,
    /// The generation that stands on the disk and is this host's.
    stands: Option<u32>,
    copied: bool,
    /// What `.sensor-ready` says.
    ready: bool,
    proven: Option<u32>,
    serial: u32,
    stopped: bool,
}

impl Watch {
    fn new(seed: u64) -> Self {
        Self {
            machine: Machine::new(Settings::default()),
            now: Now { wall: start(), mono: Duration::from_secs(9), random: 0 },
            random: Random(seed),
            in_flight: None,
            token: None,
            presented: (None, 0),
            configuration: 0,
            refused: None,
            stands: None,
            copied: false,
            ready: false,
            proven: None,
            serial: 0,
            stopped: false,
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random.below(sides)
    }

    fn step(&mut self, input: Input) -> usize {
        self.now.random = self.random.next();
        let shown = format!("{input:?}");
        let effects = self.machine.step(self.now, input);
        for effect in &effects {
            self.check(effect, &shown);
        }
        assert!(!self.stopped || effects.is_empty() || shown == "Stop", "{effects:?}");
        let deadline = self.machine.next_deadline(self.now);
        if self.in_flight.is_some() {
            assert_eq!(deadline, None, "it waits for an answer after {shown}");
        } else {
            assert_ne!(deadline, Some(Duration::ZERO), "what is due is done at once after {shown}");
        }
        let report = self.machine.report(self.now);
        let stands = report.state.holds_identity() || report.state == StateName::Starting;
        assert!(!self.ready || stands, "ready after {shown}: {report:?}");
        assert!(!report.reason.is_empty(), "after {shown}: {report:?}");
        if self.in_flight.is_none() && !self.stopped {
            self.goes_on(&report, deadline, &shown);
        }
        let next = report.last_error.and_then(|error| error.next_attempt);
        assert!(next.is_none_or(|at| at >= self.now.wall), "an attempt in the past is no plan: {next:?}");
        effects.len()
    }

    /// Nothing is given up: an identity or a token that may be presented is asked for again within the hour.
    fn goes_on(&self, report: &Report, deadline: Option<Duration>, shown: &str) {
        let revoked = |error: &LastError| error.code == Code::Console(ErrorCode::SensorRevoked);
        let most = match report.state {
            StateName::Enrolling | StateName::AwaitingApproval => 600,
            StateName::Refused if report.last_error.as_ref().is_some_and(revoked) => return,
            StateName::Active | StateName::Renewing | StateName::Refused => 3600,
            StateName::Starting | StateName::Unenrolled | StateName::Lost | StateName::Decommissioned => {
                return;
            }
        };
        let within = deadline.is_some_and(|wait| wait <= Duration::from_secs(most));
        assert!(within, "it waits {deadline:?} after {shown}: {report:?}");
    }

    fn check(&mut self, effect: &Effect, shown: &str) {
        match effect {
            Effect::Load | Effect::Publish { .. } | Effect::Call(_) => {
                assert_eq!(self.in_flight, None, "{effect:?} after {shown}");
                self.in_flight = Some(effect.clone());
                self.presented = (self.token, self.configuration);
            }
            Effect::CancelCall => {
                assert!(matches!(self.in_flight.take(), Some(Effect::Call(_))));
            }
            Effect::ForgetRenewal => {}
            Effect::SetReady(ready) => self.ready = *ready,
            Effect::DiscardCopied
            | Effect::NotifyConsumers { .. }
            | Effect::TokenSpent { .. }
            | Effect::StateChanged { .. }
            | Effect::CommandDone(_) => {}
        }
        match effect {
            Effect::Call(Call::Enroll { replaces, .. }) => {
                let token = self.token.expect("an enrollment has a token");
                assert!(!self.copied || replaces.is_none(), "a copied identity is not named");
                if let Some((refused, configuration, until)) = self.refused {
                    let helps = configuration != self.configuration || self.now.mono >= until;
                    assert!(refused != token || helps, "a refused token is presented again after {shown}");
                }
            }
            Effect::Call(Call::Heartbeat | Call::Renew | Call::Prove { .. } | Call::Decommission) => {
                assert!(!self.copied, "a copied identity is not used");
            }
            Effect::Publish { generation } => {
                assert!(self.stands.is_none() || self.proven == Some(*generation), "unproven after {shown}");
            }
            Effect::Call(Call::ProbeClock)
            | Effect::Load
            | Effect::CancelCall
            | Effect::ForgetRenewal
            | Effect::DiscardCopied
            | Effect::SetReady(_)
            | Effect::NotifyConsumers { .. }
            | Effect::TokenSpent { .. }
            | Effect::StateChanged { .. }
            | Effect::CommandDone(_) => {}
        }
    }

    fn any(&mut self, choice: u8) {
        let jump = [0, 0, 1, 20, 400, 90_000][usize::try_from(self.dice(6)).unwrap()];
        self.now.mono += Duration::from_secs(jump);
        self.now.wall += Duration::from_secs(jump);
        if self.dice(30) == 0 {
            let step = i64::try_from(self.dice(4_000_000)).unwrap() - 2_000_000;
            self.now.wall += SignedDuration::from_secs(step);
        }
        match choice {
            0..150 => {
                if let Some(effect) = self.in_flight.clone() {
                    self.answer(&effect);
                } else {
                    self.ticks();
                }
            }
            150..170 => {
                let number = u8::try_from(self.dice(4)).unwrap();
                self.token = (number > 0).then_some(number);
                if let Some(other) = self.token
                    && self.refused.is_some_and(|(refused, ..)| refused != other)
                {
                    self.refused = None;
                }
                self.step(Input::Token(self.token.map(token)));
            }
            170..178 => {
                self.configuration += 1;
                self.step(Input::ConfigChanged(Settings::default()));
            }
            178..200 => {
                self.step(Input::FilesChanged);
            }
            200..210 => {
                self.step(Input::Renew(Urgency::Now));
            }
            210..212 => {
                self.step(Input::Decommission);
            }
            // Nobody asked for these.
            212..218 if self.in_flight.is_none() => {
                let stray = Answer { server_date: None, outcome: Outcome::Decommissioned };
                self.step(match choice {
                    212 | 213 => Input::Published,
                    214 | 215 => Input::PublishFailed(fault(Code::StateIoError)),
                    _ => Input::Answered(Box::new(stray)),
                });
            }
            _ => {
                self.step(Input::Tick);
            }
        }
        assert!(format!("{:?}", self.machine).len() < 8192, "it grows");
    }

    /// Wakes the machine at its deadlines until it does something: never a busy loop.
    fn ticks(&mut self) {
        let from = self.now.mono;
        for count in 0..20 {
            let Some(wait) = self.machine.next_deadline(self.now) else { return };
            self.now.mono += wait;
            self.now.wall += wait;
            if self.step(Input::Tick) > 0 {
                return;
            }
            assert!(self.now.mono - from >= Duration::from_millis(100) * count, "a busy loop");
        }
        panic!("twenty deadlines without anything to do");
    }

    fn answer(&mut self, effect: &Effect) {
        self.in_flight = None;
        let input = match effect {
            Effect::Load if self.dice(10) == 0 => Input::LoadFailed(fault(Code::StateIoError)),
            Effect::Load => self.loaded(),
            Effect::Publish { .. } if self.dice(5) == 0 => Input::PublishFailed(fault(Code::StateIoError)),
            Effect::Publish { generation } => {
                (self.stands, self.copied) = (Some(*generation), false);
                Input::Published
            }
            Effect::Call(call) => {
                let outcome = self.outcome(call);
                let server_date = match self.dice(6) {
                    0 => None,
                    1 => Some(
                        self.now.wall + SignedDuration::from_hours(self.random.below(2000) as i64 - 1000),
                    ),
                    _ => Some(start() + (self.now.mono - Duration::from_secs(9))),
                };
                Input::Answered(Box::new(Answer { server_date, outcome }))
            }
            Effect::CancelCall
            | Effect::ForgetRenewal
            | Effect::DiscardCopied
            | Effect::SetReady(_)
            | Effect::NotifyConsumers { .. }
            | Effect::TokenSpent { .. }
            | Effect::StateChanged { .. }
            | Effect::CommandDone(_) => panic!("{effect:?} is not answered"),
        };
        self.step(input);
    }

    fn outcome(&mut self, call: &Call) -> Outcome {
        if self.dice(2) == 0 {
            return self.failed(call);
        }
        match call {
            Call::Enroll { .. } if self.dice(4) == 0 => Outcome::Waiting(Duration::from_secs(30)),
            Call::Enroll { .. } => Outcome::Enrolled(self.make(self.presented.0.unwrap())),
            Call::Renew => Outcome::Renewed(self.make(1)),
            Call::Prove { generation } => {
                self.proven = Some(*generation);
                Outcome::Accepted(accepted())
            }
            Call::Heartbeat => Outcome::Accepted(accepted()),
            Call::ProbeClock => Outcome::ClockRead,
            Call::Decommission => Outcome::Decommissioned,
        }
    }

    fn failed(&mut self, call: &Call) -> Outcome {
        let codes = ErrorCode::ALL;
        let code = codes[usize::try_from(self.dice(codes.len() as u64)).unwrap()];
        let failure = match self.dice(8) {
            0 => failure(Code::NoSuchPath),
            1 => failure(Code::ConsoleCertificateDates),
            2 | 3 => unreachable(),
            _ => refusal(code),
        };
        if let Call::Prove { generation } = call
            && failure.fault.code.advice() == Advice::MissingPath
        {
            self.proven = Some(*generation);
        }
        let is_refused = failure.fault.code.advice() == Advice::Refused;
        if is_refused && self.token == self.presented.0 && matches!(call, Call::Enroll { .. }) {
            let until = self.now.mono + Duration::from_secs(540);
            self.refused = self.presented.0.map(|token| (token, self.presented.1, until));
        }
        Outcome::Failed(failure)
    }

    fn make(&mut self, paid_by: u8) -> Identity {
        self.serial += 1;
        let kinds = [Some(TokenType::Once), Some(TokenType::Cluster), None];
        Identity {
            token_type: kinds[usize::try_from(self.dice(3)).unwrap()],
            ..identity(self.serial, self.now.wall, token(paid_by))
        }
    }

    fn loaded(&mut self) -> Input {
        let paid_by = u8::try_from(1 + self.dice(3)).unwrap();
        let mut loaded = match self.dice(7) {
            0 => disk(Current::Nothing),
            1 => disk(Current::Lost(loss("torn"))),
            2 => {
                let dates = (self.now.wall - LIFE, self.now.wall - SignedDuration::from_secs(1));
                disk(Current::Lost(Loss { about_time: Some(dates), ..loss("over") }))
            }
            3 => disk(Current::Intact(Identity { made_on: MadeOn::AnotherHost, ..self.make(paid_by) })),
            _ => disk(Current::Intact(self.make(paid_by))),
        };
        self.copied = false;
        match &loaded.current {
            Current::Intact(identity) if identity.made_on == MadeOn::ThisHost => {
                self.stands = Some(identity.generation);
            }
            Current::Intact(_) => (self.stands, self.copied) = (None, true),
            // What only the dates speak against may still stand.
            Current::Lost(Loss { about_time: Some(_), .. }) => {}
            Current::Lost(_) | Current::Nothing => self.stands = None,
        }
        if self.dice(5) == 0 && !self.copied {
            loaded.committed = Some(self.make(paid_by));
        }
        loaded.ready_since = self.ready.then_some(self.now.wall);
        Input::Loaded(Box::new(loaded))
    }
}

/// What a machine remembers does not grow with what it has lived through.
#[test]
fn a_long_life_leaves_nothing_behind() {
    let mut watch = Watch::new(2026);
    watch.step(Input::Started(None));
    for _ in 0..20_000 {
        let choice = u8::try_from(watch.dice(256)).unwrap();
        // Who is retired lives no more.
        watch.any(if (210..212).contains(&choice) { 0 } else { choice });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens(seed: u64, life in proptest::collection::vec((any::<u8>(), any::<u64>()), 200)) {
        let mut watch = Watch::new(seed);
        watch.step(Input::Started(None));
        for (choice, seed) in life {
            watch.random = Random(seed);
            watch.any(choice);
        }
        watch.stopped = true;
        watch.step(Input::Stop);
        watch.step(Input::FilesChanged);
        prop_assert_eq!(watch.machine.next_deadline(watch.now), None);
    }
}
