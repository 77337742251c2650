//! Which client certificate is believed, and what a renewal leads to (docs/contract.md section 3).
//!
//! Invariant: the rules about a certificate that was handed out stand here alone. They are given what the database knows and
//! change nothing; whoever carries them out does so in the transaction that the facts were read in.

use telovix_contract::ErrorCode;

use super::Refusal;
use super::enroll::{disabled, revoked};
use super::sensor::Standing;

/// Seconds that a superseded certificate keeps working unless its successor is seen first (docs/contract.md section 3).
pub const OVERLAP: i64 = 3600;

/// A certificate that was handed out, as far as rules hang on it. Times are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Position among its sensor's certificates, counted from one.
    pub generation: i64,
    /// SHA-256 of its public key.
    pub spki: [u8; 32],
    /// When it ends.
    pub not_after: i64,
    /// Its first heartbeat.
    pub first_seen_at: Option<i64>,
    /// When it stops working because a newer one was handed out; absent for the newest.
    pub overlap_until: Option<i64>,
}

/// What a request for a renewal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// The newest certificate, again: it was made for this key, and nobody has used it.
    Same,
    /// A new one.
    New,
}

impl Credential {
    /// Whether a newer one has taken its place.
    pub(crate) fn is_superseded(&self, now: i64) -> bool {
        self.overlap_until.is_some_and(|until| now >= until)
    }
}

/// Whether a certificate is in its time and its sensor may speak, be it superseded or not.
/// Errors: `invalid_sensor_trust`, `sensor_revoked`, `sensor_disabled`.
pub fn check_handed_out(presented: &Credential, standing: Standing, now: i64) -> Result<(), Refusal> {
    if now >= presented.not_after {
        return Err(untrusted("The certificate has expired; enroll again."));
    }
    match standing {
        Standing::Active | Standing::Decommissioned => Ok(()),
        Standing::Revoked => Err(revoked()),
        Standing::Disabled => Err(disabled()),
    }
}

/// Whether a certificate is to be believed.
/// Errors: as [`check_handed_out`]; `invalid_sensor_trust` when a newer one has taken its place.
pub fn check_in_force(presented: &Credential, standing: Standing, now: i64) -> Result<(), Refusal> {
    check_handed_out(presented, standing, now)?;
    if presented.is_superseded(now) {
        return Err(untrusted("A newer certificate has taken this one's place; use it, or enroll again."));
    }
    Ok(())
}

/// Whether this is a superseded certificate with the request that superseded it, whose answer nobody has used: then it is
/// answered again, so that a lost answer and a long outage together lose no host.
pub fn repeats_late(
    presented: &Credential,
    newest: Option<&Credential>,
    standing: Standing,
    spki: &[u8; 32],
    now: i64,
) -> bool {
    let unseen = newest.filter(|newest| newest.first_seen_at.is_none() && newest.overlap_until.is_none());
    standing == Standing::Active
        && presented.is_superseded(now)
        && unseen.is_some_and(|newest| newest.spki == *spki && newest.generation == presented.generation + 1)
}

/// What the holder of a certificate gets that is believed, or repeats late.
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

/// The refusal for a certificate that is not to be believed, and for none at all.
pub fn untrusted(message: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidSensorTrust, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Credential = Credential {
        generation: 1,
        spki: [1; 32],
        not_after: 9000,
        first_seen_at: Some(10),
        overlap_until: Some(100 + OVERLAP),
    };
    const NEW: Credential = Credential {
        generation: 2,
        spki: [2; 32],
        not_after: 9900,
        first_seen_at: None,
        overlap_until: None,
    };

    fn code(result: Result<(), Refusal>) -> Option<ErrorCode> {
        result.err().map(|refusal| refusal.code)
    }

    /// docs/contract.md section 3: the old certificate works for an hour, and to the end of its time.
    #[test]
    fn section_3_a_certificate_works_until_its_overlap_or_its_time_is_over() {
        let at = |now| code(check_in_force(&OLD, Standing::Active, now));
        assert_eq!([at(0), at(99 + OVERLAP)], [None, None]);
        assert_eq!(at(100 + OVERLAP), Some(ErrorCode::InvalidSensorTrust));
        assert_eq!(code(check_handed_out(&OLD, Standing::Active, 8999)), None);
        assert_eq!(code(check_handed_out(&NEW, Standing::Active, 9900)), Some(ErrorCode::InvalidSensorTrust));
        assert_eq!(code(check_in_force(&NEW, Standing::Decommissioned, 0)), None);
        assert_eq!(code(check_in_force(&NEW, Standing::Disabled, 0)), Some(ErrorCode::SensorDisabled));
        assert_eq!(code(check_in_force(&NEW, Standing::Revoked, 0)), Some(ErrorCode::SensorRevoked));
    }

    #[test]
    fn section_3_only_the_request_that_superseded_is_answered_late_and_only_while_nobody_used_the_answer() {
        let late = 100 + OVERLAP;
        let asks = |newest: Option<&Credential>, standing, key, now| {
            repeats_late(&OLD, newest, standing, &[key; 32], now)
        };
        assert!(asks(Some(&NEW), Standing::Active, 2, late));
        assert!(!asks(Some(&NEW), Standing::Active, 2, late - 1), "it is believed still");
        assert!(!asks(Some(&NEW), Standing::Active, 3, late), "another key");
        assert!(!asks(Some(&NEW), Standing::Decommissioned, 2, late));
        assert!(!asks(None, Standing::Active, 2, late));
        for newest in [
            Credential { first_seen_at: Some(200), ..NEW },
            Credential { overlap_until: Some(300), ..NEW },
            Credential { generation: 3, ..NEW },
        ] {
            assert!(!asks(Some(&newest), Standing::Active, 2, late), "{newest:?}");
        }
    }

    #[test]
    fn section_3_the_same_request_gets_the_same_certificate_until_somebody_used_it() {
        let asks = |newest: &Credential, key| succession(&OLD, Some(newest), &[key; 32]).ok();
        assert_eq!(asks(&NEW, 2), Some(Succession::Same));
        assert_eq!(asks(&NEW, 3), Some(Succession::New));
        assert_eq!(asks(&Credential { first_seen_at: Some(200), ..NEW }, 2), Some(Succession::New));
        assert_eq!(asks(&NEW, 1), None, "the key that it has");
    }
}
