//! The database that a test's Console stands on, looked at and changed behind its back: SQLite in a file, or, where
//! `TELOVIX_TEST_DATABASE_URL` names a PostgreSQL server (as one who may make databases), a database of the test's own there.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use postgres::{Client, Config, NoTls};
use telovix_console_stub::db::Location;

/// The variable with the address of the server.
const SERVER: &str = "TELOVIX_TEST_DATABASE_URL";

/// One database, gone with its test.
pub(crate) enum Engine {
    Sqlite(PathBuf),
    Postgres { admin: String, url: String, name: String },
}

impl Engine {
    /// A new database; an embedded one would lie in this file.
    pub(crate) fn new(file: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "how a test is told of the server it may use")]
        let server = std::env::var(SERVER);
        let Ok(admin) = server else { return Self::Sqlite(file.to_owned()) };
        let name = format!("telovix_test_{}", uuid::Uuid::new_v4().simple());
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        ask(&admin, move |client| client.batch_execute(&sql)).unwrap();
        let (server, _) = admin.rsplit_once('/').expect("an address with a database");
        Self::Postgres { url: format!("{server}/{name}"), admin, name }
    }

    /// For the Console.
    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Sqlite(file) => Location::File(file.clone()),
            Self::Postgres { url, .. } => Location::Server(Box::new(url.parse().unwrap())),
        }
    }

    /// The number that a query finds.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(file) => {
                let db = rusqlite::Connection::open(file).unwrap();
                db.query_row(sql, (), |row| row.get(0)).unwrap()
            }
            Self::Postgres { url, .. } => {
                let sql = sql.to_owned();
                ask(url, move |client| client.query_one(&sql, &[])?.try_get(0)).unwrap()
            }
        }
    }

    /// The text that a query finds.
    pub(crate) fn text(&self, sql: &str) -> String {
        match self {
            Self::Sqlite(file) => {
                let db = rusqlite::Connection::open(file).unwrap();
                db.query_row(sql, (), |row| row.get(0)).unwrap()
            }
            Self::Postgres { url, .. } => {
                let sql = sql.to_owned();
                ask(url, move |client| client.query_one(&sql, &[])?.try_get(0)).unwrap()
            }
        }
    }

    /// Makes changes, all or none; gives what the engine says against them.
    pub(crate) fn change(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(file) => {
                let db = rusqlite::Connection::open(file).unwrap();
                db.execute_batch(&format!("BEGIN; {sql}; COMMIT")).map_err(|error| error.to_string())
            }
            Self::Postgres { url, .. } => {
                let sql = sql.to_owned();
                ask(url, move |client| client.batch_execute(&sql)).map_err(|error| {
                    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
                })
            }
        }
    }

    /// Takes the guards of the audit trail away, as whoever owns the database can.
    pub(crate) fn unguard_audit(&self) {
        let on = match self {
            Self::Sqlite(_) => "",
            Self::Postgres { .. } => " ON audit",
        };
        self.change(&format!("DROP TRIGGER audit_no_update{on}; DROP TRIGGER audit_no_delete{on}")).unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Self::Postgres { admin, name, .. } = self {
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let dropped = ask(admin, move |client| client.batch_execute(&sql));
            if let Err(error) = dropped {
                eprintln!("{name} is left behind: {error}");
            }
        }
    }
}

/// On a thread of its own, because the client has a runtime of its own.
fn ask<T: Send + 'static>(
    url: &str,
    question: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, postgres::Error> {
    let config = Config::from_str(url).unwrap();
    std::thread::spawn(move || question(&mut config.connect(NoTls)?)).join().expect("no panic")
}
