//! The HTTP interface: the only place that knows paths, headers and bodies.
//!
//! Invariant: every answer that is not a success has a [`telovix_contract::Problem`] as its body, and nothing that a client sends comes
//! back in it unread. Handlers translate; [`crate::service`] does.

mod body;
mod doc;
mod enroll;
mod guard;
mod health;
mod install;
mod operators;
mod problem;
mod sensors;
pub(crate) mod session;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use rustls_pki_types::CertificateDer;
use telovix_contract::{ErrorCode, paths};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::config::{DataDir, Limits};
use crate::domain::Refusal;
use crate::domain::audit::{Origin, clean};
use crate::service::Console;
use doc::{Book, Op};

pub(crate) use body::read as read_body;
pub use guard::Guard;
pub(crate) use operators::export_audit;
pub(crate) use problem::told;
pub use problem::{Failure, problem_response};

/// Who is at the other end of the connection; the server puts it into every request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The client certificate that the TLS handshake verified, if one was shown.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
}

/// Tells an answer that has no end of its own that the server stops; in every request's extensions too.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Of the server that says so here.
    pub fn new(said: watch::Receiver<()>) -> Self {
        Self(said)
    }

    /// Waits until the server stops.
    pub async fn wait(&mut self) {
        // The sender gone is the end as well.
        let _ = self.0.changed().await;
    }
}

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The Console.
    pub console: Console,
    /// Where staged binaries lie.
    pub data: DataDir,
    /// Longest request body, and other limits.
    pub limits: Arc<Limits>,
    /// How often a source may try.
    pub guard: Arc<Guard>,
    /// What whoever sets the Console up by the page has to know; none once it is set up.
    pub setup_code: Option<Arc<Zeroizing<String>>>,
}

/// The cookie: the prefix makes browsers insist on `Secure` and on no other host or path.
const SESSION_COOKIE: &str = "__Host-telovix_session";
/// Header with the session's CSRF token, on every call that changes something.
const CSRF_HEADER: &str = "x-csrf-token";

/// The OpenAPI 3.1 document of all paths, as it is committed and served.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&book().document());
    text.expect("a document of texts is JSON") + "\n"
});

/// All paths.
pub fn router(api: Api) -> Router {
    served(book(), api)
}

/// The sensors' paths alone, for a listener of their own.
pub fn sensors_router(api: Api) -> Router {
    served(sensors_book(), api)
}

fn served(book: Book, api: Api) -> Router {
    let router = book.into_router().fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    router.with_state(api)
}

fn book() -> Book {
    let says = Op::get("getDocument", "This document.").gives_raw(200, "application/json", "OpenAPI 3.1.");
    sensors_book()
        .add(paths::OPENAPI, says, document)
        .merge(operators::login::routes())
        .merge(operators::console::routes())
        .merge(operators::routes(paths::V1_ENROLLMENT, paths::V1_SENSORS, paths::V1_AUDIT))
        .merge(operators::routes(paths::V2_ENROLLMENT, paths::V2_SENSORS, paths::V2_AUDIT))
}

fn sensors_book() -> Book {
    health::routes().merge(enroll::routes()).merge(sensors::routes()).merge(install::routes())
}

async fn document() -> impl axum::response::IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// The name at the end of a path, or before its last word. What cannot be read names nothing.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let none = |_| Refusal::new(ErrorCode::NotFound, "There is nothing of this name.");
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(none)?;
        Ok(Self(name))
    }
}

async fn not_found() -> Failure {
    Refusal::new(ErrorCode::NotFound, "There is nothing at this path; check the address.").into()
}

async fn method_not_allowed(request: Request) -> Failure {
    let message = format!("The path does not take {}; check the call.", clean(request.method().as_str(), 16));
    Refusal::new(ErrorCode::MethodNotAllowed, message).into()
}

/// Where a request came from, for the audit trail.
fn origin(peer: &Peer, headers: &HeaderMap) -> Origin {
    let agent = headers.get(http::header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin {
        actor_email: None,
        api_key: None,
        client_ip: Some(peer.address.ip().to_canonical().to_string()),
        user_agent: agent.map(|agent| clean(&agent, 256)),
    }
}
