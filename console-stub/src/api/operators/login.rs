//! Browser sessions: signing in and out, and who calls by cookie (CONTRACT.md section 5, v1).

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use telovix_contract::{ErrorCode, paths};
use zeroize::Zeroizing;

use super::authorize;
use crate::api::body::{Fields, read};
use crate::api::{Api, Failure, Peer, origin};
use crate::clock::timestamp;
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::domain::role::{Act, may};
use crate::domain::setting::Setting;
use crate::domain::user::{SESSION_LONGEST, csrf_holds, csrf_token, not_signed_in};
use crate::service::ServiceError;
use crate::service::settings::SettingView;

/// The cookie: the prefix makes browsers insist on `Secure` and on no other host or path.
const COOKIE: &str = "__Host-telovix_session";
/// Header with the session's CSRF token, on every call that changes something.
const CSRF_HEADER: &str = "x-csrf-token";

/// `/api/v1/session` and `/api/v1/settings`.
pub(in crate::api) fn routes() -> Router<Api> {
    Router::new()
        .route(paths::V1_SESSION, get(who).post(log_in).delete(log_out))
        .route(paths::V1_SETTINGS, get(list_settings).post(change_setting))
}

/// Who is signed in.
#[derive(Debug, Serialize)]
struct Who {
    email: String,
    role: &'static str,
    csrf_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// Only JSON is taken: a form of another site cannot send that without asking first.
async fn log_in(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (parts, body): (Parts, Body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let message = "Send the address and the password as application/json.";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message).into());
    }
    let body = Zeroizing::new(read(body, api.limits.body).await?.to_vec());
    let mut fields = Fields::parse(&body)?;
    let email = fields.required("email")?;
    let password = Zeroizing::new(fields.required("password")?);
    let login = api.console.log_in(email, password, source(&parts)).await?;
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age={SESSION_LONGEST}; HttpOnly; Secure; SameSite=Strict",
        *login.secret
    );
    let who = Who {
        csrf_token: csrf_token(&login.secret),
        expires_at: Some(timestamp(login.expires_at).to_string()),
        email: login.user.email,
        role: login.user.role,
    };
    let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::OK, headers, Json(who)).into_response())
}

async fn who(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let secret = cookie(request.headers()).ok_or_else(not_signed_in)?;
    let operator = api.console.operator(&secret).await?;
    let csrf_token = csrf_token(&secret);
    let who = Who { email: operator.email, role: operator.role.as_str(), csrf_token, expires_at: None };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(who)).into_response())
}

async fn log_out(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let (parts, _): (Parts, Body) = request.into_parts();
    let origin = signed_in(&api, &parts, Act::ReadSensors).await?;
    let secret = cookie(&parts.headers).ok_or_else(not_signed_in)?;
    api.console.log_out(&secret, origin).await?;
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn list_settings(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<super::Rows<SettingView>>, Failure> {
    authorize(&api, request, Act::Administer).await?;
    Ok(Json(super::Rows { data: api.console.list_settings().await? }))
}

async fn change_setting(State(api): State<Api>, request: Request) -> Result<Json<SettingView>, Failure> {
    let call = authorize(&api, request, Act::Administer).await?;
    let mut fields = Fields::parse(&call.body)?;
    let (name, value): (String, String) = (fields.required("name")?, fields.required("value")?);
    let setting =
        Setting::from_name(&name).ok_or_else(|| Refusal::field("name", "there is no such setting"))?;
    Ok(Json(api.console.change_setting(setting, value, call.origin).await?))
}

/// Checks that whoever calls is signed in, may do this, and, where it changes something, meant it.
pub(super) async fn signed_in(api: &Api, parts: &Parts, act: Act) -> Result<Origin, ServiceError> {
    let secret = cookie(&parts.headers).ok_or_else(not_signed_in)?;
    let operator = api.console.operator(&secret).await?;
    let safe = parts.method == Method::GET || parts.method == Method::HEAD;
    let given = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !safe && !csrf_holds(&secret, given) {
        let message = "The call needs the session's CSRF token in X-CSRF-Token; read it at /api/v1/session.";
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    if !may(operator.role, act) {
        let message =
            format!("The role {} does not reach that far; ask an administrator.", operator.role.as_str());
        return Err(Refusal::new(ErrorCode::Forbidden, message).into());
    }
    Ok(Origin { actor_email: Some(operator.email), ..source(parts) })
}

fn source(parts: &Parts) -> Origin {
    parts.extensions.get::<Peer>().map(|peer| origin(peer, &parts.headers)).unwrap_or_default()
}

fn cookie(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| Zeroizing::new(value.to_owned()))
}
