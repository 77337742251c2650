//! Every type of key that an agent makes: it is what was asked for, it is the certificate's, and it works in TLS.

use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_contract::paths;
use telovix_tests::Place;
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Rogue, console};
use telovix_tests::secrets::Secrets;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// The kind of a public key, as the flag names it.
fn kind(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> String {
    match (key.algorithm.algorithm.to_id_string().as_str(), key.parsed()) {
        ("1.2.840.10045.2.1", Ok(PublicKey::EC(point))) => format!("p{}", point.key_size()),
        ("1.2.840.113549.1.1.1", Ok(PublicKey::RSA(rsa))) => format!("rsa{}", rsa.key_size()),
        ("1.3.101.112", _) => "ed25519".to_owned(),
        (oid, _) => oid.to_owned(),
    }
}

#[test]
fn each_type_enrolls_and_is_what_it_says() {
    let ca = Arc::new(Ca::root("Console"));
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    let types = [None, Some("p256"), Some("ed25519"), Some("rsa2048"), Some("rsa3072"), Some("rsa4096")];
    for (number, wanted) in types.into_iter().enumerate() {
        let host = place.enroll(&format!("host-{number}"), &rogue.url(), ca.pem()).token(&made_up_token(1));
        let host = wanted.iter().fold(host, |host, kind| host.args(["--key-type", kind]));
        host.run().expect(0);

        let requests = rogue.requests_to(paths::ENROLL);
        let pem = requests.last().unwrap().csr_pem();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        csr.verify_signature().unwrap();
        let info = &csr.certification_request_info;
        assert_eq!(kind(&info.subject_pki), wanted.unwrap_or("p256"));
        assert_eq!(info.subject.to_string(), format!("CN=host-{number}, O=Telovix Sensor"));

        // The heartbeat was made with the key: a TLS server checked its signature.
        let certificate =
            rogue.requests_to(paths::HEARTBEAT).last().unwrap().client_cert_der.clone().unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        assert_eq!(certificate.public_key().raw, info.subject_pki.raw);
        let key = PrivateKeyDer::from_pem_slice(host.key_pem().as_bytes()).unwrap();
        // RFC 5208, version 0: OpenSSL 3.0 does not read the newer form with a public key in it (RFC 5958, version 1).
        assert!(matches!(key, PrivateKeyDer::Pkcs8(_)), "not PKCS #8");
        let (_, outer) = x509_parser::der_parser::parse_der(key.secret_der()).unwrap();
        assert_eq!(outer.as_sequence().unwrap()[0].as_u32(), Ok(0), "{wanted:?}: version of the PKCS #8");

        // It left the host in no form.
        let secrets = Secrets::new().key(&host.key_pem());
        secrets.assert_not_in("what the Console heard", rogue.application_bytes());
        secrets.assert_not_in("the certificate", host.read("client.cert.pem"));
        secrets.assert_not_in("the state", host.read("sensor-state.json"));
    }
}

#[test]
fn a_long_name_goes_whole_into_the_request() {
    let ca = Arc::new(Ca::root("Console"));
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    let label = "worker-with-a-very-long-name-indeed-0123456789";
    let name = format!("{label}.{label}.{label}.example.internal");
    let args = ["--node-name", &name];
    let agent = place.host("state").args(["enroll", "--console-url", &rogue.url(), "--ca-fingerprint"]);
    agent.args([ca.fingerprint().to_string()]).args(args).token(&made_up_token(1)).run().expect(0);
    let request = rogue.requests_to(paths::ENROLL).pop().unwrap();
    assert_eq!(request.json()["node_name"], name);
    let asked = rcgen::CertificateSigningRequestParams::from_pem(&request.csr_pem()).unwrap().params;
    let common_name = format!("{:?}", asked.distinguished_name.get(&rcgen::DnType::CommonName));
    assert!(common_name.contains(&name[..64]) && !common_name.contains(&name[..65]), "{common_name}");
    assert_eq!(asked.subject_alt_names, [rcgen::SanType::DnsName(name.as_str().try_into().unwrap())]);
}
