//! What the machine is told, in its own words: `agent/src/driver/summary.rs`, `found.rs` and `replies.rs`.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use telovix_agent::clock::TOLERATED_SKEW;
use telovix_agent::machine::{
    Accepted, Answer, Code, Current, Failure, Fault, Identity, Input, Loaded, MadeOn, Now, Outcome,
    TokenFacts, Urgency,
};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{EnrollmentToken, SensorId};

use super::console::{CERTIFICATE_LIFE, Sensor, Token, code, sensor_id};
use super::disk::Generation;
use super::host::{Heard, Host};

/// Unix seconds at which every history begins.
pub(crate) const BEGIN: i64 = 1_800_000_000;

/// The host's clocks. No jitter: time moves in steps that are longer than any wait that jitter makes.
pub(crate) fn now(at: i64) -> Now {
    let since = u64::try_from(at - BEGIN).expect("time goes on");
    Now { wall: moment(at), mono: Duration::from_secs(1000 + since), random: 0 }
}

fn moment(at: i64) -> Timestamp {
    Timestamp::from_second(at).expect("this century")
}

fn facts(token: Token) -> TokenFacts {
    static FACTS: OnceLock<Vec<TokenFacts>> = OnceLock::new();
    let of = |number: u8| TokenFacts::of(&EnrollmentToken::from_bytes(&[number; 32]));
    FACTS.get_or_init(|| (0..=u8::MAX).map(of).collect())[usize::from(token)]
}

/// The sensor that the machine means.
pub(crate) fn sensor_of(id: SensorId) -> Sensor {
    (0..=Sensor::MAX).find(|sensor| sensor_id(*sensor) == id).expect("the Console of the model made it")
}

impl Host {
    /// The input, and what the driver remembers of it.
    pub(crate) fn input(&mut self, at: i64, heard: Heard) -> Input {
        match heard {
            Heard::Started => Input::Started(self.token.map(facts)),
            Heard::Token => Input::Token(self.token.map(facts)),
            Heard::Tick => Input::Tick,
            Heard::FilesChanged => Input::FilesChanged,
            Heard::Renew => Input::Renew(Urgency::Now),
            Heard::Published => Input::Published,
            Heard::PublishFailed => Input::PublishFailed(fault(Code::StateDamaged)),
            Heard::Loaded => Input::Loaded(Box::new(self.loaded(at))),
            Heard::Enrolled(number) => self.answer(at, Outcome::Enrolled(self.identity(self.held(number)))),
            Heard::Renewed(number) => self.answer(at, Outcome::Renewed(self.identity(self.held(number)))),
            Heard::Believed => self.answer(at, Outcome::Accepted(accepted())),
            Heard::ClockRead => self.answer(at, Outcome::ClockRead),
            Heard::Refused(place) => self.answer(at, failed(Code::Console(code(place)))),
            Heard::BadAnswer => self.answer(at, failed(Code::BadAnswer)),
            Heard::Unreached => {
                let outcome = failed(Code::ConsoleUnreachable);
                Input::Answered(Box::new(Answer { server_date: None, outcome }))
            }
        }
    }

    fn answer(&self, at: i64, outcome: Outcome) -> Input {
        Input::Answered(Box::new(Answer { server_date: Some(moment(at)), outcome }))
    }

    fn held(&self, number: u8) -> &Generation {
        self.disk.generation(number).expect("it was written")
    }

    /// `driver::found::read`.
    fn loaded(&mut self, at: i64) -> Loaded {
        let current = self.disk.current();
        let committed = self.disk.committed_before();
        let renews = self.disk.renewal.map(|renewal| renewal.of);
        let is_renewing = renews.is_some() && renews == current.map(|found| found.number);
        let loaded = Loaded {
            current: current.map_or(Current::Nothing, |found| Current::Intact(self.identity(found))),
            committed: committed.map(|found| self.identity(found)),
            others: self.others().map(|found| self.identity(found)).collect(),
            ready_since: self.disk.ready.then(|| moment(at)),
            told: true,
            enrollment_begun: false,
            heard: telovix_agent::machine::Heard::default(),
            renewal_begun: committed.is_none() && is_renewing,
            notes: Vec::new(),
        };
        let number = current.map(|found| found.number);
        if let Some(process) = &mut self.process {
            process.current = number;
        }
        loaded
    }

    fn others(&self) -> impl Iterator<Item = &Generation> {
        self.disk.generations.iter().rev().filter(|kept| Some(kept.number) != self.disk.current)
    }

    /// `summary::identity`.
    fn identity(&self, of: &Generation) -> Identity {
        let not_before = moment(of.issued_at).saturating_sub(TOLERATED_SKEW).expect("it is in range");
        Identity {
            generation: of.number.into(),
            sensor_id: sensor_id(of.sensor),
            serial: vec![of.sensor, of.certificate],
            not_before,
            not_after: moment(of.issued_at + CERTIFICATE_LIFE),
            token_sha256: facts(of.token).hash(),
            token_type: Some(TokenType::Once),
            trust_state: TrustState::Trusted,
            made_on: if of.made_on == self.machine_id { MadeOn::ThisHost } else { MadeOn::AnotherHost },
            changed: None,
        }
    }
}

fn accepted() -> Accepted {
    Accepted { interval: Duration::from_secs(15), trust_state: TrustState::Trusted, renew_between: None }
}

fn failed(code: Code) -> Outcome {
    Outcome::Failed(Failure { fault: fault(code), retry_after: None })
}

fn fault(code: Code) -> Fault {
    Fault::new(code, code.as_str())
}
