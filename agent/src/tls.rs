//! Whom this host trusts as the Console, as whom it speaks, and the one cryptography provider.
//!
//! Invariant: trust is always stated. There is no default, and no `Option` that means "less secure".

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Whom to trust as the Console.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// Chains to one of these certificates, which came from a file, a pin or a verified enrollment.
    Anchors {
        /// The certificates.
        certificates: Vec<CertificateDer<'static>>,
        /// What they are, for error texts: `the CA file /etc/…`.
        named: String,
    },
    /// Chains to the operating system's roots, or to one of these certificates, which the host holds from an earlier
    /// enrollment (docs/contract.md section 2).
    SystemRoots {
        /// The certificates; often none.
        or: Vec<CertificateDer<'static>>,
    },
    /// Takes any server. For a call that carries no secret, and for the explicit opt-in.
    DangerAnyServer,
}

/// As whom to speak: a certificate chain, leaf first, and its key.
pub struct ClientIdentity {
    /// The chain in DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The one cryptography provider, handed to every TLS configuration (docs/decisions/0002).
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A number drawn evenly over all of `u64`. Where the system gives none, the longest wait is the safe one.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    match provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => u64::MAX,
    }
}

/// A name of the TLS libraries, `BadCertificateStatus`, in words: `bad certificate status`.
pub fn words(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && text.ends_with(|last: char| last.is_ascii_lowercase()) {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

impl ServerTrust {
    /// What a server's certificate is checked against, for error texts.
    pub fn describe(&self) -> String {
        match self {
            Self::Anchors { named, .. } => format!("checked against {named}"),
            Self::SystemRoots { or } if or.is_empty() => {
                "checked against the system's root certificates".to_owned()
            }
            Self::SystemRoots { .. } => {
                "checked against the CA of the earlier enrollment and the system's root certificates"
                    .to_owned()
            }
            Self::DangerAnyServer => "not checked".to_owned(),
        }
    }
}
