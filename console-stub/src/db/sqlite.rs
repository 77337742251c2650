//! SQLite behind [`Tx`]: write-ahead log, `synchronous=FULL`, statements prepared once.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::engine::{Dialect, Engine};
use super::pool::Reader;
use super::{DbError, Row, Tx, Value};

/// How long a writer waits for another process (the command line beside a running server) before it gives up.
const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection; there are fewer queries than this.
const STATEMENTS: usize = 128;

#[derive(Debug)]
pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        Self::with(connection)
    }

    pub(super) fn open_reader(path: &Path) -> Result<Self, DbError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        Self::with(connection)
    }

    /// What both have in common. One plan for a statement whatever its arguments are: without it, SQLite makes a statement anew for
    /// each new argument that might lead to a better one, which costs more than most of ours.
    fn with(connection: Connection) -> Result<Self, DbError> {
        in_memory(&connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self(connection))
    }

    fn step(&mut self, sql: &str) -> Result<(), DbError> {
        self.0.prepare_cached(sql)?.execute(())?;
        Ok(())
    }
}

/// Keeps what a query sorts in memory: a container may have no place for temporary files.
fn in_memory(connection: &Connection) -> Result<(), DbError> {
    Ok(connection.pragma_update(None, "temp_store", "MEMORY")?)
}

/// Copies a database that may be in use into this empty file, and looks at the copy; gives its schema version. The copy is
/// of one moment, and no writer waits for it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<i64, DbError> {
    let source = Sqlite::open_reader(from)?;
    let mut target = Connection::open(to)?;
    // All pages in one step: a step by step copy begins again whenever somebody writes.
    if Backup::new(&source.0, &mut target)?.step(-1)? != StepResult::Done {
        return Err(DbError::Unavailable("another process holds it; try again".to_owned()));
    }
    // Out of the log's mode, so that the copy is one file; whoever opens it for writing switches back.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = target.query_row("PRAGMA integrity_check", (), |row| row.get(0))?;
    if found != "ok" {
        return Err(DbError::Corrupt { wanted: "a whole copy", found });
    }
    Ok(target.query_row("SELECT MAX(version) FROM schema_migrations", (), |row| row.get(0))?)
}

impl Engine for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&mut self) -> Result<(), DbError> {
        self.step("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), DbError> {
        self.step("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), DbError> {
        if self.0.is_autocommit() { Ok(()) } else { self.step("ROLLBACK") }
    }

    fn mark(&mut self) -> Result<(), DbError> {
        self.step("SAVEPOINT job")
    }

    fn keep(&mut self) -> Result<(), DbError> {
        self.step("RELEASE job")
    }

    fn undo(&mut self) -> Result<(), DbError> {
        if self.0.is_autocommit() {
            // A full disk ends the whole transaction, and its marks with it.
            return Err(DbError::Disk("it ended the transaction".to_owned()));
        }
        self.step("ROLLBACK TO job")?;
        self.step("RELEASE job")
    }

    fn script(&mut self, sql: &str) -> Result<(), DbError> {
        Ok(self.0.execute_batch(sql)?)
    }
}

impl Reader for Sqlite {
    fn start(&mut self) -> Result<(), DbError> {
        Ok(())
    }

    fn finish(&mut self) {}
}

impl Tx for Sqlite {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, DbError> {
        let changed = self.0.prepare_cached(&own_placeholders(sql))?.execute(params_from_iter(args))?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError> {
        let mut statement = self.0.prepare_cached(&own_placeholders(sql))?;
        let columns = statement.column_count();
        let mut found = statement.query(params_from_iter(args))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let values: Result<Vec<Value>, DbError> =
                (0..columns).map(|at| value(row.get_ref(at)?)).collect();
            rows.push(Row::new(values?));
        }
        Ok(rows)
    }

    fn lock_clause(&self) -> &'static str {
        ""
    }
}

/// `$1` names a parameter in SQLite, `?1` numbers it; no query of ours holds a dollar sign for another reason.
fn own_placeholders(sql: &str) -> String {
    sql.replace('$', "?")
}

fn value(found: ValueRef<'_>) -> Result<Value, DbError> {
    match found {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => {
                Err(DbError::Corrupt { wanted: "a text", found: "bytes that are not UTF-8".to_owned() })
            }
        },
        ValueRef::Blob(bytes) => Ok(Value::Blob(bytes.to_vec())),
        ValueRef::Real(_) => {
            Err(DbError::Corrupt { wanted: "a whole number", found: "a fraction".to_owned() })
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_full_disk_is_named_and_what_was_written_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Sqlite::open(&dir.path().join("db")).unwrap();
        db.script("CREATE TABLE t (n BLOB); INSERT INTO t VALUES (zeroblob(10)); PRAGMA max_page_count = 8")
            .unwrap();
        db.begin().unwrap();
        db.mark().unwrap();
        let full = db.execute("INSERT INTO t VALUES (zeroblob(100000))", &[]);
        assert!(matches!(full, Err(DbError::Disk(_))), "{full:?}");
        // Where that ended the transaction, the mark within it is gone too: not to be told as a failure of ours.
        assert!(matches!(db.undo(), Ok(()) | Err(DbError::Disk(_))));
        db.rollback().unwrap();
        assert_eq!(db.first("SELECT count(*) FROM t", &[]).unwrap().unwrap().int(0).unwrap(), 1);
    }

    #[test]
    fn a_statement_is_made_once_whatever_its_arguments_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Sqlite::open(&dir.path().join("db")).unwrap();
        db.script("CREATE TABLE t (n BIGINT, m BIGINT, o BIGINT); CREATE INDEX by_n ON t (n)").unwrap();
        let sql = "SELECT m FROM t WHERE n = $1 ORDER BY m, o";
        for n in 1..=3i64 {
            assert!(db.query(sql, &[n.into()]).unwrap().is_empty());
        }
        let again =
            db.0.prepare_cached(&own_placeholders(sql)).unwrap().get_status(StatementStatus::RePrepare);
        assert_eq!(again, 0);
    }

    #[test]
    fn placeholders_are_numbered_and_not_named() {
        let sql = "SELECT $1 FROM t WHERE a > $2 OR ($1 = '' AND b = $10)";
        assert_eq!(own_placeholders(sql), "SELECT ?1 FROM t WHERE a > ?2 OR (?1 = '' AND b = ?10)");
        let mut db = Sqlite::open(&tempfile::tempdir().unwrap().path().join("db")).unwrap();
        let row = db.first("SELECT $2, $1, $2", &[1i64.into(), "two".into()]).unwrap().unwrap();
        assert_eq!((row.text(0).unwrap(), row.int(1).unwrap(), row.text(2).unwrap()), ("two", 1, "two"));
    }
}
