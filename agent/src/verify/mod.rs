//! Looks at what claims to be an identity, and says whether it is one.
//!
//! Invariant: [`check`] is the one way to a [`Verified`], and nothing else can be stored, used or published. The same
//! look is taken at an answer of the Console and at files that come back from the disk, because time passes and disks
//! lie. The chain is judged by the verifier that TLS servers use (rustls-webpki).

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use telovix_contract::SensorId;
use telovix_contract::token::hex;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::*;

use crate::config::pem;
use crate::key::KeyPair;
use crate::tls::words;

/// Most certificates that a chain or a CA bundle may hold.
pub(crate) const MAX_CERTIFICATES: usize = 16;

/// The times that a life is cut to: years 1 and 9999, in Unix seconds. A certificate without a defined end says
/// 99991231235959Z (RFC 5280 section 4.1.2.5), which is more than a [`Timestamp`] holds.
const EARLIEST: i64 = -62_135_596_800;
const LATEST: i64 = 253_370_764_800;

/// What somebody says is an identity: the answer of a Console, or files. Not trusted.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Whose identity it is said to be; where nothing is said, the certificate says it.
    pub sensor_id: Option<SensorId>,
    /// The client certificate in PEM, issuers after it.
    pub certificate_pem: &'a str,
    /// The Console's CA in PEM.
    pub ca_pem: &'a str,
    /// The key that signs policies, in PEM; blank where there is none.
    pub policy_key_pem: &'a str,
    /// Whether the certificate itself has to say whose it is.
    pub naming: Naming,
}

/// Whether a certificate has to name its sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It has to: what a Console issues does (docs/contract.md section 3).
    Required,
    /// What is beside it may say so instead: files that this agent did not make (docs/contract.md section 7).
    Beside,
}

/// An identity that holds together: our key, the Console's chain, in force now, for this sensor.
#[derive(Debug)]
pub struct Verified {
    sensor_id: SensorId,
    naming: Naming,
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
    ca: Vec<CertificateDer<'static>>,
    pem: VerifiedPem,
    not_before: Timestamp,
    not_after: Timestamp,
    serial: Vec<u8>,
}

/// The same as text, written anew from the bytes that were checked: what stood around them does not get onto the disk.
#[derive(Debug)]
struct VerifiedPem {
    certificate: String,
    ca: String,
    policy_key: String,
}

/// Why a claim is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A part is not PEM of the right kind, or is empty.
    #[error("{part} cannot be read: {problem}")]
    Unreadable {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate is for another key than ours.
    #[error("the certificate is for another key than the one that this host made")]
    OtherKey,
    /// The certificate's life has not begun by this host's clock.
    #[error("the certificate is not valid before {not_before}, and this host's clock says {now}")]
    NotYetValid {
        /// Start of its life.
        not_before: Timestamp,
        /// End of its life.
        not_after: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// The certificate's life is over by this host's clock.
    #[error("the certificate expired at {not_after}, and this host's clock says {now}")]
    Expired {
        /// Start of its life.
        not_before: Timestamp,
        /// End of its life.
        not_after: Timestamp,
        /// This host's time.
        now: Timestamp,
    },
    /// The certificate is a CA's.
    #[error("the certificate is a CA's (basicConstraints CA:TRUE), which a sensor's must not be")]
    IsCa,
    /// The certificate allows more than a TLS client may.
    #[error("the certificate also allows {0}, which a sensor's must not")]
    TooMuch(&'static str),
    /// The certificate may not be used by a TLS client.
    #[error("the certificate does not allow client authentication (extendedKeyUsage clientAuth is missing)")]
    NotForClients,
    /// The certificate does not chain to the CA that came with it.
    #[error("the certificate does not chain to the Console CA that came with it: {cause}")]
    Chain {
        /// The verifier's word.
        cause: String,
    },
    /// The certificate names no sensor, or several.
    #[error("the certificate names {found} sensors in its subject alternative name instead of one")]
    SensorUris {
        /// How many.
        found: usize,
    },
    /// The certificate names another sensor than the answer.
    #[error("the certificate is for sensor {in_certificate}, but the answer says {in_answer}")]
    OtherSensor {
        /// The id in the certificate's URI.
        in_certificate: SensorId,
        /// The id beside it.
        in_answer: SensorId,
    },
}

impl VerifyError {
    /// Whether the claim would be an identity at another time: the clock, or its age, is to blame.
    pub fn is_about_time(&self) -> bool {
        self.life().is_some()
    }

    /// The certificate's life, where only that is what failed.
    pub fn life(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::NotYetValid { not_before, not_after, .. } | Self::Expired { not_before, not_after, .. } => {
                Some((*not_before, *not_after))
            }
            Self::Unreadable { .. }
            | Self::OtherKey
            | Self::IsCa
            | Self::TooMuch(_)
            | Self::NotForClients
            | Self::Chain { .. }
            | Self::SensorUris { .. }
            | Self::OtherSensor { .. } => None,
        }
    }
}

/// Looks at a claim, with the key that it has to be for, at the time `now`.
///
/// # Errors
/// The first [`VerifyError`] found, in the order: readable, our key, dates, uses, chain, sensor id.
pub fn check(claim: Claim<'_>, key: KeyPair, now: Timestamp) -> Result<Verified, VerifyError> {
    let chain = certificates("the certificate", claim.certificate_pem)?;
    let ca = certificates("the Console's CA", claim.ca_pem)?;
    let policy_key = policy_key(claim.policy_key_pem)?;
    let unreadable = |problem: String| VerifyError::Unreadable { part: "the certificate", problem };
    let (_, leaf) = X509Certificate::from_der(&chain[0])
        .map_err(|_| unreadable("not an X.509 certificate".to_owned()))?;
    if leaf.public_key().raw != key.public_der() {
        return Err(VerifyError::OtherKey);
    }
    let (not_before, not_after) =
        dates(&leaf).ok_or_else(|| unreadable("invalid validity period".to_owned()))?;
    if now < not_before {
        return Err(VerifyError::NotYetValid { not_before, not_after, now });
    }
    if now > not_after {
        return Err(VerifyError::Expired { not_before, not_after, now });
    }
    check_usage(&leaf)?;
    check_chain(&chain, &ca, now)?;
    let (in_certificate, naming) = match (sensor_of(&leaf), claim.sensor_id, claim.naming) {
        (Err(VerifyError::SensorUris { found: 0 }), Some(beside), Naming::Beside) => (beside, Naming::Beside),
        (named, _, _) => (named?, Naming::Required),
    };
    if let Some(in_answer) = claim.sensor_id.filter(|said| *said != in_certificate) {
        return Err(VerifyError::OtherSensor { in_certificate, in_answer });
    }
    let serial = leaf.raw_serial().to_vec();
    let pem = VerifiedPem {
        certificate: written(&chain),
        ca: written(&ca),
        policy_key: policy_key.map_or_else(String::new, |der| pem::encode(pem::PUBLIC_KEY, &der)),
    };
    Ok(Verified { sensor_id: in_certificate, naming, key, chain, ca, pem, not_before, not_after, serial })
}

fn certificates(part: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let unreadable = |problem: &str| VerifyError::Unreadable { part, problem: problem.to_owned() };
    let found: Vec<CertificateDer<'static>> = pem::blocks(pem::CERTIFICATE, text)
        .take(MAX_CERTIFICATES + 1)
        .map(|block| block.map(CertificateDer::from))
        .collect::<Result<_, _>>()
        .map_err(|malformed| unreadable(&malformed.to_string()))?;
    match found.len() {
        0 => Err(unreadable("no certificate in PEM there")),
        1..=MAX_CERTIFICATES => Ok(found),
        _ => Err(unreadable("more certificates than a chain can have")),
    }
}

fn written(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect()
}

/// The DER of a policy key, which has to be Ed25519 (RFC 8410); the agent only keeps it for the sensor's other parts. A
/// blank text is none.
pub fn policy_key(text: &str) -> Result<Option<Vec<u8>>, VerifyError> {
    let unreadable = |problem: &str| VerifyError::Unreadable {
        part: "the policy signing key",
        problem: problem.to_owned(),
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let Some(Ok(der)) = pem::blocks(pem::PUBLIC_KEY, text).next() else {
        return Err(unreadable("no public key in PEM there"));
    };
    let (rest, key) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| unreadable("not a public key"))?;
    let is_ed25519 = key.algorithm.algorithm == oid_registry::OID_SIG_ED25519;
    if rest.is_empty() && is_ed25519 && key.subject_public_key.data.len() == 32 {
        Ok(Some(der))
    } else {
        Err(unreadable("not an Ed25519 key"))
    }
}

/// Whether a certificate is for this key.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, leaf)| leaf.public_key().raw == key.public_der())
}

fn dates(leaf: &X509Certificate<'_>) -> Option<(Timestamp, Timestamp)> {
    let validity = leaf.validity();
    let at = |seconds: i64| Timestamp::from_second(seconds.clamp(EARLIEST, LATEST)).ok();
    let (from, until) = (at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?);
    (from < until).then_some((from, until))
}

fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), VerifyError> {
    let unreadable = |_| VerifyError::Unreadable {
        part: "the certificate",
        problem: "an extension is there twice or malformed".to_owned(),
    };
    if leaf.basic_constraints().map_err(unreadable)?.is_some_and(|found| found.value.ca) {
        return Err(VerifyError::IsCa);
    }
    if let Some(usage) = leaf.key_usage().map_err(unreadable)?
        && (usage.value.key_cert_sign() || usage.value.crl_sign())
    {
        return Err(VerifyError::TooMuch("signing certificates or revocation lists (keyUsage)"));
    }
    let usage = leaf.extended_key_usage().map_err(unreadable)?.map(|usage| usage.value);
    let usage = usage.filter(|usage| usage.client_auth || usage.any).ok_or(VerifyError::NotForClients)?;
    for (is_there, what) in [
        (usage.any, "any use (extendedKeyUsage any)"),
        (usage.server_auth, "posing as a server (extendedKeyUsage serverAuth)"),
        (usage.code_signing, "signing code (extendedKeyUsage codeSigning)"),
        (usage.time_stamping, "time stamps (extendedKeyUsage timeStamping)"),
        (usage.ocsp_signing, "signing revocation answers (extendedKeyUsage OCSPSigning)"),
    ] {
        if is_there {
            return Err(VerifyError::TooMuch(what));
        }
    }
    Ok(())
}

fn check_chain(
    chain: &[CertificateDer<'static>],
    ca: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<(), VerifyError> {
    let failed = |cause: webpki::Error| VerifyError::Chain { cause: reason(&cause) };
    let anchors =
        ca.iter()
            .map(|der| webpki::anchor_from_trusted_cert(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| VerifyError::Unreadable { part: "the Console's CA", problem: reason(&cause) })?;
    let leaf = EndEntityCert::try_from(&chain[0]).map_err(failed)?;
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    leaf.verify_for_usage(
        crate::tls::provider().signature_verification_algorithms.all,
        &anchors,
        &chain[1..],
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
        KeyUsage::client_auth(),
        None,
        None,
    )
    .map(|_| ())
    .map_err(failed)
}

/// Why a chain does not hold, in words.
fn reason(cause: &webpki::Error) -> String {
    use webpki::Error as E;
    let said = if matches!(cause, E::UnknownIssuer) {
        "its issuer is not among them"
    } else if matches!(cause, E::InvalidSignatureForPublicKey) {
        "its signature is not by the key of its issuer"
    } else if matches!(cause, E::CertExpired { .. } | E::CertNotValidYet { .. }) {
        "a certificate of the chain is not valid at this time"
    } else {
        return words(&format!("{cause:?}"));
    };
    said.to_owned()
}

fn sensor_of(leaf: &X509Certificate<'_>) -> Result<SensorId, VerifyError> {
    let names = leaf.subject_alternative_name().map_err(|_| VerifyError::SensorUris { found: 0 })?;
    let ids: Vec<SensorId> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { SensorId::from_uri(uri) } else { None })
        .collect();
    match ids[..] {
        [id] => Ok(id),
        _ => Err(VerifyError::SensorUris { found: ids.len() }),
    }
}

impl Verified {
    /// Whose identity it is.
    pub fn sensor_id(&self) -> SensorId {
        self.sensor_id
    }

    /// Whether its certificate names the sensor, as its successor's then has to.
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// The private key.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The Console's CA certificates: after enrollment, the only ones trusted (docs/contract.md section 2).
    pub fn ca(&self) -> &[CertificateDer<'static>] {
        &self.ca
    }

    /// The chain in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem.certificate
    }

    /// The CA in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.pem.ca
    }

    /// The policy key in PEM; empty where there is none.
    pub fn policy_key_pem(&self) -> &str {
        &self.pem.policy_key
    }

    /// Start of the certificate's life.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of the certificate's life.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The certificate's serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The certificate's serial number as `openssl x509 -serial` shows it, in lower case.
    pub fn serial_hex(&self) -> String {
        hex(&self.serial)
    }
}

#[cfg(test)]
mod tests;
