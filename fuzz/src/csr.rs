//! Certificate requests, as the Console reads them. What it takes is signed by its key, strong and for this node; and what it
//! issues for one, the agent takes.
//!
//! The first byte of the input says what the rest is: `p` PEM, `d` DER, `n` a node's name, and otherwise changes to what is
//! signed in a good request, which is then signed again.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_agent::csr::Csr;
use telovix_agent::verify::{self, Claim, Naming};
use telovix_console_stub::ca::Authority;
use telovix_console_stub::ca::csr::{CheckedCsr, check, common_name};
use telovix_contract::{NodeName, SensorId};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::der::{Change, changed, signed_by, signed_part};
use crate::kit::{NOW, key, now, pem};

const HOST: u8 = 3;
const LIFE: i64 = 3600;

struct World {
    authority: Authority,
    node: NodeName,
    signed: Vec<u8>,
    sensor: SensorId,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let node: NodeName = "edge-1".parse().expect("a name");
    let csr = Csr::build(&key(HOST), &node).expect("a request");
    let der = CertificateSigningRequestDer::from_pem_slice(csr.pem().as_bytes()).expect("PEM");
    let signed = signed_part(&der).expect("a request has a signed part").to_vec();
    let authority = Authority::temporary(NOW).expect("a CA");
    let sensor = "3f2b8c1e-7a64-4d1b-9f37-5d0c2a9e6b10".parse().expect("an id");
    World { authority, node, signed, sensor }
});

/// Reads the input as a request.
///
/// # Panics
/// Where one is taken that is not good, or the agent does not take what is issued for it.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        b'p' => drop(std::str::from_utf8(rest).map(|text| request(text, &WORLD.node))),
        b'd' => request(&pem("CERTIFICATE REQUEST", rest), &WORLD.node),
        b'n' => drop(std::str::from_utf8(rest).map(name)),
        _ => {
            let Ok(changes) = Vec::<Change>::arbitrary(&mut Unstructured::new(rest)) else { return };
            let signed = signed_by(HOST, &changed(&WORLD.signed, &changes));
            request(&pem("CERTIFICATE REQUEST", &signed), &WORLD.node);
        }
    }
}

/// What the agent asks for any node, the Console takes for that node and no other.
fn name(text: &str) {
    let Ok(node) = text.parse::<NodeName>() else { return };
    let csr = Csr::build(&key(HOST), &node).expect("a request for any node");
    let checked = check(csr.pem(), &node).expect("the Console takes it");
    issued(&checked, &node);
    let other: NodeName = format!("x{}", &text[..text.len().min(250)]).parse().expect("a name");
    if common_name(&other) != common_name(&node) {
        assert!(check(csr.pem(), &other).is_err(), "{node} passed for {other}");
    }
}

fn request(text: &str, node: &NodeName) {
    let Ok(checked) = check(text, node) else { return };
    let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).expect("it was read");
    let (rest, request) = X509CertificationRequest::from_der(&der).expect("it was read");
    assert!(rest.is_empty());
    let info = &request.certification_request_info;
    let names: Vec<_> = info.subject.iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    assert_eq!(names, [common_name(node)]);
    let spki = rcgen::PublicKeyData::subject_public_key_info(&checked.public_key);
    assert_eq!(spki, info.subject_pki.raw, "another key than the request's");
    // Another library's word on the signature, for the one kind of key that needs no parameters.
    if info.subject_pki.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 {
        let signed = signed_part(&der).expect("it has a signed part");
        UnparsedPublicKey::new(&ED25519, &info.subject_pki.subject_public_key.data)
            .verify(signed, &request.signature_value.data)
            .expect("the request's own signature");
    }
    issued(&checked, node);
}

fn issued(checked: &CheckedCsr, node: &NodeName) {
    let World { authority, sensor, .. } = &*WORLD;
    let made = authority.issue_client(checked, *sensor, node, NOW, LIFE).expect("a certificate");
    let certificate_pem = authority.chain_pem(&made.der, authority.signer_id());
    let claim = Claim {
        sensor_id: Some(*sensor),
        certificate_pem: &certificate_pem,
        ca_pem: authority.ca_pem(),
        policy_key_pem: authority.policy_public_key_pem(),
        naming: Naming::Required,
    };
    let ours = rcgen::PublicKeyData::subject_public_key_info(&checked.public_key) == key(HOST).public_der();
    match verify::check(claim, key(HOST), now()) {
        Ok(verified) => assert!(ours && verified.serial_hex() == made.serial),
        Err(error) => assert!(!ours, "the agent does not take what the Console issued: {error}"),
    }
}
