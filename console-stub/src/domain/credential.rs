//! What a presented client certificate is good for, and what a renewal leads to (docs/contract.md sections 2 and 3).
//!
//! Invariant: the rules about a certificate that was handed out stand here alone. They are given what the database knows and
//! change nothing; whoever carries them out does so in the transaction that the facts were read in.

use telovix_contract::ErrorCode;

use super::Refusal;
use super::enroll::{disabled, revoked};
use super::sensor::Standing;

/// A certificate that was handed out, as far as rules hang on it. Times are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credential {
    /// SHA-256 of its public key.
    pub spki: [u8; 32],
    /// When it ends.
    pub not_after: i64,
    /// Its first call.
    pub first_seen_at: Option<i64>,
    /// When a newer one took its place for good: a successor was seen, or another one followed before it was seen itself.
    pub ended_at: Option<i64>,
}

/// What a certificate is presented for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Any call but the next two.
    Call,
    /// To renew it, or to prove at enrollment that the host holds its key; so many seconds after its end at most.
    RenewOrProve {
        /// `renew_expired_hours`, in seconds.
        late: i64,
    },
}

/// How an accepted certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Before its end. A certificate of the future is one that this Console made while its own clock was ahead.
    Valid,
    /// Past it.
    Expired,
}

/// What a request for a renewal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// The newest certificate, again: it was made for this key, and nobody has used it.
    Same,
    /// A new one.
    New,
}

/// Whether a certificate that was handed out is accepted. All that is not allowed here is refused.
/// Errors: `sensor_revoked`, `sensor_disabled`; `invalid_sensor_trust` when a newer one has taken its place, or it ended too
/// long ago for this purpose; `certificate_expired` when only a renewal accepts it.
pub fn judge(presented: &Credential, standing: Standing, purpose: Purpose, now: i64) -> Result<Age, Refusal> {
    match standing {
        Standing::Active | Standing::Decommissioned => {}
        Standing::Revoked => return Err(revoked()),
        Standing::Disabled => return Err(disabled()),
    }
    if presented.ended_at.is_some() {
        return Err(untrusted("A newer certificate has replaced this one; use it, or enroll again."));
    }
    let over = now - presented.not_after;
    if over < 0 {
        return Ok(Age::Valid);
    }
    match purpose {
        Purpose::RenewOrProve { late } if over < late => Ok(Age::Expired),
        Purpose::RenewOrProve { .. } => {
            Err(untrusted("The certificate expired too long ago to be renewed; enroll again."))
        }
        Purpose::Call => {
            let message =
                "The certificate has expired; renew it, which this Console may still allow, or enroll again.";
            Err(Refusal::new(ErrorCode::CertificateExpired, message))
        }
    }
}

/// What the holder of an accepted certificate gets.
/// Errors: `invalid_csr` where the request is for the key that the certificate has already.
pub fn succession(
    presented: &Credential,
    newest: Option<&Credential>,
    spki: &[u8; 32],
) -> Result<Succession, Refusal> {
    if presented.spki == *spki {
        return Err(request_not_taken("a renewal is for a new key"));
    }
    let repeated = newest.is_some_and(|newest| newest.spki == *spki && newest.first_seen_at.is_none());
    Ok(if repeated { Succession::Same } else { Succession::New })
}

pub(crate) fn request_not_taken(why: &str) -> Refusal {
    let message = format!("The certificate request is not taken: {why}; make a new one.");
    Refusal::new(ErrorCode::InvalidCsr, message)
}

/// The refusal for a certificate that this Console never handed out.
pub(crate) fn unknown_certificate() -> Refusal {
    untrusted("This Console does not know the certificate; enroll again.")
}

/// The refusal for a sensor's call that showed no certificate.
pub(crate) fn certificate_required() -> Refusal {
    let message = "The call arrived without the sensor's client certificate; show it in the TLS handshake, and let \
                   nothing between host and Console end TLS.";
    Refusal::new(ErrorCode::ClientCertificateRequired, message)
}

fn untrusted(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidSensorTrust, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Credential =
        Credential { spki: [1; 32], not_after: 9000, first_seen_at: Some(10), ended_at: None };
    const UNSEEN: Credential =
        Credential { spki: [2; 32], not_after: 9900, first_seen_at: None, ended_at: None };
    const RENEW: Purpose = Purpose::RenewOrProve { late: 100 };

    fn code(presented: &Credential, standing: Standing, purpose: Purpose, now: i64) -> Option<ErrorCode> {
        judge(presented, standing, purpose, now).err().map(|refusal| refusal.code)
    }

    #[test]
    fn section_3_a_certificate_works_to_its_end_and_renews_for_a_while_after_it() {
        let at = |purpose, now| judge(&HELD, Standing::Active, purpose, now).ok();
        assert_eq!([at(Purpose::Call, -5), at(Purpose::Call, 8999)], [Some(Age::Valid); 2]);
        assert_eq!([at(RENEW, 8999), at(RENEW, 9000)], [Some(Age::Valid), Some(Age::Expired)]);
        assert_eq!([at(RENEW, 9099), at(RENEW, 9100)], [Some(Age::Expired), None]);
        let refused = |purpose, now| code(&HELD, Standing::Active, purpose, now);
        assert_eq!(refused(Purpose::Call, 9000), Some(ErrorCode::CertificateExpired));
        assert_eq!(refused(RENEW, 9100), Some(ErrorCode::InvalidSensorTrust));
        let never = Purpose::RenewOrProve { late: 0 };
        assert_eq!((refused(never, 8999), refused(never, 9000)), (None, Some(ErrorCode::InvalidSensorTrust)));
    }

    #[test]
    fn section_3_neither_a_replaced_certificate_nor_one_of_a_barred_sensor_is_accepted_for_anything() {
        let ended = Credential { ended_at: Some(50), ..HELD };
        for purpose in [Purpose::Call, RENEW] {
            for now in [0, 9050] {
                let barred = |standing| code(&HELD, standing, purpose, now);
                assert_eq!(code(&ended, Standing::Active, purpose, now), Some(ErrorCode::InvalidSensorTrust));
                assert_eq!(barred(Standing::Revoked), Some(ErrorCode::SensorRevoked));
                assert_eq!(barred(Standing::Disabled), Some(ErrorCode::SensorDisabled));
            }
        }
        assert_eq!(code(&UNSEEN, Standing::Decommissioned, Purpose::Call, 0), None);
    }

    #[test]
    fn section_3_the_same_request_gets_the_same_certificate_until_somebody_used_it() {
        let asks = |newest: &Credential, key| succession(&HELD, Some(newest), &[key; 32]).ok();
        assert_eq!(asks(&UNSEEN, 2), Some(Succession::Same));
        assert_eq!(asks(&UNSEEN, 3), Some(Succession::New));
        assert_eq!(asks(&Credential { first_seen_at: Some(200), ..UNSEEN }, 2), Some(Succession::New));
        assert_eq!(asks(&UNSEEN, 1), None, "the key that it has");
    }
}
