//! The one place that decides what a client certificate shown in the handshake is good for (docs/contract.md section 2).
//!
//! Invariant: it is accepted only when this Console handed it out, no newer one took its place, and its sensor may speak. That
//! it is signed by the Console's issuer is the TLS layer's business and proves nothing of this, but after a restore (`restore`).

use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, SensorId};

use super::noted::Noted;
use super::shown::Shown;
use super::{Console, ServiceError, restore};
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
    /// Runs a sensor's call in a transaction, with its certificate and this moment. Where the certificate is refused, that is
    /// audited; where an operator has to look at its sensor first, that is put on the list.
    pub(super) async fn sensor_call<T: Send + 'static>(
        &self,
        certificate: &[u8],
        origin: &Origin,
        call: impl FnOnce(&mut dyn Tx, &Shown, i64) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (now, shown) = (self.now(), Shown::new(certificate, self.authority()?, origin));
        let called = shown.clone();
        let done = self.db().write(move |tx| call(tx, &called, now)).await;
        let Err(ServiceError::Refused(refusal)) = &done else { return done };
        if refusal.code == ErrorCode::SensorApprovalPending {
            self.db().write(move |tx| restore::put_on_list(tx, &shown, now)).await?;
        } else if is_worth_noting(refusal) && self.noted().is_due(&shown.fingerprint, now) {
            let refusal = refusal.clone();
            self.db().write(move |tx| note(tx, &shown, &refusal, now)).await?;
        }
        done
    }
}

/// Whose certificate this is, if it is accepted for any call but a renewal.
/// Errors: `invalid_sensor_trust`, `certificate_expired`, `sensor_revoked`, `sensor_disabled`, `sensor_approval_pending`.
pub(super) fn accept(tx: &mut dyn Tx, shown: &Shown, now: i64) -> Result<Holder, ServiceError> {
    admit(tx, shown, Purpose::Call, now)
}

/// The same for a renewal, which an expired certificate may ask for.
/// Errors: the same without `certificate_expired`.
pub(super) fn accept_renewal(tx: &mut dyn Tx, shown: &Shown, now: i64) -> Result<Holder, ServiceError> {
    let purpose = renew_or_prove(tx)?;
    admit(tx, shown, purpose, now)
}

/// The sensor whose key an enrollment proves (docs/contract.md section 4); a certificate that proves none is no error, and is
/// audited in this transaction.
pub(super) fn proved(
    tx: &mut dyn Tx,
    shown: &Shown,
    noted: &Noted,
    now: i64,
) -> Result<Option<SensorId>, ServiceError> {
    match accept_renewal(tx, shown, now) {
        Ok(holder) => Ok(Some(holder.sensor.id)),
        Err(ServiceError::Refused(refusal)) => {
            if is_worth_noting(&refusal) && noted.is_due(&shown.fingerprint, now) {
                note(tx, shown, &refusal, now)?;
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn renew_or_prove(tx: &mut dyn Tx) -> Result<Purpose, DbError> {
    Ok(Purpose::RenewOrProve { late: settings::number(tx, Setting::RenewExpiredHours)? * 3600 })
}

fn admit(tx: &mut dyn Tx, shown: &Shown, purpose: Purpose, now: i64) -> Result<Holder, ServiceError> {
    let certificate = match certificates::by_fingerprint(tx, &shown.fingerprint)? {
        Some(known) => known,
        None => restore::adopt(tx, shown, purpose, now)?,
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

fn note(tx: &mut dyn Tx, shown: &Shown, refusal: &Refusal, now: i64) -> Result<(), ServiceError> {
    let known = certificates::by_fingerprint(tx, &shown.fingerprint)?;
    let detail = Detail::new()
        .with("reason", refusal.code)
        .with("certificate_sha256", hex(&shown.fingerprint))
        .maybe("certificate_serial", known.as_ref().map(|known| &known.serial));
    let sensor_id = known.map(|known| known.sensor_id);
    let (action, outcome) = (Action::CertificateRefused, AuditOutcome::Failure);
    Ok(audit::append(tx, &AuditEntry { action, outcome, sensor_id, detail }, &shown.origin, now)?)
}
