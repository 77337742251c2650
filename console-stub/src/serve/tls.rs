//! The TLS side of the server: which certificate it shows, and which client certificates it takes.
//!
//! Invariant: a client certificate is asked for and not required; one that is shown has to chain to the Console's root or
//! to an issuer in force, at the injected clock's time. Whether the Console still believes it is decided per request.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ca::Authority;
use crate::clock::Clock;

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority has no server certificate.
    #[error("there is no server certificate; run `setup`")]
    NoCertificate,
    /// The certificates or keys are not fit for TLS.
    #[error("the certificates in the database cannot be used for TLS: {0}")]
    Unfit(String),
}

/// The configuration for this authority, on this clock.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(authority: &Authority, clock: &Clock) -> Result<Arc<ServerConfig>, TlsError> {
    let identity = authority.server().ok_or(TlsError::NoCertificate)?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let mut anchors = RootCertStore::empty();
    for anchor in authority.anchors() {
        anchors.add(anchor.clone()).map_err(unfit)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(unfit)?;
    let mut config = ServerConfig::builder_with_details(provider, clock.provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unfit)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key())
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A configuration that shows this certificate and asks for none.
///
/// # Errors
/// [`TlsError::Unfit`].
pub(super) fn plain_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_details(provider, clock.provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    Ok(Arc::new(config))
}

fn unfit(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unfit(error.to_string())
}
