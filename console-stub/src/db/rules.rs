//! Auto-approve rules, and the nodes that each counted.

use telovix_contract::{ClusterName, NodeRole};

use super::tokens::NodeKeys;
use super::{DbError, Row, Tx, Value};
use crate::domain::approval::{Rule, RuleDraft, RuleId};

#[derive(Debug, Clone)]
pub(crate) struct RuleRecord {
    pub rule: Rule,
    pub cluster_id: ClusterName,
    pub label: String,
    /// Unix seconds.
    pub created_at: i64,
}

const COLUMNS: &str = "id, cluster_id, label, allowed_roles, max_nodes, node_count, created_at";

pub(crate) fn insert(tx: &mut dyn Tx, id: RuleId, draft: &RuleDraft, now: i64) -> Result<(), DbError> {
    let sql = format!("INSERT INTO approval_rules ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, 0, $6)");
    let roles: Vec<&str> = draft.allowed_roles.iter().map(NodeRole::as_str).collect();
    let args: [Value; 6] = [
        id.to_string().into(),
        draft.cluster_id.as_str().into(),
        draft.label.as_str().into(),
        roles.join(",").into(),
        draft.max_nodes.into(),
        now.into(),
    ];
    tx.execute(&sql, &args).map(|_| ())
}

/// All rules, oldest first.
pub(crate) fn list(tx: &mut dyn Tx) -> Result<Vec<RuleRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM approval_rules ORDER BY created_at, id");
    tx.query(&sql, &[])?.iter().map(record).collect()
}

pub(crate) fn by_id(tx: &mut dyn Tx, id: RuleId) -> Result<Option<RuleRecord>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM approval_rules WHERE id = $1");
    tx.first(&sql, &[id.to_string().into()])?.map(|row| record(&row)).transpose()
}

/// The rules for a cluster, oldest first, each with whether it counted this node; they stay as they are until the
/// transaction ends.
pub(crate) fn of_cluster(
    tx: &mut dyn Tx,
    cluster: &ClusterName,
    node: &NodeKeys,
) -> Result<Vec<Rule>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approval_rules WHERE cluster_id = $1 ORDER BY created_at, id{}",
        tx.lock_clause()
    );
    let found: Result<Vec<RuleRecord>, DbError> =
        tx.query(&sql, &[cluster.as_str().into()])?.iter().map(record).collect();
    let mut rules: Vec<Rule> = found?.into_iter().map(|found| found.rule).collect();
    for rule in &mut rules {
        let sql = "SELECT 1 FROM approval_rule_nodes WHERE rule_id = $1 AND node_key IN ($2, $3, $4)";
        let [named, without_install, proved] = node.values();
        rule.counted =
            tx.first(sql, &[rule.id.to_string().into(), named, without_install, proved])?.is_some();
    }
    Ok(rules)
}

/// Counts a node that the rule let in, if its cap allows or it has counted it before; says whether it does. The condition
/// stands in the statement, so that no two nodes on any engine can both be the last.
pub(crate) fn count_node(tx: &mut dyn Tx, id: RuleId, node_key: &str) -> Result<bool, DbError> {
    let sql = "INSERT INTO approval_rule_nodes (rule_id, node_key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    if tx.execute(sql, &[id.to_string().into(), node_key.into()])? == 0 {
        return Ok(true);
    }
    let sql = "UPDATE approval_rules SET node_count = node_count + 1 \
               WHERE id = $1 AND (max_nodes IS NULL OR node_count < max_nodes)";
    Ok(tx.execute(sql, &[id.to_string().into()])? == 1)
}

pub(crate) fn delete(tx: &mut dyn Tx, id: RuleId) -> Result<Option<RuleRecord>, DbError> {
    let found = by_id(tx, id)?;
    tx.execute("DELETE FROM approval_rules WHERE id = $1", &[id.to_string().into()])?;
    Ok(found)
}

pub(crate) fn forget_all(tx: &mut dyn Tx) -> Result<u64, DbError> {
    tx.execute("DELETE FROM approval_rules", &[])
}

fn record(row: &Row) -> Result<RuleRecord, DbError> {
    let words = row.text(3)?.split(',').filter(|word| !word.is_empty());
    let roles: Result<Vec<NodeRole>, _> = words.map(str::parse).collect();
    let wrong = |_| DbError::Corrupt { wanted: "node roles", found: "other words".to_owned() };
    Ok(RuleRecord {
        rule: Rule {
            id: row.parse(0, "a rule id")?,
            allowed_roles: roles.map_err(wrong)?,
            max_nodes: row.maybe_int(4)?,
            node_count: row.int(5)?,
            counted: false,
        },
        cluster_id: row.parse(1, "a cluster name")?,
        label: row.text(2)?.to_owned(),
        created_at: row.int(6)?,
    })
}
