//! Enrollment: facts gathered, decision asked for and carried out, all in one transaction (CONTRACT.md section 3).
//!
//! Invariant: the token is spent, the sensor recorded, the certificate issued and stored, and the audit record written
//! together or not at all; a refusal leaves its audit record and nothing else.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use telovix_contract::enroll::{DEFAULT_HEARTBEAT_SECONDS, EnrollRequest, Enrolled, EnrollmentWaiting};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{ErrorCode, SensorId, TokenHash};

use super::{Console, ServiceError, licence, require_setup};
use crate::ca::Authority;
use crate::ca::csr::{self, CheckedCsr};
use crate::db::certificates::{self, CertificateRecord};
use crate::db::tokens::{self, Enrollment};
use crate::db::{DbError, Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::approval::Approval;
use crate::domain::audit::{Action, AuditEntry, AuditOutcome, Detail, Origin, clean};
use crate::domain::enroll::{
    Attempt, Decision, Earlier, Known, NodeCount, Own, Plan, RecordPlan, SecondRecord, SlotPlan, TokenPlan,
    decide, licence_full, node_key,
};
use crate::domain::sensor::{SensorRecord, Standing};
use crate::domain::token::{TokenId, TokenRecord};
use crate::fault::{ENROLL_AFTER_COMMIT, ENROLL_BEFORE_COMMIT, Faults};

/// Seconds that a superseded certificate keeps working unless its successor is seen first (CONTRACT.md section 3).
pub(super) const OVERLAP: i64 = 3600;
/// Hours that a client certificate lasts where the settings name no others (CONTRACT.md section 3).
const CERTIFICATE_HOURS: i64 = 720;
/// Seconds until a waiting host asks again.
const RETRY_AFTER: u32 = 30;
/// Longest version text kept.
const MAX_VERSION: usize = 128;

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
}

impl Console {
    /// Enrolls a host. `token_hash` is that of the token in the request; a malformed token has the hash of its text, which
    /// no token of ours has, so that it is looked up and refused like an unknown one.
    ///
    /// # Errors
    /// The refusals of CONTRACT.md section 6; [`ServiceError::Db`] and [`ServiceError::Ca`] when the Console fails.
    pub async fn enroll(
        &self,
        token_hash: TokenHash,
        request: EnrollRequest,
        origin: Origin,
    ) -> Result<EnrollAnswer, ServiceError> {
        let authority = self.authority()?;
        let csr = match csr::check(&request.csr_pem, &request.node_name) {
            Ok(csr) => csr,
            Err(error) => {
                let message = format!("The certificate request is not taken: {error}; make a new one.");
                let refusal = Refusal::new(ErrorCode::InvalidCsr, message);
                return Err(self.refuse_enrollment(refusal, Some(&request), origin).await);
            }
        };
        let (now, faults) = (self.now(), self.faults().clone());
        let application = Application { token_hash, request, csr, origin, now, authority, faults };
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

    /// Writes a refusal into the audit trail, and gives it back to be answered.
    pub async fn refuse_enrollment(
        &self,
        refusal: Refusal,
        request: Option<&EnrollRequest>,
        origin: Origin,
    ) -> ServiceError {
        let entry = refusal_entry(&refusal, None, request);
        let now = self.now();
        let written = self.db().write::<_, ServiceError, _>(move |tx| {
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
        let known = self.gather(tx)?;
        let attempt = Attempt {
            now: self.now,
            cluster_name: self.request.cluster_name.clone(),
            sensor_id: self.request.sensor_id,
            second_record: match self.request.new_sensor {
                Some(false) => SecondRecord::Unwanted,
                Some(true) | None => SecondRecord::Welcome,
            },
        };
        let answer = match decide(&attempt, &known) {
            Decision::Refuse(refusal) => Err(refusal),
            Decision::Repeat(sensor_id, slot) => self.repeat(tx, &known, sensor_id, slot)?,
            Decision::Wait => Ok(EnrollAnswer::Waiting(EnrollmentWaiting {
                trust_state: TrustState::BootstrapPending,
                retry_after_seconds: RETRY_AFTER,
            })),
            Decision::Enroll(plan) => self.carry_out(tx, &known, plan)?,
        };
        if let Err(refusal) = &answer {
            let token = known.token.as_ref();
            if refusal.code == ErrorCode::EnrollmentTokenExpired {
                tokens::expire(tx, self.now)?;
            }
            let entry = refusal_entry(refusal, token.map(|token| token.id), Some(&self.request));
            audit::append(tx, &entry, &self.origin, self.now)?;
        }
        self.faults.pass(ENROLL_BEFORE_COMMIT)?;
        Ok(answer)
    }

    fn gather(&self, tx: &mut dyn Tx) -> Result<Known, ServiceError> {
        let token = tokens::by_hash(tx, &self.token_hash)?;
        let mut known = Known {
            token: None,
            earlier: None,
            own: None,
            node: NodeCount::New,
            slots: licence::slots(tx)?,
            approval: Approval::NotNeeded,
        };
        let Some(token) = token else { return Ok(known) };
        if let Some(enrollment) = tokens::enrollment(tx, token.id, &self.csr.spki_sha256)? {
            let sensor = sensors::by_id(tx, enrollment.sensor_id)?;
            known.earlier =
                sensor.map(|sensor| Earlier { sensor: own(&sensor), used_at: enrollment.used_at });
        }
        let record = match (token.sensor_id, self.cluster_node(&token)) {
            (Some(bound), _) => sensors::by_id(tx, bound)?,
            (None, Some(key)) => {
                if tokens::has_node(tx, token.id, &key)? {
                    known.node = NodeCount::Counted;
                }
                sensors::by_node_key(tx, &key)?
            }
            (None, None) => None,
        };
        known.own = record.as_ref().map(own);
        known.token = Some(token);
        Ok(known)
    }

    /// The node key, where the token makes cluster nodes and the host names a cluster.
    fn cluster_node(&self, token: &TokenRecord) -> Option<String> {
        let cluster = self.request.cluster_name.as_ref()?;
        let key = || node_key(cluster, self.request.install_id.as_ref(), &self.request.node_name);
        (token.kind == TokenType::Cluster).then(key)
    }

    fn carry_out(
        &self,
        tx: &mut dyn Tx,
        known: &Known,
        plan: Plan,
    ) -> Result<Result<EnrollAnswer, Refusal>, ServiceError> {
        let Some(token) = &known.token else { return Ok(Err(crate::domain::enroll::unknown_token())) };
        if plan.slot == SlotPlan::Take && !settings::take_slot(tx, known.slots.limit)? {
            return Ok(Err(licence_full()));
        }
        let sensor = self.write_sensor(tx, token, plan.record)?;
        let made = issue(tx, &self.authority, &self.csr, &sensor, self.now)?;
        self.spend(tx, token, plan.token)?;
        let got = Enrollment { sensor_id: sensor.id, fingerprint: made.fingerprint, used_at: self.now };
        tokens::remember(tx, token.id, &self.csr.spki_sha256, &got)?;
        let detail = Detail::new()
            .with("node_name", &sensor.node_name)
            .with("token_id", token.id)
            .with("role", &sensor.role)
            .with("certificate_serial", &made.serial);
        let entry = AuditEntry::success(Action::SensorEnrolled, Some(sensor.id), detail);
        audit::append(tx, &entry, &self.origin, self.now)?;
        let mut answer = answer(tx, &self.authority, &sensor, &made, token.kind)?;
        answer.warnings = plan.warnings;
        Ok(Ok(EnrollAnswer::Enrolled(Box::new(answer))))
    }

    /// The token as the plan has it. The conditions in the statements hold whatever else runs on other engines; a token
    /// that turns out spent undoes the whole change.
    fn spend(&self, tx: &mut dyn Tx, token: &TokenRecord, plan: TokenPlan) -> Result<(), ServiceError> {
        let refused = |code, message| Err(Refusal::new(code, message).into());
        match plan {
            TokenPlan::UseUp => {
                if !tokens::use_up(tx, token.id, self.now)? {
                    return refused(
                        ErrorCode::EnrollmentTokenUsed,
                        "The token has just been used; make a new one.",
                    );
                }
            }
            TokenPlan::CountNode => {
                let key = self.cluster_node(token).unwrap_or_default();
                if !tokens::count_node(tx, token.id, &key)? {
                    return refused(
                        ErrorCode::MaxNodesExceeded,
                        "The token has just enrolled its last node; make a new one.",
                    );
                }
                tokens::count_use(tx, token.id, self.now)?;
            }
            TokenPlan::CountUse => tokens::count_use(tx, token.id, self.now)?,
        }
        Ok(())
    }

    fn write_sensor(
        &self,
        tx: &mut dyn Tx,
        token: &TokenRecord,
        plan: RecordPlan,
    ) -> Result<SensorRecord, ServiceError> {
        match plan {
            RecordPlan::New => {
                let sensor = self.sensor(SensorId::random(), 1, self.now);
                sensors::insert(tx, &sensor, self.cluster_node(token).as_deref())?;
                Ok(sensor)
            }
            RecordPlan::Update(id) => {
                let old = sensors::by_id(tx, id)?.ok_or(DbError::Closed)?;
                let sensor = self.sensor(id, old.generation + 1, old.created_at);
                let key = match self.cluster_node(token) {
                    Some(key) => Some(key),
                    None if same_node(&old, &sensor) => sensors::node_key(tx, id)?,
                    None => None,
                };
                sensors::re_enroll(tx, &sensor, key.as_deref())?;
                certificates::supersede(tx, id, self.now + OVERLAP)?;
                Ok(sensor)
            }
        }
    }

    fn sensor(&self, id: SensorId, generation: i64, created_at: i64) -> SensorRecord {
        let request = &self.request;
        SensorRecord {
            id,
            node_name: request.node_name.clone(),
            cluster_id: request.cluster_name.clone(),
            install_id: request.install_id.clone(),
            role: request.declared_role.to_string(),
            flavor: request.flavor.to_string(),
            tags: serde_json::to_string(&request.tags).expect("tags are a list of texts"),
            sensor_version: clean(&request.sensor_version, MAX_VERSION),
            host: serde_json::to_string(&request.host).expect("host facts are texts and numbers"),
            trust_state: TrustState::Trusted,
            generation,
            created_at,
            enrolled_at: self.now,
            last_seen_at: None,
            standing: Standing::Active,
        }
    }

    /// The same answer again: from what is stored, signing nothing.
    fn repeat(
        &self,
        tx: &mut dyn Tx,
        known: &Known,
        sensor_id: SensorId,
        slot: SlotPlan,
    ) -> Result<Result<EnrollAnswer, Refusal>, ServiceError> {
        if slot == SlotPlan::Take {
            if !settings::take_slot(tx, known.slots.limit)? {
                return Ok(Err(licence_full()));
            }
            recommission(tx, sensor_id, &self.origin, self.now)?;
        }
        let token = known.token.as_ref().ok_or(DbError::Closed)?;
        let earlier = tokens::enrollment(tx, token.id, &self.csr.spki_sha256)?.ok_or(DbError::Closed)?;
        let sensor = sensors::by_id(tx, sensor_id)?.ok_or(DbError::Closed)?;
        let made = certificates::by_fingerprint(tx, &earlier.fingerprint)?.ok_or(DbError::Closed)?;
        let answer = answer(tx, &self.authority, &sensor, &made, token.kind)?;
        Ok(Ok(EnrollAnswer::Enrolled(Box::new(answer))))
    }
}

/// Signs and stores a sensor's next certificate.
pub(super) fn issue(
    tx: &mut dyn Tx,
    authority: &Authority,
    csr: &CheckedCsr,
    sensor: &SensorRecord,
    now: i64,
) -> Result<CertificateRecord, ServiceError> {
    let life = settings::number(tx, settings::CERTIFICATE_HOURS, CERTIFICATE_HOURS)? * 3600;
    let issued = authority.issue_client(csr, sensor.id, &sensor.node_name, now, life)?;
    let made = CertificateRecord {
        fingerprint: Sha256::digest(&issued.der).into(),
        sensor_id: sensor.id,
        generation: sensor.generation,
        issuer_id: authority.signer_id().to_owned(),
        serial: issued.serial,
        spki: csr.spki_sha256,
        der: issued.der.to_vec(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        issued_at: now,
        first_seen_at: None,
        overlap_until: None,
    };
    certificates::insert(tx, &made)?;
    Ok(made)
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
    let default = i64::from(DEFAULT_HEARTBEAT_SECONDS);
    let set = settings::number(tx, settings::HEARTBEAT_SECONDS, default)?;
    Ok(u32::try_from(set).unwrap_or(DEFAULT_HEARTBEAT_SECONDS))
}

fn answer(
    tx: &mut dyn Tx,
    authority: &Authority,
    sensor: &SensorRecord,
    made: &CertificateRecord,
    kind: TokenType,
) -> Result<Enrolled, DbError> {
    Ok(Enrolled {
        sensor_id: sensor.id,
        control_plane_certificate_pem: authority.chain_pem(&made.der, &made.issuer_id),
        control_plane_ca_certificate_pem: authority.ca_pem().to_owned(),
        policy_signing_public_key_pem: authority.policy_public_key_pem().to_owned(),
        trust_state: sensor.trust(),
        heartbeat_interval_seconds: heartbeat_seconds(tx)?,
        token_type: Some(kind),
        warnings: Vec::new(),
    })
}

fn own(sensor: &SensorRecord) -> Own {
    Own { id: sensor.id, standing: sensor.standing }
}

fn same_node(old: &SensorRecord, new: &SensorRecord) -> bool {
    (&old.node_name, &old.cluster_id, &old.install_id) == (&new.node_name, &new.cluster_id, &new.install_id)
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
