//! PostgreSQL behind [`Tx`], for several instances of the stub on one database.
//!
//! Invariant: of all instances, one changes the database at a time. A write transaction begins by taking one advisory lock
//! that lasts as long as the transaction does, so that everything that the rules read stays as it was read until the
//! commit: caps, tokens, licence slots and the end of the audit chain. Group commit works as on SQLite, no two writers
//! can deadlock, and no transaction has to be tried again. The row locks and the conditions in the statements stay as a
//! second line.
//!
//! A connection that is gone is made anew at the next transaction; until that works the caller hears
//! [`DbError::Unavailable`]. What had not been committed is undone by the server.

mod tls;
mod url;
mod value;

pub use url::{InvalidUrl, ServerUrl};

use std::collections::HashMap;
use std::fmt;

use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, NoTls, Statement};

use super::pool::Reader;
use super::writer::{Dialect, Engine};
use super::{DbError, Row, Tx, Value};
use crate::clock::Clock;
use url::{Trust, in_full};

/// The advisory lock of all writers on one database: `telovix` in ASCII.
const WRITERS: i64 = 0x74_65_6c_6f_76_69_78;

/// What every session is told. A writer that stands still (its machine froze) loses its transaction, and with it the lock,
/// instead of stopping the other instances; who waits for the lock waits that long and no longer; and a commit reaches the
/// disk whatever the server's default is.
const SESSION: &str = "SET lock_timeout = 0; SET statement_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Prepared statements kept per connection; there are fewer queries than this.
const STATEMENTS: usize = 256;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Write,
    Read,
}

/// One connection, or the wish for one.
pub(super) struct Postgres {
    server: ServerUrl,
    clock: Clock,
    purpose: Use,
    client: Option<Client>,
    statements: HashMap<String, Statement>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("place", &self.server.place()).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, for writing.
    pub(super) fn open(server: &ServerUrl, clock: &Clock) -> Result<Self, DbError> {
        let mut made = Self::new(server, clock, Use::Write);
        made.connect()?;
        Ok(made)
    }

    /// For reading; connects when it is asked something.
    pub(super) fn reader(server: &ServerUrl, clock: &Clock) -> Self {
        Self::new(server, clock, Use::Read)
    }

    fn new(server: &ServerUrl, clock: &Clock, purpose: Use) -> Self {
        let (server, clock) = (server.clone(), clock.clone());
        Self { server, clock, purpose, client: None, statements: HashMap::new() }
    }

    fn connect(&mut self) -> Result<(), DbError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.disconnect();
        let connected = match &self.server.trust {
            Trust::DangerPlain => self.server.config.connect(NoTls),
            Trust::Verified(roots) => self.server.config.connect(tls::connector(roots, &self.clock)?),
        };
        let place = self.server.place();
        let unreachable =
            |error: postgres::Error| DbError::Unavailable(format!("{place}: {}", in_full(&error)));
        let mut client = connected.map_err(unreachable)?;
        client.batch_execute(SESSION).map_err(unreachable)?;
        self.client = Some(client);
        Ok(())
    }

    fn disconnect(&mut self) {
        self.statements.clear();
        let Some(client) = self.client.take() else { return };
        // The client has a small runtime of its own, which must not end on a thread that serves another one.
        let closing = std::thread::Builder::new().name("db-close".to_owned()).spawn(move || drop(client));
        if let Ok(closing) = closing {
            // A panic there has ended the connection just as well.
            let _ = closing.join();
        }
    }

    /// Begins a transaction; on a new connection where the old one turns out to be gone, because then nothing was begun.
    fn start_with(&mut self, sql: &str) -> Result<(), DbError> {
        self.connect()?;
        let begun = self.step(sql);
        if begun.is_ok() || self.client.is_some() {
            return begun;
        }
        tracing::warn!(place = %self.server.place(), "the connection to the database was gone; connecting again");
        self.connect()?;
        self.step(sql)
    }

    fn step(&mut self, sql: &str) -> Result<(), DbError> {
        let done = self.client()?.batch_execute(sql);
        done.map_err(|error| self.failed(&error))
    }

    fn client(&mut self) -> Result<&mut Client, DbError> {
        self.client.as_mut().ok_or_else(|| DbError::Unavailable("the connection is gone".to_owned()))
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let made = self.client()?.prepare(sql);
        let made = made.map_err(|error| self.failed(&error))?;
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), made.clone());
        Ok(made)
    }

    /// What an error is for the caller; drops a connection that is of no use any more.
    fn failed(&mut self, error: &postgres::Error) -> DbError {
        match nature(error) {
            Nature::Fault => DbError::Engine(in_full(error)),
            Nature::Passing => DbError::Unavailable(in_full(error)),
            Nature::Gone => {
                self.disconnect();
                DbError::Unavailable(in_full(error))
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// What an error says about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// The connection is of no use any more.
    Gone,
    /// The server could not now; it may later.
    Passing,
    /// Nothing that passes by itself.
    Fault,
}

fn nature(error: &postgres::Error) -> Nature {
    let Some(code) = error.code() else {
        let io = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        return if io || error.is_closed() { Nature::Gone } else { Nature::Fault };
    };
    nature_of(code)
}

/// By the class and code of the server's error (PostgreSQL manual, appendix A).
fn nature_of(code: &SqlState) -> Nature {
    // The server shuts down, or ended this session; connection exceptions.
    let gone = ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"];
    // Waited too long for a lock, gave way to another transaction, out of a resource, stands by.
    let passing = ["55P03", "57014", "40001", "40P01", "25006"];
    let code = code.code();
    if gone.contains(&code) || code.starts_with("08") {
        Nature::Gone
    } else if passing.contains(&code) || code.starts_with("53") {
        Nature::Passing
    } else {
        Nature::Fault
    }
}

impl Engine for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    /// The lock is taken by a statement of its own: those behind it see everything that was committed before.
    fn begin(&mut self) -> Result<(), DbError> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({WRITERS})"
        );
        self.start_with(&sql)
    }

    /// A transaction that an error has spoiled cannot get here unnoticed, where `COMMIT` would silently undo it: releasing
    /// the savepoint has failed before.
    fn commit(&mut self) -> Result<(), DbError> {
        self.step("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), DbError> {
        if self.client.is_none() { Ok(()) } else { self.step("ROLLBACK") }
    }

    fn mark(&mut self) -> Result<(), DbError> {
        self.step("SAVEPOINT job")
    }

    fn keep(&mut self) -> Result<(), DbError> {
        self.step("RELEASE SAVEPOINT job")
    }

    fn undo(&mut self) -> Result<(), DbError> {
        self.step("ROLLBACK TO SAVEPOINT job; RELEASE SAVEPOINT job")
    }

    fn script(&mut self, sql: &str) -> Result<(), DbError> {
        self.step(sql)
    }
}

impl Reader for Postgres {
    /// All that one reader asks is answered as of one moment.
    fn start(&mut self) -> Result<(), DbError> {
        self.start_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn finish(&mut self) {
        if self.client.is_some() && self.step("ROLLBACK").is_err() {
            self.disconnect();
        }
    }
}

impl Tx for Postgres {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, DbError> {
        let statement = self.prepared(sql)?;
        let done = self.client()?.execute(&statement, &borrowed(args));
        done.map_err(|error| self.failed(&error))
    }

    fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError> {
        let statement = self.prepared(sql)?;
        let found = self.client()?.query(&statement, &borrowed(args));
        found.map_err(|error| self.failed(&error))?.iter().map(value::row).collect()
    }

    fn lock_clause(&self) -> &'static str {
        match self.purpose {
            Use::Write => " FOR UPDATE",
            Use::Read => "",
        }
    }
}

fn borrowed(args: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    args.iter().map(|arg| arg as &(dyn ToSql + Sync)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_helps() {
        let nature = |code: &str| nature_of(&SqlState::from_code(code));
        assert_eq!(["57P01", "08006", "25P03"].map(nature), [Nature::Gone; 3]);
        assert_eq!(["40001", "40P01", "55P03", "53300"].map(nature), [Nature::Passing; 4]);
        assert_eq!(["23505", "42601", "42P01", "28P01"].map(nature), [Nature::Fault; 4]);
    }

    #[test]
    fn a_server_that_is_not_there_is_unavailable_and_the_password_stays_here() {
        // Port 1 of loopback: nobody listens there, and the kernel says so at once.
        let server: ServerUrl = "postgres://u:s3cret@127.0.0.1:1/db".parse().unwrap();
        let error = Postgres::open(&server, &Clock::system()).unwrap_err();
        assert!(matches!(&error, DbError::Unavailable(why) if why.contains("127.0.0.1:1/db")), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        let mut reader = Postgres::reader(&server, &Clock::system());
        assert!(matches!(reader.start(), Err(DbError::Unavailable(_))));
        assert_eq!(reader.lock_clause(), "");
    }
}
