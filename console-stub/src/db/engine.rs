//! What a database engine offers: to queries, and to the one writer.

use std::sync::Arc;

use super::{DbError, Row, Value};

/// How many rows a statement has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// One. Where it is another number, somebody else has been at it meanwhile.
    One,
    /// As many as there are.
    Any,
}

impl Rows {
    /// Whether so many will do.
    pub(super) fn check(self, changed: u64) -> Result<(), DbError> {
        match self {
            Self::One if changed != 1 => {
                let why = format!("{changed} rows stood as one was read; nothing was changed");
                Err(DbError::Unavailable(why))
            }
            Self::One | Self::Any => Ok(()),
        }
    }
}

/// One transaction, or one step of it, on some engine. SQL is portable; placeholders are `$1`, `$2`, ….
pub trait Tx {
    /// Runs a statement; gives the number of rows changed.
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, DbError>;

    /// Runs a query; gives all its rows.
    fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError>;

    /// Runs a statement whose outcome nothing hangs on but the change itself, at once or together with what comes next: where a
    /// server is asked, the way there and back is most of what a statement costs. Where it fails, or changes another number
    /// of rows than it has to, the whole change is undone and its caller is told.
    fn later(&mut self, sql: &str, args: &[Value], rows: Rows) -> Result<(), DbError> {
        rows.check(self.execute(sql, args)?)
    }

    /// Asks this of a table that hardly ever changes, and asks it once in a commit, whoever changes something in it: the rows are
    /// given again until something is written into that table. There is one question for each table.
    fn once(&mut self, table: &'static str, sql: &str) -> Result<Arc<[Row]>, DbError> {
        let _ = table;
        Ok(self.query(sql, &[])?.into())
    }

    /// Says what [`Tx::once`] would find in a table from now on, because of what was just written into it.
    fn now_holds(&mut self, table: &'static str, rows: Vec<Row>) {
        let _ = (table, rows);
    }

    /// What to append to a `SELECT` so that the rows stay as they are until the end of the transaction: nothing where
    /// there is one writer, ` FOR UPDATE` where there are several.
    fn lock_clause(&self) -> &'static str;

    /// Runs a query for at most one row.
    fn first(&mut self, sql: &str, args: &[Value]) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, args)?.into_iter().next())
    }
}

/// How an engine spells what SQL does not agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

pub(super) trait Engine: Tx {
    fn dialect(&self) -> Dialect;
    /// Starts a transaction that will write.
    fn begin(&mut self) -> Result<(), DbError>;
    /// Makes it durable.
    fn commit(&mut self) -> Result<(), DbError>;
    /// Forgets it, if one is open.
    fn rollback(&mut self) -> Result<(), DbError>;
    /// Starts one change within it.
    fn mark(&mut self) -> Result<(), DbError>;
    /// Ends the change and keeps it. Where that fails, because something that the change put off failed, it is to be undone.
    fn keep(&mut self) -> Result<(), DbError>;
    /// Ends the change and undoes it.
    fn undo(&mut self) -> Result<(), DbError>;
    fn script(&mut self, sql: &str) -> Result<(), DbError>;
}
