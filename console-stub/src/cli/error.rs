//! Why a command did not do what was asked.

use crate::app::AppError;
use crate::db::{DbError, InvalidUrl};
use crate::fault::InvalidFault;
use crate::fault::chaos::ChaosError;
use crate::files::FileError;
use crate::service::ServiceError;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The application did not open or run.
    #[error(transparent)]
    App(#[from] AppError),
    /// The Console refused.
    #[error("{}", service_message(.0))]
    Service(#[from] ServiceError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The fault under test.
    #[error(transparent)]
    Fault(#[from] InvalidFault),
    /// The rules of what is to go wrong.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// The command before `setup`.
    #[error("there is no Console in {0}; run `setup --data-dir {0}` first")]
    NoConsole(String),
    /// The listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Standard output, or the runtime.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The audit trail is not as it was written.
    #[error("the audit trail is not as it was written: {0}")]
    AuditBroken(String),
    /// The address of the database.
    #[error(transparent)]
    DatabaseUrl(#[from] InvalidUrl),
    /// A backup by a program that is not ours.
    #[error(
        "the database is PostgreSQL's, at {0}; copy it with its own tool: pg_dump --format=custom --file=FILE URL"
    )]
    UsePgDump(String),
    /// The copy of the database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Something given on the command line is not what it should be.
    #[error("{0}")]
    Usage(String),
}

/// The sentence alone; the code is for programs.
fn service_message(error: &ServiceError) -> String {
    match error {
        ServiceError::Refused(refusal) => refusal.message.clone(),
        ServiceError::Db(_) | ServiceError::Ca(_) | ServiceError::Hashing | ServiceError::Cut(_) => {
            error.to_string()
        }
    }
}
