//! `POST enroll`.

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};
use telovix_contract::enroll::{EnrollRequest, Enrolled, EnrollmentWaiting};
use telovix_contract::token::TOKEN_BYTES;
use telovix_contract::{EnrollmentToken, ErrorCode, TokenHash, paths};
use zeroize::Zeroizing;

use super::body::{Fields, read};
use super::doc::{Book, Op};
use super::guard::Source;
use super::request::origin;
use super::{Api, Failure, Peer};
use crate::domain::Refusal;
use crate::fault::ENROLL_BEFORE_ANSWER;
use crate::service::ServiceError;
use crate::service::enroll::EnrollAnswer;

pub(super) fn routes() -> Book {
    let op = Op::post("enroll", "An identity for a host, paid for with a token.")
        .takes::<EnrollRequest>()
        .gives::<Enrolled>(
            201,
            "The identity. The same token with the same key gets the same one for 24 hours.",
        )
        .gives::<EnrollmentWaiting>(202, "An operator has to approve first; repeat the identical request.")
        .refuses(&[
            ErrorCode::InvalidCsr,
            ErrorCode::InvalidEnrollmentToken,
            ErrorCode::EnrollmentTokenExpired,
            ErrorCode::EnrollmentTokenRevoked,
            ErrorCode::EnrollmentTokenUsed,
            ErrorCode::ClusterMismatch,
            ErrorCode::SensorBindingMismatch,
            ErrorCode::MaxNodesExceeded,
            ErrorCode::NodeNameInUse,
            ErrorCode::EnrollmentDenied,
            ErrorCode::NodeLimitExceeded,
            ErrorCode::SensorRevoked,
            ErrorCode::SensorDisabled,
            ErrorCode::RateLimited,
            ErrorCode::NotReady,
        ]);
    Book::default().add(paths::ENROLL, op, self::enroll)
}

async fn enroll(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let origin = origin(&peer, &headers);
    let source = Source::of(peer.address.ip());
    let admitted = match api.guard.attempt(source) {
        Ok(()) => admit(&api, source, body).await?,
        Err(refusal) => Err(refusal),
    };
    let (token_hash, request) = match admitted {
        Ok(read) => read,
        Err(refusal) if refusal.code == ErrorCode::RateLimited && !api.guard.is_noted(source) => {
            return Err(refusal.into());
        }
        Err(refusal) => return Err(api.console.refuse_enrollment(refusal, None, origin).await.into()),
    };
    let shown = peer.certificate.as_deref().map(AsRef::as_ref);
    let answer = api.console.enroll(token_hash, request, shown, origin).await?;
    api.console.faults().pass(ENROLL_BEFORE_ANSWER)?;
    Ok(match answer {
        EnrollAnswer::Enrolled(enrolled) => (StatusCode::CREATED, Json(enrolled)).into_response(),
        EnrollAnswer::Waiting(waiting) => (StatusCode::ACCEPTED, Json(waiting)).into_response(),
    })
}

/// Reads the body, and counts the attempt against its source where its token is not good for one.
async fn admit(
    api: &Api,
    source: Source,
    body: Body,
) -> Result<Result<(TokenHash, EnrollRequest), Refusal>, ServiceError> {
    let (hash, request) = match application(body, api.limits.body).await {
        Ok(read) => read,
        Err(refusal) => return Ok(Err(api.guard.unreadable(source).err().unwrap_or(refusal))),
    };
    let status = api.console.token_status(hash).await?;
    Ok(api.guard.token(source, &hash, status).map(|()| (hash, request)))
}

/// Reads the body. The token is taken out first, as any text: a malformed one is looked up by its own hash, which no
/// token has, and is refused exactly as an unknown one.
async fn application(body: Body, longest: usize) -> Result<(TokenHash, EnrollRequest), Refusal> {
    let body = read(body, longest).await?;
    let mut fields = Fields::parse(&body)?;
    let text: Option<String> = fields.optional("enrollment_token").map_err(|_| token_missing())?;
    let text = Zeroizing::new(text.ok_or_else(token_missing)?);
    let (token_hash, enrollment_token) = match text.parse::<EnrollmentToken>() {
        Ok(token) => (token.hash(), token),
        Err(_) => {
            let hash = TokenHash::from_bytes(Sha256::digest(text.as_bytes()).into());
            (hash, EnrollmentToken::from_bytes(&[0; TOKEN_BYTES]))
        }
    };
    let request = EnrollRequest {
        enrollment_token,
        csr_pem: fields.required("csr_pem")?,
        node_name: fields.required("node_name")?,
        declared_role: fields.optional("declared_role")?.unwrap_or_default(),
        cluster_name: fields.optional("cluster_name")?,
        install_id: fields.optional("install_id")?,
        tags: fields.advisory("tags").unwrap_or_default(),
        flavor: fields.advisory("flavor").unwrap_or_default(),
        sensor_version: fields.advisory("sensor_version").unwrap_or_default(),
        sensor_id: fields.optional("sensor_id")?,
        new_sensor: fields.optional("new_sensor")?,
        host: fields.advisory("host").unwrap_or_default(),
    };
    Ok((token_hash, request))
}

/// Says nothing of what stood there: it may have been a token in the wrong shape.
fn token_missing() -> Refusal {
    Refusal::field("enrollment_token", "it has to be a text, the token")
}
