//! Whom to trust at first contact (CONTRACT.md section 2).
//!
//! Invariant: there is no way to say "less secure" by leaving something out. Nothing configured means the system's
//! roots; accepting anyone has to be said by its dangerous name, and contradicts everything stricter.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_contract::CaFingerprint;

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::item::Item;
use crate::config::layers::{Layers, Raw};
use crate::config::setting::{Origin, Setting};

/// Largest CA file in bytes; the whole Mozilla bundle has a quarter of that.
const LARGEST_CA_FILE: u64 = 1 << 20;

/// What was configured about trust. Turned into a [`Trust`] at the moment of first contact, because a CA file may be
/// replaced, or gone once it is no longer needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustSettings {
    ca_file: Option<Setting<PathBuf>>,
    fingerprint: Option<Setting<CaFingerprint>>,
    danger_accept_any: Setting<bool>,
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

impl TrustSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            ca_file: layers.read(Item::BootstrapCa, Raw::path),
            fingerprint: layers.read(Item::CaFingerprint, |raw| {
                raw.text()?
                    .parse()
                    .map_err(|error: telovix_contract::fingerprint::InvalidFingerprint| error.to_string())
            }),
            danger_accept_any: layers.read_or(Item::DangerAcceptUnverifiedConsole, false, Raw::switch),
        }
    }

    /// The CA file, which may be missing.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_ref().map(|setting| setting.value.as_path())
    }

    /// Decides, and reads the CA file where there is one.
    ///
    /// # Errors
    /// A CA file that cannot be read, holds no certificate or not the pinned one; the dangerous choice together with a
    /// stricter one.
    pub fn resolve(&self) -> Result<Setting<Trust>, ConfigErrors> {
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
            return errors.or(Setting::new(Trust::DangerAcceptAnyConsole, danger.origin.clone()));
        }
        match (&self.ca_file, &self.fingerprint) {
            (Some(file), pinned) => {
                let certificates = certificates_of(&file.value, pinned.as_ref())
                    .map_err(|problem| ConfigError::at(&file.origin, problem))?;
                let trust = Trust::CaFile { path: file.value.clone(), certificates };
                Ok(Setting::new(trust, file.origin.clone()))
            }
            (None, Some(pinned)) => Ok(Setting::new(Trust::Pinned(pinned.value), pinned.origin.clone())),
            (None, None) => Ok(Setting::new(Trust::SystemRoots, Origin::Default)),
        }
    }
}

fn certificates_of(
    path: &Path,
    pinned: Option<&Setting<CaFingerprint>>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let bytes = read(path).map_err(|error| {
        format!("cannot read the CA file {shown}: {error}; name a file that the agent may read")
    })?;
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| {
            format!("the CA file {shown} is damaged PEM: {error}; get it again from the Console")
        })?;
    if certificates.is_empty() {
        return Err(format!(
            "the CA file {shown} holds no certificate; it has to hold one in PEM (-----BEGIN CERTIFICATE-----)"
        ));
    }
    for (at, certificate) in certificates.iter().enumerate() {
        webpki::anchor_from_trusted_cert(certificate).map_err(|error| {
            format!(
                "certificate {} of the CA file {shown} cannot be used: {error:?}; get the file again",
                at + 1
            )
        })?;
    }
    match pinned {
        None => Ok(certificates),
        Some(pinned) => {
            let wanted = pinned.value;
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
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_CA_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_CA_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
