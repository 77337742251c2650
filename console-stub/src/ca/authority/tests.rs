//! What the CA grants, read back with another library than the one that wrote it.

use super::*;
use crate::ca::csr;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use x509_parser::extensions::GeneralName;

const NOW: i64 = 1_800_000_000;
const LIFE: i64 = 720 * 3600;

fn authority(now: i64) -> Authority {
    Authority::temporary(now).unwrap()
}

fn greedy_request(node: &NodeName, key: &KeyPair) -> String {
    let mut params =
        CertificateParams::new(vec!["console.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI(SensorId::random().to_uri().try_into().unwrap()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, csr::common_name(node));
    params.distinguished_name.push(DnType::OrganizationName, "Telovix Console");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let sans = parsed.subject_alternative_name().unwrap().unwrap();
    sans.value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::URI(uri) => format!("uri {uri}"),
            GeneralName::DNSName(dns) => format!("dns {dns}"),
            GeneralName::IPAddress(bytes) => format!("ip {bytes:?}"),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => panic!("{name:?}"),
        })
        .collect()
}

/// docs/contract.md section 3: a request that asks for CA:TRUE, serverAuth and foreign names gets a
/// plain client certificate.
#[test]
fn a_csr_that_asks_for_more_gets_a_plain_client_certificate() {
    let (ca, key, id) = (authority(NOW), KeyPair::generate().unwrap(), SensorId::random());
    let node: NodeName = "edge-1".parse().unwrap();
    let checked = csr::check(&greedy_request(&node, &key), &node).unwrap();
    let made = ca.issue_client(&checked, id, &node, NOW, LIFE).unwrap();
    let (_, parsed) = X509Certificate::from_der(&made.der).unwrap();

    assert_eq!(parsed.subject().to_string(), "CN=edge-1, O=Telovix Sensor");
    assert_eq!(names(&parsed), [format!("uri {}", id.to_uri())]);
    let constraints = parsed.basic_constraints().unwrap().unwrap().value;
    assert!(!constraints.ca);
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    let extended = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.client_auth && !extended.server_auth && !extended.any && extended.other.is_empty());
    assert_eq!(parsed.public_key().raw, key.subject_public_key_info());
}

#[test]
fn section_3_serial_validity_and_long_names() {
    let ca = authority(NOW);
    let node: NodeName = format!("{}.{}.example", "n".repeat(60), "m".repeat(20)).parse().unwrap();
    let key = KeyPair::generate().unwrap();
    let checked = csr::check(&greedy_request(&node, &key), &node).unwrap();
    let id = SensorId::random();
    let made = ca.issue_client(&checked, id, &node, NOW, LIFE).unwrap();
    let (_, parsed) = X509Certificate::from_der(&made.der).unwrap();

    assert_eq!(parsed.subject().to_string(), format!("CN={}.mmm, O=Telovix Sensor", "n".repeat(60)));
    assert_eq!(names(&parsed), [format!("uri {}", id.to_uri()), format!("dns {node}")]);
    let validity = parsed.validity();
    assert_eq!(validity.not_before.timestamp(), made.not_before);
    assert_eq!(validity.not_after.timestamp(), NOW + LIFE);
    // Five minutes back, but never before the issuer's own first moment.
    assert_eq!(made.not_before, NOW - 300);
    assert_eq!((parsed.raw_serial().len(), parsed.raw_serial()[0] & 0x80), (16, 0));
    let again = ca.issue_client(&checked, id, &node, NOW, LIFE).unwrap();
    assert_ne!(again.serial, made.serial);
}

#[test]
fn section_3_back_dating_is_a_tenth_of_a_short_life() {
    let (ca, key) = (authority(NOW), KeyPair::generate().unwrap());
    let node: NodeName = "edge-1".parse().unwrap();
    let checked = csr::check(&greedy_request(&node, &key), &node).unwrap();
    for (life, before) in [(60, 6), (2999, 299), (3000, 300), (3600, 300)] {
        let made = ca.issue_client(&checked, SensorId::random(), &node, NOW, life).unwrap();
        assert_eq!((NOW - made.not_before, made.not_after - NOW), (before, life));
    }
}

#[test]
fn a_leaf_never_outlives_its_issuer() {
    let ca = authority(NOW);
    let node: NodeName = "edge-1".parse().unwrap();
    let checked = csr::check(&greedy_request(&node, &KeyPair::generate().unwrap()), &node).unwrap();
    let end = ca.signer.not_after;
    let made = ca.issue_client(&checked, SensorId::random(), &node, end - 60, LIFE).unwrap();
    assert_eq!(made.not_after, end);
    let late = ca.issue_client(&checked, SensorId::random(), &node, end, LIFE);
    assert!(matches!(late, Err(CaError::IssuerExpired)));
}

#[test]
fn the_server_certificate_names_what_was_asked_for_and_this_machine() {
    let ca = authority(NOW);
    let made = ca.issue_server(&["console.example".to_owned(), "192.0.2.7".to_owned()], NOW).unwrap();
    let (_, parsed) = X509Certificate::from_der(&made.der).unwrap();
    let found = names(&parsed);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!((&*found[0], &*found[2]), ("dns console.example", "dns localhost"));
    let extended = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth);
    for bad in ["a b", "", "-", "x/y", "*"] {
        assert!(matches!(ca.issue_server(&[bad.to_owned()], NOW), Err(CaError::BadName(_))), "{bad:?}");
    }
}

#[test]
fn pem_lines_have_64_characters() {
    let pem = certificate_pem(&[7; 100]);
    assert!(pem.lines().all(|line| line.len() <= 64));
    let ca = authority(NOW);
    assert_eq!(ca.ca_pem().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(ca.chain_pem(b"x", "issuer").matches("BEGIN CERTIFICATE").count(), 2);
    assert!(ca.policy_public_key_pem().starts_with("-----BEGIN PUBLIC KEY-----"));
}
