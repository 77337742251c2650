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
        match self.0 {
            ServiceError::Refused(refusal) => problem_response(&refusal),
            ServiceError::Db(DbError::Unavailable(why)) => {
                tracing::warn!(%why, "a request came while the database was away");
                problem_response(&away())
            }
            ServiceError::Db(error) => {
                tracing::error!(%error, "the database failed a request");
                problem_response(&internal())
            }
            ServiceError::Ca(error) => {
                tracing::error!(%error, "the CA failed a request");
                problem_response(&internal())
            }
            // The server sees the mark and closes the connection without a word.
            ServiceError::Cut(cut) => {
                let mut response = problem_response(&internal());
                response.extensions_mut().insert::<Cut>(cut);
                response
            }
        }
    }
}

/// The answer to a refusal.
#[must_use]
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
