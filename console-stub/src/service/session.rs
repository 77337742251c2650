//! Sensors that are enrolled: heartbeat, renewal, decommission, all by mutual TLS (docs/contract.md section 3).
//!
//! Invariant: every call is made by the holder of a certificate that [`trust`] accepted in the same transaction.

use telovix_contract::SensorId;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, RenewalWindow, Renewed};
use telovix_contract::states::TrustState;

use super::enroll::{heartbeat_seconds, recommission, sign};
use super::shown::fingerprint;
use super::trust::{self, Holder};
use super::{Console, ServiceError, licence};
use crate::ca::{Authority, csr};
use crate::clock::timestamp;
use crate::db::certificates::{self, CertificateRecord};
use crate::db::{Tx, audit, sensors, settings};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin, clean};
use crate::domain::credential::{self, Age, Succession};
use crate::domain::enroll::licence_full;
use crate::domain::presence::{Presence, Sign};
use crate::domain::sensor::{SensorRecord, Standing};

const MAX_VERSION: usize = 128;
/// What both hosts are told.
const SHARED: &str = "Two hosts use this identity, or one was copied while it ran: delete the state directory of the copy, and \
                      enroll it with a token of its own.";

impl Console {
    /// Takes a heartbeat. The first one with a new certificate ends the one before.
    /// Errors: those of `trust::accept`; `NodeLimitExceeded` when a retired sensor comes back and no slot is left.
    pub async fn heartbeat(
        &self,
        certificate: &[u8],
        beat: Heartbeat,
        origin: Origin,
    ) -> Result<HeartbeatAnswer, ServiceError> {
        let version = clean(&beat.sensor_version, MAX_VERSION);
        let from = origin.clone();
        self.sensor_call(certificate, &origin, move |tx, shown, now| {
            let Holder { certificate, sensor, .. } = trust::accept(tx, shown, now)?;
            let sensor = wake(tx, &certificate, sensor, &from, now)?;
            let (presence, sign) = heard(&sensor, &beat, now);
            sensors::seen(tx, sensor.id, now, &version, &presence)?;
            let shared = sign == Sign::Shared || sensor.shared(now).is_some();
            if sign == Sign::Shared {
                note_shared(tx, &sensor, &from, now)?;
            }
            Ok(HeartbeatAnswer {
                sensor_id: sensor.id,
                trust_state: sensor.trust(),
                heartbeat_interval_seconds: heartbeat_seconds(tx)?,
                renew_between: sensor
                    .renew_between
                    .map(|(from, until)| RenewalWindow { start: timestamp(from), end: timestamp(until) }),
                notices: if shared { vec![SHARED.to_owned()] } else { Vec::new() },
            })
        })
        .await
    }

    /// Hands out the successor of a certificate, for a new key. The same request again gets the same certificate, as long
    /// as nobody has used it.
    /// Errors: those of `trust::accept_renewal`; `invalid_csr`; `NodeLimitExceeded`; signing or the database.
    pub async fn renew(
        &self,
        certificate: &[u8],
        csr_pem: String,
        origin: Origin,
    ) -> Result<Renewed, ServiceError> {
        let authority = self.authority()?;
        let from = origin.clone();
        let renewed = self
            .sensor_call(certificate, &origin, move |tx, shown, now| {
                let holder = trust::accept_renewal(tx, shown, now)?;
                let sensor = wake(tx, &holder.certificate, holder.sensor, &from, now)?;
                successor(tx, &authority, Holder { sensor, ..holder }, &csr_pem, &from, now)
            })
            .await?;
        tracing::info!(sensor_id = %renewed.sensor_id, "certificate renewed");
        Ok(renewed)
    }

    /// Whose certificate this is, whether or not it is accepted.
    pub(crate) async fn holder(&self, certificate: &[u8]) -> Result<Option<SensorId>, ServiceError> {
        let shown = fingerprint(certificate);
        let found = self.db().read(move |tx| certificates::by_fingerprint(tx, &shown)).await?;
        Ok(found.map(|record| record.sensor_id))
    }

    /// Retires a sensor: its record stays, its licence slot is free. Again changes nothing.
    /// Errors: those of `trust::accept`.
    pub async fn decommission(&self, certificate: &[u8], origin: Origin) -> Result<SensorId, ServiceError> {
        let from = origin.clone();
        self.sensor_call(certificate, &origin, move |tx, shown, now| {
            let sensor = trust::accept(tx, shown, now)?.sensor;
            if sensor.standing != Standing::Decommissioned {
                sensors::set_standing(tx, sensor.id, Standing::Decommissioned, now)?;
                settings::free_slot(tx)?;
                let entry = AuditEntry::success(Action::SensorDecommissioned, Some(sensor.id), Detail::new());
                audit::append(tx, &entry, &from, now)?;
                tracing::info!(sensor_id = %sensor.id, "sensor decommissioned");
            }
            Ok(sensor.id)
        })
        .await
    }
}

/// What is remembered of a sensor's heartbeats from this one on, and whether it is a sign that two speak as one.
fn heard(sensor: &SensorRecord, beat: &Heartbeat, now: i64) -> (String, Sign) {
    let Some((instance, sequence)) = beat.instance.zip(beat.sequence) else {
        return (sensor.presence.clone(), Sign::None);
    };
    let mut presence = Presence::parse(&sensor.presence);
    let sign = presence.hear(instance, sequence, now);
    (presence.to_text(), sign)
}

/// Every sign counts for an hour more; the first of them is audited.
fn note_shared(
    tx: &mut dyn Tx,
    sensor: &SensorRecord,
    origin: &Origin,
    now: i64,
) -> Result<(), ServiceError> {
    sensors::shared(tx, sensor.id, now)?;
    if sensor.shared(now).is_none() {
        let detail = Detail::new().with("node_name", &sensor.node_name);
        audit::append(
            tx,
            &AuditEntry::success(Action::IdentityShared, Some(sensor.id), detail),
            origin,
            now,
        )?;
        tracing::warn!(sensor_id = %sensor.id, "one identity is used in two places");
    }
    Ok(())
}

/// A sensor that speaks by an accepted certificate: a retired one comes back if a slot is left, and a certificate seen for the
/// first time replaces the ones before it.
fn wake(
    tx: &mut dyn Tx,
    certificate: &CertificateRecord,
    mut sensor: SensorRecord,
    origin: &Origin,
    now: i64,
) -> Result<SensorRecord, ServiceError> {
    if sensor.standing == Standing::Decommissioned {
        let slots = licence::slots(tx, now)?;
        if !settings::take_slot(tx, slots.limit)? {
            return Err(licence_full().into());
        }
        recommission(tx, sensor.id, origin, now)?;
        sensor.standing = Standing::Active;
    }
    if certificate.first_seen_at.is_none() {
        certificates::first_seen(tx, certificate, now)?;
    }
    Ok(sensor)
}

fn successor(
    tx: &mut dyn Tx,
    authority: &Authority,
    holder: Holder,
    csr_pem: &str,
    origin: &Origin,
    now: i64,
) -> Result<Renewed, ServiceError> {
    let Holder { certificate: current, mut sensor, age } = holder;
    let request = csr::check(csr_pem, &sensor.node_name)
        .map_err(|error| credential::request_not_taken(&error.to_string()))?;
    let newest = certificates::newest(tx, sensor.id)?;
    let known = newest.as_ref().map(CertificateRecord::credential);
    let succession = credential::succession(&current.credential(), known.as_ref(), &request.spki_sha256)?;
    let made = match newest.filter(|_| succession == Succession::Same) {
        Some(same) => same,
        None => {
            sensor.generation += 1;
            sensor.trust_state = TrustState::Rotated;
            let made = sign(tx, authority, &request, &sensor, now)?;
            certificates::supersede(tx, sensor.id, now)?;
            sensors::renewed(tx, &made, sensor.trust_state)?;
            certificates::insert(tx, &made)?;
            let detail =
                Detail::new().with("certificate_serial", &made.serial).with("replaces", &current.serial);
            let action = match age {
                Age::Valid => Action::RenewalInitiated,
                Age::Expired => Action::RenewedLate,
            };
            let entry = AuditEntry::success(action, Some(sensor.id), detail);
            audit::append(tx, &entry, origin, now)?;
            made
        }
    };
    Ok(Renewed {
        sensor_id: sensor.id,
        control_plane_certificate_pem: authority.chain_pem(&made.der, &made.issuer_id),
        control_plane_ca_certificate_pem: authority.ca_pem().to_owned(),
        policy_signing_public_key_pem: authority.policy_public_key_pem().to_owned(),
        trust_state: sensor.trust(),
    })
}
