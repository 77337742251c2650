//! A small PKI for the unit tests: identities with any one defect.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};
use telovix_contract::SensorId;
use time::OffsetDateTime;

/// For the tests of `config`, which comes before the command line.
pub(crate) use crate::cli::parse as parse_arguments;
use crate::config::KeyType;
use crate::key::KeyPair;
use crate::verify::{Claim, Naming};

/// The time at which an unspoilt identity is in force.
pub(crate) const NOW: &str = "2026-06-01T00:00:00Z";

/// What an answer of a Console holds, and the key that it should be for.
pub(crate) struct Answer {
    pub(crate) sensor_id: SensorId,
    pub(crate) certificate: String,
    pub(crate) ca: String,
    pub(crate) policy_key: String,
    pub(crate) key: KeyPair,
}

impl Answer {
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim {
            sensor_id: Some(self.sensor_id),
            certificate_pem: &self.certificate,
            ca_pem: &self.ca,
            policy_key_pem: &self.policy_key,
            naming: Naming::Required,
        }
    }

    pub(crate) fn key(&self) -> KeyPair {
        KeyPair::from_pem(&self.key.to_pem()).unwrap()
    }
}

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// An identity as a Console makes it, after `spoil` has had a hand in its parameters.
pub(crate) fn answer(spoil: impl FnOnce(&mut CertificateParams)) -> Answer {
    let key = KeyPair::generate(KeyType::P256).unwrap();
    let sensor_id = SensorId::random();
    let mut params = CertificateParams::default();
    params.not_before = day(-1);
    params.not_after = day(29);
    params.extended_key_usages = vec![Eku::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = vec![SanType::URI(sensor_id.to_uri().try_into().unwrap())];
    spoil(&mut params);
    let (ca, issuer) = authority();
    let certificate = params.signed_by(key.signer(), &issuer).unwrap().pem();
    let policy = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    Answer { sensor_id, certificate, ca, policy_key: policy.public_key_pem(), key }
}

/// A CA in PEM and its issuer.
pub(crate) fn authority() -> (String, Issuer<'static, rcgen::KeyPair>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

/// Midnight, so many days from [`NOW`].
pub(crate) fn day(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now().as_second() + offset * 86_400).unwrap()
}
