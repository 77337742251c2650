//! A rogue PKI: certification authorities and leaf certificates with any single flaw.
//!
//! Invariant: what is made without a [`Flaw`] is what a good Console makes (docs/contract.md section 3), so a refusal in a
//! test is due to the flaw named and to nothing else.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use telovix_contract::enroll::{DEFAULT_HEARTBEAT_SECONDS, Enrolled, SENSOR_ORGANIZATION};
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{CaFingerprint, SensorId};
use time::{Duration, OffsetDateTime};

/// One thing that is wrong with a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Certifies a key that is not the request's.
    OtherKey,
    /// Signed by a CA of the same name with another key.
    OtherCa,
    /// Ended an hour ago.
    Expired,
    /// Begins in a day.
    NotYetValid,
    /// `CA:TRUE`: its holder could issue sensors.
    IsCa,
    /// No extended key usage at all.
    NoKeyUsage,
    /// `serverAuth` and not `clientAuth`: its holder could pose as the Console.
    ServerAuthOnly,
    /// The URI names another sensor than the answer.
    OtherSensor,
    /// No URI at all.
    NoUri,
}

impl Flaw {
    /// Every flaw, for tables.
    pub const ALL: &[Self] = &[
        Self::OtherKey,
        Self::OtherCa,
        Self::Expired,
        Self::NotYetValid,
        Self::IsCa,
        Self::NoKeyUsage,
        Self::ServerAuthOnly,
        Self::OtherSensor,
        Self::NoUri,
    ];
}

/// A certification authority, with those above it.
pub struct Ca {
    der: CertificateDer<'static>,
    pem: String,
    name: String,
    issuer: Issuer<'static, KeyPair>,
    /// PEM of the authorities above, the root first.
    above: Vec<String>,
}

/// What a TLS server needs.
pub struct ServerIdentity {
    /// The leaf, then its issuers without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// A leaf certificate to be. The public fields are the terms that a test may bend.
pub struct Leaf {
    /// The subject's common name.
    pub common_name: String,
    /// The alternative names.
    pub names: Vec<SanType>,
    /// The extended key usage; empty leaves the extension out.
    pub usage: Vec<ExtendedKeyUsagePurpose>,
    /// Whether it may sign certificates.
    pub is_ca: IsCa,
    /// Seconds from now at which its life begins and ends.
    pub life: (i64, i64),
}

const DAY: i64 = 24 * 3600;

impl Leaf {
    /// The terms of a good client certificate.
    pub fn client(sensor: SensorId) -> Self {
        Self {
            common_name: "node".to_owned(),
            names: vec![uri(&sensor.to_uri())],
            usage: vec![ExtendedKeyUsagePurpose::ClientAuth],
            is_ca: IsCa::ExplicitNoCa,
            life: (-300, 30 * DAY),
        }
    }

    /// The terms of a good server certificate for these DNS names and addresses.
    pub fn server(names: &[&str]) -> Self {
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let parsed = CertificateParams::new(texts).expect("host names and addresses");
        Self {
            common_name: "console".to_owned(),
            names: parsed.subject_alt_names,
            usage: vec![ExtendedKeyUsagePurpose::ServerAuth],
            is_ca: IsCa::ExplicitNoCa,
            life: (-300, 30 * DAY),
        }
    }

    /// The same, ended an hour ago.
    pub fn expired(mut self) -> Self {
        self.life = (-30 * DAY, -3600);
        self
    }

    /// The same, to begin in a day.
    pub fn not_yet_valid(mut self) -> Self {
        self.life = (DAY, 30 * DAY);
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.distinguished_name.push(DnType::OrganizationName, SENSOR_ORGANIZATION);
        params.subject_alt_names.clone_from(&self.names);
        params.is_ca = self.is_ca;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&self.usage);
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        params.not_before = now + Duration::seconds(self.life.0);
        params.not_after = now + Duration::seconds(self.life.1);
        params
    }
}

impl Ca {
    /// A root of its own.
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().expect("a P-256 key");
        let params = ca_params(name);
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            name: name.to_owned(),
            issuer: Issuer::new(params, key),
            above: Vec::new(),
        }
    }

    /// An issuing authority below this one.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a P-256 key");
        let params = ca_params(name);
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        let mut above = self.above.clone();
        above.push(self.pem.clone());
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            name: name.to_owned(),
            issuer: Issuer::new(params, key),
            above,
        }
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The root first, this one last: what a Console hands out as its CA.
    pub fn bundle_pem(&self) -> String {
        self.above.concat() + &self.pem
    }

    /// The fingerprint that an operator would pin; only of use for a root.
    pub fn fingerprint(&self) -> CaFingerprint {
        CaFingerprint::of_der(&self.der)
    }

    /// Signs a leaf on these terms for this key.
    pub fn issue(&self, leaf: &Leaf, key: &impl PublicKeyData) -> CertificateDer<'static> {
        leaf.params().signed_by(key, &self.issuer).expect("a signed certificate").der().clone()
    }

    /// A server's identity on these terms, with a new key.
    pub fn server_on(&self, leaf: &Leaf) -> ServerIdentity {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut chain = vec![self.issue(leaf, &key)];
        if !self.above.is_empty() {
            chain.push(self.der.clone());
        }
        ServerIdentity { chain, key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())) }
    }

    /// A good server's identity for these names and addresses.
    pub fn server(&self, names: &[&str]) -> ServerIdentity {
        self.server_on(&Leaf::server(names))
    }

    /// A client certificate for the key of this request, with at most one flaw; PEM, the leaf alone where this is a
    /// root, else the leaf and its issuers.
    ///
    /// # Panics
    /// When the request cannot be read or its signature does not hold: an agent must never send such a one.
    pub fn client_chain(&self, csr_pem: &str, sensor: SensorId, flaw: Option<Flaw>) -> String {
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).expect("a request with a good signature");
        let mut leaf = Leaf::client(sensor);
        match flaw {
            None | Some(Flaw::OtherKey | Flaw::OtherCa) => {}
            Some(Flaw::Expired) => leaf = leaf.expired(),
            Some(Flaw::NotYetValid) => leaf = leaf.not_yet_valid(),
            Some(Flaw::IsCa) => leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Some(Flaw::NoKeyUsage) => leaf.usage = Vec::new(),
            Some(Flaw::ServerAuthOnly) => leaf.usage = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Some(Flaw::OtherSensor) => leaf.names = vec![uri(&SensorId::random().to_uri())],
            Some(Flaw::NoUri) => leaf.names = vec![SanType::DnsName("node".try_into().expect("ASCII"))],
        }
        let der = match flaw {
            Some(Flaw::OtherKey) => self.issue(&leaf, &KeyPair::generate().expect("a P-256 key")),
            Some(Flaw::OtherCa) => Self::root(&self.name).issue(&leaf, &request.public_key),
            None | Some(_) => self.issue(&leaf, &request.public_key),
        };
        let mut chain = pem_of(&der);
        if !self.above.is_empty() {
            chain += &self.pem;
        }
        chain
    }

    /// The whole answer 201 to this request, with at most one flaw in its certificate.
    pub fn enrolled(&self, csr_pem: &str, flaw: Option<Flaw>) -> Enrolled {
        let sensor = SensorId::random();
        let policy = KeyPair::generate_for(&PKCS_ED25519).expect("an Ed25519 key");
        Enrolled {
            sensor_id: sensor,
            control_plane_certificate_pem: self.client_chain(csr_pem, sensor, flaw),
            control_plane_ca_certificate_pem: self.bundle_pem(),
            policy_signing_public_key_pem: policy.public_key_pem(),
            trust_state: TrustState::Trusted,
            heartbeat_interval_seconds: DEFAULT_HEARTBEAT_SECONDS,
            token_type: Some(TokenType::Once),
            warnings: Vec::new(),
        }
    }
}

/// A certificate in PEM.
pub fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(3650);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::{self, Wish};
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    #[test]
    fn every_flaw_is_there_and_is_the_only_one() {
        let ca = Ca::root("Console");
        let (key, csr_pem) = csr::make(Wish::Plain, "node");
        for flaw in std::iter::once(None).chain(Flaw::ALL.iter().copied().map(Some)) {
            let sensor = SensorId::random();
            let pem = ca.client_chain(&csr_pem, sensor, flaw);
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
            let (_, leaf) = X509Certificate::from_der(&pem.contents).unwrap();
            let (_, root) = X509Certificate::from_der(ca.der()).unwrap();
            let usage = leaf.extended_key_usage().unwrap().map(|usage| usage.value.client_auth);
            let uris = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value);
            let now = OffsetDateTime::now_utc().unix_timestamp();
            let found = [
                (Flaw::OtherKey, leaf.public_key().subject_public_key.data.as_ref() != key.public_key_raw()),
                (Flaw::OtherCa, leaf.verify_signature(Some(root.public_key())).is_err()),
                (Flaw::Expired, leaf.validity().not_after.timestamp() < now),
                (Flaw::NotYetValid, leaf.validity().not_before.timestamp() > now),
                (Flaw::IsCa, leaf.is_ca()),
                (Flaw::NoKeyUsage, usage.is_none()),
                (Flaw::ServerAuthOnly, usage == Some(false)),
                (Flaw::NoUri, !uris.contains("telovix://sensor/")),
            ];
            for (kind, there) in found {
                assert_eq!(there, flaw == Some(kind), "{kind:?} in a certificate with {flaw:?}");
            }
            let own = uris.contains(&sensor.to_uri());
            assert_eq!(own, !matches!(flaw, Some(Flaw::OtherSensor | Flaw::NoUri)), "{flaw:?}");
        }
    }

    #[test]
    fn a_bundle_begins_with_the_root() {
        let root = Ca::root("Root");
        let issuer = root.below("Issuer");
        assert_eq!(issuer.bundle_pem(), format!("{}{}", root.pem(), issuer.pem()));
        assert_eq!(pem_of(root.der()), root.pem().replace("\r\n", "\n"));
    }
}
