//! The key pair of one identity. Invariant: the private half leaves this type as PEM for the store and as DER for the
//! TLS handshake, both in memory that is wiped, and never as text for people.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rcgen::{PublicKeyData as _, RsaKeySize, SignatureAlgorithm};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::config::KeyType;

/// A private key and its public half, made on this host (docs/contract.md section 3: the private key never leaves it).
pub struct KeyPair {
    inner: rcgen::KeyPair,
}

/// Why there is no key pair.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library refused; out of entropy or memory.
    #[error("cannot make a {kind} key: {source}")]
    Generate {
        /// What was asked for.
        kind: KeyType,
        /// The library's word.
        source: rcgen::Error,
    },
    /// The text is not a private key of a kind that we take.
    #[error("not a private key in PEM of a supported kind (P-256, RSA 2048 to 4096, Ed25519)")]
    Unreadable,
}

impl KeyPair {
    /// Makes a fresh key pair.
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let rsa = |size| rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let plain = |algorithm: &'static SignatureAlgorithm| rcgen::KeyPair::generate_for(algorithm);
        let made = match kind {
            KeyType::P256 => plain(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::Ed25519 => ed25519(),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        made.map(|inner| Self { inner }).map_err(|source| KeyError::Generate { kind, source })
    }

    /// Reads a key back from PEM: PKCS #8 (RFC 5958), which this type writes, and what other programs write for RSA (PKCS #1)
    /// and P-256 (SEC 1).
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for anything else; never quotes the text.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let found = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Unreadable)?;
        let pkcs8 = |der: &[u8]| PrivatePkcs8KeyDer::from(der).clone_key();
        let rewritten = || match &found {
            PrivateKeyDer::Pkcs8(der) => Some(der.clone_key()),
            PrivateKeyDer::Pkcs1(der) => {
                let key = RsaKeyPair::from_der(der.secret_pkcs1_der()).ok()?;
                let der: Pkcs8V1Der<'_> = key.as_der().ok()?;
                Some(pkcs8(der.as_ref()))
            }
            PrivateKeyDer::Sec1(der) => {
                let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let key = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()).ok()?;
                Some(pkcs8(key.to_pkcs8v1().ok()?.as_ref()))
            }
            _ => None,
        };
        let der = rewritten().ok_or(KeyError::Unreadable)?;
        rcgen::KeyPair::try_from(&der).map(|inner| Self { inner }).map_err(|_| KeyError::Unreadable)
    }

    /// The private key as PKCS #8 PEM, for the store alone.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.inner.serialize_pem())
    }

    /// The private key for a TLS handshake.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] cannot happen for a key that this type made or read; it is passed on all the same.
    pub fn to_private_der(&self) -> Result<PrivateKeyDer<'static>, KeyError> {
        PrivateKeyDer::from_pem_slice(self.to_pem().as_bytes()).map_err(|_| KeyError::Unreadable)
    }

    /// The public key as SubjectPublicKeyInfo DER (RFC 5280 section 4.1.2.7).
    pub fn public_der(&self) -> Vec<u8> {
        self.inner.subject_public_key_info()
    }

    /// The library's key, for signing a request with it.
    pub fn signer(&self) -> &rcgen::KeyPair {
        &self.inner
    }
}

/// An Ed25519 key as PKCS #8 version 1, without the public half: OpenSSL 3.0 cannot read version 2 (RFC 5958), which is
/// what the library writes by itself.
fn ed25519() -> Result<rcgen::KeyPair, rcgen::Error> {
    let made = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1());
    let der = made.map_err(|_| rcgen::Error::RingUnspecified)?;
    rcgen::KeyPair::try_from(der.as_ref())
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(<private>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_made_and_read_back() {
        for kind in [KeyType::P256, KeyType::Ed25519, KeyType::Rsa2048] {
            let key = KeyPair::generate(kind).unwrap();
            let again = KeyPair::from_pem(&key.to_pem()).unwrap();
            assert_eq!(again.public_der(), key.public_der(), "{kind}");
            key.to_private_der().unwrap();
        }
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let key = KeyPair::generate(KeyType::P256).unwrap();
        assert_eq!(format!("{key:?}"), "KeyPair(<private>)");
        let torn = &key.to_pem()[..100];
        let error = KeyPair::from_pem(torn).unwrap_err().to_string();
        assert!(!error.contains(&torn[40..60]), "{error}");
    }
}
