//! Single values by name, and the counter of licence slots in use.

use super::{DbError, Tx};
use crate::domain::approval::Mode;
use crate::domain::setting::Setting;
use crate::domain::token::Lifetimes;

/// Unix seconds at which set-up was finished; absent before.
pub const SETUP_AT: &str = "setup_at";
/// The address that hosts and operators reach the Console under, as an operator gave it.
pub const PUBLIC_URL: &str = "public_url";
/// The same, as the last `serve` worked it out from its listener, where no operator gave one.
pub const DERIVED_URL: &str = "derived_url";
/// Names and addresses of the server certificate, separated by spaces.
pub const SERVER_NAMES: &str = "server_names";
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

/// The value of an administrator's setting that is a number, or its default.
///
/// # Errors
/// [`DbError::Corrupt`] when it is not one.
pub fn number(tx: &mut dyn Tx, setting: Setting) -> Result<i64, DbError> {
    let row = tx.first("SELECT value FROM settings WHERE name = $1", &[setting.name().into()])?;
    row.map_or(Ok(setting.default_number()), |row| row.parse(0, "a number"))
}

/// Which enrollments wait for an operator.
///
/// # Errors
/// [`DbError::Corrupt`] when the word is not a mode.
pub fn approval_mode(tx: &mut dyn Tx) -> Result<Mode, DbError> {
    let sql = "SELECT value FROM settings WHERE name = $1";
    let row = tx.first(sql, &[Setting::ApprovalMode.name().into()])?;
    row.map_or(Ok(Mode::Nobody), |row| row.word(0, "an approval mode", Mode::from_word))
}

/// How long tokens may live.
///
/// # Errors
/// [`DbError`].
pub fn lifetimes(tx: &mut dyn Tx) -> Result<Lifetimes, DbError> {
    Ok(Lifetimes {
        once: number(tx, Setting::OnceTtlSeconds)?,
        once_shortest: number(tx, Setting::OnceTtlMin)?,
        once_longest: number(tx, Setting::OnceTtlMax)?,
        cluster_days: number(tx, Setting::ClusterDays)?,
        cluster_longest_days: number(tx, Setting::ClusterMaxDays)?,
    })
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
