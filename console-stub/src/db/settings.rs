//! Single values by name, and the counter of licence slots in use.

use super::{DbError, Tx};

/// Unix seconds at which set-up was finished; absent before.
pub const SETUP_AT: &str = "setup_at";
/// The address that hosts and operators reach the Console under, as an operator gave it.
pub const PUBLIC_URL: &str = "public_url";
/// The same, as the last `serve` worked it out from its listener, where no operator gave one.
pub const DERIVED_URL: &str = "derived_url";
/// Names and addresses of the server certificate, separated by spaces.
pub const SERVER_NAMES: &str = "server_names";
/// Lifetime of client certificates in hours (CONTRACT.md section 3: 720).
pub const CERTIFICATE_HOURS: &str = "client_certificate_hours";
/// Seconds between heartbeats (CONTRACT.md section 3: 15).
pub const HEARTBEAT_SECONDS: &str = "heartbeat_interval_seconds";
/// Lifetime of a one-time token in seconds where its maker names none (CONTRACT.md section 1: 15 minutes).
pub const ONCE_TTL_SECONDS: &str = "once_ttl_seconds";
/// PEM public keys (Ed25519) that may sign a licence.
pub const LICENCE_TRUST: &str = "licence_trust";

/// The value of a setting, if it has one.
///
/// # Errors
/// [`DbError`].
pub fn get(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, DbError> {
    let row = tx.first("SELECT value FROM settings WHERE name = $1", &[name.into()])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// The value of a setting that is a number, or its default.
///
/// # Errors
/// [`DbError::Corrupt`] when it is not one.
pub fn number(tx: &mut dyn Tx, name: &str, default: i64) -> Result<i64, DbError> {
    let row = tx.first("SELECT value FROM settings WHERE name = $1", &[name.into()])?;
    row.map_or(Ok(default), |row| row.parse(0, "a number"))
}

/// Gives a setting a value.
///
/// # Errors
/// [`DbError`].
pub fn set(tx: &mut dyn Tx, name: &str, value: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[name.into(), value.into()]).map(|_| ())
}

/// Licence slots in use: sensors neither revoked nor decommissioned.
///
/// # Errors
/// [`DbError`].
pub fn slots_taken(tx: &mut dyn Tx) -> Result<i64, DbError> {
    let row = tx.first("SELECT value FROM counters WHERE name = 'protected_nodes'", &[])?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// Takes one slot if fewer than `limit` are taken; says whether it did. One statement, so that no two takers on any
/// engine can both have the last.
///
/// # Errors
/// [`DbError`].
pub fn take_slot(tx: &mut dyn Tx, limit: i64) -> Result<bool, DbError> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'protected_nodes' AND value < $1";
    Ok(tx.execute(sql, &[limit.into()])? == 1)
}

/// Gives one slot back.
///
/// # Errors
/// [`DbError`].
pub fn free_slot(tx: &mut dyn Tx) -> Result<(), DbError> {
    let sql = "UPDATE counters SET value = value - 1 WHERE name = 'protected_nodes' AND value > 0";
    tx.execute(sql, &[]).map(|_| ())
}
