//! The database: what is stored, and how a change becomes durable.
//!
//! Two promises. A change handed to [`Database::write`] is answered only when it is on disk, and it shares its commit
//! with every other change that waits at that moment (`writer`). And no query knows which engine runs it: all go
//! through [`Tx`], in portable SQL, with [`Value`]s. Behind it stand two engines: `sqlite`, embedded, for one instance, and
//! `postgres`, for several on one database.
//!
//! One module per table holds its queries: [`settings`], [`authority`], [`tokens`], [`sensors`], [`fleet`], [`certificates`],
//! [`rules`], [`approvals`], [`licences`], [`api_keys`], [`users`], [`audit`].

pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod authority;
mod batch;
pub mod certificates;
pub mod fleet;
pub mod licences;
mod migrate;
mod pool;
mod postgres;
mod query;
pub mod rules;
pub mod sensors;
pub mod settings;
mod sqlite;
pub mod tokens;
pub mod users;
pub mod value;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
pub use postgres::{InvalidUrl, ServerUrl};
pub use value::{Row, Value};
pub use writer::WriteCounts;

/// What the database refused, or holds that it should not.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// The engine reported a failure.
    #[error("the database failed: {0}")]
    Engine(String),
    /// A row holds something else than the schema says.
    #[error("the database holds {found} where {wanted} belongs")]
    Corrupt {
        /// What the schema asks for.
        wanted: &'static str,
        /// What stands there.
        found: String,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database has schema version {found}, and this program knows versions up to {known}; use the newer program"
    )]
    Newer {
        /// Version in the database.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The server is away or cannot now; nothing is lost, and it is worth coming again.
    #[error("the database cannot be used at the moment: {0}")]
    Unavailable(String),
    /// The disk under the embedded database is full, read-only or broken. Nothing was changed; it is worth coming again
    /// when somebody has made room.
    #[error(
        "the disk of the database refuses: {0}; make room on it, mend it, or let this user write there, and all goes on by itself"
    )]
    Disk(String),
    /// The embedded database's file is none, or holds what no engine wrote.
    #[error(
        "the database is damaged: {0}; stop the Console, put a backup in its place, and run `audit verify`"
    )]
    Damaged(String),
    /// The change was not made: the writer could not start a transaction, or is gone because the program stops.
    #[error("the database did not take the change; the log says why")]
    Closed,
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, ReadOnly,
            SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(DiskFull | SystemIoFailure | ReadOnly | CannotOpen) => Self::Disk(error.to_string()),
            Some(DatabaseBusy | DatabaseLocked) => Self::Unavailable(error.to_string()),
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            Some(_) | None => Self::Engine(error.to_string()),
        }
    }
}

impl DbError {
    /// The same, and names the embedded database's file.
    fn of(self, file: &Path) -> Self {
        let file = file.display().to_string();
        let named = |why: String| if why.contains(&file) { why } else { format!("{file}: {why}") };
        match self {
            Self::Engine(why) => Self::Engine(named(why)),
            Self::Unavailable(why) => Self::Unavailable(named(why)),
            Self::Disk(why) => Self::Disk(named(why)),
            Self::Damaged(why) => Self::Damaged(named(why)),
            other @ (Self::Corrupt { .. } | Self::Newer { .. } | Self::Closed) => other,
        }
    }
}

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
    fn check(self, changed: u64) -> Result<(), DbError> {
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

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// In this SQLite file, which is made where there is none.
    File(PathBuf),
    /// At a PostgreSQL server.
    Server(Box<ServerUrl>),
}

/// Copies the database in an SQLite file, which may be in use, into an empty file; gives its schema version.
///
/// # Errors
/// [`DbError`] when it cannot be read, or the copy is not whole.
pub fn copy(from: &Path, to: &Path) -> Result<i64, DbError> {
    sqlite::copy(from, to).map_err(|error| error.of(from))
}

/// The open database. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Dropped in this order: the last connection to close folds the log into the file, and a reader cannot.
    readers: pool::Readers,
    writer: writer::Writer,
}

impl Database {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// [`DbError`] when it cannot be opened, or comes from a newer version.
    pub async fn open(at: Location, clock: Clock) -> Result<Self, DbError> {
        let opened = tokio::task::spawn_blocking(move || match at {
            Location::File(path) => {
                let reader = || Ok(Box::new(sqlite::Sqlite::open_reader(&path)?) as Box<dyn pool::Reader>);
                let opened = sqlite::Sqlite::open(&path).and_then(|engine| Self::on(engine, reader, &clock));
                opened.map_err(|error| error.of(&path))
            }
            Location::Server(server) => {
                let engine = postgres::Postgres::open(&server, &clock)?;
                let reader =
                    || Ok(Box::new(postgres::Postgres::reader(&server, &clock)) as Box<dyn pool::Reader>);
                Self::on(engine, reader, &clock)
            }
        });
        opened.await.map_err(|_| DbError::Closed)?
    }

    fn on(
        mut engine: impl writer::Engine + Send + 'static,
        reader: impl Fn() -> Result<Box<dyn pool::Reader>, DbError>,
        clock: &Clock,
    ) -> Result<Self, DbError> {
        migrate::run(&mut engine, clock.now())?;
        let readers: Result<Vec<_>, DbError> = (0..pool::READERS).map(|_| reader()).collect();
        let readers = pool::Readers::new(readers?);
        Ok(Self(Arc::new(Inner { writer: writer::Writer::start(engine)?, readers })))
    }

    /// Changes the database. The closure runs in a transaction that others share; what it did is undone when it gives an
    /// error, and durable when this returns `Ok`.
    ///
    /// # Errors
    /// The closure's, or the [`DbError`] that kept the change from becoming durable.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    {
        self.0.writer.submit(change).await
    }

    /// Reads the database, from a connection that cannot change it.
    pub async fn read<T, E, F>(&self, look: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    {
        self.0.readers.run(look).await
    }

    /// How many changes were made in how many commits since this was opened.
    pub fn write_counts(&self) -> WriteCounts {
        self.0.writer.counts()
    }
}
