//! What can go wrong with a database, on any engine.

use std::path::Path;

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
    /// A row that must be there, because others name it or it was read in the same transaction, is not.
    #[error("the database holds no {0}")]
    Missing(&'static str),
    /// The database is closed, because the program stops. The change was not made.
    #[error("the database is closed: the program stops")]
    Closed,
    /// A call panicked, or one before it that held the connection. The change was not made.
    #[error("a call to the database panicked; the log says why")]
    Panicked,
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
    pub(super) fn of(self, file: &Path) -> Self {
        let file = file.display().to_string();
        let named = |why: String| if why.contains(&file) { why } else { format!("{file}: {why}") };
        match self {
            Self::Engine(why) => Self::Engine(named(why)),
            Self::Unavailable(why) => Self::Unavailable(named(why)),
            Self::Disk(why) => Self::Disk(named(why)),
            Self::Damaged(why) => Self::Damaged(named(why)),
            other @ (Self::Corrupt { .. }
            | Self::Newer { .. }
            | Self::Missing(_)
            | Self::Closed
            | Self::Panicked) => other,
        }
    }
}
