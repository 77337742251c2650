//! What every page has: its frame, its headers, and how an error looks.

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use telovix_contract::ErrorCode;

use super::visitor::Visitor;
use crate::api::{Api, told};
use crate::domain::Refusal;
use crate::domain::role::Act;
use crate::service::ServiceError;

/// Nothing but our own style and script runs, nobody frames a page, and forms go nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every answer below `/ui`. A page holds what not everybody may see, so none is kept.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the headers of every page, and shows a refusal in the frame of whoever asked.
pub(super) async fn guarded(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = next.run(Request::from_parts(parts.clone(), body)).await;
    if let Some(Refused(refusal)) = response.extensions_mut().remove::<Refused>() {
        let visitor = Visitor::of(&api, &parts, Act::ReadSensors).await.ok();
        response = error_page(refusal, visitor.as_ref());
    }
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) href: &'static str,
    /// Why the role may not go there.
    pub(super) barred: Option<String>,
    pub(super) here: bool,
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    /// Address and role of who looks; nobody on the sign-in page.
    pub(super) who: Option<(String, &'static str)>,
    pub(super) csrf: String,
    /// What the page shows is as new as this.
    pub(super) stamp: String,
    pub(super) entries: Vec<Entry>,
    /// What was just done.
    pub(super) notice: Option<&'static str>,
    /// What to know about it.
    pub(super) warnings: Vec<String>,
    /// What was not.
    pub(super) problem: Option<String>,
}

const PLACES: [(&str, &str, Act); 7] = [
    ("Sensors", "/ui/sensors", Act::ReadSensors),
    ("Deploy sensor", "/ui/deploy", Act::ManageTokens),
    ("Tokens", "/ui/tokens", Act::ReadTokens),
    ("Rules", "/ui/rules", Act::ReadTokens),
    ("Approvals", "/ui/approvals", Act::ReadTokens),
    ("Audit log", "/ui/audit", Act::ReadAudit),
    ("Settings", "/ui/settings", Act::Administer),
];

impl Frame {
    /// The frame for somebody who is signed in; `place` is the address of the page's entry.
    pub(super) fn new(title: impl Into<String>, place: &str, visitor: &Visitor) -> Self {
        let entry = |(name, href, act)| {
            let barred = visitor.barred(act);
            Entry { name, href, barred, here: href == place }
        };
        Self {
            title: title.into(),
            who: Some((visitor.email.clone(), visitor.role.as_str())),
            csrf: visitor.csrf.clone(),
            stamp: visitor.stamp.clone(),
            entries: PLACES.into_iter().map(entry).collect(),
            notice: None,
            warnings: Vec::new(),
            problem: None,
        }
    }

    /// The frame for nobody known.
    pub(super) fn bare(title: &str, csrf: String) -> Self {
        let (title, entries, stamp) = (title.to_owned(), Vec::new(), String::new());
        Self { title, who: None, csrf, stamp, entries, notice: None, warnings: Vec::new(), problem: None }
    }

    /// The same, saying what was done.
    pub(super) fn noting(self, notice: Option<&'static str>) -> Self {
        Self { notice, ..self }
    }

    /// The same, saying what to know.
    pub(super) fn warning(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// The same, saying what was not done, and why.
    pub(super) fn refusing(self, problem: Option<String>) -> Self {
        Self { problem, ..self }
    }
}

pub(super) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) fn ok(page: &impl Template) -> Response {
    show(StatusCode::OK, page)
}

pub(super) fn status_of(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Debug)]
pub(super) struct Oops(ServiceError);

impl<E: Into<ServiceError>> From<E> for Oops {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Oops {
    /// What is wrong with what was asked, to be said on the page that asked it.
    /// Errors: itself when it is none of the asker's business, or a matter of who asks.
    pub(super) fn correctable(self) -> Result<Refusal, Self> {
        match self.0 {
            ServiceError::Refused(refusal)
                if refusal.code == ErrorCode::InvalidRequest || refusal.code == ErrorCode::Conflict =>
            {
                Ok(refusal)
            }
            error @ (ServiceError::Refused(_)
            | ServiceError::Db(_)
            | ServiceError::Ca(_)
            | ServiceError::Hashing
            | ServiceError::Cut(_)) => Err(Self(error)),
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    message: String,
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        let refusal = match told(self.0) {
            Ok(refusal) => refusal,
            Err(cut) => {
                let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
                response.extensions_mut().insert(cut);
                return response;
            }
        };
        if refusal.code == ErrorCode::Unauthorized {
            return Redirect::to("/ui/login").into_response();
        }
        let mut response = status_of(&refusal).into_response();
        response.extensions_mut().insert(Refused(refusal));
        response
    }
}

/// A refusal that [`guarded`] has to show.
#[derive(Debug, Clone)]
struct Refused(Refusal);

fn error_page(refusal: Refusal, visitor: Option<&Visitor>) -> Response {
    let status = status_of(&refusal);
    let title = match status {
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    let frame = match visitor {
        Some(visitor) => Frame::new(title, "", visitor),
        None => Frame::bare(title, String::new()),
    };
    show(status, &ErrorPage { frame, message: refusal.message })
}
