//! The HTTP interface: the only place that knows paths, headers and bodies.
//!
//! Invariant: every answer that is not a success has a [`telovix_contract::Problem`] as its body, and nothing that a client sends comes
//! back in it unread. Handlers translate; [`crate::service`] does.

mod body;
mod enroll;
mod health;
mod install;
mod operators;
mod problem;
mod sensors;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use telovix_contract::{ErrorCode, paths};

use crate::config::{DataDir, Limits};
use crate::domain::Refusal;
use crate::domain::audit::{Origin, clean};
use crate::service::Console;

pub use problem::{Failure, problem_response};

/// Who is at the other end of the connection; the server puts it into every request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The client certificate that the TLS handshake verified, if one was shown.
    pub certificate: Option<Arc<CertificateDer<'static>>>,
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
}

/// All paths.
pub fn router(api: Api) -> Router {
    let binary = format!("{}/{{architecture}}", paths::BINARY);
    Router::new()
        .route(paths::HEALTHZ, get(health::alive))
        .route(paths::READYZ, get(health::ready))
        .route(paths::TRUST_BOOTSTRAP, get(sensors::trust_bootstrap))
        .route(paths::ENROLL, post(enroll::enroll))
        .route(paths::HEARTBEAT, post(sensors::heartbeat))
        .route(paths::RENEW, post(sensors::renew))
        .route(paths::DECOMMISSION, post(sensors::decommission))
        .route(paths::INSTALL_SH, get(install::script))
        .route(&binary, get(install::binary))
        .merge(operators::login::routes())
        .merge(operators::routes(paths::V1_ENROLLMENT, paths::V1_SENSORS, paths::V1_AUDIT))
        .merge(operators::routes(paths::V2_ENROLLMENT, paths::V2_SENSORS, paths::V2_AUDIT))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(api)
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
        client_ip: Some(peer.address.ip().to_canonical().to_string()),
        user_agent: agent.map(|agent| clean(&agent, 256)),
    }
}
