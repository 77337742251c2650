//! One commit's transaction: the engine's, and what was read in it of tables that hardly ever change.
//!
//! Invariant: what is remembered is what the engine would answer. Nobody else writes while the transaction lasts (SQLite has
//! one writer, `postgres` a lock), what is written into a table makes it forgotten, and what is undone makes all forgotten.
//!
//! And a change of which any statement failed is not kept, whatever it makes of the error itself: no engine is asked anything more
//! for it, because one of them would refuse, and the other would keep half of it.

use std::collections::HashMap;
use std::sync::Arc;

use super::engine::Engine;
use super::{DbError, Row, Rows, Tx, Value};

/// Lasts from the beginning of a transaction to its end.
pub(super) struct Batch<'a, E> {
    engine: &'a mut E,
    seen: HashMap<&'static str, Arc<[Row]>>,
    /// Why the change cannot be kept.
    spoiled: Option<DbError>,
}

impl<'a, E: Engine> Batch<'a, E> {
    /// Of a transaction that has just begun.
    pub(super) fn new(engine: &'a mut E) -> Self {
        Self { engine, seen: HashMap::new(), spoiled: None }
    }

    pub(super) fn mark(&mut self) -> Result<(), DbError> {
        self.engine.mark()
    }

    pub(super) fn keep(&mut self) -> Result<(), DbError> {
        self.attempt(Engine::keep)
    }

    pub(super) fn undo(&mut self) -> Result<(), DbError> {
        self.seen.clear();
        self.spoiled = None;
        self.engine.undo()
    }

    /// Asks the engine, unless the change is spoiled. What cannot be read out of a row is the caller's to judge, and spoils nothing.
    fn attempt<T>(&mut self, ask: impl FnOnce(&mut E) -> Result<T, DbError>) -> Result<T, DbError> {
        if let Some(error) = &self.spoiled {
            return Err(error.clone());
        }
        let outcome = ask(self.engine);
        if let Err(error) = &outcome
            && !matches!(error, DbError::Corrupt { .. })
        {
            self.spoiled = Some(error.clone());
        }
        outcome
    }

    fn forget(&mut self, sql: &str) {
        match written(sql) {
            Some(table) => self.seen.retain(|seen, _| !seen.eq_ignore_ascii_case(table)),
            None => self.seen.clear(),
        }
    }
}

impl<E: Engine> Tx for Batch<'_, E> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, DbError> {
        self.forget(sql);
        self.attempt(|engine| engine.execute(sql, args))
    }

    fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError> {
        self.attempt(|engine| engine.query(sql, args))
    }

    fn later(&mut self, sql: &str, args: &[Value], rows: Rows) -> Result<(), DbError> {
        self.forget(sql);
        self.attempt(|engine| engine.later(sql, args, rows))
    }

    fn once(&mut self, table: &'static str, sql: &str) -> Result<Arc<[Row]>, DbError> {
        if let Some(seen) = self.seen.get(table) {
            return Ok(Arc::clone(seen));
        }
        let found: Arc<[Row]> = self.query(sql, &[])?.into();
        self.seen.insert(table, Arc::clone(&found));
        Ok(found)
    }

    fn now_holds(&mut self, table: &'static str, rows: Vec<Row>) {
        self.seen.insert(table, rows.into());
    }

    fn lock_clause(&self) -> &'static str {
        self.engine.lock_clause()
    }
}

/// The table that a statement writes into, where it begins as ours do.
fn written(sql: &str) -> Option<&str> {
    let mut words = sql.split_ascii_whitespace();
    match (words.next()?, words.next()?) {
        ("INSERT", "INTO") | ("DELETE", "FROM") => words.next(),
        ("UPDATE", table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::Sqlite;
    use super::*;

    const ASK: &str = "SELECT n FROM t ORDER BY n";

    fn numbers(tx: &mut dyn Tx) -> Vec<i64> {
        tx.once("t", ASK).unwrap().iter().map(|row| row.int(0).unwrap()).collect()
    }

    /// Gives what a batch remembers, and checks it against what the engine answers.
    fn agreed(batch: &mut Batch<'_, Sqlite>) -> Vec<i64> {
        let found = batch.engine.query(ASK, &[]).unwrap();
        let found: Vec<i64> = found.iter().map(|row| row.int(0).unwrap()).collect();
        assert_eq!(numbers(batch), found);
        found
    }

    #[test]
    fn what_is_written_or_undone_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        engine.script("CREATE TABLE t (n BIGINT); CREATE TABLE other (n BIGINT)").unwrap();
        engine.begin().unwrap();
        let mut batch = Batch::new(&mut engine);
        batch.mark().unwrap();
        assert!(agreed(&mut batch).is_empty());
        batch.execute("INSERT INTO t (n) VALUES ($1)", &[1i64.into()]).unwrap();
        assert_eq!(agreed(&mut batch), [1]);
        batch.later("UPDATE t SET n = 2", &[], Rows::One).unwrap();
        assert_eq!(agreed(&mut batch), [2]);
        batch.execute("DELETE FROM t", &[]).unwrap();
        batch.now_holds("t", Vec::new());
        assert!(agreed(&mut batch).is_empty());
        batch.keep().unwrap();

        batch.mark().unwrap();
        batch.later("INSERT INTO t (n) VALUES (3)", &[], Rows::One).unwrap();
        batch.now_holds("t", vec![Row::new(vec![3i64.into()])]);
        assert_eq!(agreed(&mut batch), [3]);
        batch.undo().unwrap();
        assert!(agreed(&mut batch).is_empty());
    }

    #[test]
    fn one_question_is_asked_until_its_own_table_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        engine.script("CREATE TABLE t (n BIGINT); CREATE TABLE other (n BIGINT)").unwrap();
        let mut batch = Batch::new(&mut engine);
        assert!(numbers(&mut batch).is_empty());
        // Behind its back, as nobody can: what it remembers shows.
        batch.engine.execute("INSERT INTO t (n) VALUES (1)", &[]).unwrap();
        batch.execute("INSERT INTO other (n) VALUES (1)", &[]).unwrap();
        assert!(numbers(&mut batch).is_empty());
        batch.execute("WITH a AS (SELECT 5 AS n) INSERT INTO t SELECT n FROM a", &[]).unwrap();
        assert_eq!(numbers(&mut batch), [1, 5]);
    }

    #[test]
    fn a_row_that_is_not_there_undoes_the_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Sqlite::open(&dir.path().join("db")).unwrap();
        engine.script("CREATE TABLE t (n BIGINT)").unwrap();
        engine.begin().unwrap();
        let mut batch = Batch::new(&mut engine);
        batch.mark().unwrap();
        let missing = batch.later("UPDATE t SET n = 1 WHERE n = 0", &[], Rows::One);
        assert!(matches!(&missing, Err(DbError::Unavailable(why)) if why.contains("0 rows")), "{missing:?}");
        let behind = batch.later("INSERT INTO t (n) VALUES (1)", &[], Rows::One);
        assert_eq!(behind.unwrap_err().to_string(), missing.unwrap_err().to_string());
        assert!(batch.query(ASK, &[]).is_err());
        assert!(batch.keep().is_err());
        batch.undo().unwrap();

        batch.mark().unwrap();
        assert!(agreed(&mut batch).is_empty());
        batch.later("UPDATE t SET n = 1", &[], Rows::Any).unwrap();
        batch.keep().unwrap();
    }

    #[test]
    fn the_table_of_a_statement_is_read_from_its_beginning() {
        assert_eq!(written("INSERT INTO settings (name) VALUES ($1)"), Some("settings"));
        assert_eq!(written("UPDATE counters SET value = 1"), Some("counters"));
        assert_eq!(written("DELETE FROM licences"), Some("licences"));
        assert_eq!(written("WITH a AS (SELECT 1) DELETE FROM licences"), None);
        assert_eq!(written(""), None);
    }
}
