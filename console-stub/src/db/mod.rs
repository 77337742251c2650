//! The database: what is stored, and how a change becomes durable.
//!
//! Two promises. A change handed to [`Database::write`] is answered only when it is on disk, and it shares its commit
//! with every other change that waits at that moment (`writer`). And no query knows which engine runs it: all go
//! through [`Tx`], in portable SQL, with [`Value`]s. Behind it stand two engines: `sqlite`, embedded, for one instance, and
//! `postgres`, for several on one database.
//!
//! One module per table holds its queries: [`settings`], `authority`, `tokens`, `sensors`, `fleet`, `certificates`,
//! `rules`, `approvals`, `licences`, `api_keys`, `users`, [`audit`].

pub(crate) mod api_keys;
pub(crate) mod approvals;
pub mod audit;
pub(crate) mod authority;
mod batch;
pub(crate) mod certificates;
mod engine;
mod error;
pub(crate) mod fleet;
pub(crate) mod licences;
mod migrate;
mod pool;
mod postgres;
mod query;
pub(crate) mod rules;
pub(crate) mod sensors;
pub mod settings;
mod sqlite;
pub(crate) mod tokens;
pub(crate) mod users;
mod value;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
pub use engine::{Rows, Tx};
pub use error::DbError;
pub use postgres::{InvalidUrl, ServerUrl};
pub use value::{Row, Value};
pub use writer::WriteCounts;

/// Where a database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// In this SQLite file, which is made where there is none.
    File(PathBuf),
    /// At a PostgreSQL server.
    Server(Box<ServerUrl>),
}

/// Copies the database in an SQLite file, which may be in use, into an empty file; gives its schema version.
/// Errors: [`DbError`] when it cannot be read, or the copy is not whole.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<i64, DbError> {
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
    /// Errors: [`DbError`] when it cannot be opened, or comes from a newer version.
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
        opened.await.map_err(|_| DbError::Panicked)?
    }

    fn on(
        mut engine: impl engine::Engine + Send + 'static,
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
    /// Errors: the closure's, or the [`DbError`] that kept the change from becoming durable.
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
