//! Enrollments that wait for an operator, and what became of them.

use telovix_contract::{ClusterName, NodeName, NodeRole, SensorId};

use super::query::Conditions;
use super::{DbError, Row, Tx, Value};
use crate::domain::approval::{ApprovalId, FactsHash, Pending, Reason, Ruling};
use crate::domain::page::Cursor;
use crate::domain::token::TokenId;

#[derive(Debug, Clone)]
pub(crate) struct ApprovalRecord {
    pub id: ApprovalId,
    /// The token that it came with; none for a sensor that shows its certificate.
    pub token_id: Option<TokenId>,
    /// SHA-256 of its public key.
    pub spki: [u8; 32],
    /// What an operator made of it.
    pub ruling: Ruling,
    /// Why it is on the list.
    pub reason: Reason,
    /// The sensor whose record it is about.
    pub record_id: Option<SensorId>,
    pub node_name: String,
    /// The cluster, as the node named it.
    pub cluster_id: Option<String>,
    /// The installation, as the node named it.
    pub install_id: Option<String>,
    /// What the node says it is for.
    pub role: String,
    /// All that an approval holds for, as JSON.
    pub facts: String,
    /// The hash of that.
    pub facts_hash: FactsHash,
    /// The host as it described itself, as JSON.
    pub host: String,
    pub client_ip: Option<String>,
    /// The certificate of a sensor that this Console does not know, DER.
    pub certificate: Option<Vec<u8>>,
    /// Unix seconds.
    pub asked_at: i64,
    /// Unix seconds.
    pub last_asked_at: i64,
    /// Unix seconds.
    pub decided_at: Option<i64>,
    /// Who decided; absent for the command line.
    pub decided_by: Option<String>,
}

const COLUMNS: &str = "id, token_id, spki_sha256, ruling, node_name, cluster_id, install_id, role, host, client_ip, \
                       asked_at, last_asked_at, decided_at, decided_by, reason, record_id, facts, facts_sha256, certificate";

/// Puts an enrollment on the list; the row of the same key and token is written anew, undecided.
pub(crate) fn put(tx: &mut dyn Tx, row: &ApprovalRecord) -> Result<(), DbError> {
    let sql = format!(
        "INSERT INTO approvals ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, NULL, \
         $13, $14, $15, $16, $17) ON CONFLICT (token_id, spki_sha256) DO UPDATE SET ruling = excluded.ruling, \
         node_name = excluded.node_name, cluster_id = excluded.cluster_id, install_id = excluded.install_id, \
         role = excluded.role, host = excluded.host, client_ip = excluded.client_ip, \
         last_asked_at = excluded.last_asked_at, decided_at = NULL, decided_by = NULL, reason = excluded.reason, \
         record_id = excluded.record_id, facts = excluded.facts, facts_sha256 = excluded.facts_sha256"
    );
    let args: [Value; 17] = [
        row.id.to_string().into(),
        row.token_id.map(|id| id.to_string()).into(),
        (&row.spki).into(),
        row.ruling.as_str().into(),
        row.node_name.as_str().into(),
        row.cluster_id.clone().into(),
        row.install_id.clone().into(),
        row.role.as_str().into(),
        row.host.as_str().into(),
        row.client_ip.clone().into(),
        row.asked_at.into(),
        row.last_asked_at.into(),
        row.reason.as_str().into(),
        row.record_id.map(|id| id.to_string()).into(),
        row.facts.as_str().into(),
        row.facts_hash.to_string().into(),
        row.certificate.clone().into(),
    ];
    tx.execute(&sql, &args).map(|_| ())
}

/// How many enrollments with this token, or sensors without one, are on the list and not denied, and how many of them are conflicts.
pub(crate) fn count_of(tx: &mut dyn Tx, token: Option<TokenId>) -> Result<(i64, i64), DbError> {
    let mut of = Conditions::default();
    match token {
        Some(id) => of.add("token_id = ?", [id.to_string().into()]),
        None => of.add("token_id IS NULL", []),
    }
    let sql = format!(
        "SELECT COUNT(*), COUNT(CASE WHEN reason = 'conflict' THEN 1 END) FROM approvals WHERE ruling <> 'denied' AND {}",
        of.sql()
    );
    tx.first(&sql, of.args())?.map_or(Ok((0, 0)), |row| Ok((row.int(0)?, row.int(1)?)))
}

/// Who waits with a token of this cluster and could be let in by a rule: names and roles, longest waiting first.
pub(crate) fn for_rules(
    tx: &mut dyn Tx,
    cluster: &ClusterName,
    most: i64,
) -> Result<Vec<(NodeName, NodeRole)>, DbError> {
    let sql = "SELECT a.node_name, a.role FROM approvals a JOIN enrollment_tokens t ON t.id = a.token_id \
               WHERE t.cluster_id = $1 AND a.ruling = 'waiting' AND a.reason IN ('new', 'changed') \
               ORDER BY a.asked_at, a.id LIMIT $2";
    let rows = tx.query(sql, &[cluster.as_str().into(), most.into()])?;
    rows.iter().map(|row| Ok((row.parse(0, "a node name")?, row.parse(1, "a node role")?))).collect()
}

/// The row of a key and a token, from this column on: ruling, reason, hash.
pub(super) fn pending(row: &Row, at: usize) -> Result<Pending, DbError> {
    Ok(Pending {
        ruling: row.word(at, "a ruling", Ruling::from_word)?,
        reason: row.word(at + 1, "a reason", Reason::from_word)?,
        facts: facts_hash(row, at + 2)?,
    })
}

/// A row from before there were hashes has one that no facts have.
fn facts_hash(row: &Row, at: usize) -> Result<FactsHash, DbError> {
    if row.text(at)?.is_empty() { Ok(FactsHash::NONE) } else { row.parse(at, "a hash") }
}

pub(crate) fn asked_again(tx: &mut dyn Tx, token: TokenId, spki: &[u8; 32], now: i64) -> Result<(), DbError> {
    let sql = "UPDATE approvals SET last_asked_at = $3 WHERE token_id = $1 AND spki_sha256 = $2";
    tx.execute(sql, &[token.to_string().into(), spki.into(), now.into()]).map(|_| ())
}

/// The row of a sensor that shows its certificate.
pub(crate) fn of_sensor(tx: &mut dyn Tx, id: SensorId) -> Result<Option<ApprovalRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE token_id IS NULL AND record_id = $1");
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// Takes that row off the list.
pub(crate) fn drop_sensor(tx: &mut dyn Tx, id: SensorId) -> Result<(), DbError> {
    let sql = "DELETE FROM approvals WHERE token_id IS NULL AND record_id = $1";
    tx.execute(sql, &[id.to_string().into()]).map(|_| ())
}

pub(crate) fn sensor_asked_again(tx: &mut dyn Tx, id: SensorId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE approvals SET last_asked_at = $2 WHERE token_id IS NULL AND record_id = $1";
    tx.execute(sql, &[id.to_string().into(), now.into()]).map(|_| ())
}

/// Takes an enrollment that has succeeded off the list.
pub(crate) fn done(tx: &mut dyn Tx, token: TokenId, spki: &[u8; 32]) -> Result<(), DbError> {
    let sql = "DELETE FROM approvals WHERE token_id = $1 AND spki_sha256 = $2";
    tx.execute(sql, &[token.to_string().into(), spki.into()]).map(|_| ())
}

/// All, oldest first, or only those that nobody decided about.
pub(crate) fn list(tx: &mut dyn Tx, only: Option<Ruling>) -> Result<Vec<ApprovalRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE ruling = $1 OR $1 = '' ORDER BY asked_at, id");
    tx.query(&sql, &[only.map_or("", Ruling::as_str).into()])?.iter().map(record).collect()
}

/// The next ones of a ruling behind this one, oldest first.
pub(crate) fn piece(
    tx: &mut dyn Tx,
    ruling: Ruling,
    after: Option<&Cursor>,
    most: i64,
) -> Result<Vec<ApprovalRecord>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approvals WHERE ruling = $1 AND (asked_at, id) > ($2, $3) ORDER BY asked_at, id LIMIT $4"
    );
    let (at, id) = after.map_or((i64::MIN, ""), |cursor| (cursor.at, cursor.id.as_str()));
    let args: [Value; 4] = [ruling.as_str().into(), at.into(), id.into(), most.into()];
    tx.query(&sql, &args)?.iter().map(record).collect()
}

pub(crate) fn count_waiting(tx: &mut dyn Tx) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM approvals WHERE ruling = 'waiting'";
    tx.first(sql, &[])?.map_or(Ok(0), |row| row.int(0))
}

/// One of them; it stays as it is until the transaction ends.
pub(crate) fn by_id(tx: &mut dyn Tx, id: ApprovalId) -> Result<Option<ApprovalRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = $1{}", tx.lock_clause());
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// Writes down what an operator made of one.
pub(crate) fn decide(
    tx: &mut dyn Tx,
    id: ApprovalId,
    ruling: Ruling,
    by: Option<&str>,
    now: i64,
) -> Result<(), DbError> {
    let sql = "UPDATE approvals SET ruling = $2, decided_at = $3, decided_by = $4 WHERE id = $1";
    tx.execute(sql, &[id.to_string().into(), ruling.as_str().into(), now.into(), by.into()]).map(|_| ())
}

/// Forgets those that have not asked since this moment, and gives their tokens free. A denied one is kept with its token; the
/// record of a sensor that was denied is kept without.
pub(crate) fn forget_silent(tx: &mut dyn Tx, before: i64) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET reserved_at = NULL WHERE reserved_at IS NOT NULL AND id IN \
               (SELECT token_id FROM approvals WHERE ruling <> 'denied' AND last_asked_at < $1)";
    tx.execute(sql, &[before.into()])?;
    let sql = "DELETE FROM approvals WHERE (ruling <> 'denied' OR token_id IS NULL) AND last_asked_at < $1";
    tx.execute(sql, &[before.into()]).map(|_| ())
}

fn record(row: &Row) -> Result<ApprovalRecord, DbError> {
    let maybe = |at| Ok::<_, DbError>(row.maybe_text(at)?.map(str::to_owned));
    Ok(ApprovalRecord {
        id: row.parse(0, "an approval id")?,
        token_id: row.maybe_parse(1, "a token id")?,
        spki: row.hash(2)?,
        ruling: row.word(3, "a ruling", Ruling::from_word)?,
        node_name: row.text(4)?.to_owned(),
        cluster_id: maybe(5)?,
        install_id: maybe(6)?,
        role: row.text(7)?.to_owned(),
        host: row.text(8)?.to_owned(),
        client_ip: maybe(9)?,
        asked_at: row.int(10)?,
        last_asked_at: row.int(11)?,
        decided_at: row.maybe_int(12)?,
        decided_by: maybe(13)?,
        reason: row.word(14, "a reason", Reason::from_word)?,
        record_id: row.maybe_parse(15, "a sensor id")?,
        facts: row.text(16)?.to_owned(),
        facts_hash: facts_hash(row, 17)?,
        certificate: row.maybe_blob(18)?.map(<[u8]>::to_vec),
    })
}
