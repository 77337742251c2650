//! PostgreSQL behind [`Tx`], for several instances of the stub on one database.
//!
//! Invariant: of all instances, one changes the database at a time. A write transaction begins by taking one advisory lock
//! that lasts as long as the transaction does, so that everything that the rules read stays as it was read until the
//! commit: caps, tokens, licence slots and the end of the audit chain. Group commit works as on SQLite, no two writers
//! can deadlock, and no transaction has to be tried again. The row locks and the conditions in the statements stay as a
//! second line.
//!
//! What need not be waited for is sent together with what comes next ([`Tx::later`], and the marks of the changes in a commit):
//! the way to the server and back costs more than most statements.
//!
//! A connection that is gone is made anew at the next transaction; until that works the caller hears
//! [`DbError::Unavailable`]. What had not been committed is undone by the server.

mod link;
mod tls;
mod url;
mod value;

pub use url::{InvalidUrl, ServerUrl};

use std::fmt;
use std::mem::take;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Statement};

use super::engine::{Dialect, Engine};
use super::pool::Reader;
use super::{DbError, Row, Rows, Tx, Value};
use crate::clock::Clock;
use link::{Link, Reply, Step};
use url::in_full;

/// The advisory lock of all writers on one database: `telovix` in ASCII.
const WRITERS: i64 = 0x74_65_6c_6f_76_69_78;

/// What every session is told. A writer that stands still (its machine froze) loses its transaction, and with it the lock,
/// instead of stopping the other instances; who waits for the lock waits that long and no longer; and a commit reaches the
/// disk whatever the server's default is.
const SESSION: &str = "SET lock_timeout = 0; SET statement_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Most statements that wait to be sent.
const TOGETHER: usize = 64;

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
    link: Option<Link>,
    /// What goes with the next statement.
    waiting: Vec<Step>,
    /// Whether the server has the mark of a change.
    marked: bool,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("place", &self.server.place()).finish_non_exhaustive()
    }
}

impl Postgres {
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
        Self { server, clock, purpose, link: None, waiting: Vec::new(), marked: false }
    }

    fn connect(&mut self) -> Result<(), DbError> {
        if self.link.as_ref().is_some_and(|link| !link.is_closed()) {
            return Ok(());
        }
        self.disconnect();
        self.link = Some(Link::open(&self.server, &self.clock, SESSION)?);
        Ok(())
    }

    fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            link.close();
        }
    }

    /// Begins a transaction; on a new connection where the old one turns out to be gone, because then nothing was begun.
    fn start_with(&mut self, sql: &str) -> Result<(), DbError> {
        self.connect()?;
        let begun = self.apart(sql);
        if begun.is_ok() || self.link.is_some() {
            return begun;
        }
        tracing::warn!(place = %self.server.place(), "the connection to the database was gone; connecting again");
        self.connect()?;
        self.apart(sql)
    }

    /// Runs what belongs to no change; nothing of an earlier one is left after it.
    fn apart(&mut self, sql: &str) -> Result<(), DbError> {
        (self.waiting, self.marked) = (Vec::new(), false);
        self.step(sql)
    }

    fn send(&mut self) -> Result<(), DbError> {
        self.waiting.pop().map_or(Ok(()), |last| self.together(last).map(|_| ()))
    }

    /// Whether nothing has been sent of the change: its mark waits.
    fn is_unsent(&self) -> bool {
        matches!(self.waiting.first(), Some(Step::Mark { .. }))
    }

    fn step(&mut self, sql: &str) -> Result<(), DbError> {
        self.together(Step::Script(sql.to_owned())).map(|_| ())
    }

    /// Sends all that waits and this behind it in one go; gives the answer to the last. The first that failed is the reason.
    fn together(&mut self, last: Step) -> Result<Reply, DbError> {
        let mut steps = take(&mut self.waiting);
        steps.push(last);
        let marks = matches!(steps.first(), Some(Step::Mark { .. }));
        let replies = self.link()?.run(&steps);
        self.marked |= marks;
        let mut outcome = Ok(Reply::Done);
        for (step, reply) in steps.iter().zip(replies) {
            outcome = match (step, reply) {
                (Step::Change(_, _, rows), Ok(Reply::Changed(changed))) => {
                    rows.check(changed).map(|()| Reply::Changed(changed))
                }
                (_, Ok(reply)) => Ok(reply),
                (_, Err(error)) => Err(self.failed(&error)),
            };
            if outcome.is_err() {
                break;
            }
        }
        outcome
    }

    fn link(&mut self) -> Result<&mut Link, DbError> {
        self.link.as_mut().ok_or_else(|| DbError::Unavailable("the connection is gone".to_owned()))
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, DbError> {
        if !self.link()?.knows(sql) {
            // Where the server cannot even read it, what is undone has to begin before it.
            self.send()?;
        }
        let made = self.link()?.prepared(sql);
        made.map_err(|error| self.failed(&error))
    }

    /// What an error is for the caller; drops a connection that is of no use any more.
    fn failed(&mut self, error: &Error) -> DbError {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// The connection is of no use any more.
    Gone,
    /// The server could not now; it may later.
    Passing,
    /// Nothing that passes by itself.
    Fault,
}

fn nature(error: &Error) -> Nature {
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

    /// No change that was spoiled gets here, where `COMMIT` would silently undo all of them: it could not be kept before.
    fn commit(&mut self) -> Result<(), DbError> {
        self.apart("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), DbError> {
        if self.link.is_none() { Ok(()) } else { self.apart("ROLLBACK") }
    }

    /// The mark goes with the first statement of its change, and the end of the change before with it.
    fn mark(&mut self) -> Result<(), DbError> {
        self.waiting.push(Step::Mark { again: self.marked });
        Ok(())
    }

    /// The mark stays until the next one, or the commit: only what was answered is behind it then.
    fn keep(&mut self) -> Result<(), DbError> {
        if self.is_unsent() && self.waiting.len() == 1 {
            // A change of nothing.
            self.waiting.clear();
        }
        self.send()
    }

    fn undo(&mut self) -> Result<(), DbError> {
        let unsent = self.is_unsent();
        self.waiting.clear();
        if unsent { Ok(()) } else { self.step("ROLLBACK TO SAVEPOINT job") }
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
        if self.link.is_some() && self.apart("ROLLBACK").is_err() {
            self.disconnect();
        }
    }
}

impl Tx for Postgres {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, DbError> {
        let step = Step::Change(self.prepared(sql)?, args.to_vec(), Rows::Any);
        match self.together(step)? {
            Reply::Changed(rows) => Ok(rows),
            Reply::Done | Reply::Found(_) => Ok(0),
        }
    }

    fn query(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError> {
        let step = Step::Find(self.prepared(sql)?, args.to_vec());
        match self.together(step)? {
            Reply::Found(rows) => rows.iter().map(value::row).collect(),
            Reply::Done | Reply::Changed(_) => Ok(Vec::new()),
        }
    }

    fn later(&mut self, sql: &str, args: &[Value], rows: Rows) -> Result<(), DbError> {
        let step = Step::Change(self.prepared(sql)?, args.to_vec(), rows);
        if self.waiting.len() < TOGETHER {
            self.waiting.push(step);
            return Ok(());
        }
        self.together(step).map(|_| ())
    }

    fn lock_clause(&self) -> &'static str {
        match self.purpose {
            Use::Write => " FOR UPDATE",
            Use::Read => "",
        }
    }
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
