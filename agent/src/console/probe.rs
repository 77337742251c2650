//! The way to the Console, one step at a time, for a diagnosis. Carries no secret and changes nothing.

use std::net::SocketAddr;

use ::http::Method;
use telovix_contract::paths;

use super::http::Request;
use super::{Console, ConsoleError, Phase};
use crate::tls::{ClientIdentity, ServerTrust};

impl Console {
    /// The proxy that calls go through, without its user and password.
    pub fn proxy(&self) -> Option<String> {
        self.transport.proxy_shown()
    }

    /// What the call under way is at.
    pub fn phase(&self) -> Phase {
        self.transport.phase()
    }

    /// Addresses of the host that a connection is made to: the proxy, or the Console itself. At least one.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, ConsoleError> {
        self.transport.resolve().await
    }

    /// Connects, by the proxy's tunnel where there is one, and hangs up.
    ///
    /// # Errors
    /// [`ConsoleError::Unreachable`], [`ConsoleError::Proxy`], [`ConsoleError::Deadline`].
    pub async fn dial(&self) -> Result<(), ConsoleError> {
        self.transport.dial().await
    }

    /// Asks whether the Console is set up and works.
    ///
    /// # Errors
    /// Anything that a call can meet; a Console that is not ready answers 503.
    pub async fn readiness(
        &self,
        trust: &ServerTrust,
        identity: Option<ClientIdentity>,
    ) -> Result<(), ConsoleError> {
        let call = Request { method: Method::GET, path: paths::READYZ, body: None };
        self.send(trust, identity, call).await.map(drop)
    }
}
