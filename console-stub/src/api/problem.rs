//! Errors on their way out: what the caller reads, and what the operator reads in the log.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use telovix_contract::ErrorCode;

use crate::db::DbError;
use crate::domain::Refusal;
use crate::fault::Cut;
use crate::service::ServiceError;

/// Seconds to wait where nobody knows better.
const SOON: i64 = 5;

/// A handler's error.
#[derive(Debug)]
pub struct Failure(ServiceError);

impl<E: Into<ServiceError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match told(self.0) {
            Ok(refusal) => problem_response(&refusal),
            // The server sees the mark and closes the connection without a word.
            Err(cut) => {
                let mut response = problem_response(&internal());
                response.extensions_mut().insert::<Cut>(cut);
                response
            }
        }
    }
}

/// What the caller is told; what only the operator may read goes to the log.
/// Errors: [`Cut`] when the connection is to be closed without an answer.
pub(crate) fn told(error: ServiceError) -> Result<Refusal, Cut> {
    match error {
        ServiceError::Refused(refusal) => Ok(refusal),
        ServiceError::Db(DbError::Unavailable(why)) => {
            tracing::warn!(%why, "a request came while the database was away");
            Ok(away())
        }
        ServiceError::Db(error @ DbError::Disk(_)) => {
            tracing::error!(%error, "a request came that the disk had no room for");
            Ok(away())
        }
        ServiceError::Db(error) => {
            tracing::error!(%error, "the database failed a request");
            Ok(internal())
        }
        ServiceError::Ca(error) => {
            tracing::error!(%error, "the CA failed a request");
            Ok(internal())
        }
        error @ ServiceError::Hashing => {
            tracing::error!(%error, "a request failed");
            Ok(internal())
        }
        ServiceError::Cut(cut) => Err(cut),
    }
}

/// The answer to a refusal.
pub fn problem_response(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(refusal.problem())).into_response();
    let waits = refusal.code == ErrorCode::NotReady || refusal.code == ErrorCode::RateLimited;
    if let Some(seconds) = refusal.retry_after.or(waits.then_some(SOON)) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Nothing was done, and the same request again is right: 503 with `Retry-After`.
fn away() -> Refusal {
    Refusal::new(
        ErrorCode::NotReady,
        "The Console cannot use its database at the moment; ask again in some seconds.",
    )
}

fn internal() -> Refusal {
    Refusal::new(
        ErrorCode::InternalError,
        "The Console failed; try again, and look into its log if it stays.",
    )
}
