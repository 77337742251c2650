//! What random answers the reference model and the machine are given.

use super::model::{Pair, number_of};
use super::model_inputs::{Meaning, meaning};
use super::model_rules::{Gate, Next, Step, Way};
use super::*;

impl Pair {
    pub(super) fn failure(&mut self, step: Step) -> (Outcome, usize) {
        let codes = ErrorCode::ALL;
        let code = codes[usize::try_from(self.dice(codes.len() as u64)).unwrap()];
        let mut failure = match self.dice(8) {
            0 => failure(Code::NoSuchPath),
            1 => failure(Code::NotAConsole),
            2 | 3 => unreachable(),
            _ => refusal(code),
        };
        failure.retry_after = (self.dice(4) == 0).then(|| Duration::from_secs(self.random.below(500)));
        let thrown = step == Step::Prove && matches!(meaning(&failure), Meaning::Unknown | Meaning::Revoked);
        self.saw(format!("{step:?} {:?}", meaning(&failure)));
        self.rules.failed(self.now, step, &failure, self.changed);
        (Outcome::Failed(failure), usize::from(thrown))
    }

    pub(super) fn success(&mut self, step: Step) -> Outcome {
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
                (id.renew, id.forced, id.begun, id.renew_way) = (Gate::open(), false, false, Way::Open);
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
                if step == Step::Prove {
                    self.rules.next.as_mut().unwrap().proven = Some(Some(answer));
                } else {
                    self.rules.id.as_mut().unwrap().accepted(now, &answer);
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

    pub(super) fn answer_load(&mut self) {
        if self.dice(12) == 0 {
            self.rules.busy = None;
            self.rules.look = true;
            let now = self.now;
            self.rules.load.backs_off(now, None);
            return self.step(Input::LoadFailed(fault(Code::StateIoError)), 0);
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
        let renewal_begun = self.dice(8) == 0;
        let loaded = Loaded { current, committed, renewal_begun, ready_since, told: true, notes: Vec::new() };
        let now = self.now;
        self.rules.loaded(now, &loaded, number_of);
        self.step(Input::Loaded(Box::new(loaded)), 0);
    }
}
