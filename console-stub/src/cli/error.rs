//! Why a command did not do what was asked.

use crate::app::AppError;
use crate::db::{DbError, InvalidUrl};
use crate::fault::InvalidFault;
use crate::fault::chaos::ChaosError;
use crate::files::FileError;
use crate::service::ServiceError;
use crate::service::restore::ExportError;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{}", service_message(.0))]
    Service(#[from] ServiceError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fault(#[from] InvalidFault),
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    #[error("there is no Console in {0}; run `setup --data-dir {0}` first")]
    NoConsole(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the audit trail is not as it was written: {0}")]
    AuditBroken(String),
    #[error("cannot apply the audit export {}: {cause}; nothing was changed", file.display())]
    AuditExport { file: std::path::PathBuf, cause: ExportError },
    #[error(transparent)]
    DatabaseUrl(#[from] InvalidUrl),
    #[error(
        "the database is PostgreSQL's, at {0}; copy it with its own tool: pg_dump --format=custom --file=FILE URL"
    )]
    UsePgDump(String),
    #[error(transparent)]
    Db(#[from] DbError),
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
