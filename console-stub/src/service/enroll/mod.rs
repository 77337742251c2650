//! Enrollment: facts gathered, decision asked for and carried out, all in one transaction (docs/contract.md section 3).
//!
//! Invariant: the token is spent, the sensor recorded, the certificate issued and stored, and the audit record written
//! together or not at all; a refusal leaves its audit record and nothing else.

mod carry_out;

use std::sync::Arc;

use telovix_contract::enroll::{DEFAULT_HEARTBEAT_SECONDS, EnrollRequest, Enrolled, EnrollmentWaiting};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{ErrorCode, SensorId, TokenHash};

pub(super) use carry_out::sign;

use super::console::require_setup;
use super::noted::{Fingerprint, Noted};
use super::trust;
use super::{Console, ServiceError, licence};
use crate::ca::Authority;
use crate::ca::csr::{self, CheckedCsr};
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::{DbError, Tx, audit, rules, sensors, settings, tokens};
use crate::domain::Refusal;
use crate::domain::approval::{Approval, ApprovalId, Case, Reservation, Ruling, judge};
use crate::domain::audit::{Action, AuditEntry, AuditOutcome, Detail, Origin};
use crate::domain::enroll::{
    Attempt, Decision, Earlier, Known, NodeCount, Own, SecondRecord, decide, node_key,
};
use crate::domain::sensor::{SensorRecord, Standing};
use crate::domain::setting::Setting;
use crate::domain::token::{TokenId, TokenRecord};
use crate::fault::{ENROLL_AFTER_COMMIT, ENROLL_BEFORE_COMMIT, Faults};

/// Seconds until a waiting host asks again.
const RETRY_AFTER: u32 = 30;

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
    shown: Option<Fingerprint>,
    noted: Noted,
}

impl Console {
    /// Enrolls a host; `shown` is the client certificate that its call showed, in DER. `token_hash` is that of the token in the request; a malformed token has the hash of its text, which
    /// no token of ours has, so that it is looked up and refused like an unknown one.
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
        let (shown, noted) = (shown.map(trust::fingerprint), self.noted().clone());
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
        let proved = match &self.shown {
            Some(shown) => trust::proved(tx, shown, &self.noted, &self.origin, self.now)?,
            None => None,
        };
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
            Decision::Wait => Ok(self.wait(tx, &known)?),
            Decision::Enroll(plan) => self.carry_out(tx, &known, plan, proved)?,
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
        let node_key = self.rule_node();
        let presented = tokens::presented(tx, &self.token_hash, &self.csr.spki_sha256, node_key.as_deref())?;
        let mut known = Known {
            token: None,
            earlier: None,
            own: None,
            held: None,
            node: NodeCount::New,
            slots: licence::slots(tx, self.now)?,
            approval: Approval::NotNeeded,
            reservation: Reservation::Free,
        };
        let Some(tokens::Presented { token, earlier, reservation, counted, has_rules, node }) = presented
        else {
            return Ok(known);
        };
        known.reservation = reservation;
        if let Some(enrollment) = earlier {
            let sensor = sensors::by_id(tx, enrollment.sensor_id)?;
            known.earlier =
                sensor.map(|sensor| Earlier { sensor: own(&sensor), used_at: enrollment.used_at });
        }
        let record = match (token.sensor_id, token.kind) {
            (Some(bound), _) => Some(bound),
            (None, TokenType::Cluster) => {
                if counted {
                    known.node = NodeCount::Counted;
                }
                node
            }
            (None, TokenType::Once) => None,
        };
        if let Some(id) = record {
            known.own = sensors::by_id(tx, id)?.as_ref().map(own);
        }
        if let Some(held) = self.request.sensor_id {
            known.held = sensors::by_id(tx, held)?.map(|sensor| sensor.standing);
        }
        known.approval = self.approval(tx, &token, &known, has_rules)?;
        known.token = Some(token);
        Ok(known)
    }

    /// How the operators stand to it. Only the cluster that the *token* is bound to leads to rules.
    fn approval(
        &self,
        tx: &mut dyn Tx,
        token: &TokenRecord,
        known: &Known,
        has_rules: bool,
    ) -> Result<Approval, ServiceError> {
        let rules = match (&token.cluster_id, self.rule_node()) {
            (Some(cluster), Some(key)) if has_rules => rules::of_cluster(tx, cluster, &key)?,
            (Some(_) | None, Some(_) | None) => Vec::new(),
        };
        Ok(judge(&Case {
            mode: settings::approval_mode(tx)?,
            kind: token.kind,
            role: &self.request.declared_role,
            rules: &rules,
            reservation: known.reservation,
            has_record: known.own.is_some(),
        }))
    }

    /// Puts the host on the list of those that wait, and keeps its token for its key.
    fn wait(&self, tx: &mut dyn Tx, known: &Known) -> Result<EnrollAnswer, ServiceError> {
        let token = known.token.as_ref().ok_or(DbError::Missing("token of this host"))?;
        if known.reservation == Reservation::Free {
            let request = &self.request;
            let waiting = ApprovalRecord {
                id: ApprovalId::random(),
                token_id: token.id,
                spki: self.csr.spki_sha256,
                ruling: Ruling::Waiting,
                node_name: request.node_name.to_string(),
                cluster_id: request.cluster_name.as_ref().map(ToString::to_string),
                install_id: request.install_id.as_ref().map(ToString::to_string),
                role: request.declared_role.to_string(),
                host: serde_json::to_string(&request.host).expect("host facts are texts and numbers"),
                client_ip: self.origin.client_ip.clone(),
                asked_at: self.now,
                last_asked_at: self.now,
                decided_at: None,
                decided_by: None,
            };
            approvals::insert(tx, &waiting)?;
            tokens::reserve(tx, token.id, Some(self.now))?;
            let detail = Detail::new()
                .with("approval_id", waiting.id)
                .with("token_id", token.id)
                .with("node_name", &waiting.node_name)
                .with("role", &waiting.role)
                .maybe("cluster_name", waiting.cluster_id.as_ref());
            let entry = AuditEntry::success(Action::EnrollmentPending, request.sensor_id, detail);
            audit::append(tx, &entry, &self.origin, self.now)?;
        } else {
            approvals::asked_again(tx, token.id, &self.csr.spki_sha256, self.now)?;
        }
        Ok(EnrollAnswer::Waiting(EnrollmentWaiting {
            trust_state: TrustState::BootstrapPending,
            retry_after_seconds: RETRY_AFTER,
        }))
    }

    /// The node as rules count it: by the three names of docs/contract.md section 4, whatever kind of token.
    fn rule_node(&self) -> Option<String> {
        let cluster = self.request.cluster_name.as_ref()?;
        Some(node_key(cluster, self.request.install_id.as_ref(), &self.request.node_name))
    }

    /// The node key, where the token makes cluster nodes and the host names a cluster.
    fn cluster_node(&self, token: &TokenRecord) -> Option<String> {
        (token.kind == TokenType::Cluster).then(|| self.rule_node()).flatten()
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

fn own(sensor: &SensorRecord) -> Own {
    Own { id: sensor.id, standing: sensor.standing }
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
