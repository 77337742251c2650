//! The certificate authority: a root, issuers under it, and what they sign.
//!
//! Invariant: what a certificate says is decided here and nowhere else. Of a certificate request only the public key is
//! taken, after its signature and the common name have been checked ([`csr`]); a client certificate grants one thing,
//! being the client named in its URI (`issue`). The hierarchy itself is made by set-up (`hierarchy`), and
//! [`Authority`] is what a running server holds of it.

mod authority;
pub mod csr;
pub(crate) mod hierarchy;
mod issue;
mod recognize;

pub use authority::Authority;
pub(crate) use authority::{LoadError, issuer_record};
pub(crate) use recognize::Recognized;

use rcgen::SerialNumber;
use rustls_pki_types::CertificateDer;
use telovix_contract::token::hex;
use time::OffsetDateTime;

/// What the CA could not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CaError {
    /// The library that encodes and signs reported a failure.
    #[error("a certificate could not be made: {0}")]
    Encode(String),
    /// The random generator gave nothing.
    #[error("the system gave no random bytes")]
    Random,
    /// The database holds no usable authority.
    #[error("the database holds no {0}; run `setup`")]
    Missing(&'static str),
    /// The database holds something that is not the key or certificate that belongs there.
    #[error("the {0} in the database cannot be read")]
    Unreadable(&'static str),
    /// A name that cannot stand in a certificate.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    BadName(String),
    /// The issuer's own time is over.
    #[error("the issuer's certificate has expired")]
    IssuerExpired,
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Encode(error.to_string())
    }
}

/// Fills a buffer from the system's secure random source.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CaError::Random)?;
    Ok(bytes)
}

pub(crate) fn certificate_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() * 65 / 64 + 60);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, left) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = left;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A certificate as it leaves the CA.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// Its serial number in hex.
    pub serial: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

/// Seconds that the life of a certificate which lasts `life` seconds starts before it is made, for clocks that are behind:
/// five minutes or a tenth of it, whichever is shorter (docs/contract.md section 3).
fn backdate(life: i64) -> i64 {
    (life / 10).min(5 * 60)
}

/// A random positive serial number of 128 bits (docs/contract.md section 3; RFC 5280 section 4.1.2.2).
fn serial() -> Result<(SerialNumber, String), CaError> {
    let mut bytes = random::<16>()?;
    // The first bit is the sign in DER, and a leading zero would be cut off.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok((SerialNumber::from_slice(&bytes), hex(&bytes)))
}

fn moment(seconds: i64) -> Result<OffsetDateTime, CaError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| CaError::Encode(error.to_string()))
}
