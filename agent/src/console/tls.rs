//! TLS settings: whom we trust as the Console, and as whom we speak.
//!
//! Invariant: trust is always stated. There is no default, no `Option` that means "less secure", and the only verifier
//! that takes any server is named for the danger and made in two places alone: for the call that carries no secret, and
//! for the loudly named opt-in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::ConsoleError;
use super::server_cert;
use crate::clock::Clock;
use crate::tls::{ClientIdentity, ServerTrust, provider};

/// Builds the TLS settings of one call.
///
/// # Errors
/// [`ConsoleError::NoSystemRoots`] when the system's roots are asked for and there are none; [`ConsoleError::Setup`]
/// when a certificate or the key is not one that TLS can use.
pub fn client_config(
    clock: &Clock,
    trust: &ServerTrust,
    identity: Option<ClientIdentity>,
) -> Result<ClientConfig, ConsoleError> {
    config(clock, trust, identity, &[&rustls::version::TLS13, &rustls::version::TLS12])
}

/// The same for an enrollment that shows the certificate which this host holds already, and whether it was shown. It is shown to a
/// server alone whose hints name its issuer, or that gives none; and never under TLS 1.2, which has no keys yet when it goes out
/// (docs/contract.md section 2).
pub(super) fn showing_config(
    clock: &Clock,
    trust: &ServerTrust,
    held: ClientIdentity,
) -> Result<(ClientConfig, Arc<AtomicBool>), ConsoleError> {
    let parsed = held.chain.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let issuers = parsed.map(|(_, certificate)| certificate.issuer().as_raw().to_vec()).collect();
    let mut config = config(clock, trust, Some(held), &[&rustls::version::TLS13])?;
    let shown = watch(&mut config, Some(issuers));
    Ok((config, shown))
}

fn config(
    clock: &Clock,
    trust: &ServerTrust,
    identity: Option<ClientIdentity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, ConsoleError> {
    let setup = |cause: rustls::Error| ConsoleError::Setup { cause: cause.to_string() };
    let provider = provider();
    let builder = ClientConfig::builder_with_details(provider.clone(), Arc::clone(clock))
        .with_protocol_versions(versions)
        .map_err(setup)?;
    let builder = match trust {
        ServerTrust::Anchors { certificates, .. } => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(setup)?;
            }
            builder.dangerous().with_custom_certificate_verifier(server_cert::verifier(roots)?)
        }
        ServerTrust::SystemRoots { or } => {
            let roots = system_roots(or)?;
            builder.dangerous().with_custom_certificate_verifier(server_cert::verifier(roots)?)
        }
        ServerTrust::DangerAnyServer => {
            let verifier = DangerAnyServer(provider.signature_verification_algorithms);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(setup)?,
    };
    // One connection per call: a resumed session would only keep key material in memory.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Whether the server of one connection requested the client's certificate (docs/contract.md section 6: only then is its answer a
/// verdict). A session is never resumed, so every connection begins with a full handshake that tells.
pub(super) fn watch_request(config: &mut ClientConfig) -> Arc<AtomicBool> {
    watch(config, None)
}

fn watch(config: &mut ClientConfig, issuers: Option<Vec<Vec<u8>>>) -> Arc<AtomicBool> {
    let requested = Arc::new(AtomicBool::new(false));
    let inner = config.client_auth_cert_resolver.clone();
    config.client_auth_cert_resolver = Arc::new(Watched { inner, issuers, requested: requested.clone() });
    requested
}

#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ResolvesClientCert>,
    /// Where they are given, a server whose hints name none of them has requested nothing of ours.
    issuers: Option<Vec<Vec<u8>>>,
    requested: Arc<AtomicBool>,
}

impl ResolvesClientCert for Watched {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_ours = |issuer: &Vec<u8>| hints.contains(&issuer.as_slice());
        if self.issuers.as_ref().is_some_and(|issuers| !hints.is_empty() && !issuers.iter().any(is_ours)) {
            return None;
        }
        self.requested.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

fn system_roots(or: &[CertificateDer<'static>]) -> Result<RootCertStore, ConsoleError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(or.iter().cloned());
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(ConsoleError::NoSystemRoots { cause });
    }
    Ok(roots)
}

/// Takes any certificate, but still wants the handshake signed by its key, so that what was fetched over the connection
/// came from the holder of the certificate that was shown.
#[derive(Debug)]
struct DangerAnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for DangerAnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
