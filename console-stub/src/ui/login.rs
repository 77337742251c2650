//! Signing in and out.
//!
//! The sign-in form has a CSRF token too, of a random cookie that the page sets: otherwise another site could sign a
//! browser in as somebody else. A session's secret is always made here; one that a browser brings along ends.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use telovix_contract::ErrorCode;
use zeroize::Zeroizing;

use super::page::{Frame, Oops, show, status_of};
use super::visitor::{Form, Visitor, posted, require_token};
use crate::api::{Api, read_body, session};
use crate::ca;
use crate::domain::Refusal;
use crate::domain::role::Act;
use crate::domain::user::csrf_token;
use crate::service::ServiceError;

/// The cookie of a browser that is about to sign in.
const VISIT: &str = "__Host-telovix_visit";

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    frame: Frame,
    email: String,
}

/// The form; whoever is signed in goes on.
pub(super) async fn form(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (parts, _) = request.into_parts();
    if Visitor::of(&api, &parts, Act::ReadSensors).await.is_ok() {
        return Ok(Redirect::to("/ui/sensors").into_response());
    }
    if api.console.authority().is_err() {
        return Ok(Redirect::to("/ui/setup").into_response());
    }
    Ok(page(&parts.headers, StatusCode::OK, String::new(), None)?)
}

fn page(
    headers: &HeaderMap,
    status: StatusCode,
    email: String,
    problem: Option<String>,
) -> Result<Response, ServiceError> {
    visited(headers, |csrf| {
        show(status, &Page { frame: Frame::bare("Sign in", csrf).refusing(problem), email })
    })
}

/// A page for somebody who has no session, made with the visit's token; sets the visit's cookie where there is none.
pub(super) fn visited(
    headers: &HeaderMap,
    page: impl FnOnce(String) -> Response,
) -> Result<Response, ServiceError> {
    let known = session::cookie(headers, VISIT).filter(|visit| !visit.is_empty());
    let visit = match &known {
        Some(visit) => visit.clone(),
        None => Zeroizing::new(URL_SAFE_NO_PAD.encode(ca::random::<16>()?)),
    };
    let page = page(csrf_token(&visit));
    if known.is_some() {
        return Ok(page);
    }
    let cookie = format!("{VISIT}={}; Path=/; HttpOnly; Secure; SameSite=Strict", *visit);
    Ok(([(header::SET_COOKIE, cookie)], page).into_response())
}

/// Checks that a form came from a page that [`visited`] made for this browser.
pub(super) fn require_visit(headers: &HeaderMap, form: &Form) -> Result<(), Refusal> {
    require_token(&session::cookie(headers, VISIT).unwrap_or_default(), form)
}

pub(super) async fn sign_in(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (parts, body) = request.into_parts();
    session::admit(&api, &parts)?;
    let form = Form::read(&read_body(body, api.limits.body).await?);
    require_visit(&parts.headers, &form)?;
    let email = form.text("email").unwrap_or_default().to_owned();
    let password = Zeroizing::new(form.raw("password").unwrap_or_default().to_owned());
    let login = match api.console.log_in(email.clone(), password, session::source(&parts)).await {
        Ok(login) => login,
        Err(ServiceError::Refused(refusal))
            if refusal.code == ErrorCode::Unauthorized || refusal.code == ErrorCode::RateLimited =>
        {
            return Ok(page(&parts.headers, status_of(&refusal), email, Some(refusal.message))?);
        }
        Err(error) => return Err(error.into()),
    };
    if let Ok(before) = Visitor::of(&api, &parts, Act::ReadSensors).await {
        api.console.log_out(&before.secret, before.origin).await?;
    }
    let visit = format!("{VISIT}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict");
    let cookies = [(header::SET_COOKIE, session::begin(&login)), (header::SET_COOKIE, visit)];
    Ok((AppendHeaders(cookies), Redirect::to("/ui/sensors")).into_response())
}

pub(super) async fn sign_out(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, _) = posted(&api, request, Act::ReadSensors).await?;
    api.console.log_out(&visitor.secret, visitor.origin).await?;
    Ok(([(header::SET_COOKIE, session::end())], Redirect::to("/ui/login")).into_response())
}
