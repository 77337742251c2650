//! Verifies a server's certificate as the TLS library does, and says of an unknown issuer which one it is.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::{ConsoleError, clean};
use crate::tls::provider;

/// The verifier for these roots.
///
/// # Errors
/// [`ConsoleError::Setup`] without a root.
pub(super) fn verifier(roots: RootCertStore) -> Result<Arc<dyn ServerCertVerifier>, ConsoleError> {
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let inner = built.map_err(|error| ConsoleError::Setup { cause: error.to_string() })?;
    Ok(Arc::new(Explaining(inner)))
}

#[derive(Debug)]
struct Explaining(Arc<WebPkiServerVerifier>);

/// What the library's `UnknownIssuer` comes to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Because(String);

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            if error != rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) {
                return error;
            }
            let because = Arc::new(Because(unknown_issuer(end_entity, intermediates)));
            CertificateError::Other(OtherError(because)).into()
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Follows the chain as far as it was sent, and names where it ends.
fn unknown_issuer(leaf: &[u8], sent: &[CertificateDer<'_>]) -> String {
    const PLAIN: &str = "it was issued by a CA that is not among those trusted";
    let read = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
    let Some(mut last) = read(leaf) else { return PLAIN.to_owned() };
    let mut others: Vec<X509Certificate<'_>> = sent.iter().filter_map(|der| read(der)).collect();
    let mut is_leaf = true;
    while last.issuer().as_raw() != last.subject().as_raw() {
        let Some(at) = others.iter().position(|other| other.subject().as_raw() == last.issuer().as_raw())
        else {
            let issuer = clean(&last.issuer().to_string(), 100);
            return format!(
                "it was issued by {issuer}, which is not among the CAs trusted, and whose own certificate the server did \
                 not send; if that is an intermediate CA below a trusted one, have the server send its whole chain"
            );
        };
        last = others.swap_remove(at);
        is_leaf = false;
    }
    if is_leaf {
        return "it is self-signed, and not among the certificates trusted".to_owned();
    }
    format!(
        "its chain ends in {}, which is not among the CAs trusted",
        clean(&last.subject().to_string(), 100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    fn ca(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    #[test]
    fn an_unknown_issuer_is_named_and_a_missing_intermediate_told_from_a_foreign_root() {
        let root = CertifiedIssuer::self_signed(ca("R"), KeyPair::generate().unwrap()).unwrap();
        let middle = CertifiedIssuer::signed_by(ca("I"), KeyPair::generate().unwrap(), &root).unwrap();
        let leaf = CertificateParams::new(vec!["c.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &middle).unwrap();
        let alone = unknown_issuer(leaf.der(), &[]);
        assert!(alone.contains("CN=I") && alone.contains("whole chain"), "{alone}");
        let whole = unknown_issuer(leaf.der(), &[root.der().clone(), middle.der().clone()]);
        assert!(whole.contains("its chain ends in CN=R"), "{whole}");
        assert!(unknown_issuer(root.der(), &[]).contains("self-signed"));
        assert!(unknown_issuer(b"", &[]).contains("not among those trusted"));
    }
}
