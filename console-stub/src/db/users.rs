//! Operators. Their sessions and roles come with the v1 interface; set-up makes the first one.

use super::{DbError, Tx};

/// Stores a user with the argon2id hash of the password.
///
/// # Errors
/// [`DbError`].
pub fn insert(
    tx: &mut dyn Tx,
    email: &str,
    role: &str,
    password_hash: &str,
    now: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO users (id, email, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    let id = uuid::Uuid::new_v4().to_string();
    tx.execute(sql, &[id.into(), email.into(), role.into(), password_hash.into(), now.into()]).map(|_| ())
}
