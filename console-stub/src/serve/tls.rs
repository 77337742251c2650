//! The TLS side of the server: which certificate it shows, and which client certificates it takes.
//!
//! Invariant: a client certificate is asked for, and required by the sensors' own listener alone; one that is shown has to chain to the Console's root or
//! to an issuer in force. Its dates, and whether the Console still accepts it, are judged per call (`service::trust`).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::client_cert::AsOfItsEnd;
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

/// Whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Asks for a client certificate.
    Everyone,
    /// Requires one.
    Sensors,
}

/// The configurations of both kinds of listener; they change together.
#[derive(Debug, Clone)]
pub struct TlsConfigs {
    everyone: Arc<ServerConfig>,
    sensors: Arc<ServerConfig>,
}

impl TlsConfigs {
    pub(crate) fn of(&self, door: Door) -> Arc<ServerConfig> {
        Arc::clone(match door {
            Door::Everyone => &self.everyone,
            Door::Sensors => &self.sensors,
        })
    }
}

pub(crate) fn server_configs(authority: &Authority, clock: &Clock) -> Result<TlsConfigs, TlsError> {
    let config = |door| server_config(authority, clock, door);
    Ok(TlsConfigs { everyone: config(Door::Everyone)?, sensors: config(Door::Sensors)? })
}

/// The configuration of one listener.
pub fn server_config(
    authority: &Authority,
    clock: &Clock,
    door: Door,
) -> Result<Arc<ServerConfig>, TlsError> {
    let identity = authority.server().ok_or(TlsError::NoCertificate)?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let mut anchors = RootCertStore::empty();
    for anchor in authority.anchors() {
        anchors.add(anchor.clone()).map_err(unfit)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(&provider));
    let verifier = match door {
        Door::Everyone => verifier.allow_unauthenticated(),
        Door::Sensors => verifier,
    };
    let verifier = Arc::new(AsOfItsEnd(verifier.build().map_err(unfit)?));
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
