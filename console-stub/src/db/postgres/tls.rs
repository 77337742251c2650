//! TLS to the PostgreSQL server, by rustls like all TLS here.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Roots;
use crate::clock::Clock;
use crate::db::DbError;

/// A connector that verifies name and certificate against these roots, by this clock.
pub(super) fn connector(roots: &Roots, clock: &Clock) -> Result<MakeRustlsConnect, DbError> {
    let store = match roots {
        Roots::System => system()?,
        Roots::File(path) => {
            let wrong = |why: String| DbError::Engine(format!("sslrootcert {}: {why}", path.display()));
            let mut store = RootCertStore::empty();
            for found in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
                let certificate = found.map_err(|error| wrong(error.to_string()))?;
                store.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if store.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            store
        }
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, clock.provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| DbError::Engine(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn system() -> Result<RootCertStore, DbError> {
    let mut store = RootCertStore::empty();
    // One that cannot be read vouches for nobody; the others still do.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        let why = "the system has no certification authorities; name the server's with sslrootcert=FILE";
        return Err(DbError::Engine(why.to_owned()));
    }
    Ok(store)
}
