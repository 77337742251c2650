//! The Console's database, read behind its back: what is durably so, whatever the Console says of it.

use std::path::{Path, PathBuf};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Params};

/// A view of one `console.db`, opened for each question, so that it never stands in the way.
#[derive(Debug, Clone)]
pub struct Db {
    file: PathBuf,
}

/// A row of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// What was done: `sensor_enrolled`, …
    pub action: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// Whom it concerned.
    pub sensor_id: Option<String>,
    /// The rest.
    pub detail: String,
}

impl Db {
    /// The database in this file.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// Sensor records.
    pub fn sensors(&self) -> i64 {
        self.one("SELECT count(*) FROM sensors", [])
    }

    /// Client certificates ever issued.
    pub fn certificates(&self) -> i64 {
        self.one("SELECT count(*) FROM certificates", [])
    }

    /// A token's status.
    pub fn token_status(&self, id: &str) -> String {
        self.one("SELECT status FROM enrollment_tokens WHERE id = ?1", [id])
    }

    /// How often a token enrolled.
    pub fn token_uses(&self, id: &str) -> i64 {
        self.one("SELECT use_count FROM enrollment_tokens WHERE id = ?1", [id])
    }

    /// The distinct nodes that a cluster token enrolled.
    pub fn token_nodes(&self, id: &str) -> i64 {
        self.one("SELECT node_count FROM enrollment_tokens WHERE id = ?1", [id])
    }

    /// The audit trail, oldest first.
    pub fn audit(&self) -> Vec<AuditRow> {
        let connection = self.open();
        let sql = "SELECT action_type, outcome, sensor_id, detail FROM audit ORDER BY seq";
        let mut statement = connection.prepare(sql).expect("the audit table");
        let rows = statement.query_map([], |row| {
            let (action, outcome) = (row.get(0)?, row.get(1)?);
            Ok(AuditRow { action, outcome, sensor_id: row.get(2)?, detail: row.get(3)? })
        });
        rows.and_then(Iterator::collect).expect("audit rows")
    }

    /// Audit rows of one action with one outcome.
    pub fn audited(&self, action: &str, outcome: &str) -> usize {
        self.audit().iter().filter(|row| row.action == action && row.outcome == outcome).count()
    }

    /// The first column of the first row.
    #[track_caller]
    pub fn one<T: FromSql>(&self, sql: &str, params: impl Params) -> T {
        self.open().query_row(sql, params, |row| row.get(0)).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// What SQLite itself says of the file; `ok` when it is whole.
    pub fn integrity(&self) -> String {
        self.one("PRAGMA integrity_check", [])
    }

    /// Lets a token's time be over since a second: the one thing that a test changes here, as no test waits for a minute.
    pub fn expire_token(&self, id: &str) {
        let connection = Connection::open(&self.file).expect("the database");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout can be set");
        let past = jiff::Timestamp::now().as_second() - 1;
        let sql = "UPDATE enrollment_tokens SET expires_at = ?1 WHERE id = ?2";
        assert_eq!(connection.execute(sql, (past, id)).expect("the table"), 1, "no token {id}");
    }

    fn open(&self) -> Connection {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap_or_else(|e| panic!("{}: {e}", self.file.display()));
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout can be set");
        connection
    }
}
