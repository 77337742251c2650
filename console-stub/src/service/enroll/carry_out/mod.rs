//! Carries a decision about an enrollment out: record, certificate, token, rule, audit.

use sha2::{Digest as _, Sha256};
use telovix_contract::SensorId;
use telovix_contract::enroll::Enrolled;
use telovix_contract::states::{TokenType, TrustState};

use super::gather::Gathered;
use super::{Application, EnrollAnswer, heartbeat_seconds, recommission};
use crate::ca::Authority;
use crate::ca::csr::CheckedCsr;
use crate::db::authority as issuers;
use crate::db::certificates::{self, CertificateRecord};
use crate::db::sensors::{self, Owned};
use crate::db::tokens::{self, Enrollment};
use crate::db::{DbError, Tx, approvals, audit, rules, settings};
use crate::domain::Refusal;
use crate::domain::approval::Reservation;
use crate::domain::audit::{Action, AuditEntry, Detail, clean};
use crate::domain::enroll::{Claim, Known, Plan, RecordPlan, SlotPlan, TokenPlan, licence_full};
use crate::domain::sensor::{MachineId, SensorRecord, Standing};
use crate::domain::setting::Setting;
use crate::domain::token::TokenRecord;
use crate::service::ServiceError;

const MAX_VERSION: usize = 128;

impl Application {
    pub(super) fn carry_out(
        &self,
        tx: &mut dyn Tx,
        gathered: &Gathered,
        plan: Plan,
    ) -> Result<Result<EnrollAnswer, Refusal>, ServiceError> {
        let known = &gathered.known;
        let Some(token) = &known.token else { return Ok(Err(crate::domain::enroll::unknown_token())) };
        if plan.slot == SlotPlan::Take && !settings::take_slot(tx, known.slots.limit)? {
            return Ok(Err(licence_full()));
        }
        let (sensor, made) = self.write_sensor(tx, gathered, token, plan.record)?;
        self.spend(tx, token, plan.token)?;
        if let Some(rule) = plan.rule {
            // The rule was read, and locked, in this transaction: it has room.
            let counted = rules::count_node(tx, rule, &self.rule_node().unwrap_or_default())?;
            counted.then_some(()).ok_or(DbError::Missing("place left under this rule"))?;
        }
        if let Reservation::Mine(_) = known.reservation {
            approvals::done(tx, token.id, &self.csr.spki_sha256)?;
        }
        let got = Enrollment { sensor_id: sensor.id, fingerprint: made.fingerprint, used_at: self.now };
        let warnings = serde_json::to_string(&plan.warnings).expect("warnings are texts");
        tokens::remember(tx, token.id, &self.csr.spki_sha256, &got, &warnings)?;
        let detail = Detail::new()
            .with("node_name", &sensor.node_name)
            .with("token_id", token.id)
            .with("role", &sensor.role)
            .with("certificate_serial", &made.serial)
            .maybe("cluster_name", sensor.cluster_id.as_ref())
            .maybe("install_id", sensor.install_id.as_ref())
            .maybe("approved_by_rule", plan.rule)
            .maybe("proved_the_key_of", known.proved.as_ref().map(|own| own.id));
        let detail = match plan.record {
            RecordPlan::New => detail,
            RecordPlan::InsteadOf(revoked) => detail.with("instead_of", revoked),
            RecordPlan::Update(id, claim) => self.replacement(tx, gathered.record(id)?, claim, detail)?,
        };
        let entry = AuditEntry::success(Action::SensorEnrolled, Some(sensor.id), detail);
        audit::append(tx, &entry, &self.origin, self.now)?;
        let mut answer = answer(tx, &self.authority, &sensor, &made, token.kind)?;
        answer.warnings = plan.warnings;
        Ok(Ok(EnrollAnswer::Enrolled(Box::new(answer))))
    }

    /// The token as the plan has it. It was read, and locked, in this transaction; the conditions in the statements stay as a
    /// second line, and a token that turns out spent undoes the whole change.
    fn spend(&self, tx: &mut dyn Tx, token: &TokenRecord, plan: TokenPlan) -> Result<(), DbError> {
        match plan {
            TokenPlan::UseUp => tokens::use_up(tx, token.id, self.now),
            TokenPlan::CountNode => {
                let key = self.cluster_node(token).unwrap_or_default();
                tokens::count_node(tx, token.id, &key, self.now)
            }
            TokenPlan::CountUse => tokens::count_use(tx, token.id, self.now),
        }
    }

    /// What the trail says of a record that is replaced: the certificate before, both machines, and why it was given.
    fn replacement(
        &self,
        tx: &mut dyn Tx,
        old: &Owned,
        claim: Claim,
        detail: Detail,
    ) -> Result<Detail, DbError> {
        let (was, is) = (old.sensor.machine_id(), MachineId::of(&self.request.host));
        if claim != Claim::Key {
            tracing::warn!(sensor_id = %old.sensor.id, claim = claim.as_str(), "an enrollment replaces a sensor's certificate");
        }
        if claim == Claim::Machine {
            sensors::replaced(tx, old.sensor.id, self.now)?;
        }
        let before = certificates::serial(tx, old.sensor.id, old.sensor.generation)?;
        Ok(detail
            .maybe("replaces", before)
            .with("claim", claim.as_str())
            .maybe("machine_id_before", was)
            .maybe("machine_id", is))
    }

    fn write_sensor(
        &self,
        tx: &mut dyn Tx,
        gathered: &Gathered,
        token: &TokenRecord,
        plan: RecordPlan,
    ) -> Result<(SensorRecord, CertificateRecord), ServiceError> {
        let signed = |tx: &mut dyn Tx, sensor| sign(tx, &self.authority, &self.csr, sensor, self.now);
        match plan {
            RecordPlan::New | RecordPlan::InsteadOf(_) => {
                if let RecordPlan::InsteadOf(revoked) = plan {
                    sensors::give_up_names(tx, revoked)?;
                }
                let sensor = self.sensor(SensorId::random(), 1, self.now);
                let made = signed(tx, &sensor)?;
                sensors::insert(tx, &sensor, self.cluster_node(token).as_deref(), Some(&made))?;
                certificates::insert(tx, &made)?;
                Ok((sensor, made))
            }
            RecordPlan::Update(id, _) => {
                let Owned { sensor: old, node_key, .. } = gathered.record(id)?;
                let sensor = self.sensor(id, old.generation + 1, old.created_at);
                let key = match self.cluster_node(token) {
                    Some(key) => Some(key),
                    None if same_node(old, &sensor) => node_key.clone(),
                    None => None,
                };
                if let (Some(from), Some(to)) = (node_key, &key)
                    && from != to
                {
                    tokens::rename_node(tx, from, to)?;
                }
                let made = signed(tx, &sensor)?;
                sensors::re_enroll(tx, &sensor, key.as_deref(), &made)?;
                certificates::supersede(tx, id, self.now)?;
                certificates::insert(tx, &made)?;
                Ok((sensor, made))
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
            renew_between: None,
            presence: String::new(),
            shared_at: None,
            standing: Standing::Active,
        }
    }

    /// The same answer again: from what is stored, signing nothing.
    pub(super) fn repeat(
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
        let token = known.token.as_ref().ok_or(DbError::Missing("token of this host"))?;
        let (earlier, warnings) = tokens::enrollment(tx, token.id, &self.csr.spki_sha256)?
            .ok_or(DbError::Missing("earlier enrollment"))?;
        let sensor = sensors::by_id(tx, sensor_id)?.ok_or(DbError::Missing("sensor of this id"))?;
        let made = certificates::by_fingerprint(tx, &earlier.fingerprint)?
            .ok_or(DbError::Missing("certificate of this enrollment"))?;
        let mut answer = answer(tx, &self.authority, &sensor, &made, token.kind)?;
        answer.warnings = serde_json::from_str(&warnings).unwrap_or_default();
        Ok(Ok(EnrollAnswer::Enrolled(Box::new(answer))))
    }
}

/// Signs a sensor's next certificate; storing it is the caller's.
pub(in crate::service) fn sign(
    tx: &mut dyn Tx,
    authority: &Authority,
    csr: &CheckedCsr,
    sensor: &SensorRecord,
    now: i64,
) -> Result<CertificateRecord, ServiceError> {
    // Another instance, or a command, may have rotated the issuer since this one read the CA; it reads again within a second.
    // Who is given a certificate of the old one now is past the drain, and nobody would ask it to renew again.
    if !issuers::signs(tx, authority.signer_id())? {
        return Err(DbError::Unavailable("the issuer was rotated a moment ago".to_owned()).into());
    }
    let life = settings::number(tx, Setting::CertificateHours)? * 3600;
    let issued = authority.issue_client(csr, sensor.id, &sensor.node_name, now, life)?;
    Ok(CertificateRecord {
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
        ended_at: None,
    })
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

fn same_node(old: &SensorRecord, new: &SensorRecord) -> bool {
    (&old.node_name, &old.cluster_id, &old.install_id) == (&new.node_name, &new.cluster_id, &new.install_id)
}

#[cfg(test)]
mod tests;
