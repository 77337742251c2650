//! Makes the CA of a new Console: a root for ten years, and an issuer under it for five.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::{CaError, Issued, backdate, moment, serial};

const DAY: i64 = 24 * 3600;
/// Life of the root in seconds: ten years.
const ROOT_LIFE: i64 = 3652 * DAY;
/// Life of an issuer in seconds: five years, at most the root's rest.
const ISSUER_LIFE: i64 = 1826 * DAY;

#[derive(Debug)]
pub(crate) struct MadeCa {
    pub certificate: Issued,
    /// Its key, PKCS #8.
    pub private_key: Zeroizing<Vec<u8>>,
}

/// Makes a root, which signs issuers only.
pub(crate) fn root(now: i64) -> Result<MadeCa, CaError> {
    let key = KeyPair::generate()?;
    let (mut params, serial) = ca_params("Telovix Console Root CA", BasicConstraints::Constrained(1))?;
    let (not_before, not_after) = (now - backdate(ROOT_LIFE), now + ROOT_LIFE);
    params.not_before = moment(not_before)?;
    params.not_after = moment(not_after)?;
    let der = params.self_signed(&key)?.der().clone();
    Ok(made(&key, Issued { der, serial, not_before, not_after }))
}

/// Makes an issuer under this root.
/// Errors: [`CaError`]; [`CaError::IssuerExpired`] when the root's time is over.
pub(crate) fn issuer(root: &MadeCa, now: i64) -> Result<MadeCa, CaError> {
    next_issuer(&root.certificate.der, &root.private_key, root.certificate.not_after, now)
}

/// The same under a root that was read back: its certificate (DER), its key (PKCS #8), and the end of its life in unix
/// seconds.
pub(crate) fn next_issuer(
    root: &[u8],
    private_key: &[u8],
    root_not_after: i64,
    now: i64,
) -> Result<MadeCa, CaError> {
    if now >= root_not_after {
        return Err(CaError::IssuerExpired);
    }
    let signer = signer(&CertificateDer::from(root), private_key, "root CA")?;
    let key = KeyPair::generate()?;
    let (mut params, serial) = ca_params("Telovix Console Issuing CA", BasicConstraints::Constrained(0))?;
    // A name of its own, so that nobody who builds a chain by names tries the wrong issuer first.
    let name = format!("Telovix Console Issuing CA {}", serial.get(..8).unwrap_or(&serial));
    params.distinguished_name.push(DnType::CommonName, name);
    let (not_before, not_after) = (now - backdate(ISSUER_LIFE), (now + ISSUER_LIFE).min(root_not_after));
    params.not_before = moment(not_before)?;
    params.not_after = moment(not_after)?;
    params.use_authority_key_identifier_extension = true;
    let der = params.signed_by(&key, &signer)?.der().clone();
    Ok(made(&key, Issued { der, serial, not_before, not_after }))
}

/// A fresh P-256 key for the TLS server, PKCS #8.
pub(crate) fn server_key() -> Result<Zeroizing<Vec<u8>>, CaError> {
    Ok(Zeroizing::new(KeyPair::generate()?.serialize_der()))
}

/// A fresh Ed25519 key for policies, PKCS #8.
pub(crate) fn policy_key() -> Result<Zeroizing<Vec<u8>>, CaError> {
    Ok(Zeroizing::new(KeyPair::generate_for(&rcgen::PKCS_ED25519)?.serialize_der()))
}

/// A CA certificate and its key, ready to sign.
pub(super) fn signer(
    certificate: &CertificateDer<'_>,
    private_key: &[u8],
    what: &'static str,
) -> Result<Issuer<'static, KeyPair>, CaError> {
    let key = p256(private_key).ok_or(CaError::Unreadable(what))?;
    Issuer::from_ca_cert_der(certificate, key).map_err(|_| CaError::Unreadable(what))
}

pub(super) fn p256(private_key: &[u8]) -> Option<KeyPair> {
    let der = PrivatePkcs8KeyDer::from(private_key);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).ok()
}

fn ca_params(name: &str, constraint: BasicConstraints) -> Result<(CertificateParams, String), CaError> {
    let mut params = CertificateParams::default();
    let (number, serial) = serial()?;
    params.serial_number = Some(number);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Telovix Console");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraint);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params, serial))
}

fn made(key: &KeyPair, certificate: Issued) -> MadeCa {
    MadeCa { certificate, private_key: Zeroizing::new(key.serialize_der()) }
}
