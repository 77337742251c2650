//! Fills a Console's embedded database with the rows that a fleet of years would have left in it.
//!
//! One host is really enrolled. Its rows are copied under new names: sensor, certificate, enrollment, node of the cluster
//! token, and audit record with its hashes; and one waiting one-time token for each. A column that this file does not
//! know is copied as it is, so that a later schema is filled too.

use std::path::Path;

use rusqlite::{Connection, params};
use telovix_console_stub::domain::chain::{Head, Record, link};

use crate::world::World;

/// Fills the database of a Console that has enrolled one host with a cluster token, and starts it again.
pub(super) fn fill(world: &World, rows: u64) {
    world.kill();
    let file = world.data_dir().join("console.db");
    copy_rows(&file, i64::try_from(rows).expect("a number of rows"))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    // What is still to be written must not slow down what is measured.
    let written = std::fs::File::open(&file).and_then(|file| file.sync_all());
    written.expect("the database can be flushed");
    world.restart();
}

fn copy_rows(file: &Path, rows: i64) -> rusqlite::Result<()> {
    let db = Connection::open(file)?;
    // A database that is being filled has nothing to lose; the Console switches its log on again.
    db.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000;
         PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; BEGIN;
         CREATE TEMP TABLE fill (n INTEGER PRIMARY KEY, id TEXT, token_id TEXT, fingerprint BLOB, spki BLOB);",
    )?;
    let uuid = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' ||
                substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))";
    db.execute(
        &format!(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
             INSERT INTO fill SELECT n, {uuid}, {uuid}, randomblob(32), randomblob(32) FROM number"
        ),
        [rows],
    )?;
    let sensor = "(SELECT MIN(rowid) FROM sensors)";
    copy(
        &db,
        "sensors",
        sensor,
        &[
            ("id", "fill.id"),
            ("node_key", "old.node_key || '-' || n"),
            ("node_name", "old.node_name || '-' || n"),
            ("created_at", "old.created_at - n"),
            ("enrolled_at", "old.enrolled_at - n"),
            ("last_seen_at", "old.enrolled_at"),
        ],
    )?;
    copy(
        &db,
        "certificates",
        "(SELECT MIN(rowid) FROM certificates)",
        &[
            ("fingerprint", "fill.fingerprint"),
            ("sensor_id", "fill.id"),
            ("serial", "hex(randomblob(16))"),
            ("spki_sha256", "fill.spki"),
        ],
    )?;
    copy(
        &db,
        "enrollments",
        "(SELECT MIN(rowid) FROM enrollments)",
        &[("spki_sha256", "fill.spki"), ("sensor_id", "fill.id"), ("fingerprint", "fill.fingerprint")],
    )?;
    copy(
        &db,
        "token_nodes",
        "(SELECT MIN(rowid) FROM token_nodes)",
        &[("node_key", "old.node_key || '-' || n")],
    )?;
    copy(
        &db,
        "enrollment_tokens",
        "(SELECT MIN(rowid) FROM enrollment_tokens)",
        &[
            ("id", "fill.token_id"),
            ("token_hash", "randomblob(32)"),
            ("token_type", "'once'"),
            ("cluster_id", "NULL"),
            ("node_count", "0"),
            ("use_count", "0"),
            ("created_at", "old.created_at - n"),
        ],
    )?;
    db.execute("UPDATE counters SET value = value + ?1 WHERE name = 'protected_nodes'", [rows])?;
    db.execute(
        "UPDATE enrollment_tokens SET node_count = node_count + ?1, use_count = use_count + ?1
                WHERE rowid = (SELECT MIN(rowid) FROM enrollment_tokens)",
        [rows],
    )?;
    // A trial's licence ends where such a fleet begins.
    db.execute("UPDATE licences SET max_protected_nodes = max_protected_nodes + ?1", [rows])?;
    audit(&db)?;
    db.execute_batch("COMMIT; PRAGMA optimize;")
}

/// Copies one row for each row of `fill`, with these columns made anew.
fn copy(db: &Connection, table: &str, row: &str, anew: &[(&str, &str)]) -> rusqlite::Result<()> {
    let mut statement = db.prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?;
    let columns: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let values: Vec<String> = columns
        .iter()
        .map(|column| {
            let made = anew.iter().find(|(name, _)| name == column);
            made.map_or_else(|| format!("old.{column}"), |(_, value)| (*value).to_owned())
        })
        .collect();
    let sql = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM fill, {table} AS old WHERE old.rowid = {row}",
        columns.join(", "),
        values.join(", ")
    );
    db.execute(&sql, []).map(drop)
}

/// The audit trail of it all: a chain that `audit verify` finds whole.
fn audit(db: &Connection) -> rusqlite::Result<()> {
    let mut head = db.query_row("SELECT seq, hash FROM audit_head WHERE id = 1", [], |row| {
        Ok(Head { seq: row.get(0)?, hash: row.get(1)? })
    })?;
    let enrolled = db.query_row(
        "SELECT created_at, action_type, outcome, detail, client_ip, user_agent FROM audit
         WHERE action_type = 'sensor_enrolled' ORDER BY seq LIMIT 1",
        [],
        |row| {
            Ok(Record {
                seq: 0,
                created_at: row.get(0)?,
                action_type: row.get(1)?,
                outcome: row.get(2)?,
                actor_email: None,
                sensor_id: None,
                detail: row.get(3)?,
                client_ip: row.get(4)?,
                user_agent: row.get(5)?,
            })
        },
    )?;
    let mut add = db.prepare(
        "INSERT INTO audit (seq, created_at, action_type, outcome, actor_email, sensor_id, detail, client_ip, user_agent,
                            prev_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let mut ids = db.prepare("SELECT id FROM fill ORDER BY n")?;
    let mut found = ids.query([])?;
    while let Some(row) = found.next()? {
        let record = Record { seq: head.seq + 1, sensor_id: Some(row.get(0)?), ..enrolled.clone() };
        let hash = link(&head.hash, &record);
        add.execute(params![
            record.seq,
            record.created_at,
            record.action_type,
            record.outcome,
            record.actor_email,
            record.sensor_id,
            record.detail,
            record.client_ip,
            record.user_agent,
            head.hash,
            hash
        ])?;
        head = Head { seq: record.seq, hash };
    }
    db.execute("UPDATE audit_head SET seq = ?1, hash = ?2 WHERE id = 1", params![head.seq, head.hash])
        .map(drop)
}
