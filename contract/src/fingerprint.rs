//! The pinned fingerprint of a Console CA (docs/contract.md section 2, point 2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::token::{hex, unhex};

/// `sha256:` and 64 hex digits: SHA-256 of a CA certificate's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaFingerprint([u8; 32]);

impl CaFingerprint {
    /// The fingerprint of this certificate.
    pub fn of_der(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a CA fingerprint is `sha256:` followed by 64 hex digits, as `setup` and the Deploy Sensor page print it"
)]
pub struct InvalidFingerprint;

impl FromStr for CaFingerprint {
    type Err = InvalidFingerprint;
    /// Also reads the colon-separated form of `openssl x509 -fingerprint -sha256` after the prefix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidFingerprint)?;
        let plain =
            if digits.len() == 95 { digits.split(':').collect::<String>() } else { digits.to_owned() };
        unhex(&plain).map(Self).map_err(|_| InvalidFingerprint)
    }
}

impl fmt::Display for CaFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl TryFrom<String> for CaFingerprint {
    type Error = InvalidFingerprint;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CaFingerprint> for String {
    fn from(fingerprint: CaFingerprint) -> Self {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_what_openssl_prints() {
        let fingerprint = CaFingerprint::of_der(b"certificate");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        let digits = fingerprint.to_string()[7..].to_uppercase();
        let pairs: Vec<&str> = (0..32).map(|n| &digits[2 * n..2 * n + 2]).collect();
        assert_eq!(format!("sha256:{}", pairs.join(":")).parse(), Ok(fingerprint));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in
            ["", "sha256:", "sha1:00", "sha256:zz", &"0".repeat(64), &format!("sha256:{}", "0".repeat(63))]
        {
            assert!(bad.parse::<CaFingerprint>().is_err(), "{bad:?} was taken");
        }
    }
}
