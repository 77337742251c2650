//! What handlers work with, and what they are told about a request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::request::Parts;
use rustls_pki_types::CertificateDer;
use telovix_contract::ErrorCode;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::guard::Guard;
use super::problem::Failure;
use crate::config::{DataDir, Limits};
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::service::Console;

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
pub(crate) struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Of the server that says so here.
    pub(crate) fn new(said: watch::Receiver<()>) -> Self {
        Self(said)
    }

    pub(crate) async fn wait(&mut self) {
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
pub(super) const SESSION_COOKIE: &str = "__Host-telovix_session";
/// Header with the session's CSRF token, on every call that changes something.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// The name at the end of a path, or before its last word. What cannot be read names nothing.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let none = |_| Refusal::new(ErrorCode::NotFound, "There is nothing of this name.");
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(none)?;
        Ok(Self(name))
    }
}

pub(super) fn origin(peer: &Peer, headers: &HeaderMap) -> Origin {
    let agent = headers.get(http::header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin {
        actor_email: None,
        api_key: None,
        client_ip: Some(peer.address.ip().to_canonical().to_string()),
        user_agent: agent.map(|agent| telovix_contract::clean(&agent, 256)),
    }
}
