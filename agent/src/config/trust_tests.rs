//! Tests of trust: its order, its contradictions and the CA file.

use super::*;
use crate::config::tests::Bench;

fn ca(name: &str) -> (String, CaFingerprint) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), CaFingerprint::of_der(certificate.der()))
}

fn with_ca(content: impl AsRef<[u8]>) -> Bench {
    let bench = Bench::new().file("ca.pem", content);
    let path = bench.path("ca.pem").display().to_string();
    bench.env("TELOVIX_BOOTSTRAP_CA_CERT_PATH", path)
}

#[test]
fn a_ca_file_comes_first_and_a_fingerprint_narrows_it() {
    let ((one, _), (two, pinned)) = (ca("one"), ca("two"));
    let bench = with_ca(format!("# both\n{one}{two}"));
    let trust = bench.load().unwrap().trust.resolve().unwrap();
    assert_eq!(trust.origin, Origin::Env("TELOVIX_BOOTSTRAP_CA_CERT_PATH"));
    let Trust::CaFile { certificates, path } = trust.value else { panic!("{trust:?}") };
    assert_eq!((certificates.len(), path), (2, bench.path("ca.pem")));

    let bench = bench.args(&["--ca-fingerprint", &pinned.to_string()]);
    let trust = bench.load().unwrap().trust.resolve().unwrap();
    let Trust::CaFile { certificates, .. } = trust.value else { panic!("{trust:?}") };
    assert_eq!(certificates.iter().map(|der| CaFingerprint::of_der(der)).collect::<Vec<_>>(), [pinned]);
}

#[test]
fn a_fingerprint_of_another_console_is_refused() {
    let (_, other) = ca("other");
    let complaints = with_ca(ca("one").0).args(&["--ca-fingerprint", &other.to_string()]).complaints();
    let expected = format!(
        "environment TELOVIX_BOOTSTRAP_CA_CERT_PATH: the CA file ca.pem holds no certificate with the fingerprint \
         {other} (flag --ca-fingerprint); one of the two belongs to another Console"
    );
    assert_eq!(complaints, [expected]);
}

#[test]
fn ca_files_that_cannot_be_used_say_why() {
    let (pem, _) = ca("one");
    let cut = &pem[..pem.len() / 2];
    let not_x509 = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (content, reason) in [
        (b"".to_vec(), "holds no certificate"),
        (b"hello".to_vec(), "holds no certificate"),
        (rcgen::KeyPair::generate().unwrap().serialize_pem().into_bytes(), "holds no certificate"),
        (cut.as_bytes().to_vec(), "is damaged PEM"),
        (format!("{pem}{not_x509}").into_bytes(), "certificate 2 of the CA file ca.pem cannot be used"),
        (vec![b'x'; (1 << 20) + 1], "larger than 1 MiB"),
    ] {
        let complaints = with_ca(content).complaints();
        assert!(complaints.len() == 1 && complaints[0].contains(reason), "{complaints:?}");
        assert!(complaints[0].contains("CA file ca.pem"), "{complaints:?}");
    }
    let missing = Bench::new().args(&["--bootstrap-ca", "/gone/ca.pem"]).complaints();
    assert!(missing[0].starts_with("flag --bootstrap-ca: cannot read the CA file /gone/ca.pem: No such"));
}

#[test]
fn the_dangerous_choice_contradicts_every_stricter_one() {
    let (pem, pinned) = ca("one");
    let bench =
        with_ca(pem).args(&["--ca-fingerprint", &pinned.to_string(), "--danger-accept-unverified-console"]);
    let danger = "flag --danger-accept-unverified-console: accepting an unverified Console contradicts";
    assert_eq!(
        bench.complaints(),
        [
            format!("{danger} environment TELOVIX_BOOTSTRAP_CA_CERT_PATH; remove one of the two"),
            format!("{danger} flag --ca-fingerprint; remove one of the two"),
        ]
    );
    let env = "TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE";
    let off = Bench::new().file("agent.toml", "danger_accept_unverified_console = true").env(env, "0");
    assert_eq!(off.load().unwrap().trust.resolve().unwrap().value, Trust::SystemRoots);
    let on = Bench::new().env(env, "1").load().unwrap().trust.resolve().unwrap();
    assert_eq!(on, Setting::new(Trust::DangerAcceptAnyConsole, Origin::Env(env)));
}
