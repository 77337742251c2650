//! What a Console answers as an identity, as the agent looks at it: taken exactly when all that the contract asks for holds.
//!
//! The first byte of the input says what the rest is: `p` certificate, CA and policy key in PEM, `c` changes to what is
//! signed in a good certificate, which is then signed again, `a` the same of the CA, and otherwise the terms of a certificate.

use std::sync::LazyLock;

use ::time::OffsetDateTime;
use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Eku, IsCa, Issuer,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_agent::verify::{self, Claim, Naming, Verified, VerifyError};
use telovix_contract::SensorId;
use x509_parser::prelude::*;

use crate::der::{Change, changed, signed_by, signed_part};
use crate::kit::{NOW, fit_for_a_log, key, now, parts, pem, signer};

/// The keys: of this host, the CA, the issuer below it, a stranger, the policies.
const HOST: u8 = 3;
const CA: u8 = 4;
const ISSUER: u8 = 5;
const STRANGER: u8 = 6;
const POLICY: u8 = 7;

/// What is the same in every run.
pub struct Pki {
    ca: Issuer<'static, rcgen::KeyPair>,
    ca_der: Vec<u8>,
    issuer: Issuer<'static, rcgen::KeyPair>,
    issuer_der: Vec<u8>,
    good: Vec<u8>,
    policy_pem: String,
    sensor: SensorId,
    other: SensorId,
}

/// The PKI of this process, which is the same in every other.
pub static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let (ca, ca_der) = authority("Console CA", CA, None);
    let (issuer, issuer_der) = authority("Console Issuer", ISSUER, Some(&ca));
    let id = |text: &str| text.parse().expect("an id");
    let mut pki = Pki {
        ca,
        ca_der,
        issuer,
        issuer_der,
        good: Vec::new(),
        policy_pem: signer(POLICY).public_key_pem(),
        sensor: id("3f2b8c1e-7a64-4d1b-9f37-5d0c2a9e6b10"),
        other: id("00000000-0000-4000-8000-000000000001"),
    };
    pki.good = pki.leaf(&Terms::default());
    pki
});

/// The terms of a certificate and of the claim that it comes with. All `false` or `None` is a good one.
#[derive(Debug, Default, Arbitrary)]
struct Terms {
    below_the_issuer: bool,
    issuer_not_sent: bool,
    signed_by_a_stranger: bool,
    for_another_key: bool,
    is_ca: bool,
    usage: Usage,
    begins: Option<i32>,
    lasts: Option<u32>,
    uris: Uris,
    name: Option<String>,
    anchors: Anchors,
    policy: Policy,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Arbitrary)]
enum Usage {
    #[default]
    Client,
    Both,
    Server,
    None,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Arbitrary)]
enum Uris {
    #[default]
    Ours,
    OursAmongOthers,
    Other,
    Two,
    None,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Arbitrary)]
enum Anchors {
    #[default]
    Root,
    RootAndIssuer,
    None,
    TooMany,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Arbitrary)]
enum Policy {
    #[default]
    Ed25519,
    Certificate,
    None,
}

/// Looks at the input as a claim.
///
/// # Panics
/// When one is taken that is no identity, or a good one is not.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let pki = &*PKI;
    match kind {
        b'p' => {
            let [certificate, ca, policy] = parts::<3>(rest).map(String::from_utf8_lossy);
            let claim = pki.claim(&certificate, &ca, &policy);
            let _ = look(claim, &certificate, &ca);
        }
        b'c' => {
            let Ok(changes) = Vec::<Change>::arbitrary(&mut Unstructured::new(rest)) else { return };
            let signed = signed_part(&pki.good).expect("a certificate has a signed part");
            let certificate = pem("CERTIFICATE", &signed_by(CA, &changed(signed, &changes)));
            let ca = pem("CERTIFICATE", &pki.ca_der);
            let _ = look(pki.claim(&certificate, &ca, &pki.policy_pem), &certificate, &ca);
        }
        b'a' => {
            let Ok(changes) = Vec::<Change>::arbitrary(&mut Unstructured::new(rest)) else { return };
            let signed = signed_part(&pki.ca_der).expect("a certificate has a signed part");
            let ca = pem("CERTIFICATE", &signed_by(CA, &changed(signed, &changes)));
            let certificate = pem("CERTIFICATE", &pki.good);
            let _ = look(pki.claim(&certificate, &ca, &pki.policy_pem), &certificate, &ca);
        }
        _ => {
            let Ok(terms) = Terms::arbitrary(&mut Unstructured::new(rest)) else { return };
            pki.on(&terms);
        }
    }
}

/// Looks, and looks again at what was taken with other eyes.
fn look(claim: Claim<'_>, certificate_pem: &str, ca_pem: &str) -> Result<Verified, VerifyError> {
    let found = verify::check(claim, key(HOST), now());
    match &found {
        Err(error) => fit_for_a_log(&error.to_string(), 400),
        Ok(verified) => {
            assert_eq!(Some(verified.sensor_id()), claim.sensor_id);
            let blocks = |text: &str| text.matches("-----BEGIN CERTIFICATE-----").count();
            assert_eq!(blocks(verified.certificate_pem()), blocks(certificate_pem));
            assert_eq!(blocks(verified.ca_pem()), blocks(ca_pem));
            holds(verified);
            // The files say what the answer said.
            let again = Claim {
                sensor_id: Some(verified.sensor_id()),
                certificate_pem: verified.certificate_pem(),
                ca_pem: verified.ca_pem(),
                policy_key_pem: verified.policy_key_pem(),
                naming: Naming::Required,
            };
            verify::check(again, key(HOST), now()).expect("what holds once holds twice");
            let early =
                verify::check(again, key(HOST), verified.not_before() - jiff::SignedDuration::from_secs(1));
            let late =
                verify::check(again, key(HOST), verified.not_after() + jiff::SignedDuration::from_secs(1));
            assert!(early.is_err_and(|e| e.is_about_time()) && late.is_err_and(|e| e.is_about_time()));
        }
    }
    found
}

fn holds(verified: &Verified) {
    assert!((1..=16).contains(&verified.chain().len()) && (1..=16).contains(&verified.ca().len()));
    let (rest, leaf) = X509Certificate::from_der(&verified.chain()[0]).expect("a certificate");
    assert!(rest.is_empty(), "bytes behind the certificate");
    assert_eq!(leaf.public_key().raw, key(HOST).public_der(), "another key");
    assert!(verified.not_before() <= now() && now() <= verified.not_after(), "not in force");
    assert!(!leaf.is_ca());
    let usage = leaf.extended_key_usage().expect("readable").expect("there");
    assert!(usage.value.client_auth && !usage.value.server_auth && !usage.value.any);
    let names = leaf.subject_alternative_name().expect("readable").expect("there");
    let uri = verified.sensor_id().to_uri();
    let uris =
        names.value.general_names.iter().filter(|name| matches!(name, GeneralName::URI(u) if *u == uri));
    assert_eq!(uris.count(), 1);
    // Some certificate of the chain, or the leaf itself, bears the signature of one of the CAs that came with it.
    let vouched =
        verified.chain().iter().any(|der| verified.ca().iter().any(|ca| bears_signature_of(der, ca)));
    assert!(vouched, "nobody vouches for it");
}

/// The key is read from the CA's bytes: a trust anchor is its name and key (RFC 5280 section 6.1.1), and a parser of certificates
/// refuses one whose dates, which do not count, are none.
fn bears_signature_of(der: &[u8], ca: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let Some(signed) = signed_part(der) else { return false };
    // An Ed25519 SubjectPublicKeyInfo (RFC 8410 section 4), up to the key.
    const BEFORE_KEY: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut keys = ca.windows(BEFORE_KEY.len() + 32).filter_map(|bytes| bytes.strip_prefix(&BEFORE_KEY));
    keys.any(|key| {
        UnparsedPublicKey::new(&ED25519, key).verify(signed, &certificate.signature_value.data).is_ok()
    })
}

fn authority(
    name: &str,
    byte: u8,
    above: Option<&Issuer<'static, rcgen::KeyPair>>,
) -> (Issuer<'static, rcgen::KeyPair>, Vec<u8>) {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(u64::from(byte).into());
    (params.not_before, params.not_after) = (moment(-1000), moment(1_000_000));
    let made = match above {
        None => params.self_signed(&signer(byte)),
        Some(above) => params.signed_by(&signer(byte), above),
    };
    (Issuer::new(params, signer(byte)), made.expect("a certificate").der().to_vec())
}

fn moment(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW + offset).expect("a moment of this age")
}

impl Pki {
    /// A good certificate, the CA and the policy key, in PEM.
    pub fn good(&self) -> [String; 3] {
        [pem("CERTIFICATE", &self.good), pem("CERTIFICATE", &self.ca_der), self.policy_pem.clone()]
    }

    fn claim<'a>(&self, certificate_pem: &'a str, ca_pem: &'a str, policy_key_pem: &'a str) -> Claim<'a> {
        let naming = Naming::Required;
        Claim { sensor_id: Some(self.sensor), certificate_pem, ca_pem, policy_key_pem, naming }
    }

    fn leaf(&self, terms: &Terms) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(4711.into());
        params.is_ca =
            if terms.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.extended_key_usages = match terms.usage {
            Usage::Client => vec![Eku::ClientAuth],
            Usage::Both => vec![Eku::ServerAuth, Eku::ClientAuth],
            Usage::Server => vec![Eku::ServerAuth],
            Usage::None => Vec::new(),
        };
        let (begins, ends) = terms.life();
        (params.not_before, params.not_after) = (moment(begins), moment(ends));
        if let Some(name) = &terms.name {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        let uri = |id: SensorId| SanType::URI(id.to_uri().try_into().expect("ASCII"));
        params.subject_alt_names = match terms.uris {
            Uris::Ours => vec![uri(self.sensor)],
            Uris::OursAmongOthers => {
                vec![SanType::URI("https://console.example".try_into().expect("ASCII")), uri(self.sensor)]
            }
            Uris::Other => vec![uri(self.other)],
            Uris::Two => vec![uri(self.sensor), uri(self.other)],
            Uris::None => Vec::new(),
        };
        let issuer = if terms.signed_by_a_stranger {
            &authority("Console CA", STRANGER, None).0
        } else if terms.below_the_issuer {
            &self.issuer
        } else {
            &self.ca
        };
        let byte = if terms.for_another_key { STRANGER } else { HOST };
        params.signed_by(&signer(byte), issuer).expect("a certificate").der().to_vec()
    }

    fn on(&self, terms: &Terms) {
        let mut certificate = pem("CERTIFICATE", &self.leaf(terms));
        if terms.below_the_issuer && !terms.issuer_not_sent {
            certificate += &pem("CERTIFICATE", &self.issuer_der);
        }
        let (root, issuer) = (pem("CERTIFICATE", &self.ca_der), pem("CERTIFICATE", &self.issuer_der));
        let ca = match terms.anchors {
            Anchors::Root => root,
            Anchors::RootAndIssuer => root + &issuer,
            Anchors::None => String::new(),
            Anchors::TooMany => root.repeat(17),
        };
        let policy = match terms.policy {
            Policy::Ed25519 => self.policy_pem.clone(),
            Policy::Certificate => pem("CERTIFICATE", &self.ca_der),
            Policy::None => String::new(),
        };
        let found = look(self.claim(&certificate, &ca, &policy), &certificate, &ca);
        assert_eq!(found.is_ok(), terms.are_good(), "{terms:?}: {:?}", found.err());
        if CertificateDer::from_pem_slice(certificate.as_bytes()).is_err() {
            panic!("what was made is a certificate");
        }
    }
}

impl Terms {
    fn life(&self) -> (i64, i64) {
        let begins = i64::from(self.begins.unwrap_or(-60));
        (begins, begins + i64::from(self.lasts.unwrap_or(3600)))
    }

    /// docs/contract.md section 3, written another way.
    fn are_good(&self) -> bool {
        let (begins, ends) = self.life();
        let chained =
            !self.below_the_issuer || !self.issuer_not_sent || self.anchors == Anchors::RootAndIssuer;
        !self.signed_by_a_stranger
            && !self.for_another_key
            && !self.is_ca
            && matches!(self.usage, Usage::Client)
            && begins < ends
            // webpki counts from 1970, so that no Console of rustls takes what began earlier.
            && (-NOW..=0).contains(&begins)
            && 0 <= ends
            && matches!(self.uris, Uris::Ours | Uris::OursAmongOthers)
            && matches!(self.anchors, Anchors::Root | Anchors::RootAndIssuer)
            && matches!(self.policy, Policy::Ed25519 | Policy::None)
            && chained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_a_good_certificate_are_taken() {
        PKI.on(&Terms::default());
        PKI.on(&Terms { below_the_issuer: true, ..Terms::default() });
        PKI.on(&Terms { for_another_key: true, ..Terms::default() });
    }
}
