//! API keys of the v2 interface, and the nonces that they used.

use zeroize::Zeroizing;

use super::{DbError, Row, Tx, Value};

#[derive(Debug, Clone)]
pub(crate) struct ApiKeyRecord {
    /// Its name, which the caller sends.
    pub id: String,
    pub label: String,
    /// The HMAC key: the bytes of the secret's text.
    pub secret: Zeroizing<Vec<u8>>,
    /// Words of the scopes, separated by commas.
    pub scopes: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds, once taken back.
    pub revoked_at: Option<i64>,
}

const COLUMNS: &str = "id, label, secret, scopes, created_at, revoked_at";

pub(crate) fn insert(tx: &mut dyn Tx, key: &ApiKeyRecord) -> Result<(), DbError> {
    let sql = format!("INSERT INTO api_keys ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, NULL)");
    let args: [Value; 5] = [
        key.id.as_str().into(),
        key.label.as_str().into(),
        key.secret.as_slice().into(),
        key.scopes.as_str().into(),
        key.created_at.into(),
    ];
    tx.execute(&sql, &args).map(|_| ())
}

pub(crate) fn by_id(tx: &mut dyn Tx, id: &str) -> Result<Option<ApiKeyRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1");
    tx.first(&sql, &[id.into()])?.map(|row| record(&row)).transpose()
}

/// All keys, newest first.
pub(crate) fn list(tx: &mut dyn Tx) -> Result<Vec<ApiKeyRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at DESC, id");
    tx.query(&sql, &[])?.iter().map(record).collect()
}

/// Takes a key back; says whether it was in force.
pub(crate) fn revoke(tx: &mut dyn Tx, id: &str, now: i64) -> Result<bool, DbError> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    Ok(tx.execute(sql, &[id.into(), now.into()])? == 1)
}

/// Remembers a nonce; says whether the key never used it before.
pub(crate) fn use_nonce(tx: &mut dyn Tx, key_id: &str, nonce: &str, now: i64) -> Result<bool, DbError> {
    let sql = "INSERT INTO api_nonces (key_id, nonce, seen_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &[key_id.into(), nonce.into(), now.into()])? == 1)
}

pub(crate) fn forget_nonces(tx: &mut dyn Tx, before: i64) -> Result<u64, DbError> {
    tx.execute("DELETE FROM api_nonces WHERE seen_at < $1", &[before.into()])
}

fn record(row: &Row) -> Result<ApiKeyRecord, DbError> {
    Ok(ApiKeyRecord {
        id: row.text(0)?.to_owned(),
        label: row.text(1)?.to_owned(),
        secret: Zeroizing::new(row.blob(2)?.to_vec()),
        scopes: row.text(3)?.to_owned(),
        created_at: row.int(4)?,
        revoked_at: row.maybe_int(5)?,
    })
}
