//! The audit trail: appended to, never changed.

use super::{DbError, Row, Tx, Value};
use crate::domain::audit::{AuditEntry, Origin};

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Position in the trail, counted from one.
    pub seq: i64,
    /// Unix seconds.
    pub created_at: i64,
    /// What happened.
    pub action_type: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// Who did it; absent for the system.
    pub actor_email: Option<String>,
    /// To which sensor.
    pub sensor_id: Option<String>,
    /// `key=value` pairs.
    pub detail: String,
    /// From which address.
    pub client_ip: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
}

/// Appends a record.
///
/// # Errors
/// [`DbError`]; likewise below.
pub fn append(tx: &mut dyn Tx, entry: &AuditEntry, origin: &Origin, now: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO audit (seq, created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, \
               user_agent) SELECT COALESCE(MAX(seq), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM audit";
    let args: [Value; 8] = [
        now.into(),
        entry.action.as_str().into(),
        entry.outcome.as_str().into(),
        origin.actor_email.clone().into(),
        entry.sensor_id.map(|id| id.to_string()).into(),
        entry.detail.as_str().into(),
        origin.client_ip.clone().into(),
        origin.user_agent.clone().into(),
    ];
    tx.execute(sql, &args).map(|_| ())
}

/// The newest records, newest first.
///
/// # Errors
/// [`DbError`].
pub fn list(tx: &mut dyn Tx, most: i64) -> Result<Vec<AuditRecord>, DbError> {
    let sql = "SELECT seq, created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent \
               FROM audit ORDER BY seq DESC LIMIT $1";
    tx.query(sql, &[most.into()])?.iter().map(record).collect()
}

fn record(row: &Row) -> Result<AuditRecord, DbError> {
    let maybe = |at| Ok::<_, DbError>(row.maybe_text(at)?.map(str::to_owned));
    Ok(AuditRecord {
        seq: row.int(0)?,
        created_at: row.int(1)?,
        action_type: row.text(2)?.to_owned(),
        outcome: row.text(3)?.to_owned(),
        actor_email: maybe(4)?,
        sensor_id: maybe(5)?,
        detail: row.text(6)?.to_owned(),
        client_ip: maybe(7)?,
        user_agent: maybe(8)?,
    })
}
