//! The Console of the model: its tables as plain values, and the real rules over them.
//!
//! One method is one transaction. What it decides comes from `domain::enroll::decide` and `domain::credential`; what it then
//! writes follows `service/enroll/carry_out/mod.rs`, `service/session.rs` and `db/certificates.rs`, named at each method.
//! `conformance.rs` plays the same calls to this and to the Console's real service.

use std::sync::OnceLock;

use telovix_console_stub::domain::approval::{Mode, Reservation};
use telovix_console_stub::domain::credential::{self, Credential, Purpose, Succession};
use telovix_console_stub::domain::enroll::{
    Attempt, Decision, Earlier, Known, NodeCount, RecordPlan, SecondRecord, decide,
};
use telovix_console_stub::domain::licence::{Slots, Term};
use telovix_console_stub::domain::sensor::Standing;
use telovix_console_stub::domain::token::{TokenId, TokenRecord};
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::{ErrorCode, SensorId};

use super::flaw::Flaw;
use super::records::{facts, own};

/// A key pair, by the host that drew it and its number there.
pub(crate) type Key = (u8, u8);
/// Position in [`Console::tokens`].
pub(crate) type Token = u8;
/// Position in [`Console::sensors`].
pub(crate) type Sensor = u8;
/// Position in [`Console::certificates`].
pub(crate) type Certificate = u8;

/// Seconds that a one-time token lives (docs/contract.md section 1).
pub(crate) const TOKEN_LIFE: i64 = 900;
/// Seconds that a certificate lives (docs/contract.md section 3).
pub(crate) const CERTIFICATE_LIFE: i64 = 720 * 3600;

/// What it has in its database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Console {
    pub(crate) tokens: Vec<TokenRow>,
    pub(crate) enrollments: Vec<EnrollmentRow>,
    pub(crate) sensors: Vec<SensorRow>,
    pub(crate) certificates: Vec<CertificateRow>,
    /// Sensors that the licence allows.
    pub(crate) licence: u8,
}

/// Table `enrollment_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenRow {
    pub(crate) bound_to: Option<Sensor>,
    pub(crate) expires_at: i64,
    pub(crate) used: bool,
}

/// Table `enrollments`: which key a token was used for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EnrollmentRow {
    pub(crate) token: Token,
    pub(crate) key: Key,
    pub(crate) sensor: Sensor,
    pub(crate) certificate: Certificate,
    pub(crate) used_at: i64,
}

/// Table `sensors`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SensorRow {
    /// The token that made it.
    pub(crate) made_by: Token,
    pub(crate) generation: i64,
}

/// Table `certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CertificateRow {
    pub(crate) sensor: Sensor,
    pub(crate) key: Key,
    pub(crate) generation: i64,
    pub(crate) issued_at: i64,
    pub(crate) credential: Credential,
}

/// An enrollment request, as far as rules hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Application {
    pub(crate) token: Token,
    pub(crate) key: Key,
    pub(crate) replaces: Option<Sensor>,
}

/// An answer of the Console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// A certificate, as the answer to an enrollment or a renewal.
    Issued(Certificate, Again),
    /// To a heartbeat: whose certificate it is.
    Believed(Sensor),
    /// A refusal, by its place in [`ErrorCode::ALL`].
    Refused(u8),
}

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Again {
    First,
    Repeated,
}

impl Reply {
    pub(crate) fn refused(code: ErrorCode) -> Self {
        let place = ErrorCode::ALL.iter().position(|known| *known == code).expect("ALL holds every code");
        Self::Refused(u8::try_from(place).expect("there are few codes"))
    }
}

/// The code of a refusal.
pub(crate) fn code(place: u8) -> ErrorCode {
    ErrorCode::ALL[usize::from(place)]
}

/// A sensor's id on the wire.
pub(crate) fn sensor_id(sensor: Sensor) -> SensorId {
    static IDS: OnceLock<Vec<SensorId>> = OnceLock::new();
    let id = |n: usize| format!("00000000-0000-4000-8000-{n:012x}").parse().expect("a UUID");
    IDS.get_or_init(|| (0..=usize::from(u8::MAX)).map(id).collect())[usize::from(sensor)]
}

fn token_id() -> TokenId {
    static ID: OnceLock<TokenId> = OnceLock::new();
    *ID.get_or_init(|| "00000000-0000-4000-9000-000000000000".parse().expect("a UUID"))
}

/// A key as the rules see it.
fn spki((host, number): Key) -> [u8; 32] {
    let mut bytes = [0; 32];
    (bytes[0], bytes[1]) = (host, number);
    bytes
}

impl Console {
    pub(crate) fn new(licence: u8) -> Self {
        let (tokens, enrollments) = (Vec::new(), Vec::new());
        Self { tokens, enrollments, sensors: Vec::new(), certificates: Vec::new(), licence }
    }

    /// `service/tokens.rs`: an operator makes a one-time token.
    pub(crate) fn make_token(&mut self, bound_to: Option<Sensor>, now: i64) -> Token {
        self.tokens.push(TokenRow { bound_to, expires_at: now + TOKEN_LIFE, used: false });
        number(self.tokens.len() - 1)
    }

    /// `service/enroll/mod.rs`, `Application::settle`: facts gathered, `decide` asked, its decision carried out.
    pub(crate) fn enroll(&mut self, now: i64, ask: Application, flaw: Flaw) -> Reply {
        let known = self.gather(&ask, flaw);
        let attempt = Attempt {
            now,
            facts: facts(ask.replaces),
            second_record: if ask.replaces.is_some() {
                SecondRecord::Unwanted
            } else {
                SecondRecord::Welcome
            },
        };
        match decide(&attempt, &known) {
            Decision::Refuse(refusal) => {
                if flaw == Flaw::RefusalSpends {
                    self.tokens[usize::from(ask.token)].used = true;
                }
                Reply::refused(refusal.code)
            }
            // `carry_out/mod.rs`, `repeat`: from what is stored, signing nothing.
            Decision::Repeat(..) => {
                let earlier = self.enrollment(&ask).expect("only what was answered is repeated");
                Reply::Issued(earlier.certificate, Again::Repeated)
            }
            Decision::Wait(_) | Decision::InUse(_) => unreachable!("no operator has a say in this model"),
            Decision::Enroll(plan) => {
                let sensor = match plan.record {
                    RecordPlan::New | RecordPlan::InsteadOf(_) => {
                        self.sensors.push(SensorRow { made_by: ask.token, generation: 0 });
                        number(self.sensors.len() - 1)
                    }
                    RecordPlan::Update(..) => self.bound_to(ask.token).expect("the plan names its record"),
                };
                self.supersede(sensor, now, flaw);
                let certificate = self.issue(sensor, ask.key, now);
                self.tokens[usize::from(ask.token)].used = true;
                let Application { token, key, .. } = ask;
                self.enrollments.push(EnrollmentRow { token, key, sensor, certificate, used_at: now });
                Reply::Issued(certificate, Again::First)
            }
        }
    }

    /// `service/session.rs`, `heartbeat`.
    pub(crate) fn heartbeat(&mut self, now: i64, presented: Certificate) -> Reply {
        match self.believe_and_see(now, presented) {
            Ok(()) => Reply::Believed(self.row(presented).sensor),
            Err(code) => Reply::refused(code),
        }
    }

    /// `service/session.rs`, `renew`.
    pub(crate) fn renew(&mut self, now: i64, presented: Certificate, key: Key, flaw: Flaw) -> Reply {
        // A refusal undoes the transaction, and with it that the certificate was seen.
        let mut after = self.clone();
        match after.try_renew(now, presented, key, flaw) {
            Ok(reply) => {
                *self = after;
                reply
            }
            Err(code) => Reply::refused(code),
        }
    }

    fn try_renew(
        &mut self,
        now: i64,
        presented: Certificate,
        key: Key,
        flaw: Flaw,
    ) -> Result<Reply, ErrorCode> {
        let row = self.row(presented).clone();
        self.believe_and_see(now, presented)?;
        let newest = self.newest(row.sensor).map(|newest| &newest.credential);
        let succession = credential::succession(&row.credential, newest, &spki(key)).map_err(|r| r.code)?;
        Ok(match succession {
            Succession::Same => {
                Reply::Issued(self.newest_of(row.sensor).expect("it was looked at"), Again::Repeated)
            }
            Succession::New => {
                self.supersede(row.sensor, now, flaw);
                Reply::Issued(self.issue(row.sensor, key, now), Again::First)
            }
        })
    }

    /// Whether a certificate would be believed now.
    pub(crate) fn believes(&self, now: i64, presented: Certificate) -> bool {
        credential::judge(&self.row(presented).credential, Standing::Active, Purpose::Call, now).is_ok()
    }

    pub(crate) fn row(&self, certificate: Certificate) -> &CertificateRow {
        &self.certificates[usize::from(certificate)]
    }

    pub(crate) fn bound_to(&self, token: Token) -> Option<Sensor> {
        self.tokens[usize::from(token)].bound_to
    }

    /// `certificates::newest`.
    pub(crate) fn newest_of(&self, sensor: Sensor) -> Option<Certificate> {
        let own = self.certificates.iter().enumerate().filter(|(_, row)| row.sensor == sensor);
        own.max_by_key(|(_, row)| row.generation).map(|(at, _)| number(at))
    }

    fn newest(&self, sensor: Sensor) -> Option<&CertificateRow> {
        self.newest_of(sensor).map(|at| self.row(at))
    }

    /// `tokens::enrollment`.
    fn enrollment(&self, ask: &Application) -> Option<&EnrollmentRow> {
        self.enrollments.iter().find(|row| row.token == ask.token && row.key == ask.key)
    }

    /// `Application::gather`.
    fn gather(&self, ask: &Application, flaw: Flaw) -> Known {
        let row = &self.tokens[usize::from(ask.token)];
        let by_key = self.enrollment(ask);
        let lenient = || self.enrollments.iter().find(|row| row.token == ask.token);
        let mut status = if row.used { TokenStatus::Used } else { TokenStatus::Pending };
        if flaw == Flaw::AnyKeyRepeats && by_key.is_none() && lenient().is_some() {
            status = TokenStatus::Pending;
        }
        let earlier = by_key.filter(|_| flaw != Flaw::NoRepeat);
        Known {
            token: Some(TokenRecord {
                id: token_id(),
                kind: TokenType::Once,
                status,
                label: None,
                cluster_id: None,
                sensor_id: row.bound_to.map(sensor_id),
                replace_host: false,
                max_nodes: None,
                node_count: 0,
                use_count: i64::from(row.used),
                created_at: row.expires_at - TOKEN_LIFE,
                expires_at: row.expires_at,
                used_at: None,
                reserved_at: None,
            }),
            earlier: earlier.map(|row| Earlier {
                sensor: sensor_id(row.sensor),
                standing: Standing::Active,
                used_at: row.used_at,
            }),
            own: row.bound_to.map(own),
            // A certificate that is shown with an enrollment is no part of this model.
            proved: None,
            // No record is ever revoked or deleted here, so that what a host names stands.
            held: ask.replaces.map(own),
            node: NodeCount::New,
            slots: Slots {
                limit: i64::from(self.licence),
                taken: i64::try_from(self.sensors.len()).expect("few"),
                term: Term::Valid,
            },
            mode: Mode::Nobody,
            rules: Vec::new(),
            reservation: Reservation::Free,
        }
    }

    /// `believe_and_wake`, and `certificates::first_seen`.
    fn believe_and_see(&mut self, now: i64, presented: Certificate) -> Result<(), ErrorCode> {
        let row = self.row(presented).clone();
        credential::judge(&row.credential, Standing::Active, Purpose::Call, now).map_err(|r| r.code)?;
        if row.credential.first_seen_at.is_none() {
            self.certificates[usize::from(presented)].credential.first_seen_at = Some(now);
            for other in self.certificates.iter_mut().filter(|other| other.sensor == row.sensor) {
                if other.generation < row.generation {
                    other.credential.ended_at.get_or_insert(now);
                }
            }
        }
        Ok(())
    }

    /// `certificates::supersede`.
    fn supersede(&mut self, sensor: Sensor, now: i64, flaw: Flaw) {
        let works = |row: &&CertificateRow| row.sensor == sensor && row.credential.ended_at.is_none();
        let oldest = self.certificates.iter().find(works).map(|row| row.generation);
        for row in self.certificates.iter_mut().filter(|row| row.sensor == sensor) {
            let unseen = row.credential.first_seen_at.is_none() && Some(row.generation) > oldest;
            if unseen || flaw == Flaw::OldDiesAtOnce {
                row.credential.ended_at.get_or_insert(now);
            }
        }
    }

    /// `carry_out/mod.rs`, `issue`.
    fn issue(&mut self, sensor: Sensor, key: Key, now: i64) -> Certificate {
        let row = &mut self.sensors[usize::from(sensor)];
        row.generation += 1;
        let credential = Credential {
            spki: spki(key),
            not_after: now + CERTIFICATE_LIFE,
            first_seen_at: None,
            ended_at: None,
        };
        let generation = row.generation;
        self.certificates.push(CertificateRow { sensor, key, generation, issued_at: now, credential });
        number(self.certificates.len() - 1)
    }
}

fn number(position: usize) -> u8 {
    u8::try_from(position).expect("a model is small")
}
