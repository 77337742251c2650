//! A Console in memory that keeps the contract: once and cluster tokens, the repeat rule, approval, overlap, supersession.

use std::collections::HashMap;

use super::sim::{Ask, Certificate};
use super::*;

/// How long a used token answers a repeat (CONTRACT.md section 3).
const REPEAT: SignedDuration = SignedDuration::from_hours(24);
/// How long a superseded certificate works where its successor was not seen.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

pub(super) struct Console {
    pub(super) life: SignedDuration,
    tokens: HashMap<[u8; 32], Token>,
    sensors: Vec<Sensor>,
    by_serial: HashMap<u64, usize>,
    last_serial: u64,
    pub(super) counts: Counts,
}

/// What the test asks about afterwards.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) enrolled: u32,
    pub(super) renewed: u32,
    pub(super) repeated: u32,
    pub(super) heartbeats: u32,
    /// A token for one use, presented with another key than the one that it was spent or reserved for.
    pub(super) spent_twice: u32,
    pub(super) not_trusted: u32,
}

struct Token {
    kind: TokenType,
    node: usize,
    /// The key that reserved or used it.
    key: Option<u64>,
    used: Option<(Timestamp, Certificate)>,
    /// Until when an operator has not approved.
    approved: Timestamp,
}

#[derive(Debug)]
pub(super) struct Sensor {
    pub(super) node: usize,
    key: u64,
    newest: Certificate,
    seen: bool,
    previous: Option<(u64, Timestamp)>,
}

impl Console {
    pub(super) fn new(life: SignedDuration) -> Self {
        Self {
            life,
            tokens: HashMap::new(),
            sensors: Vec::new(),
            by_serial: HashMap::new(),
            last_serial: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn add_token(&mut self, token: TokenFacts, kind: TokenType, node: usize, approved: Timestamp) {
        let token_state = Token { kind, node, key: None, used: None, approved };
        self.tokens.insert(*token.hash().as_bytes(), token_state);
    }

    pub(super) fn sensors_of(&self, node: usize) -> usize {
        self.sensors.iter().filter(|sensor| sensor.node == node).count()
    }

    /// Whether a call with this certificate would be accepted.
    pub(super) fn trusts(&self, at: Timestamp, serial: u64) -> bool {
        let Some(sensor) = self.by_serial.get(&serial).map(|index| &self.sensors[*index]) else {
            return false;
        };
        let known = sensor.newest.serial == serial
            || sensor.previous.is_some_and(|(previous, until)| previous == serial && at < until);
        known && at < sensor.newest.until
    }

    /// What is done and answered when the request arrives whole.
    pub(super) fn handle(&mut self, at: Timestamp, node: usize, ask: &Ask<'_>) -> Result<Good, ErrorCode> {
        match ask.call {
            Call::Enroll { .. } => self.enroll(at, node, ask),
            Call::Renew => {
                let index = self.recognise(at, ask)?;
                let sensor = &self.sensors[index];
                if sensor.key == ask.key {
                    self.counts.repeated += 1;
                    return Ok(Good::Issued(sensor.newest.clone()));
                }
                self.counts.renewed += 1;
                Ok(Good::Issued(self.issue(at, index, ask.key)))
            }
            Call::Heartbeat | Call::Prove { .. } => {
                let index = self.recognise(at, ask)?;
                self.counts.heartbeats += 1;
                let sensor = &mut self.sensors[index];
                if ask.serial == Some(sensor.newest.serial) {
                    sensor.seen = true;
                    sensor.previous = None;
                }
                Ok(Good::Accepted)
            }
            Call::ProbeClock => Ok(Good::Date),
            Call::Decommission => panic!("nobody asked for that"),
        }
    }

    fn enroll(&mut self, at: Timestamp, node: usize, ask: &Ask<'_>) -> Result<Good, ErrorCode> {
        let hash = *ask.token.expect("an enrollment has a token").hash().as_bytes();
        let token = self.tokens.get_mut(&hash).ok_or(ErrorCode::InvalidEnrollmentToken)?;
        if token.kind == TokenType::Once {
            assert_eq!(token.node, node, "every host has its own");
            if token.key.is_some_and(|key| key != ask.key) {
                self.counts.spent_twice += 1;
                return Err(ErrorCode::EnrollmentTokenUsed);
            }
            token.key = Some(ask.key);
            if let Some((used, certificate)) = &token.used {
                self.counts.repeated += 1;
                let repeats = at.duration_since(*used) < REPEAT;
                return repeats
                    .then(|| Good::Issued(certificate.clone()))
                    .ok_or(ErrorCode::EnrollmentTokenUsed);
            }
        }
        if at < token.approved {
            return Ok(Good::Waiting);
        }
        let kind = token.kind;
        let known = self.sensors.iter().position(|sensor| sensor.node == node);
        let index = match (kind, known) {
            (TokenType::Cluster, Some(index)) if self.sensors[index].key == ask.key => {
                self.counts.repeated += 1;
                return Ok(Good::Issued(self.sensors[index].newest.clone()));
            }
            (TokenType::Cluster, Some(index)) => index,
            (TokenType::Cluster, None) | (TokenType::Once, _) => self.make_sensor(at, node, kind),
        };
        self.counts.enrolled += 1;
        let certificate = self.issue(at, index, ask.key);
        if let Some(token) = self.tokens.get_mut(&hash)
            && kind == TokenType::Once
        {
            token.used = Some((at, certificate.clone()));
        }
        Ok(Good::Issued(certificate))
    }

    fn make_sensor(&mut self, at: Timestamp, node: usize, token_type: TokenType) -> usize {
        let number = u32::try_from(self.sensors.len()).unwrap() + 1;
        let newest = Certificate { sensor: number, serial: 0, from: at, until: at, token_type };
        self.sensors.push(Sensor { node, key: 0, newest, seen: true, previous: None });
        self.sensors.len() - 1
    }

    fn issue(&mut self, at: Timestamp, index: usize, key: u64) -> Certificate {
        self.last_serial += 1;
        let sensor = &mut self.sensors[index];
        // One that was never seen makes room for the next; the one before it keeps its time.
        let old = sensor.newest.serial;
        if sensor.seen && old != 0 {
            sensor.previous = Some((old, at + OVERLAP));
        }
        let from = at - crate::clock::TOLERATED_SKEW;
        sensor.newest =
            Certificate { serial: self.last_serial, from, until: from + self.life, ..sensor.newest };
        sensor.key = key;
        sensor.seen = false;
        self.by_serial.insert(self.last_serial, index);
        sensor.newest.clone()
    }

    fn recognise(&mut self, at: Timestamp, ask: &Ask<'_>) -> Result<usize, ErrorCode> {
        let serial = ask.serial.expect("mutual TLS");
        if self.trusts(at, serial) {
            return Ok(self.by_serial[&serial]);
        }
        self.counts.not_trusted += 1;
        Err(ErrorCode::InvalidSensorTrust)
    }
}

/// An answer that is not a refusal.
pub(super) enum Good {
    Issued(Certificate),
    Waiting,
    Accepted,
    Date,
}
