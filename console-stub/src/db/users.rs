//! Operators, their sessions, and failures to sign in.

use super::{DbError, Row, Tx, Value};
use crate::domain::role::Role;

#[derive(Debug, Clone)]
pub(crate) struct UserRecord {
    /// Its name in other tables.
    pub id: String,
    pub email: String,
    pub role: Role,
    /// The argon2id hash of the password.
    pub password_hash: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds, once disabled.
    pub disabled_at: Option<i64>,
}

const COLUMNS: &str = "u.id, u.email, u.role, u.password_hash, u.created_at, u.disabled_at";

/// Stores a user with the argon2id hash of the password.
pub(crate) fn insert(
    tx: &mut dyn Tx,
    email: &str,
    role: Role,
    password_hash: &str,
    now: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO users (id, email, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    let id = uuid::Uuid::new_v4().to_string();
    let args = [id.into(), email.into(), role.as_str().into(), password_hash.into(), now.into()];
    tx.execute(sql, &args).map(|_| ())
}

pub(crate) fn by_email(tx: &mut dyn Tx, email: &str) -> Result<Option<UserRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM users u WHERE u.email = $1");
    tx.first(&sql, &[email.into()])?.map(|row| record(&row)).transpose()
}

/// All users, oldest first.
pub(crate) fn list(tx: &mut dyn Tx) -> Result<Vec<UserRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM users u ORDER BY u.created_at, u.email");
    tx.query(&sql, &[])?.iter().map(record).collect()
}

/// Disables a user, and ends all sessions.
pub(crate) fn disable(tx: &mut dyn Tx, id: &str, now: i64) -> Result<(), DbError> {
    tx.execute("UPDATE users SET disabled_at = $2 WHERE id = $1", &[id.into(), now.into()])?;
    tx.execute("DELETE FROM sessions WHERE user_id = $1", &[id.into()]).map(|_| ())
}

pub(crate) fn enable(tx: &mut dyn Tx, id: &str) -> Result<(), DbError> {
    tx.execute("UPDATE users SET disabled_at = NULL WHERE id = $1", &[id.into()]).map(|_| ())
}

/// Gives a user another role, and ends all sessions.
pub(crate) fn set_role(tx: &mut dyn Tx, id: &str, role: Role) -> Result<(), DbError> {
    tx.execute("UPDATE users SET role = $2 WHERE id = $1", &[id.into(), role.as_str().into()])?;
    tx.execute("DELETE FROM sessions WHERE user_id = $1", &[id.into()]).map(|_| ())
}

/// Gives a user another password, and ends all sessions.
pub(crate) fn set_password(tx: &mut dyn Tx, id: &str, password_hash: &str) -> Result<(), DbError> {
    tx.execute("UPDATE users SET password_hash = $2 WHERE id = $1", &[id.into(), password_hash.into()])?;
    tx.execute("DELETE FROM sessions WHERE user_id = $1", &[id.into()]).map(|_| ())
}

#[derive(Debug, Clone)]
pub(crate) struct SessionRecord {
    pub user: UserRecord,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds of its last call, or a little before.
    pub last_seen_at: i64,
}

pub(crate) fn start_session(
    tx: &mut dyn Tx,
    hash: &[u8; 32],
    user_id: &str,
    now: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO sessions (secret_hash, user_id, created_at, last_seen_at) VALUES ($1, $2, $3, $3)";
    tx.execute(sql, &[hash.into(), user_id.into(), now.into()]).map(|_| ())
}

pub(crate) fn session(tx: &mut dyn Tx, hash: &[u8; 32]) -> Result<Option<SessionRecord>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS}, s.created_at, s.last_seen_at FROM sessions s JOIN users u ON u.id = s.user_id \
         WHERE s.secret_hash = $1"
    );
    let read = |row: Row| {
        Ok(SessionRecord { user: record(&row)?, created_at: row.int(6)?, last_seen_at: row.int(7)? })
    };
    tx.first(&sql, &[hash.into()])?.map(read).transpose()
}

pub(crate) fn session_seen(tx: &mut dyn Tx, hash: &[u8; 32], now: i64) -> Result<(), DbError> {
    tx.execute("UPDATE sessions SET last_seen_at = $2 WHERE secret_hash = $1", &[hash.into(), now.into()])
        .map(|_| ())
}

pub(crate) fn end_session(tx: &mut dyn Tx, hash: &[u8; 32]) -> Result<(), DbError> {
    tx.execute("DELETE FROM sessions WHERE secret_hash = $1", &[hash.into()]).map(|_| ())
}

/// Forgets sessions not used since this moment.
pub(crate) fn forget_sessions(tx: &mut dyn Tx, before: i64) -> Result<(), DbError> {
    tx.execute("DELETE FROM sessions WHERE last_seen_at < $1", &[before.into()]).map(|_| ())
}

/// Forgets failures to sign in before this moment.
pub(crate) fn forget_failures(tx: &mut dyn Tx, before: i64) -> Result<(), DbError> {
    tx.execute("DELETE FROM login_failures WHERE last_at < $1", &[before.into()]).map(|_| ())
}

/// Failures to sign in with this address, and the unix seconds of the last.
pub(crate) fn failures(tx: &mut dyn Tx, email: &str) -> Result<(i64, i64), DbError> {
    let row = tx.first("SELECT failures, last_at FROM login_failures WHERE email = $1", &[email.into()])?;
    row.map_or(Ok((0, 0)), |row| Ok((row.int(0)?, row.int(1)?)))
}

/// Writes them down; none at all forgets them.
pub(crate) fn set_failures(tx: &mut dyn Tx, email: &str, failures: i64, now: i64) -> Result<(), DbError> {
    if failures == 0 {
        return tx.execute("DELETE FROM login_failures WHERE email = $1", &[email.into()]).map(|_| ());
    }
    let sql = "INSERT INTO login_failures (email, failures, last_at) VALUES ($1, $2, $3) \
               ON CONFLICT (email) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at";
    let args: [Value; 3] = [email.into(), failures.into(), now.into()];
    tx.execute(sql, &args).map(|_| ())
}

fn record(row: &Row) -> Result<UserRecord, DbError> {
    Ok(UserRecord {
        id: row.text(0)?.to_owned(),
        email: row.text(1)?.to_owned(),
        role: row.word(2, "a role", Role::from_word)?,
        password_hash: row.text(3)?.to_owned(),
        created_at: row.int(4)?,
        disabled_at: row.maybe_int(5)?,
    })
}
