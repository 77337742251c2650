//! The audit trail: appended to, never changed; a chain of hashes (`domain::chain`).

use std::collections::HashSet;

use telovix_contract::SensorId;

use super::query::Conditions;
use super::{DbError, Row, Rows, Tx, Value};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::chain::{Head, Linked, Record, START, link};

/// The table of the one row that says where the chain ends.
const HEAD: &str = "audit_head";

const COLUMNS: &str =
    "seq, created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent";

/// Appends a record behind the last.
pub(crate) fn append(tx: &mut dyn Tx, entry: &AuditEntry, origin: &Origin, now: i64) -> Result<(), DbError> {
    let head = head(tx)?;
    let detail = entry.detail.clone().maybe("by_api_key", origin.api_key.as_ref());
    let record = Record {
        seq: head.seq + 1,
        created_at: now,
        action_type: entry.action.as_str().to_owned(),
        outcome: entry.outcome.as_str().to_owned(),
        actor_email: origin.actor_email.clone(),
        sensor_id: entry.sensor_id.map(|id| id.to_string()),
        detail: detail.as_str().to_owned(),
        client_ip: origin.client_ip.clone(),
        user_agent: origin.user_agent.clone(),
    };
    let hash = link(&head.hash, &record);
    let seq = record.seq;
    let sql = format!(
        "INSERT INTO audit ({COLUMNS}, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    );
    let args: [Value; 11] = [
        seq.into(),
        record.created_at.into(),
        record.action_type.into(),
        record.outcome.into(),
        record.actor_email.into(),
        record.sensor_id.into(),
        record.detail.into(),
        record.client_ip.into(),
        record.user_agent.into(),
        (&head.hash).into(),
        (&hash).into(),
    ];
    tx.later(&sql, &args, Rows::One)?;
    set_head(tx, Head { seq, hash })
}

/// Where the chain ends; it stays so until the transaction ends, so that no two records can follow the same one.
/// Errors: [`DbError::Corrupt`] where somebody removed it: a record that follows nothing is not written.
pub(crate) fn head(tx: &mut dyn Tx) -> Result<Head, DbError> {
    let sql = format!("SELECT seq, hash FROM audit_head WHERE id = 1{}", tx.lock_clause());
    let gone = || DbError::Corrupt { wanted: "the head of the audit trail", found: "nothing".to_owned() };
    let found = tx.once(HEAD, &sql)?;
    let row = found.first().ok_or_else(gone)?;
    Ok(Head { seq: row.int(0)?, hash: row.hash(1)? })
}

/// The first place and the last one, of these, that a record stands at.
pub(crate) fn ends(tx: &mut dyn Tx, from: i64, to: i64) -> Result<Option<(i64, i64)>, DbError> {
    let sql = "SELECT MIN(seq), MAX(seq) FROM audit WHERE seq >= $1 AND seq <= $2";
    let row = tx.first(sql, &[from.into(), to.into()])?;
    row.map_or(Ok(None), |row| Ok(row.maybe_int(0)?.zip(row.maybe_int(1)?)))
}

/// Whether this happened to a sensor, or was done again after a restore.
pub(crate) fn happened(tx: &mut dyn Tx, action: Action, id: SensorId) -> Result<bool, DbError> {
    let sql = "SELECT seq FROM audit WHERE sensor_id = $1 AND outcome = 'success' \
               AND (action_type = $2 OR (action_type = $3 AND detail LIKE $4)) LIMIT 1";
    let again = format!("act={} %", action.as_str());
    let args: [Value; 4] =
        [id.to_string().into(), action.as_str().into(), Action::ActReapplied.as_str().into(), again.into()];
    Ok(tx.first(sql, &args)?.is_some())
}

/// The hashes, in hex, of the acts of another trail that were done again.
pub(crate) fn reapplied(tx: &mut dyn Tx) -> Result<HashSet<String>, DbError> {
    let sql = "SELECT detail FROM audit WHERE action_type = $1";
    let rows = tx.query(sql, &[Action::ActReapplied.as_str().into()])?;
    let hash = |row: &Row| Ok(Detail::value(row.text(0)?, "record").unwrap_or_default().to_owned());
    rows.iter().map(hash).collect()
}

/// Unix seconds of the newest record; none before the first.
pub(crate) fn newest_at(tx: &mut dyn Tx) -> Result<Option<i64>, DbError> {
    let row = tx.first("SELECT created_at FROM audit ORDER BY seq DESC LIMIT 1", &[])?;
    row.map(|row| row.int(0)).transpose()
}

/// How many records there are. Unlike [`head`], it keeps nobody waiting.
pub(crate) fn count(tx: &mut dyn Tx) -> Result<i64, DbError> {
    let row = tx.first("SELECT seq FROM audit_head WHERE id = 1", &[])?;
    row.map_or(Ok(0), |row| row.int(0))
}

fn set_head(tx: &mut dyn Tx, head: Head) -> Result<(), DbError> {
    let sql = "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1";
    let stands = [head.seq.into(), (&head.hash).into()];
    tx.later(sql, &stands, Rows::One)?;
    tx.now_holds(HEAD, vec![Row::new(stands.to_vec())]);
    Ok(())
}

/// Makes a chain of records that were written before there was one.
pub(super) fn chain_up(tx: &mut dyn Tx) -> Result<(), DbError> {
    let mut head = Head { seq: 0, hash: START };
    for row in tx.query(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"), &[])? {
        let record = record(&row)?;
        let hash = link(&head.hash, &record);
        let sql = "UPDATE audit SET prev_hash = $2, hash = $3 WHERE seq = $1";
        tx.execute(sql, &[record.seq.into(), (&head.hash).into(), (&hash).into()])?;
        head = Head { seq: record.seq, hash };
    }
    let sql = "INSERT INTO audit_head (id, seq, hash) VALUES (1, $1, $2)";
    tx.execute(sql, &[head.seq.into(), (&head.hash).into()]).map(|_| ())
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action_type: Option<String>,
    /// Only this outcome.
    pub outcome: Option<String>,
    /// Only what this operator did.
    pub actor_email: Option<String>,
    /// Only what happened to this sensor.
    pub sensor_id: Option<String>,
}

/// The newest records before this place, newest first.
pub(crate) fn list(
    tx: &mut dyn Tx,
    filter: &AuditFilter,
    before: i64,
    most: i64,
) -> Result<Vec<Record>, DbError> {
    let mut all = Conditions::default();
    all.add("seq < ?", [before.into()]);
    for (column, wanted) in [
        ("action_type", &filter.action_type),
        ("outcome", &filter.outcome),
        ("actor_email", &filter.actor_email),
        ("sensor_id", &filter.sensor_id),
    ] {
        if let Some(wanted) = wanted {
            all.add(&format!("{column} = ?"), [wanted.as_str().into()]);
        }
    }
    let limit = all.place(most.into());
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE {} ORDER BY seq DESC LIMIT {limit}", all.sql());
    tx.query(&sql, all.args())?.iter().map(record).collect()
}

/// The next records behind this place with their hashes, oldest first.
pub(crate) fn after(tx: &mut dyn Tx, seq: i64, most: i64) -> Result<Vec<Linked>, DbError> {
    let sql = format!("SELECT {COLUMNS}, prev_hash, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");
    let linked =
        |row: &Row| Ok(Linked { record: record(row)?, prev_hash: row.hash(9)?, hash: row.hash(10)? });
    tx.query(&sql, &[seq.into(), most.into()])?.iter().map(linked).collect()
}

/// The same, and where a record cannot be read its place alone.
pub(crate) fn found_after(tx: &mut dyn Tx, seq: i64, most: i64) -> Result<Vec<Result<Linked, i64>>, DbError> {
    match after(tx, seq, most) {
        Ok(whole) => return Ok(whole.into_iter().map(Ok).collect()),
        Err(DbError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    let sql = "SELECT seq FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
    let mut found = Vec::new();
    for row in tx.query(sql, &[seq.into(), most.into()])? {
        let seq = row.int(0)?;
        match after(tx, seq - 1, 1) {
            Ok(one) => found.extend(one.into_iter().map(Ok)),
            Err(DbError::Corrupt { .. }) => found.push(Err(seq)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn record(row: &Row) -> Result<Record, DbError> {
    let maybe = |at| Ok::<_, DbError>(row.maybe_text(at)?.map(str::to_owned));
    Ok(Record {
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
