//! Enrollment: facts gathered, decision asked for and carried out, all in one transaction (docs/contract.md section 3).
//!
//! Invariant: the token is spent, the sensor recorded, the certificate issued and stored, and the audit record written
//! together or not at all; a refusal leaves its audit record and nothing else.

mod carry_out;
mod gather;
mod waiting;

use std::sync::Arc;

use telovix_contract::enroll::{DEFAULT_HEARTBEAT_SECONDS, EnrollRequest, Enrolled, EnrollmentWaiting};
use telovix_contract::{ErrorCode, SensorId, TokenHash};

pub(super) use carry_out::sign;

use super::console::require_setup;
use super::noted::Noted;
use super::shown::Shown;
use super::{Console, ServiceError};
use crate::ca::Authority;
use crate::ca::csr::{self, CheckedCsr};
use crate::db::{DbError, Tx, audit, sensors, settings, tokens};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, AuditOutcome, Detail, Origin};
use crate::domain::enroll::{Attempt, Decision, SecondRecord, decide};
use crate::domain::sensor::Standing;
use crate::domain::setting::Setting;
use crate::domain::token::TokenId;
use crate::fault::{ENROLL_AFTER_COMMIT, ENROLL_BEFORE_COMMIT, Faults};

/// The answer to an enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrollAnswer {
    /// 201.
    Enrolled(Box<Enrolled>),
    /// 202.
    Waiting(EnrollmentWaiting),
}

/// Everything that the transaction needs, checked as far as it can be without the database.
struct Application {
    token_hash: TokenHash,
    request: EnrollRequest,
    csr: CheckedCsr,
    origin: Origin,
    now: i64,
    authority: Arc<Authority>,
    faults: Faults,
    /// The client certificate that the call showed.
    shown: Option<Shown>,
    noted: Noted,
}

impl Console {
    /// Enrolls a host; `shown` is the client certificate that its call showed, in DER. `token_hash` is that of the token in the
    /// request; a malformed token has the hash of its text, which no token of ours has, so that it is looked up and refused
    /// like an unknown one.
    /// Errors: the refusals of docs/contract.md section 6; [`ServiceError::Db`] and [`ServiceError::Ca`] when the Console fails.
    pub async fn enroll(
        &self,
        token_hash: TokenHash,
        request: EnrollRequest,
        shown: Option<&[u8]>,
        origin: Origin,
    ) -> Result<EnrollAnswer, ServiceError> {
        let authority = self.authority()?;
        let csr = match csr::check(&request.csr_pem, &request.node_name) {
            Ok(csr) => csr,
            Err(error) => {
                let message = format!("The certificate request is not taken: {error}; make a new one.");
                let refusal = Refusal::new(ErrorCode::InvalidCsr, message);
                return Err(self.refuse_enrollment(refusal, Some((token_hash, request)), origin).await);
            }
        };
        let (now, faults) = (self.now(), self.faults().clone());
        let shown = shown.map(|der| Shown::new(der, Arc::clone(&authority), &origin));
        let noted = self.noted().clone();
        let application =
            Application { token_hash, request, csr, origin, now, authority, faults, shown, noted };
        let answer = self.db().write(move |tx| application.settle(tx)).await?;
        self.faults().pass(ENROLL_AFTER_COMMIT)?;
        match &answer {
            Ok(EnrollAnswer::Enrolled(enrolled)) => {
                tracing::info!(sensor_id = %enrolled.sensor_id, trust_state = %enrolled.trust_state, "sensor enrolled");
            }
            Ok(EnrollAnswer::Waiting(_)) => tracing::info!("an enrollment waits for approval"),
            Err(refusal) => tracing::info!(code = %refusal.code, "enrollment refused"),
        }
        answer.map_err(ServiceError::from)
    }

    /// Writes a refusal into the audit trail, with as much of the request as was read, and gives it back to be answered.
    pub(crate) async fn refuse_enrollment(
        &self,
        refusal: Refusal,
        asked: Option<(TokenHash, EnrollRequest)>,
        origin: Origin,
    ) -> ServiceError {
        let (now, told) = (self.now(), refusal.clone());
        let written = self.db().write::<_, ServiceError, _>(move |tx| {
            let (hash, request) = asked.unzip();
            let token = hash.map(|hash| tokens::by_hash(tx, &hash)).transpose()?.flatten();
            let entry = refusal_entry(&told, token.map(|token| token.id), request.as_ref());
            audit::append(tx, &entry, &origin, now)?;
            Ok(())
        });
        tracing::info!(code = %refusal.code, "enrollment refused");
        written.await.err().unwrap_or_else(|| refusal.into())
    }
}

impl Application {
    /// Runs in the transaction. A refusal is a result like another here: its audit record has to be committed.
    fn settle(self, tx: &mut dyn Tx) -> Result<Result<EnrollAnswer, Refusal>, ServiceError> {
        require_setup(tx)?;
        let gathered = self.gather(tx)?;
        let attempt = Attempt {
            now: self.now,
            facts: self.facts(),
            second_record: match self.request.new_sensor {
                Some(false) => SecondRecord::Unwanted,
                Some(true) | None => SecondRecord::Welcome,
            },
        };
        let known = &gathered.known;
        let answer = match decide(&attempt, known) {
            Decision::Refuse(refusal) => Err(refusal),
            Decision::Repeat(sensor_id, slot) => self.repeat(tx, known, sensor_id, slot)?,
            Decision::Wait(ask) => self.wait(tx, known, &ask)?,
            Decision::InUse(ask) => Err(self.conflict(tx, known, &ask)?),
            Decision::Enroll(plan) => self.carry_out(tx, &gathered, plan)?,
        };
        if let Err(refusal) = &answer {
            let token = known.token.as_ref();
            let entry = refusal_entry(refusal, token.map(|token| token.id), Some(&self.request));
            audit::append(tx, &entry, &self.origin, self.now)?;
        }
        self.faults.pass(ENROLL_BEFORE_COMMIT)?;
        Ok(answer)
    }
}

/// Brings a retired sensor back; the slot has been taken.
pub(super) fn recommission(
    tx: &mut dyn Tx,
    id: SensorId,
    origin: &Origin,
    now: i64,
) -> Result<(), ServiceError> {
    sensors::set_standing(tx, id, Standing::Active, now)?;
    let entry = AuditEntry::success(Action::SensorRecommissioned, Some(id), Detail::new());
    Ok(audit::append(tx, &entry, origin, now)?)
}

/// Seconds between heartbeats.
pub(super) fn heartbeat_seconds(tx: &mut dyn Tx) -> Result<u32, DbError> {
    let set = settings::number(tx, Setting::HeartbeatSeconds)?;
    Ok(u32::try_from(set).unwrap_or(DEFAULT_HEARTBEAT_SECONDS))
}

fn refusal_entry(refusal: &Refusal, token: Option<TokenId>, request: Option<&EnrollRequest>) -> AuditEntry {
    let detail = Detail::new()
        .with("reason", refusal.code)
        .maybe("token_id", token)
        .maybe("node_name", request.map(|request| &request.node_name))
        .maybe("cluster_name", request.and_then(|request| request.cluster_name.as_ref()));
    let sensor_id = request.and_then(|request| request.sensor_id);
    AuditEntry { action: Action::EnrollmentRefused, outcome: AuditOutcome::Failure, sensor_id, detail }
}
