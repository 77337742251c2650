//! Whom to trust at first contact (docs/contract.md section 2).
//!
//! Invariant: there is no way to say "less secure" by leaving something out. Nothing configured means the system's
//! roots; accepting anyone has to be said by its dangerous name, and contradicts everything stricter.

use std::io;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use telovix_contract::CaFingerprint;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::keys;
use crate::config::layers::Layers;
use crate::config::pem;
use crate::config::sourced::{Origin, Sourced};
use crate::regular::{self, Links};

/// Largest CA file in bytes; the whole Mozilla bundle has a quarter of that.
const LARGEST_CA_FILE: u64 = 1 << 20;

/// What was configured about trust. Turned into a [`Trust`] at the moment of first contact, because a CA file may be
/// replaced, or gone once it is no longer needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustSettings {
    ca_file: Option<Sourced<PathBuf>>,
    fingerprint: Option<Sourced<CaFingerprint>>,
    danger_accept_any: Sourced<bool>,
}

/// Whom to trust at first contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Exactly the CAs of this file; one only where a fingerprint picked it.
    CaFile {
        /// The file.
        path: PathBuf,
        /// At least one certificate; each can be a trust anchor.
        certificates: Vec<CertificateDer<'static>>,
    },
    /// The CA with this fingerprint, which the Console hands out itself.
    Pinned(CaFingerprint),
    /// The roots of the operating system.
    SystemRoots,
    /// DANGER: anyone. The token goes to whoever answers.
    DangerAcceptAnyConsole,
}

/// A pin that is the SHA-256 of something else than the CA's certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pinned} is the SHA-256 of {what}, not of the certificate, whose fingerprint is {right}")]
pub struct MistakenPin {
    pinned: CaFingerprint,
    what: &'static str,
    right: CaFingerprint,
}

impl MistakenPin {
    /// Looks whether the pin is the hash of the file that these certificates are in, or of the public key of one. Then it
    /// belongs to this CA all the same: nobody else can make another with this hash.
    pub fn of(pinned: &CaFingerprint, text: &str, certificates: &[CertificateDer<'_>]) -> Option<Self> {
        certificates.iter().find_map(|der| {
            let right = CaFingerprint::of_der(der);
            let of = |bytes: &[u8]| CaFingerprint::of_der(bytes) == *pinned;
            let alone = pem::encode(pem::CERTIFICATE, der);
            let read = X509Certificate::from_der(der).ok();
            let what = if of(text.as_bytes()) || of(alone.as_bytes()) || of(alone.trim_end().as_bytes()) {
                "the CA's file (as sha256sum prints it)"
            } else if read.is_some_and(|(_, certificate)| of(certificate.public_key().raw)) {
                "the CA's public key"
            } else {
                return None;
            };
            (right != *pinned).then_some(Self { pinned: *pinned, what, right })
        })
    }
}

impl TrustSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            ca_file: layers.read(&keys::BOOTSTRAP_CA_CERT_PATH),
            fingerprint: layers.read(&keys::CA_FINGERPRINT),
            danger_accept_any: layers.read_or_default(&keys::DANGER_ACCEPT_UNVERIFIED_CONSOLE),
        }
    }

    /// The CA file, which may be missing.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_ref().map(|setting| setting.value.as_path())
    }

    /// Decides, and reads the CA file where there is one. The dangerous choice together with a stricter one is an error.
    pub fn resolve(&self) -> Result<Sourced<Trust>, ConfigErrors> {
        let danger = &self.danger_accept_any;
        if danger.value {
            let stricter =
                [self.ca_file.as_ref().map(|s| &s.origin), self.fingerprint.as_ref().map(|s| &s.origin)];
            let mut errors = ConfigErrors::default();
            for origin in stricter.into_iter().flatten() {
                errors.push(ConfigError::at(
                    &danger.origin,
                    format!("accepting an unverified Console contradicts {origin}; remove one of the two"),
                ));
            }
            return errors.or(Sourced::new(Trust::DangerAcceptAnyConsole, danger.origin.clone()));
        }
        match (&self.ca_file, &self.fingerprint) {
            (Some(file), pinned) => {
                let certificates = certificates_of(&file.value, pinned.as_ref())
                    .map_err(|problem| ConfigError::at(&file.origin, problem))?;
                let trust = Trust::CaFile { path: file.value.clone(), certificates };
                Ok(Sourced::new(trust, file.origin.clone()))
            }
            (None, Some(pinned)) => Ok(Sourced::new(Trust::Pinned(pinned.value), pinned.origin.clone())),
            (None, None) => Ok(Sourced::new(Trust::SystemRoots, Origin::Default)),
        }
    }
}

fn certificates_of(
    path: &Path,
    pinned: Option<&Sourced<CaFingerprint>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let bytes = read(path).map_err(|error| {
        format!("cannot read the CA file {shown}: {error}; name a file that the agent may read")
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let certificates: Vec<CertificateDer<'static>> = pem::blocks(pem::CERTIFICATE, &text)
        .map(|block| block.map(CertificateDer::from))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("the CA file {shown} is malformed PEM; get it again from the Console"))?;
    if certificates.is_empty() {
        return Err(format!(
            "the CA file {shown} holds no certificate; it has to hold one in PEM (-----BEGIN CERTIFICATE-----)"
        ));
    }
    for (at, certificate) in certificates.iter().enumerate() {
        webpki::anchor_from_trusted_cert(certificate).map_err(|_| {
            format!(
                "certificate {} of the CA file {shown} cannot be used: it is not an X.509 certificate that can vouch for \
                 others; get the file again from the Console",
                at + 1
            )
        })?;
    }
    match pinned {
        None => Ok(certificates),
        Some(pinned) => {
            let wanted = pinned.value;
            if let Some(mistake) = MistakenPin::of(&wanted, &text, &certificates) {
                return Err(format!(
                    "the CA file {shown} does not have the pinned fingerprint ({}): {mistake}",
                    pinned.origin
                ));
            }
            certificates.into_iter().find(|der| CaFingerprint::of_der(der) == wanted).map(|der| vec![der]).ok_or_else(
                || {
                    format!(
                        "the CA file {shown} holds no certificate with the fingerprint {wanted} ({}); one of the two \
                         belongs to another Console",
                        pinned.origin
                    )
                },
            )
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, Links::Follow, LARGEST_CA_FILE)
}

#[cfg(test)]
mod tests {
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
    fn a_pin_of_the_file_or_of_the_key_is_told_from_that_of_another_console() {
        let (pem, right) = ca("one");
        let der: Vec<u8> = pem::blocks(pem::CERTIFICATE, &pem).next().unwrap().unwrap();
        let key = X509Certificate::from_der(&der).unwrap().1.public_key().raw.to_vec();
        let certificate = CertificateDer::from(der);
        for (bytes, what) in [(pem.as_bytes(), "the CA's file"), (&key[..], "the CA's public key")] {
            let pin = CaFingerprint::of_der(bytes);
            let complaints = with_ca(&pem).args(&["--ca-fingerprint", &pin.to_string()]).complaints();
            assert!(
                complaints[0].contains(what) && complaints[0].contains(&right.to_string()),
                "{complaints:?}"
            );
        }
        assert_eq!(MistakenPin::of(&right, &pem, std::slice::from_ref(&certificate)), None);
        assert_eq!(MistakenPin::of(&CaFingerprint::of_der(b"x"), &pem, &[certificate]), None);
    }

    #[test]
    fn a_ca_file_is_read_however_its_lines_are_broken() {
        let (pem, _) = ca("one");
        for form in [
            pem.replace('\n', " "),
            pem.replace('\n', "\\n"),
            format!("\u{feff}{pem}"),
            pem.replace('\n', "\r\n"),
        ] {
            let Trust::CaFile { certificates, .. } =
                with_ca(form).load().unwrap().trust.resolve().unwrap().value
            else {
                panic!("a CA file")
            };
            assert_eq!(certificates.len(), 1);
        }
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
            (cut.as_bytes().to_vec(), "is malformed PEM"),
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
        let bench = with_ca(pem).args(&[
            "--ca-fingerprint",
            &pinned.to_string(),
            "--danger-accept-unverified-console",
        ]);
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
        assert_eq!(on, Sourced::new(Trust::DangerAcceptAnyConsole, Origin::Env(env)));
    }
}
