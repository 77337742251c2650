//! The one place that decides what a client certificate shown in the handshake is good for (docs/contract.md section 2).
//!
//! Invariant: it is accepted only when this Console handed it out, no newer one took its place, and its sensor may speak. That
//! it is signed by the Console's issuer is the TLS layer's business and proves nothing of this.

use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, SensorId};

use super::noted::{Fingerprint, Noted};
use super::{Console, ServiceError};
use crate::db::certificates::{self, CertificateRecord};
use crate::db::{DbError, Tx, audit, sensors, settings};
use crate::domain::Refusal;
use crate::domain::audit::{Action, AuditEntry, AuditOutcome, Detail, Origin};
use crate::domain::credential::{self, Age, Purpose};
use crate::domain::sensor::SensorRecord;
use crate::domain::setting::Setting;

/// Who shows an accepted certificate.
pub(super) struct Holder {
    pub certificate: CertificateRecord,
    pub sensor: SensorRecord,
    pub age: Age,
}

impl Console {
    /// Runs a sensor's call in a transaction, as the fingerprint of its certificate and this moment. Where the certificate
    /// is refused, that is audited.
    pub(super) async fn sensor_call<T: Send + 'static>(
        &self,
        certificate: &[u8],
        origin: &Origin,
        call: impl FnOnce(&mut dyn Tx, &Fingerprint, i64) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (now, shown) = (self.now(), fingerprint(certificate));
        let done = self.db().write(move |tx| call(tx, &shown, now)).await;
        if let Err(ServiceError::Refused(refusal)) = &done
            && is_worth_noting(refusal)
            && self.noted().is_due(&shown, now)
        {
            let (refusal, origin) = (refusal.clone(), origin.clone());
            self.db().write(move |tx| note(tx, &shown, &refusal, &origin, now)).await?;
        }
        done
    }
}

pub(super) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// Whose certificate this is, if it is accepted for any call but a renewal.
/// Errors: `invalid_sensor_trust`, `certificate_expired`, `sensor_revoked`, `sensor_disabled`.
pub(super) fn accept(tx: &mut dyn Tx, shown: &Fingerprint, now: i64) -> Result<Holder, ServiceError> {
    admit(tx, shown, Purpose::Call, now)
}

/// The same for a renewal, which an expired certificate may ask for.
/// Errors: the same without `certificate_expired`.
pub(super) fn accept_renewal(tx: &mut dyn Tx, shown: &Fingerprint, now: i64) -> Result<Holder, ServiceError> {
    let purpose = renew_or_prove(tx)?;
    admit(tx, shown, purpose, now)
}

/// The sensor whose key an enrollment proves (docs/contract.md section 4); a certificate that proves none is no error, and is
/// audited in this transaction.
pub(super) fn proved(
    tx: &mut dyn Tx,
    shown: &Fingerprint,
    noted: &Noted,
    origin: &Origin,
    now: i64,
) -> Result<Option<SensorId>, ServiceError> {
    match accept_renewal(tx, shown, now) {
        Ok(holder) => Ok(Some(holder.sensor.id)),
        Err(ServiceError::Refused(refusal)) => {
            if is_worth_noting(&refusal) && noted.is_due(shown, now) {
                note(tx, shown, &refusal, origin, now)?;
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn renew_or_prove(tx: &mut dyn Tx) -> Result<Purpose, DbError> {
    Ok(Purpose::RenewOrProve { late: settings::number(tx, Setting::RenewExpiredHours)? * 3600 })
}

fn admit(tx: &mut dyn Tx, shown: &Fingerprint, purpose: Purpose, now: i64) -> Result<Holder, ServiceError> {
    let Some(certificate) = certificates::by_fingerprint(tx, shown)? else {
        return Err(credential::unknown_certificate().into());
    };
    let sensor =
        sensors::by_id(tx, certificate.sensor_id)?.ok_or(DbError::Missing("sensor of this certificate"))?;
    let age = credential::judge(&certificate.credential(), sensor.standing, purpose, now)?;
    Ok(Holder { certificate, sensor, age })
}

/// Whether a refusal is about a certificate that is unknown, replaced, or of a revoked sensor.
fn is_worth_noting(refusal: &Refusal) -> bool {
    [ErrorCode::InvalidSensorTrust, ErrorCode::SensorRevoked].contains(&refusal.code)
}

fn note(
    tx: &mut dyn Tx,
    shown: &Fingerprint,
    refusal: &Refusal,
    origin: &Origin,
    now: i64,
) -> Result<(), ServiceError> {
    let known = certificates::by_fingerprint(tx, shown)?;
    let detail = Detail::new()
        .with("reason", refusal.code)
        .with("certificate_sha256", hex(shown))
        .maybe("certificate_serial", known.as_ref().map(|known| &known.serial));
    let sensor_id = known.map(|known| known.sensor_id);
    let (action, outcome) = (Action::CertificateRefused, AuditOutcome::Failure);
    Ok(audit::append(tx, &AuditEntry { action, outcome, sensor_id, detail }, origin, now)?)
}
