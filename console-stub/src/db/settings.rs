//! Single values by name, and the counter of licence slots in use.

use super::{DbError, Row, Rows, Tx};
use crate::domain::approval::Mode;
use crate::domain::restore::AfterRestore;
use crate::domain::setting::Setting;
use crate::domain::token::Lifetimes;

/// Unix seconds at which set-up was finished; absent before.
pub(crate) const SETUP_AT: &str = "setup_at";
/// The address that hosts and operators reach the Console under, as an operator gave it.
pub(crate) const PUBLIC_URL: &str = "public_url";
/// The same, as the last `serve` worked it out from its listener, where no operator gave one.
pub(crate) const DERIVED_URL: &str = "derived_url";
/// Names and addresses of the server certificate, separated by spaces.
pub const SERVER_NAMES: &str = "server_names";
/// PEM public keys (Ed25519) that may sign a licence.
pub(crate) const LICENCE_TRUST: &str = "licence_trust";

const COUNTERS: &str = "counters";

/// The value of a setting, if it has one.
pub fn get(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, DbError> {
    found(tx, name, |row| row.text(1).map(str::to_owned))
}

/// What the row of a setting holds, if it has one. All are read at once: an enrollment asks for four.
fn found<T>(
    tx: &mut dyn Tx,
    name: &str,
    read: impl FnOnce(&Row) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    for row in &*tx.once("settings", "SELECT name, value FROM settings")? {
        if row.text(0)? == name {
            return read(row).map(Some);
        }
    }
    Ok(None)
}

/// The value of an administrator's setting that is a number, or its default.
pub(crate) fn number(tx: &mut dyn Tx, setting: Setting) -> Result<i64, DbError> {
    let set = found(tx, setting.name(), |row| row.parse(1, "a number"))?;
    Ok(set.unwrap_or_else(|| setting.default_number()))
}

pub(crate) fn approval_mode(tx: &mut dyn Tx) -> Result<Mode, DbError> {
    let read = |row: &Row| row.word(1, "an approval mode", Mode::from_word);
    Ok(found(tx, Setting::ApprovalMode.name(), read)?.unwrap_or(Mode::Nobody))
}

pub(crate) fn lifetimes(tx: &mut dyn Tx) -> Result<Lifetimes, DbError> {
    Ok(Lifetimes {
        once: number(tx, Setting::OnceTtlSeconds)?,
        once_shortest: number(tx, Setting::OnceTtlMin)?,
        once_longest: number(tx, Setting::OnceTtlMax)?,
        cluster_days: number(tx, Setting::ClusterDays)?,
        cluster_longest_days: number(tx, Setting::ClusterMaxDays)?,
    })
}

/// How the time after a restore stands; none where there was no such time.
pub(crate) fn after_restore(tx: &mut dyn Tx) -> Result<Option<AfterRestore>, DbError> {
    found(tx, Setting::AfterRestore.name(), |row| {
        let text = row.text(1)?;
        let corrupt =
            |_| DbError::Corrupt { wanted: "the time after a restore", found: "other text".to_owned() };
        serde_json::from_str(text).map_err(corrupt)
    })
}

pub(crate) fn set_after_restore(tx: &mut dyn Tx, to: &AfterRestore) -> Result<(), DbError> {
    let text = serde_json::to_string(to).expect("numbers and texts are JSON");
    set(tx, Setting::AfterRestore.name(), &text)
}

/// Gives a setting a value.
pub fn set(tx: &mut dyn Tx, name: &str, value: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[name.into(), value.into()]).map(|_| ())
}

/// Licence slots in use: sensors neither revoked nor decommissioned.
pub(crate) fn slots_taken(tx: &mut dyn Tx) -> Result<i64, DbError> {
    let sql = "SELECT value FROM counters WHERE name = 'protected_nodes'";
    tx.once(COUNTERS, sql)?.first().map_or(Ok(0), |row| row.int(0))
}

/// Takes one slot if fewer than `limit` are taken; says whether it did. The condition stands in the statement too, so that no
/// two takers on any engine can both have the last.
pub(crate) fn take_slot(tx: &mut dyn Tx, limit: i64) -> Result<bool, DbError> {
    let taken = slots_taken(tx)?;
    if taken >= limit {
        return Ok(false);
    }
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'protected_nodes' AND value < $1";
    tx.later(sql, &[limit.into()], Rows::One)?;
    tx.now_holds(COUNTERS, vec![Row::new(vec![(taken + 1).into()])]);
    Ok(true)
}

pub(crate) fn free_slot(tx: &mut dyn Tx) -> Result<(), DbError> {
    let sql = "UPDATE counters SET value = value - 1 WHERE name = 'protected_nodes' AND value > 0";
    tx.execute(sql, &[]).map(|_| ())
}
