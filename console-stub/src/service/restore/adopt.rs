//! Certificates that an issuer of ours signed and the restored copy does not know.
//!
//! Invariant: one is adopted only for a sensor that may speak, only when it is newer than the sensor's newest, and only when it
//! would be accepted as one that was handed out; a sensor that the copy does not have, an operator looks at first.

use telovix_contract::states::TrustState;
use telovix_contract::{ErrorCode, Flavor, NodeRole, SensorId, Tags};

use super::switch::is_on;
use crate::ca::Recognized;
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::certificates::{self, CertificateRecord};
use crate::db::{DbError, Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::approval::{ApprovalId, FactsHash, MOST_WAITING, Reason, Ruling};
use crate::domain::audit::{Action, AuditEntry, Detail, clean};
use crate::domain::credential::{self, Purpose};
use crate::domain::enroll::list_full;
use crate::domain::restore::is_newer;
use crate::domain::sensor::{SensorRecord, Standing};
use crate::service::shown::Shown;
use crate::service::{ServiceError, licence};

/// Longest subject that is shown, in characters.
const MAX_SUBJECT: usize = 256;

/// Makes a certificate that this Console does not know its sensor's newest.
/// Errors: `invalid_sensor_trust` where nothing is adopted, or not this one; `sensor_approval_pending` for a sensor that the
/// Console does not know; those of `credential::judge`.
pub(in crate::service) fn adopt(
    tx: &mut dyn Tx,
    shown: &Shown,
    purpose: Purpose,
    now: i64,
) -> Result<CertificateRecord, ServiceError> {
    let unknown = || credential::unknown_certificate().into();
    if !is_on(tx, now)? {
        return Err(unknown());
    }
    let said = shown.authority.recognize(&shown.der).ok_or_else(unknown)?;
    let sensor = sensors::by_id(tx, said.sensor_id)?;
    let generation = sensor.as_ref().map_or(0, |sensor| sensor.generation) + 1;
    let made = record(shown, &said, generation, now);
    let standing = sensor.as_ref().map_or(Standing::Active, |sensor| sensor.standing);
    credential::judge(&made.credential(), standing, purpose, now)?;
    let Some(sensor) = sensor else {
        return Err(if is_deleted(tx, said.sensor_id)? { unknown() } else { approval_pending().into() });
    };
    let newest = certificates::newest(tx, sensor.id)?;
    if let Some(newest) = &newest
        && !is_newer((said.not_before, &said.serial), (newest.not_before, &newest.serial))
    {
        return Err(unknown());
    }
    certificates::supersede(tx, sensor.id, now)?;
    sensors::renewed(tx, &made, TrustState::Rotated)?;
    certificates::insert(tx, &made)?;
    let detail = Detail::new()
        .with("certificate_serial", &said.serial)
        .maybe("replaces", newest.map(|newest| newest.serial));
    let entry = AuditEntry::success(Action::CertificateAdopted, Some(sensor.id), detail);
    audit::append(tx, &entry, &shown.origin, now)?;
    tracing::info!(sensor_id = %sensor.id, "a certificate from after the copy was adopted");
    Ok(made)
}

/// Whether an operator deleted the sensor: then it is not one that the copy forgot.
fn is_deleted(tx: &mut dyn Tx, id: SensorId) -> Result<bool, DbError> {
    audit::happened(tx, Action::SensorDeleted, id)
}

fn approval_pending() -> Refusal {
    let message =
        "The Console was restored from a copy that does not have this sensor; an operator can approve it.";
    Refusal::new(ErrorCode::SensorApprovalPending, message)
}

/// Puts a sensor that this Console does not know on the list of those that wait; one row for each, with its newest certificate.
/// Errors: `rate_limited` where the list is full.
pub(in crate::service) fn put_on_list(tx: &mut dyn Tx, shown: &Shown, now: i64) -> Result<(), ServiceError> {
    let Some(said) = shown.authority.recognize(&shown.der) else { return Ok(()) };
    let earlier = approvals::of_sensor(tx, said.sensor_id)?;
    if let Some(earlier) = &earlier {
        let known = earlier.certificate.as_deref().and_then(|der| shown.authority.recognize(der));
        let is_known = known.is_some_and(|known| {
            !is_newer((said.not_before, &said.serial), (known.not_before, &known.serial))
        });
        if is_known {
            return Ok(approvals::sensor_asked_again(tx, said.sensor_id, now)?);
        }
        approvals::drop_sensor(tx, said.sensor_id)?;
    } else if approvals::count_of(tx, None)?.0 >= MOST_WAITING {
        return Err(list_full().into());
    }
    let row = row(shown, &said, earlier.map(|earlier| (earlier.id, earlier.asked_at)), now);
    approvals::put(tx, &row)?;
    let detail = Detail::new()
        .with("approval_id", row.id)
        .with("node_name", &row.node_name)
        .with("reason", row.reason.as_str())
        .with("certificate_serial", &said.serial)
        .with("facts_sha256", row.facts_hash);
    let entry = AuditEntry::success(Action::EnrollmentPending, Some(said.sensor_id), detail);
    Ok(audit::append(tx, &entry, &shown.origin, now)?)
}

fn row(shown: &Shown, said: &Recognized, earlier: Option<(ApprovalId, i64)>, now: i64) -> ApprovalRecord {
    let (id, asked_at) = earlier.unwrap_or_else(|| (ApprovalId::random(), now));
    let facts = serde_json::json!({
        "sensor_id": said.sensor_id,
        "node_name": said.node_name,
        "subject": clean(&said.subject, MAX_SUBJECT),
        "certificate_serial": said.serial,
        "not_before": crate::clock::timestamp(said.not_before),
        "not_after": crate::clock::timestamp(said.not_after),
    })
    .to_string();
    ApprovalRecord {
        id,
        token_id: None,
        spki: said.spki,
        ruling: Ruling::Waiting,
        reason: Reason::Restored,
        record_id: Some(said.sensor_id),
        node_name: said.node_name.to_string(),
        cluster_id: None,
        install_id: None,
        role: NodeRole::default().to_string(),
        facts_hash: FactsHash::of_text(&facts),
        facts,
        host: "{}".to_owned(),
        client_ip: shown.origin.client_ip.clone(),
        certificate: Some(shown.der.clone()),
        asked_at,
        last_asked_at: now,
        decided_at: None,
        decided_by: None,
    }
}

/// Makes the record of a sensor anew that an operator decided about: at work where a licence slot is left, else retired until
/// there is one; or revoked, which is how a denial is remembered. Gives how it stands.
/// Errors: `conflict` where there is a record by now, or the certificate's issuer is no longer in force.
pub(in crate::service) fn recreate(
    tx: &mut dyn Tx,
    shown: &Shown,
    ruling: Ruling,
    now: i64,
) -> Result<Standing, ServiceError> {
    let conflict = |message: &str| Err(Refusal::new(ErrorCode::Conflict, message).into());
    let Some(said) = shown.authority.recognize(&shown.der) else {
        return conflict(
            "The issuer of the sensor's certificate is no longer in force; give the host a new token.",
        );
    };
    if sensors::by_id(tx, said.sensor_id)?.is_some() {
        return conflict("There is a record of this sensor by now; nothing was changed.");
    }
    let slots = licence::slots(tx, now)?;
    let standing = match ruling {
        Ruling::Denied | Ruling::Waiting => Standing::Revoked,
        Ruling::Approved if slots.term.refusal().is_none() && settings::take_slot(tx, slots.limit)? => {
            Standing::Active
        }
        Ruling::Approved => Standing::Decommissioned,
    };
    let made = record(shown, &said, 1, now);
    let sensor = SensorRecord {
        id: said.sensor_id,
        node_name: said.node_name,
        cluster_id: None,
        install_id: None,
        role: NodeRole::default().to_string(),
        flavor: Flavor::default().to_string(),
        tags: serde_json::to_string(&Tags::default()).expect("tags are a list of texts"),
        sensor_version: String::new(),
        host: "{}".to_owned(),
        trust_state: TrustState::Trusted,
        generation: 1,
        created_at: now,
        enrolled_at: now,
        last_seen_at: None,
        renew_between: None,
        presence: String::new(),
        shared_at: None,
        standing,
    };
    sensors::insert(tx, &sensor, None, Some(&made))?;
    certificates::insert(tx, &made)?;
    sensors::set_standing(tx, sensor.id, standing, now)?;
    Ok(standing)
}

fn record(shown: &Shown, said: &Recognized, generation: i64, now: i64) -> CertificateRecord {
    CertificateRecord {
        fingerprint: shown.fingerprint,
        sensor_id: said.sensor_id,
        generation,
        issuer_id: said.issuer_id.clone(),
        serial: said.serial.clone(),
        spki: said.spki,
        der: shown.der.clone(),
        not_before: said.not_before,
        not_after: said.not_after,
        issued_at: said.not_before.min(now),
        first_seen_at: None,
        ended_at: None,
    }
}
