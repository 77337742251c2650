//! Certificate requests, as hosts send them: everything in one is hostile until checked, and only the key is kept.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use telovix_contract::NodeName;
use telovix_contract::ids::MAX_COMMON_NAME;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a request is not taken. The texts end up in `invalid_csr` (422).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Not PEM, or not PKCS #10 inside.
    #[error("it is not a PKCS #10 request in PEM")]
    Unreadable,
    /// The signature does not match the key in the request.
    #[error("its signature does not match its public key")]
    Signature,
    /// A key that is too weak or of an unknown kind.
    #[error("its key is not ECDSA P-256 or P-384 (uncompressed), Ed25519, or RSA of 2048 to 4096 bits")]
    Key,
    /// Another name than the one that enrolls.
    #[error("its common name is not the node name")]
    CommonName,
}

/// What is left of a request after the checks: its public key.
#[derive(Debug, Clone)]
pub struct CheckedCsr {
    /// The key.
    pub public_key: rcgen::SubjectPublicKeyInfo,
    /// SHA-256 of the key as it stands in the request (SubjectPublicKeyInfo, DER).
    pub spki_sha256: [u8; 32],
}

/// The common name of a node: its name, or the first 64 characters of it (docs/contract.md section 3).
pub fn common_name(node: &NodeName) -> &str {
    // A node name is ASCII, so every position is a boundary.
    let name = node.as_str();
    name.get(..MAX_COMMON_NAME).unwrap_or(name)
}

/// Checks a request in PEM: its own signature, the strength of its key, and that it is for this node.
pub fn check(pem: &str, node: &NodeName) -> Result<CheckedCsr, CsrError> {
    let der =
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| CsrError::Unreadable)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| CsrError::Unreadable)?;
    if !rest.is_empty() {
        return Err(CsrError::Unreadable);
    }
    let info = &request.certification_request_info;
    check_key(&info.subject_pki)?;
    let algorithm = &request.signature_algorithm.algorithm;
    if *algorithm == OID_PKCS1_SHA1WITHRSA || *algorithm == OID_SHA1_WITH_RSA {
        return Err(CsrError::Signature);
    }
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    let mut names = info.subject.iter_common_name();
    let named = names.next().and_then(|name| name.as_str().ok());
    if named != Some(common_name(node)) || names.next().is_some() {
        return Err(CsrError::CommonName);
    }
    let spki = info.subject_pki.raw;
    let public_key = rcgen::SubjectPublicKeyInfo::from_der(spki).map_err(|_| CsrError::Key)?;
    Ok(CheckedCsr { public_key, spki_sha256: Sha256::digest(spki).into() })
}

fn check_key(spki: &SubjectPublicKeyInfo<'_>) -> Result<(), CsrError> {
    let kind = &spki.algorithm.algorithm;
    let strong = if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = spki.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        // TLS knows points in the uncompressed form alone (RFC 8422 section 5.1.1).
        spki.subject_public_key.data.first() == Some(&4)
            && curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384)
    } else if *kind == OID_PKCS1_RSAENCRYPTION {
        match spki.parsed() {
            Ok(PublicKey::RSA(rsa)) => (2048..=4096).contains(&rsa.key_size()),
            Ok(_) | Err(_) => false,
        }
    } else {
        *kind == OID_SIG_ED25519
    };
    if strong { Ok(()) } else { Err(CsrError::Key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, RsaKeySize, SignatureAlgorithm};

    fn node() -> NodeName {
        "edge-1".parse().unwrap()
    }

    fn request(name: &str, key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    /// docs/contract.md section 3: P-256 by default, RSA 2048/3072/4096 and Ed25519 offered.
    #[test]
    fn section_3_every_kind_of_key_that_we_offer_is_taken() {
        let kinds: [&SignatureAlgorithm; 3] =
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        for kind in kinds {
            // `generate_for` wants a static reference; the table above names statics.
            let key = match kind {
                k if *k == rcgen::PKCS_ED25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519),
                k if *k == rcgen::PKCS_ECDSA_P384_SHA384 => {
                    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
                }
                _ => KeyPair::generate(),
            }
            .unwrap();
            let checked = check(&request("edge-1", &key), &node()).unwrap();
            let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
            assert_eq!(checked.spki_sha256, <[u8; 32]>::from(Sha256::digest(&spki)));
            assert_eq!(rcgen::PublicKeyData::subject_public_key_info(&checked.public_key), spki);
        }
        let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        check(&request("edge-1", &rsa), &node()).unwrap();
    }

    #[test]
    fn other_curves_are_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        assert_eq!(check(&request("edge-1", &key), &node()).unwrap_err(), CsrError::Key);
    }

    #[test]
    fn a_request_for_another_node_is_refused() {
        let key = KeyPair::generate().unwrap();
        assert_eq!(check(&request("edge-2", &key), &node()).unwrap_err(), CsrError::CommonName);
        let long: NodeName = "n".repeat(100).parse().unwrap();
        check(&request(&"n".repeat(64), &key), &long).unwrap();
        assert!(check(&request(&"n".repeat(63), &key), &long).is_err());
    }

    #[test]
    fn a_changed_request_is_refused() {
        let key = KeyPair::generate().unwrap();
        let pem = request("edge-1", &key);
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        // Behind it stand the algorithm and the signature, which are not signed themselves.
        let signed = der.windows(10).position(|w| w == [6, 8, 42, 134, 72, 206, 61, 4, 3, 2]).unwrap() - 2;
        for at in 0..signed {
            let mut changed = der.to_vec();
            changed[at] ^= 0x01;
            let text = certificate_request_pem(&changed);
            assert!(check(&text, &node()).is_err(), "byte {at} may be changed");
        }
        assert_eq!(check("no PEM at all", &node()).unwrap_err(), CsrError::Unreadable);
        let mut longer = der.to_vec();
        longer.push(0);
        assert_eq!(check(&certificate_request_pem(&longer), &node()).unwrap_err(), CsrError::Unreadable);
    }

    fn certificate_request_pem(der: &[u8]) -> String {
        crate::ca::certificate_pem(der).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    }
}
