//! Certificate requests that ask for more than a sensor may have, and the plain one.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use telovix_contract::SensorId;
use telovix_contract::enroll::SENSOR_ORGANIZATION;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

/// What a request asks for beside a certificate for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: `CN=<node>, O=Telovix Sensor`.
    Plain,
    /// To be a certification authority, with the usage to sign certificates.
    CaTrue,
    /// To be a server, under the Console's likely names.
    ServerAuth,
    /// To be others: another organization, foreign DNS names, addresses, and another sensor's URI.
    ForeignNames,
    /// All of it together.
    Everything,
}

impl Wish {
    /// Every wish that must not come true.
    pub const GREEDY: &[Self] = &[Self::CaTrue, Self::ServerAuth, Self::ForeignNames, Self::Everything];
}

/// The kinds of key that an agent offers, and one that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256, the default.
    P256,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-384, which no agent of ours makes.
    P384,
}

impl KeyKind {
    /// A new key of this kind.
    pub fn generate(self) -> KeyPair {
        let made = match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        made.expect("a key")
    }
}

/// A P-256 key and its request in PEM.
pub fn make(wish: Wish, node_name: &str) -> (KeyPair, String) {
    let key = KeyKind::P256.generate();
    let pem = for_key(&key, wish, node_name);
    (key, pem)
}

/// The request in PEM for a key that is there already.
pub fn for_key(key: &KeyPair, wish: Wish, node_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, node_name);
    params.distinguished_name.push(DnType::OrganizationName, SENSOR_ORGANIZATION);
    let (ca, server, names) = match wish {
        Wish::Plain => (false, false, false),
        Wish::CaTrue => (true, false, false),
        Wish::ServerAuth => (false, true, false),
        Wish::ForeignNames => (false, false, true),
        Wish::Everything => (true, true, true),
    };
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    if server {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names.push(SanType::DnsName("localhost".try_into().expect("ASCII")));
    }
    if names {
        params.distinguished_name.push(DnType::OrganizationName, "Telovix Console");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "Operators");
        let foreign = SensorId::random().to_uri();
        params.subject_alt_names.extend([
            SanType::DnsName("console.example.com".try_into().expect("ASCII")),
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI(foreign.as_str().try_into().expect("ASCII")),
        ]);
    }
    params.serialize_request(key).and_then(|request| request.pem()).expect("a request")
}

/// The public key that a request is for, as its SubjectPublicKeyInfo in DER.
///
/// # Panics
/// Where this is no request.
pub fn public_key(csr_pem: &str) -> Vec<u8> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(csr_pem.as_bytes()).expect("PEM");
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).expect("a request");
    csr.certification_request_info.subject_pki.raw.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::CertificateSigningRequestParams;

    #[test]
    fn the_wishes_are_in_the_requests() {
        for wish in Wish::GREEDY {
            let (_, pem) = make(*wish, "node");
            let asked = CertificateSigningRequestParams::from_pem(&pem).unwrap().params;
            let all = *wish == Wish::Everything;
            assert_eq!(matches!(asked.is_ca, IsCa::Ca(_)), all || *wish == Wish::CaTrue, "{wish:?}");
            assert_eq!(!asked.extended_key_usages.is_empty(), all || *wish == Wish::ServerAuth, "{wish:?}");
            assert_eq!(asked.subject_alt_names.len() > 1, all || *wish == Wish::ForeignNames, "{wish:?}");
        }
    }
}
