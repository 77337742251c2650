//! The CA's certificates and keys, and the server's. Private keys leave this module in wiped memory.

use zeroize::Zeroizing;

use super::{DbError, Row, Tx, Value};
use crate::domain::words::words;

words! {
    pub(crate) IssuerKind {
        /// Signs issuers.
        Root = "root",
        /// Signs clients and servers.
        Issuing = "issuing",
    }
}

#[derive(Debug, Clone)]
pub(crate) struct IssuerRecord {
    /// Its name in other tables.
    pub id: String,
    pub kind: IssuerKind,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The key, PKCS #8.
    pub private_key: Zeroizing<Vec<u8>>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds at which the certificate ends.
    pub not_after: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPurpose {
    Server,
    Policy,
}

impl KeyPurpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Policy => "policy",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ServerCertificate {
    /// SHA-256 of the DER.
    pub fingerprint: [u8; 32],
    pub issuer_id: String,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

pub(crate) fn insert_issuer(tx: &mut dyn Tx, issuer: &IssuerRecord) -> Result<(), DbError> {
    let sql = "INSERT INTO issuers (id, kind, certificate, private_key, created_at, not_after) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let args: [Value; 6] = [
        issuer.id.as_str().into(),
        issuer.kind.as_str().into(),
        issuer.certificate.as_slice().into(),
        issuer.private_key.as_slice().into(),
        issuer.created_at.into(),
        issuer.not_after.into(),
    ];
    tx.execute(sql, &args).map(|_| ())
}

/// The CA certificates in force: the root first, then the issuers, newest first.
pub(crate) fn issuers(tx: &mut dyn Tx) -> Result<Vec<IssuerRecord>, DbError> {
    let sql = "SELECT id, kind, certificate, private_key, created_at, not_after FROM issuers \
               WHERE retired_at IS NULL ORDER BY kind DESC, created_at DESC";
    tx.query(sql, &[])?.iter().map(issuer).collect()
}

/// Whether this issuer is the one that signs: the newest in force.
pub(crate) fn signs(tx: &mut dyn Tx, id: &str) -> Result<bool, DbError> {
    let sql = "SELECT id, kind FROM issuers WHERE retired_at IS NULL ORDER BY created_at DESC";
    for row in &*tx.once("issuers", sql)? {
        if row.text(1)? == IssuerKind::Issuing.as_str() {
            return Ok(row.text(0)? == id);
        }
    }
    Ok(false)
}

/// What changes whenever another authority has to be read: the issuers in force and the server certificate.
pub(crate) fn stamp(tx: &mut dyn Tx) -> Result<String, DbError> {
    let sql = "SELECT id FROM issuers WHERE retired_at IS NULL ORDER BY kind DESC, created_at DESC, id";
    let ids: Result<Vec<String>, DbError> =
        tx.query(sql, &[])?.iter().map(|row| row.text(0).map(str::to_owned)).collect();
    let server = tx.first("SELECT fingerprint FROM server_certificates", &[])?;
    let server = server.map(|row| row.hash(0)).transpose()?.unwrap_or_default();
    Ok(format!("{} {}", ids?.join(" "), telovix_contract::token::hex(&server)))
}

/// An issuer that is or was in force, and how many sensors need it.
#[derive(Debug, Clone)]
pub(crate) struct IssuerUse {
    pub id: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Unix seconds at which it was taken out of force.
    pub retired_at: Option<i64>,
    /// Sensors with a certificate from it that works, those that were revoked left out.
    pub sensors: i64,
}

/// Every issuer that ever signed, newest first.
pub(crate) fn issuer_uses(tx: &mut dyn Tx, now: i64) -> Result<Vec<IssuerUse>, DbError> {
    // By the sensors' newest certificates, which an index counts, and those that work beside a successor which nobody has seen.
    let sql = "SELECT i.id, i.created_at, i.not_after, i.retired_at, CASE WHEN i.retired_at IS NULL THEN \
               (SELECT COUNT(*) FROM sensors s \
               WHERE s.certificate_issuer = i.id AND s.revoked_at IS NULL AND s.certificate_until > $1) + \
               (SELECT COUNT(DISTINCT c.sensor_id) FROM certificates n JOIN sensors s ON s.id = n.sensor_id \
               JOIN certificates c ON c.sensor_id = n.sensor_id AND c.generation < n.generation \
               WHERE n.first_seen_at IS NULL AND n.ended_at IS NULL AND n.generation > 1 \
               AND c.issuer_id = i.id AND c.ended_at IS NULL AND c.not_after > $1 AND s.revoked_at IS NULL \
               AND NOT (s.certificate_issuer = i.id AND s.certificate_until > $1)) ELSE 0 END \
               FROM issuers i WHERE i.kind = $2 ORDER BY i.created_at DESC";
    let rows = tx.query(sql, &[now.into(), IssuerKind::Issuing.as_str().into()])?;
    rows.iter()
        .map(|row| {
            Ok(IssuerUse {
                id: row.text(0)?.to_owned(),
                created_at: row.int(1)?,
                not_after: row.int(2)?,
                retired_at: row.maybe_int(3)?,
                sensors: row.int(4)?,
            })
        })
        .collect()
}

/// Takes an issuer out of force, and with it every certificate that it signed.
pub(crate) fn retire_issuer(tx: &mut dyn Tx, id: &str, now: i64) -> Result<(), DbError> {
    let args: [Value; 2] = [id.into(), now.into()];
    tx.execute("UPDATE issuers SET retired_at = $2 WHERE id = $1", &args)?;
    let sql = "UPDATE certificates SET ended_at = $2 WHERE issuer_id = $1 AND ended_at IS NULL";
    tx.execute(sql, &args).map(|_| ())
}

fn issuer(row: &Row) -> Result<IssuerRecord, DbError> {
    Ok(IssuerRecord {
        id: row.text(0)?.to_owned(),
        kind: row.word(1, "a kind of issuer", IssuerKind::from_word)?,
        certificate: row.blob(2)?.to_vec(),
        private_key: Zeroizing::new(row.blob(3)?.to_vec()),
        created_at: row.int(4)?,
        not_after: row.int(5)?,
    })
}

pub(crate) fn insert_key(tx: &mut dyn Tx, purpose: KeyPurpose, key: &[u8], now: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO keys (purpose, private_key, created_at) VALUES ($1, $2, $3)";
    tx.execute(sql, &[purpose.as_str().into(), key.into(), now.into()]).map(|_| ())
}

/// A key (PKCS #8), if there is one for the purpose.
pub(crate) fn key(tx: &mut dyn Tx, purpose: KeyPurpose) -> Result<Option<Zeroizing<Vec<u8>>>, DbError> {
    let row = tx.first("SELECT private_key FROM keys WHERE purpose = $1", &[purpose.as_str().into()])?;
    row.map(|row| Ok(Zeroizing::new(row.blob(0)?.to_vec()))).transpose()
}

/// Stores a server certificate in place of the one before.
pub(crate) fn put_server_certificate(tx: &mut dyn Tx, made: &ServerCertificate) -> Result<(), DbError> {
    tx.execute("DELETE FROM server_certificates", &[])?;
    let sql = "INSERT INTO server_certificates (fingerprint, issuer_id, certificate, not_before, not_after) \
               VALUES ($1, $2, $3, $4, $5)";
    let args: [Value; 5] = [
        (&made.fingerprint).into(),
        made.issuer_id.as_str().into(),
        made.der.as_slice().into(),
        made.not_before.into(),
        made.not_after.into(),
    ];
    tx.execute(sql, &args).map(|_| ())
}

pub(crate) fn server_certificate(tx: &mut dyn Tx) -> Result<Option<ServerCertificate>, DbError> {
    let sql = "SELECT fingerprint, issuer_id, certificate, not_before, not_after FROM server_certificates";
    let row = tx.first(sql, &[])?;
    row.map(|row| {
        Ok(ServerCertificate {
            fingerprint: row.hash(0)?,
            issuer_id: row.text(1)?.to_owned(),
            der: row.blob(2)?.to_vec(),
            not_before: row.int(3)?,
            not_after: row.int(4)?,
        })
    })
    .transpose()
}
