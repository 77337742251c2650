//! Browser sessions: signing in and out, and who calls by cookie (docs/contract.md section 5, v1).

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{Method, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::{ErrorCode, paths};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::api::body::{parse, read};
use crate::api::doc::{Book, Op};
use crate::api::request::CSRF_HEADER;
use crate::api::session::{self, source};
use crate::api::{Api, Failure};
use crate::clock::timestamp;
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::domain::role::Act;
use crate::domain::user::{csrf_holds, csrf_token};
use crate::service::ServiceError;

pub(in crate::api) fn routes() -> Book {
    let who = Op::get("whoAmI", "Who is signed in.").signed_in().gives::<Who>(200, "The session.");
    let log_in =
        Op::post("logIn", "Signs an operator in. Five failures lock an address for a quarter of an hour.")
            .takes::<Credentials>()
            .gives::<Who>(200, "The session; its secret is in the cookie.")
            .refuses(&[ErrorCode::Unauthorized, ErrorCode::RateLimited]);
    let log_out = Op::delete("logOut", "Ends the session.")
        .signed_in()
        .gives_nothing(204, "It has ended.")
        .refuses(&[ErrorCode::Forbidden]);
    Book::default().add(paths::V1_SESSION, who, self::who).add(paths::V1_SESSION, log_in, self::log_in).add(
        paths::V1_SESSION,
        log_out,
        self::log_out,
    )
}

/// What an operator signs in with.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    /// The address.
    email: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
struct Who {
    /// The address.
    email: String,
    /// What the operator may do.
    role: &'static str,
    /// To be sent in X-CSRF-Token with every call that changes something.
    csrf_token: String,
    /// RFC 3339, when it ends at the latest; in the answer to signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

/// Only JSON is taken: a form of another site cannot send that without asking first.
async fn log_in(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (parts, body): (Parts, Body) = request.into_parts();
    session::admit(&api, &parts)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let message = "Send the address and the password as application/json.";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message).into());
    }
    let body = Zeroizing::new(read(body, api.limits.body).await?.to_vec());
    let Credentials { email, password } = parse(&body)?;
    let login = api.console.log_in(email, password, source(&parts)).await?;
    let cookie = session::begin(&login);
    let who = Who {
        csrf_token: csrf_token(&login.secret),
        expires_at: Some(timestamp(login.expires_at)),
        email: login.user.email,
        role: login.user.role,
    };
    let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::OK, headers, Json(who)).into_response())
}

async fn who(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (operator, secret) = session::whose(&api, request.headers()).await?;
    let csrf_token = csrf_token(&secret);
    let who = Who { email: operator.email, role: operator.role.as_str(), csrf_token, expires_at: None };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(who)).into_response())
}

async fn log_out(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (parts, _): (Parts, Body) = request.into_parts();
    let origin = signed_in(&api, &parts, Act::ReadSensors).await?;
    let (_, secret) = session::whose(&api, &parts.headers).await?;
    api.console.log_out(&secret, origin).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, session::end())]).into_response())
}

/// Checks that whoever calls is signed in, may do this, and, where it changes something, meant it.
pub(super) async fn signed_in(api: &Api, parts: &Parts, act: Act) -> Result<Origin, ServiceError> {
    let (operator, secret) = session::whose(api, &parts.headers).await?;
    let safe = parts.method == Method::GET || parts.method == Method::HEAD;
    let given = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !safe && !csrf_holds(&secret, given) {
        let message = "The call needs the session's CSRF token in X-CSRF-Token; read it at /api/v1/session.";
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    session::permit(operator.role, act)?;
    Ok(Origin { actor_email: Some(operator.email), ..source(parts) })
}
