//! Enrollment tokens, which keys they enrolled, and which nodes they counted.

use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::{SensorId, TokenHash};

use super::approvals::pending;
use super::query::{Conditions, rows_of};
use super::{DbError, Row, Rows, Tx, Value};
use crate::domain::approval::Reservation;
use crate::domain::listing::TokenFilter;
use crate::domain::page::Cursor;
use crate::domain::token::{TokenId, TokenRecord, TokenSpec};

const COLUMNS: &str = "id, token_type, status, label, cluster_id, sensor_id, max_nodes, node_count, use_count, \
                       created_at, expires_at, used_at, reserved_at, replace_host";

/// Stores a new token: its hash, never itself.
pub(crate) fn insert(
    tx: &mut dyn Tx,
    id: TokenId,
    hash: &TokenHash,
    spec: &TokenSpec,
    now: i64,
) -> Result<(), DbError> {
    let sql = "INSERT INTO enrollment_tokens (id, token_hash, token_type, status, label, cluster_id, sensor_id, \
               max_nodes, node_count, use_count, created_at, expires_at, replace_host) \
               VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, 0, 0, $8, $9, $10)";
    let args = [
        id.to_string().into(),
        hash.as_bytes().into(),
        spec.kind.as_str().into(),
        spec.label.clone().into(),
        spec.cluster_id.clone().map(String::from).into(),
        spec.sensor_id.map(|id| id.to_string()).into(),
        spec.max_nodes.into(),
        now.into(),
        (now + spec.lifetime).into(),
        i64::from(spec.replace_host).into(),
    ];
    tx.execute(sql, &args).map(|_| ())
}

/// The token with this hash; it stays as it is until the transaction ends.
pub(crate) fn by_hash(tx: &mut dyn Tx, hash: &TokenHash) -> Result<Option<TokenRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM enrollment_tokens WHERE token_hash = $1{}", tx.lock_clause());
    tx.first(&sql, &[hash.as_bytes().into()])?.map(|row| record(&row)).transpose()
}

/// A token that a node comes with, and what has become of it and the node's key so far.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    pub token: TokenRecord,
    /// What the key got from it before.
    pub earlier: Option<Enrollment>,
    /// Whether the key, or, where the token is for one, another, waits for an operator with it.
    pub reservation: Reservation,
    pub counted: bool,
    pub has_rules: bool,
    /// The sensor that is this node, whatever token it came with.
    pub node: Option<SensorId>,
}

/// The keys under which a node may be known: by its names, by those names without the install id, and by the names of the
/// record whose key the call proves.
#[derive(Debug, Default)]
pub(crate) struct NodeKeys {
    pub named: Option<String>,
    pub without_install: Option<String>,
    pub proved: Option<String>,
}

impl NodeKeys {
    pub(crate) fn values(&self) -> [Value; 3] {
        [self.named.clone().into(), self.without_install.clone().into(), self.proved.clone().into()]
    }
}

/// The token with this hash as it is for this key and this node, found by one question; it stays as it is until the
/// transaction ends.
pub(crate) fn presented(
    tx: &mut dyn Tx,
    hash: &TokenHash,
    spki: &[u8; 32],
    node: &NodeKeys,
) -> Result<Option<Presented>, DbError> {
    let lock = match tx.lock_clause() {
        "" => String::new(),
        clause => format!("{clause} OF t"),
    };
    let columns = COLUMNS.replace(", ", ", t.");
    let sql = format!(
        "SELECT t.{columns}, e.sensor_id, e.fingerprint, e.used_at, a.ruling, a.reason, a.facts_sha256, \
         (SELECT COUNT(*) FROM approvals o WHERE o.token_id = t.id AND t.token_type = 'once' AND o.reason <> 'conflict'), \
         (SELECT COUNT(*) FROM token_nodes n WHERE n.token_id = t.id AND n.node_key IN ($3, $4, $5)), \
         (SELECT COUNT(*) FROM approval_rules r WHERE r.cluster_id = t.cluster_id), \
         COALESCE((SELECT s.id FROM sensors s WHERE s.node_key = $3), (SELECT s.id FROM sensors s WHERE s.node_key = $4)) \
         FROM enrollment_tokens t \
         LEFT JOIN enrollments e ON e.token_id = t.id AND e.spki_sha256 = $2 \
         LEFT JOIN approvals a ON a.token_id = t.id AND a.spki_sha256 = $2 \
         WHERE t.token_hash = $1{lock}"
    );
    let [named, without_install, proved] = node.values();
    let args: [Value; 5] = [hash.as_bytes().into(), spki.into(), named, without_install, proved];
    let Some(row) = tx.first(&sql, &args)? else { return Ok(None) };
    let earlier = row.maybe_text(14)?.is_some().then(|| enrolled(&row, 14)).transpose()?;
    let reservation = match row.maybe_text(17)? {
        Some(_) => Reservation::Mine(pending(&row, 17)?),
        None if row.int(20)? > 0 => Reservation::Taken,
        None => Reservation::Free,
    };
    Ok(Some(Presented {
        token: record(&row)?,
        earlier,
        reservation,
        counted: row.int(21)? > 0,
        has_rules: row.int(22)? > 0,
        node: row.maybe_parse(23, "a sensor id")?,
    }))
}

/// How the token with this hash stands at this moment; holds nobody up.
pub(crate) fn status_by_hash(
    tx: &mut dyn Tx,
    hash: &TokenHash,
    now: i64,
) -> Result<Option<TokenStatus>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM enrollment_tokens WHERE token_hash = $1");
    let token = tx.first(&sql, &[hash.as_bytes().into()])?.map(|row| record(&row)).transpose()?;
    Ok(token.map(|token| token.status_at(now)))
}

pub(crate) fn by_id(tx: &mut dyn Tx, id: TokenId) -> Result<Option<TokenRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM enrollment_tokens WHERE id = $1{}", tx.lock_clause());
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// Seconds that a used token stays in the list, and one that expired or was revoked (docs/contract.md section 4).
const USED_STAYS_LISTED: i64 = 24 * 3600;
const ENDED_STAYS_LISTED: i64 = 7 * 24 * 3600;

/// The next tokens behind this one, newest first, without those that ended long ago. The status is the current one.
pub(crate) fn list(
    tx: &mut dyn Tx,
    filter: &TokenFilter,
    after: Option<&Cursor>,
    most: i64,
    now: i64,
) -> Result<Vec<TokenRecord>, DbError> {
    let mut all = Conditions::default();
    all.add("(status <> 'used' OR used_at > ?)", [(now - USED_STAYS_LISTED).into()]);
    let ended = now - ENDED_STAYS_LISTED;
    all.add("(status <> 'revoked' OR revoked_at > ?)", [ended.into()]);
    all.add("(status <> 'pending' OR reserved_at IS NOT NULL OR expires_at > ?)", [ended.into()]);
    let (at, id) = after.map_or((i64::MAX, ""), |cursor| (cursor.at, cursor.id.as_str()));
    all.add("(created_at, id) < (?, ?)", [at.into(), id.into()]);
    if let Some(status) = filter.status {
        // No bare column, or an engine might sort all of one status.
        let at_this_moment = "? = CASE WHEN status = 'pending' AND expires_at <= ? AND reserved_at IS NULL \
                              THEN 'expired' ELSE status END";
        all.add(at_this_moment, [status.as_str().into(), now.into()]);
    }
    if let Some(kind) = filter.kind {
        all.add("token_type = ?", [kind.as_str().into()]);
    }
    if let Some(cluster) = &filter.cluster_id {
        all.add("cluster_id = ?", [cluster.as_str().into()]);
    }
    let limit = all.place(most.into());
    // All of this stands in one index; the rows are fetched for the page alone.
    let sql = format!(
        "SELECT id FROM enrollment_tokens WHERE {} ORDER BY created_at DESC, id DESC LIMIT {limit}",
        all.sql()
    );
    let ids: Result<Vec<String>, DbError> =
        tx.query(&sql, all.args())?.iter().map(|row| row.text(0).map(str::to_owned)).collect();
    let select = format!("SELECT {COLUMNS} FROM enrollment_tokens");
    rows_of(tx, &select, "id", &ids?)?.iter().map(record).collect()
}

/// The tokens that were made by `since`, are pending, and had not expired at `known_until` (unix seconds): how many, and the
/// newest of them.
pub(crate) fn maybe_used(
    tx: &mut dyn Tx,
    known_until: i64,
    since: i64,
    most: i64,
) -> Result<(i64, Vec<TokenRecord>), DbError> {
    let these = "FROM enrollment_tokens WHERE status = 'pending' AND created_at <= $2 AND expires_at > $1";
    let args: [Value; 3] = [known_until.into(), since.into(), most.into()];
    let count = tx.first(&format!("SELECT COUNT(*) {these}"), &args[..2])?.map_or(Ok(0), |row| row.int(0))?;
    let sql = format!("SELECT {COLUMNS} {these} ORDER BY created_at DESC, id LIMIT $3");
    let tokens: Result<_, _> = tx.query(&sql, &args)?.iter().map(record).collect();
    Ok((count, tokens?))
}

pub(crate) fn count_pending(tx: &mut dyn Tx, now: i64) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM enrollment_tokens WHERE status = 'pending' AND expires_at > $1";
    tx.first(sql, &[now.into()])?.map_or(Ok(0), |row| row.int(0))
}

/// The sensors that enrolled with a token, newest first: identity and node name.
pub(crate) fn enrolled_with(
    tx: &mut dyn Tx,
    id: TokenId,
    most: i64,
) -> Result<Vec<(String, String)>, DbError> {
    let sql = "SELECT s.id, s.node_name FROM enrollments e JOIN sensors s ON s.id = e.sensor_id \
               WHERE e.token_id = $1 ORDER BY e.used_at DESC, s.id LIMIT $2";
    let rows = tx.query(sql, &[id.to_string().into(), most.into()])?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
}

/// The token with this id, to be looked at alone.
pub(crate) fn look_up(tx: &mut dyn Tx, id: TokenId) -> Result<Option<TokenRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM enrollment_tokens WHERE id = $1");
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// Makes a pending one-time token `used`; a token that is no longer pending undoes the change.
pub(crate) fn use_up(tx: &mut dyn Tx, id: TokenId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET status = 'used', use_count = use_count + 1, used_at = $2 \
               WHERE id = $1 AND status = 'pending'";
    tx.later(sql, &[id.to_string().into(), now.into()], Rows::One)
}

pub(crate) fn count_use(tx: &mut dyn Tx, id: TokenId, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET use_count = use_count + 1, used_at = $2 WHERE id = $1";
    tx.later(sql, &[id.to_string().into(), now.into()], Rows::One)
}

/// Counts one more node of a cluster token, and a use of it; a cap that does not allow it undoes the change.
pub(crate) fn count_node(tx: &mut dyn Tx, id: TokenId, node_key: &str, now: i64) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET node_count = node_count + 1, use_count = use_count + 1, used_at = $2 \
               WHERE id = $1 AND (max_nodes IS NULL OR node_count < max_nodes)";
    tx.later(sql, &[id.to_string().into(), now.into()], Rows::One)?;
    let sql = "INSERT INTO token_nodes (token_id, node_key) VALUES ($1, $2)";
    tx.later(sql, &[id.to_string().into(), node_key.into()], Rows::One)
}

/// Counts a use that a copy forgot, whatever the cap: one more node, or the same again.
pub(crate) fn count_again(tx: &mut dyn Tx, id: TokenId, node_key: &str, at: i64) -> Result<(), DbError> {
    let sql = "INSERT INTO token_nodes (token_id, node_key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let nodes = tx.execute(sql, &[id.to_string().into(), node_key.into()])?;
    let sql = "UPDATE enrollment_tokens SET node_count = node_count + $2, use_count = use_count + 1, used_at = $3 WHERE id = $1";
    let nodes = i64::try_from(nodes).unwrap_or(1);
    tx.execute(sql, &[id.to_string().into(), nodes.into(), at.into()]).map(|_| ())
}

/// Lets a node that changed its names count as the node that it was, with every token and rule.
pub(crate) fn rename_node(tx: &mut dyn Tx, from: &str, to: &str) -> Result<(), DbError> {
    for (table, owner) in [("token_nodes", "token_id"), ("approval_rule_nodes", "rule_id")] {
        let sql = format!(
            "UPDATE {table} SET node_key = $2 WHERE node_key = $1 AND NOT EXISTS \
             (SELECT 1 FROM {table} o WHERE o.{owner} = {table}.{owner} AND o.node_key = $2)"
        );
        tx.execute(&sql, &[from.into(), to.into()])?;
    }
    Ok(())
}

/// Takes a pending token back; says whether it was pending.
pub(crate) fn revoke(tx: &mut dyn Tx, id: TokenId, now: i64) -> Result<bool, DbError> {
    let sql = "UPDATE enrollment_tokens SET status = 'revoked', revoked_at = $2 WHERE id = $1 AND status = 'pending'";
    Ok(tx.execute(sql, &[id.to_string().into(), now.into()])? == 1)
}

/// Takes every pending token back that was made by this moment; gives how many.
pub(crate) fn revoke_all(tx: &mut dyn Tx, made_by: i64, now: i64) -> Result<u64, DbError> {
    let sql = "UPDATE enrollment_tokens SET status = 'revoked', revoked_at = $2 WHERE created_at <= $1 AND status = 'pending'";
    tx.execute(sql, &[made_by.into(), now.into()])
}

/// Keeps a one-time token for a waiting enrollment, or ends that.
pub(crate) fn reserve(tx: &mut dyn Tx, id: TokenId, since: Option<i64>) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET reserved_at = $2 WHERE id = $1 AND token_type = 'once'";
    tx.execute(sql, &[id.to_string().into(), since.into()]).map(|_| ())
}

/// Forgets tokens that were used up, revoked or expired by this moment.
pub(crate) fn forget_ended(tx: &mut dyn Tx, before: i64) -> Result<u64, DbError> {
    let sql = "DELETE FROM enrollment_tokens WHERE (status = 'used' AND used_at <= $1) \
               OR (status = 'revoked' AND revoked_at <= $1) \
               OR (status = 'pending' AND reserved_at IS NULL AND expires_at <= $1)";
    tx.execute(sql, &[before.into()])
}

/// Forgets every token, with all that hangs on it: who enrolled by it, which nodes it counted, who waits. Gives how many.
pub(crate) fn forget_all(tx: &mut dyn Tx) -> Result<u64, DbError> {
    tx.execute("DELETE FROM enrollment_tokens", &[])
}

/// What a key got from a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enrollment {
    pub sensor_id: SensorId,
    /// SHA-256 of its certificate's DER.
    pub fingerprint: [u8; 32],
    /// Unix seconds.
    pub used_at: i64,
}

/// What this key got from this token, if it did, and the warnings that came with it, as JSON.
pub(crate) fn enrollment(
    tx: &mut dyn Tx,
    id: TokenId,
    spki: &[u8; 32],
) -> Result<Option<(Enrollment, String)>, DbError> {
    let sql = "SELECT sensor_id, fingerprint, used_at, warnings FROM enrollments \
               WHERE token_id = $1 AND spki_sha256 = $2";
    let row = tx.first(sql, &[id.to_string().into(), spki.into()])?;
    row.map(|row| Ok((enrolled(&row, 0)?, row.text(3)?.to_owned()))).transpose()
}

/// An enrollment, from this column on.
fn enrolled(row: &Row, at: usize) -> Result<Enrollment, DbError> {
    Ok(Enrollment {
        sensor_id: row.parse(at, "a sensor id")?,
        fingerprint: row.hash(at + 1)?,
        used_at: row.int(at + 2)?,
    })
}

pub(crate) fn remember(
    tx: &mut dyn Tx,
    id: TokenId,
    spki: &[u8; 32],
    got: &Enrollment,
    warnings: &str,
) -> Result<(), DbError> {
    let sql = "INSERT INTO enrollments (token_id, spki_sha256, sensor_id, fingerprint, used_at, warnings) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (token_id, spki_sha256) DO UPDATE SET \
               sensor_id = excluded.sensor_id, fingerprint = excluded.fingerprint, used_at = excluded.used_at, \
               warnings = excluded.warnings";
    let args: [Value; 6] = [
        id.to_string().into(),
        spki.into(),
        got.sensor_id.to_string().into(),
        (&got.fingerprint).into(),
        got.used_at.into(),
        warnings.into(),
    ];
    tx.later(sql, &args, Rows::One)
}

fn record(row: &Row) -> Result<TokenRecord, DbError> {
    Ok(TokenRecord {
        id: row.parse(0, "a token id")?,
        kind: row.word(1, "a token type", TokenType::from_word)?,
        status: row.word(2, "a token status", TokenStatus::from_word)?,
        label: row.maybe_text(3)?.map(str::to_owned),
        cluster_id: row.maybe_parse(4, "a cluster name")?,
        sensor_id: row.maybe_parse(5, "a sensor id")?,
        max_nodes: row.maybe_int(6)?,
        node_count: row.int(7)?,
        use_count: row.int(8)?,
        created_at: row.int(9)?,
        expires_at: row.int(10)?,
        used_at: row.maybe_int(11)?,
        reserved_at: row.maybe_int(12)?,
        replace_host: row.int(13)? != 0,
    })
}
