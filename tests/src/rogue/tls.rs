//! TLS for a server that asks for a client certificate, takes any, and requires none.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::pki::{Ca, ServerIdentity};

/// How a server asks for a client certificate.
pub struct ClientAuth {
    /// The issuers that it names.
    pub hints: Vec<DistinguishedName>,
    /// Whether it refuses whatever it is shown.
    pub refuses: bool,
    /// The versions of TLS that it speaks.
    pub versions: &'static [&'static SupportedProtocolVersion],
}

impl Default for ClientAuth {
    fn default() -> Self {
        Self { hints: Vec::new(), refuses: false, versions: rustls::ALL_VERSIONS }
    }
}

impl ClientAuth {
    /// Names these as the issuers that it knows.
    pub fn naming(cas: &[&Ca]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for ca in cas {
            roots.add(ca.der().clone()).expect("a CA");
        }
        let hints = roots.subjects();
        Self { hints, ..Self::default() }
    }
}

/// The configuration for this identity, with TLS 1.2 and 1.3.
pub fn server_config(identity: ServerIdentity) -> Arc<ServerConfig> {
    requesting_config(identity, ClientAuth::default())
}

/// The same for a server that asks for client certificates like this.
pub(super) fn requesting_config(identity: ServerIdentity, auth: ClientAuth) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(auth.versions)
        .expect("aws-lc-rs has TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::new(DangerTakesAny { auth, provider }))
        .with_single_cert(identity.chain, identity.key)
        .expect("the key belongs to the certificate");
    Arc::new(config)
}

/// The same, for a server that requests no client certificate: what ends TLS before the Console.
pub(super) fn anonymous_config(identity: ServerIdentity) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("the key belongs to the certificate");
    Arc::new(config)
}

/// Takes every client certificate whose key its owner holds. That is the danger in the name: nothing is checked of it.
struct DangerTakesAny {
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for DangerTakesAny {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DangerTakesAny").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for DangerTakesAny {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.auth.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.auth.refuses {
            return Err(rustls::CertificateError::UnknownIssuer.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
