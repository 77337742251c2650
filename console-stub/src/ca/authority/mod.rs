//! The CA as a running server holds it, read from the database once and after every change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use telovix_contract::{CaFingerprint, NodeName, SensorId};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::csr::CheckedCsr;
use super::issue::{self, Signer};
use super::{CaError, Issued, Recognized, certificate_pem, hierarchy};
use crate::db::Tx;
use crate::db::authority::{self as table, IssuerKind, IssuerRecord, KeyPurpose, ServerCertificate};

/// The certificate and key that the TLS server shows.
pub struct ServerIdentity {
    /// The server's certificate, then its issuer's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Unix seconds between which the certificate is valid.
    pub validity: (i64, i64),
    key: Zeroizing<Vec<u8>>,
}

impl ServerIdentity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_vec()))
    }
}

/// The CA of a Console that is set up.
pub struct Authority {
    anchors: Vec<CertificateDer<'static>>,
    ca_pem: String,
    fingerprint: CaFingerprint,
    policy_public_key_pem: String,
    signer: Signer,
    signer_id: String,
    /// Names and certificates of the issuers in force.
    issuers: Vec<(String, CertificateDer<'static>)>,
    server: Option<ServerIdentity>,
    server_key: rcgen::KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the CA from the database.
    /// Errors: [`CaError::Missing`] before set-up; [`CaError::Unreadable`] for a damaged database.
    pub(crate) fn load(tx: &mut dyn Tx) -> Result<Self, LoadError> {
        let issuers = table::issuers(tx)?;
        let server_key = table::key(tx, KeyPurpose::Server)?.ok_or(CaError::Missing("server key"))?;
        let policy_key = table::key(tx, KeyPurpose::Policy)?.ok_or(CaError::Missing("policy key"))?;
        let server = table::server_certificate(tx)?;
        Ok(Self::assemble(&issuers, &server_key, &policy_key, server)?)
    }

    /// A CA of the moment, kept nowhere: what a server shows before set-up, so that probes get an answer.
    pub fn temporary(now: i64) -> Result<Self, CaError> {
        let root = hierarchy::root(now)?;
        let issuer = hierarchy::issuer(&root, now)?;
        let issuers = [
            issuer_record("root", IssuerKind::Root, root, now),
            issuer_record("issuer", IssuerKind::Issuing, issuer, now),
        ];
        let (server_key, policy_key) = (hierarchy::server_key()?, hierarchy::policy_key()?);
        let blank = Self::assemble(&issuers, &server_key, &policy_key, None)?;
        let server = blank.issue_server(&[], now)?;
        Self::assemble(&issuers, &server_key, &policy_key, Some(server))
    }

    fn assemble(
        issuers: &[IssuerRecord],
        server_key: &Zeroizing<Vec<u8>>,
        policy_key: &[u8],
        server: Option<ServerCertificate>,
    ) -> Result<Self, CaError> {
        let root = issuers.iter().find(|issuer| issuer.kind == IssuerKind::Root);
        let root = root.ok_or(CaError::Missing("root CA"))?;
        let issuing = issuers.iter().filter(|issuer| issuer.kind == IssuerKind::Issuing);
        let active = issuing.clone().next().ok_or(CaError::Missing("issuing CA"))?;
        let anchors: Vec<CertificateDer<'static>> =
            issuers.iter().map(|issuer| CertificateDer::from(issuer.certificate.clone())).collect();
        Ok(Self {
            ca_pem: anchors.iter().map(|der| certificate_pem(der)).collect(),
            anchors,
            fingerprint: CaFingerprint::of_der(&root.certificate),
            policy_public_key_pem: policy_public_key(policy_key)?,
            signer: signer(active)?,
            signer_id: active.id.clone(),
            issuers: issuing
                .map(|issuer| (issuer.id.clone(), CertificateDer::from(issuer.certificate.clone())))
                .collect(),
            server: server.map(|made| identity(&made, issuers, server_key)).transpose()?,
            server_key: hierarchy::p256(server_key).ok_or(CaError::Unreadable("server key"))?,
        })
    }

    /// The certificates that a client certificate may chain to: the root, then the issuers in force.
    pub fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.anchors
    }

    /// The same in PEM: `control_plane_ca_certificate_pem`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The root's fingerprint, which hosts pin.
    pub fn fingerprint(&self) -> CaFingerprint {
        self.fingerprint
    }

    /// The public key that verifies policies, PEM.
    pub fn policy_public_key_pem(&self) -> &str {
        &self.policy_public_key_pem
    }

    /// Name of the issuer that signs now.
    pub fn signer_id(&self) -> &str {
        &self.signer_id
    }

    /// What the TLS server shows, once it has a certificate.
    pub fn server(&self) -> Option<&ServerIdentity> {
        self.server.as_ref()
    }

    /// Base64 of SHA-256 of the server's public key, as curl's `--pinnedpubkey` takes it. Survives renewals: the key stays.
    pub fn server_pin(&self) -> String {
        STANDARD.encode(Sha256::digest(self.server_key.subject_public_key_info()))
    }

    /// A certificate and its issuer's, PEM: `control_plane_certificate_pem`.
    pub fn chain_pem(&self, der: &[u8], issuer_id: &str) -> String {
        let issuer = self.issuers.iter().find(|(id, _)| id == issuer_id);
        certificate_pem(der) + &issuer.map_or_else(String::new, |(_, issuer)| certificate_pem(issuer))
    }

    /// What a client certificate says that an issuer in force signed, whatever its dates; none for any other.
    pub(crate) fn recognize(&self, der: &[u8]) -> Option<Recognized> {
        Recognized::read(&self.issuers, der)
    }

    /// Signs a client certificate that lasts `life` seconds, or as long as the issuer.
    pub fn issue_client(
        &self,
        csr: &CheckedCsr,
        sensor_id: SensorId,
        node: &NodeName,
        now: i64,
        life: i64,
    ) -> Result<Issued, CaError> {
        issue::client(&self.signer, &csr.public_key, sensor_id, node, now, life)
    }

    /// A server certificate for one name and a key of the moment, kept nowhere; where `ended` is given, one whose time was
    /// over then (unix seconds). For bad days.
    pub(crate) fn passing_server(
        &self,
        name: &str,
        ended: Option<i64>,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaError> {
        let key = rcgen::KeyPair::generate()?;
        let made = issue::passing_server(&self.signer, &key, name, ended)?;
        let issuer = self.anchors.get(1).cloned().ok_or(CaError::Missing("issuing CA"))?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![made.der, issuer], private))
    }

    /// Signs a certificate for the TLS server's key with these names.
    /// Errors: [`CaError::BadName`] for a name that cannot stand there; others when signing fails.
    pub(crate) fn issue_server(&self, names: &[String], now: i64) -> Result<ServerCertificate, CaError> {
        let made = issue::server(&self.signer, &self.server_key, names, now)?;
        Ok(ServerCertificate {
            fingerprint: Sha256::digest(&made.der).into(),
            issuer_id: self.signer_id.clone(),
            der: made.der.to_vec(),
            not_before: made.not_before,
            not_after: made.not_after,
        })
    }
}

/// A CA certificate with its key, as it is stored.
pub(crate) fn issuer_record(id: &str, kind: IssuerKind, made: hierarchy::MadeCa, now: i64) -> IssuerRecord {
    IssuerRecord {
        id: id.to_owned(),
        kind,
        certificate: made.certificate.der.to_vec(),
        private_key: made.private_key,
        created_at: now,
        not_after: made.certificate.not_after,
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LoadError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
    #[error(transparent)]
    Ca(#[from] CaError),
}

fn signer(active: &IssuerRecord) -> Result<Signer, CaError> {
    let der = CertificateDer::from(active.certificate.as_slice());
    let (_, parsed) =
        X509Certificate::from_der(&active.certificate).map_err(|_| CaError::Unreadable("issuing CA"))?;
    Ok(Signer {
        issuer: hierarchy::signer(&der, &active.private_key, "issuing CA")?,
        not_before: parsed.validity().not_before.timestamp(),
        not_after: active.not_after,
    })
}

fn identity(
    made: &ServerCertificate,
    issuers: &[IssuerRecord],
    key: &Zeroizing<Vec<u8>>,
) -> Result<ServerIdentity, CaError> {
    let issuer = issuers.iter().find(|issuer| issuer.id == made.issuer_id);
    let issuer = issuer.ok_or(CaError::Missing("issuer of the server certificate"))?;
    let chain = [&made.der, &issuer.certificate].map(|der| CertificateDer::from(der.clone()));
    Ok(ServerIdentity {
        chain: chain.to_vec(),
        validity: (made.not_before, made.not_after),
        key: key.clone(),
    })
}

fn policy_public_key(key: &[u8]) -> Result<String, CaError> {
    let der = PrivatePkcs8KeyDer::from(key);
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519);
    pair.map(|pair| pair.public_key_pem()).map_err(|_| CaError::Unreadable("policy key"))
}

#[cfg(test)]
mod tests;
