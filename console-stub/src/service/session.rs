//! Sensors that are enrolled: heartbeat, renewal, decommission, all by mutual TLS (docs/contract.md section 3).
//!
//! Invariant: a certificate is believed only when it is one that this Console handed out, is in force, and belongs to a
//! sensor that is. That it chains to the CA is the TLS layer's business and proves nothing of this.

use sha2::{Digest as _, Sha256};
use telovix_contract::SensorId;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, RenewalWindow, Renewed};
use telovix_contract::states::TrustState;

use super::enroll::{heartbeat_seconds, recommission, sign};
use super::{Console, ServiceError, licence};
use crate::ca::{Authority, csr};
use crate::clock::timestamp;
use crate::db::certificates::{self, CertificateRecord};
use crate::db::{DbError, Tx, audit, sensors, settings};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin, clean};
pub(crate) use crate::domain::credential::untrusted;
use crate::domain::credential::{self, OVERLAP, Succession};
use crate::domain::enroll::licence_full;
use crate::domain::sensor::{SensorRecord, Standing};

const MAX_VERSION: usize = 128;

impl Console {
    /// Takes a heartbeat. The first one with a new certificate ends the time of the one before.
    /// Errors: `invalid_sensor_trust`, `sensor_revoked`, `sensor_disabled`; `NodeLimitExceeded` when a retired sensor comes back
    /// and no slot is left.
    pub async fn heartbeat(
        &self,
        certificate: &[u8],
        beat: Heartbeat,
        origin: Origin,
    ) -> Result<HeartbeatAnswer, ServiceError> {
        let (now, fingerprint) = (self.now(), Sha256::digest(certificate).into());
        let version = clean(&beat.sensor_version, MAX_VERSION);
        self.db()
            .write(move |tx| {
                let (certificate, sensor) = believe(tx, &fingerprint, now)?;
                let sensor = wake(tx, &certificate, sensor, &origin, now)?;
                sensors::seen(tx, sensor.id, now, &version)?;
                Ok(HeartbeatAnswer {
                    sensor_id: sensor.id,
                    trust_state: sensor.trust(),
                    heartbeat_interval_seconds: heartbeat_seconds(tx)?,
                    renew_between: sensor
                        .renew_between
                        .map(|(from, until)| RenewalWindow { start: timestamp(from), end: timestamp(until) }),
                    notices: Vec::new(),
                })
            })
            .await
    }

    /// Hands out the successor of a certificate, for a new key. The same request again gets the same certificate, as long
    /// as nobody has used it; a certificate whose hour is over may still repeat the request that superseded it, so that a
    /// lost answer and a long outage together lose no host.
    pub async fn renew(
        &self,
        certificate: &[u8],
        csr_pem: String,
        origin: Origin,
    ) -> Result<Renewed, ServiceError> {
        let (now, fingerprint) = (self.now(), Sha256::digest(certificate).into());
        let authority = self.authority()?;
        let renewed = self
            .db()
            .write(move |tx| {
                let (current, mut sensor) = handed_out(tx, &fingerprint, now)?;
                if !repeats(tx, &current, &sensor, &csr_pem, now)? {
                    credential::check_in_force(&current.credential(), sensor.standing, now)?;
                    sensor = wake(tx, &current, sensor, &origin, now)?;
                }
                successor(tx, &authority, &current, sensor, &csr_pem, &origin, now)
            })
            .await?;
        tracing::info!(sensor_id = %renewed.sensor_id, "certificate renewed");
        Ok(renewed)
    }

    /// Whose certificate this is, whether or not it is still to be believed.
    pub(crate) async fn holder(&self, certificate: &[u8]) -> Result<Option<SensorId>, ServiceError> {
        let fingerprint = Sha256::digest(certificate).into();
        let found = self.db().read(move |tx| certificates::by_fingerprint(tx, &fingerprint)).await?;
        Ok(found.map(|record| record.sensor_id))
    }

    /// Retires a sensor: its record stays, its licence slot is free. Again changes nothing.
    /// Errors: `invalid_sensor_trust`, `sensor_revoked`, `sensor_disabled`.
    pub async fn decommission(&self, certificate: &[u8], origin: Origin) -> Result<SensorId, ServiceError> {
        let (now, fingerprint) = (self.now(), Sha256::digest(certificate).into());
        self.db()
            .write(move |tx| {
                let (_, sensor) = believe(tx, &fingerprint, now)?;
                if sensor.standing != Standing::Decommissioned {
                    sensors::set_standing(tx, sensor.id, Standing::Decommissioned, now)?;
                    settings::free_slot(tx)?;
                    let entry =
                        AuditEntry::success(Action::SensorDecommissioned, Some(sensor.id), Detail::new());
                    audit::append(tx, &entry, &origin, now)?;
                    tracing::info!(sensor_id = %sensor.id, "sensor decommissioned");
                }
                Ok(sensor.id)
            })
            .await
    }
}

/// Whose certificate this is, if it is one to believe.
fn believe(
    tx: &mut dyn Tx,
    fingerprint: &[u8; 32],
    now: i64,
) -> Result<(CertificateRecord, SensorRecord), ServiceError> {
    let (certificate, sensor) = handed_out(tx, fingerprint, now)?;
    credential::check_in_force(&certificate.credential(), sensor.standing, now)?;
    Ok((certificate, sensor))
}

/// Whether a superseded certificate comes with the request that superseded it, whose answer nobody has used.
fn repeats(
    tx: &mut dyn Tx,
    certificate: &CertificateRecord,
    sensor: &SensorRecord,
    csr_pem: &str,
    now: i64,
) -> Result<bool, DbError> {
    let presented = certificate.credential();
    if !presented.is_superseded(now) {
        return Ok(false);
    }
    let Ok(request) = csr::check(csr_pem, &sensor.node_name) else { return Ok(false) };
    let newest = certificates::newest(tx, sensor.id)?.map(|newest| newest.credential());
    Ok(credential::repeats_late(&presented, newest.as_ref(), sensor.standing, &request.spki_sha256, now))
}

/// Whose certificate this is, if it is one of ours, in its time, and of a sensor that may speak.
fn handed_out(
    tx: &mut dyn Tx,
    fingerprint: &[u8; 32],
    now: i64,
) -> Result<(CertificateRecord, SensorRecord), ServiceError> {
    let Some(certificate) = certificates::by_fingerprint(tx, fingerprint)? else {
        return Err(credential::unknown_certificate().into());
    };
    let sensor =
        sensors::by_id(tx, certificate.sensor_id)?.ok_or(DbError::Missing("sensor of this certificate"))?;
    credential::check_handed_out(&certificate.credential(), sensor.standing, now)?;
    Ok((certificate, sensor))
}

/// A sensor that speaks by a certificate in force: a retired one comes back if a slot is left, and a certificate seen for the
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
    current: &CertificateRecord,
    mut sensor: SensorRecord,
    csr_pem: &str,
    origin: &Origin,
    now: i64,
) -> Result<Renewed, ServiceError> {
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
            certificates::supersede(tx, sensor.id, now + OVERLAP)?;
            sensors::renewed(tx, &made, sensor.trust_state)?;
            certificates::insert(tx, &made)?;
            let detail =
                Detail::new().with("certificate_serial", &made.serial).with("replaces", &current.serial);
            let entry = AuditEntry::success(Action::RenewalInitiated, Some(sensor.id), detail);
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
