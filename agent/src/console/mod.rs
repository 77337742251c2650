//! The calls to the Console. What comes back is a reply, not a truth: [`crate::verify`] looks at it next.
//!
//! Invariant: a token goes only over a connection whose server was verified against a [`ServerTrust`] that the caller
//! had to state (docs/contract.md section 2). Only [`Console::trust_pin`] calls an unverified server, and carries nothing.

pub mod answer;
mod dial;
pub mod error;
pub mod http;
mod observe;
mod probe;
mod reason;
mod resolve;
mod sending;
mod server_cert;
mod tls;

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::Method;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, RenewRequest};
use telovix_contract::{CaFingerprint, paths};
use zeroize::Zeroizing;

use self::answer::date_of;
pub use self::answer::{EnrollReply, Issued, LONGEST_RETRY_AFTER};
pub use self::error::{ConsoleError, Phase};
use self::http::{Deadlines, RawAnswer, Request, Transport};
pub use self::observe::CallObserver;
pub use self::tls::client_config;
use crate::clock::{Clock, Sighting};
use crate::config::{ConsoleUrl, ProxySettings};
use crate::tls::{ClientIdentity, ServerTrust};

/// One Console, as this host reaches it.
pub struct Console {
    transport: Transport,
    clock: Clock,
    /// The Console's time in its latest answer, and ours at that moment.
    seen: Mutex<Option<Sighting>>,
    observer: Option<Arc<dyn CallObserver>>,
}

impl Console {
    /// For this address, through the proxies of the environment, by this clock.
    pub fn new(url: ConsoleUrl, proxy: &ProxySettings, clock: Clock) -> Self {
        Self::with_deadlines(url, proxy, clock, Deadlines::default())
    }

    /// The same with other deadlines.
    pub fn with_deadlines(
        url: ConsoleUrl,
        proxy: &ProxySettings,
        clock: Clock,
        deadlines: Deadlines,
    ) -> Self {
        let transport = Transport::new(url, proxy, deadlines);
        Self { transport, clock, seen: Mutex::new(None), observer: None }
    }

    /// The same, with somebody who hears of every call.
    pub fn observed_by(self, observer: Arc<dyn CallObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The Console's clock beside ours, as its latest answer showed it. Where that answer came from a server that was
    /// not verified, it is a hint and no more.
    pub fn sighting(&self) -> Option<Sighting> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for once: what a later call does not see again is what it did not bring.
    pub fn take_sighting(&self) -> Option<Sighting> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks the Console for its time, over a connection that carries no secret and whose server is not verified: a
    /// host whose clock is wrong cannot verify anybody.
    pub async fn ask_time(&self) -> Result<Option<Sighting>, ConsoleError> {
        self.ask_time_of(&ServerTrust::DangerAnyServer).await
    }

    /// The same of a server that this trust verifies. Whatever it answers, a refusal too, tells the time; nothing does
    /// where no answer has had a date yet.
    pub async fn ask_time_of(&self, trust: &ServerTrust) -> Result<Option<Sighting>, ConsoleError> {
        let call = Request { method: Method::GET, path: paths::HEALTHZ, body: None };
        match self.send(trust, None, call).await {
            Ok(_)
            | Err(
                ConsoleError::Refused { .. }
                | ConsoleError::NotAConsole { .. }
                | ConsoleError::Redirect { .. },
            ) => Ok(self.sighting()),
            Err(error) => Err(error),
        }
    }

    /// Fetches the Console's CA over a connection that carries no secret, and keeps of it the one certificate that the
    /// operator pinned (docs/contract.md section 2).
    ///
    /// # Errors
    /// [`ConsoleError::PinMismatch`] when no certificate there has the fingerprint; anything that a call can meet.
    pub async fn trust_pin(&self, pinned: &CaFingerprint) -> Result<ServerTrust, ConsoleError> {
        let call = Request { method: Method::GET, path: paths::TRUST_BOOTSTRAP, body: None };
        let answer = self.send(&ServerTrust::DangerAnyServer, None, call).await?;
        answer::pinned(&answer, &self.transport.target(), pinned)
    }

    /// Presents a token, and the certificate that this host holds already, where it may be shown (docs/contract.md section 2). `body`
    /// is the request as JSON, the same bytes for every repeat. What fails on the certificate is said at once without it.
    pub async fn enroll(
        &self,
        trust: &ServerTrust,
        held: Option<ClientIdentity>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<EnrollReply, ConsoleError> {
        let read = |answer: &RawAnswer| answer::enrollment(answer, &self.transport.target());
        let call = |body| Request { method: Method::POST, path: paths::ENROLL, body: Some(body) };
        // What an unverified server would learn of the host is not its to know, and what TLS cannot use says nothing.
        let held = held.filter(|_| !matches!(trust, ServerTrust::DangerAnyServer));
        if let Some(Ok((tls, shown))) = held.map(|held| tls::showing_config(&self.clock, trust, held)) {
            let told = self.observed(paths::ENROLL, self.over(tls, trust, call(body.clone()))).await;
            match told.and_then(|answer| read(&answer)) {
                Err(error) if error.may_be_of_what_was_shown(shown.load(Ordering::Relaxed)) => {
                    tracing::debug!(%error, "enrolling without the certificate that this host holds");
                }
                done => return done,
            }
        }
        read(&self.send(trust, None, call(body)).await?)
    }

    /// Says over mutual TLS that this sensor lives; the Console's answer is the proof that it accepts the certificate.
    ///
    /// # Errors
    /// Anything that a call can meet; a code whose advice is `MissingPath` tells a Console without heartbeats.
    pub async fn heartbeat(
        &self,
        trust: &ServerTrust,
        identity: ClientIdentity,
        said: &Heartbeat,
    ) -> Result<HeartbeatAnswer, ConsoleError> {
        self.post(trust, identity, paths::HEARTBEAT, said).await
    }

    /// Asks for a successor of the certificate that it speaks with, for the new key of this request.
    ///
    /// # Errors
    /// Anything that a call can meet; a code whose advice is `MissingPath` tells a Console without renewal.
    pub async fn renew(
        &self,
        trust: &ServerTrust,
        identity: ClientIdentity,
        csr_pem: &str,
    ) -> Result<Issued, ConsoleError> {
        let said = RenewRequest { csr_pem: csr_pem.to_owned() };
        self.post(trust, identity, paths::RENEW, &said).await
    }

    /// Says something as a sensor, and reads the answer.
    async fn post<A: DeserializeOwned>(
        &self,
        trust: &ServerTrust,
        identity: ClientIdentity,
        path: &'static str,
        said: &impl Serialize,
    ) -> Result<A, ConsoleError> {
        let body = serde_json::to_vec(said).map_err(|e| ConsoleError::Setup { cause: e.to_string() })?;
        let call = Request { method: Method::POST, path, body: Some(Zeroizing::new(body)) };
        let answer = self.send(trust, Some(identity), call).await?;
        answer::read(&answer, &self.transport.target())
    }

    /// Tells the Console that this node retires. Saying it twice is fine.
    pub async fn decommission(
        &self,
        trust: &ServerTrust,
        identity: ClientIdentity,
    ) -> Result<(), ConsoleError> {
        let call = Request { method: Method::POST, path: paths::DECOMMISSION, body: None };
        self.send(trust, Some(identity), call).await.map(|_| ())
    }

    async fn send(
        &self,
        trust: &ServerTrust,
        identity: Option<ClientIdentity>,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        self.observed(call.path, self.exchange(trust, identity, call)).await
    }

    async fn observed(
        &self,
        path: &'static str,
        call: impl Future<Output = Result<RawAnswer, ConsoleError>>,
    ) -> Result<RawAnswer, ConsoleError> {
        let done = call.await;
        if let Some(observer) = &self.observer {
            observer.called(path, done.as_ref().map(|answer| answer.status));
        }
        done
    }

    async fn exchange(
        &self,
        trust: &ServerTrust,
        identity: Option<ClientIdentity>,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        let speaks_as_sensor = identity.is_some();
        let mut tls = tls::client_config(&self.clock, trust, identity)?;
        let requested = tls::watch_request(&mut tls);
        self.over(tls, trust, call).await.map_err(|error| {
            let is_heard = !speaks_as_sensor || requested.load(Ordering::Relaxed);
            if is_heard { error } else { error.of_no_request(self.transport.target()) }
        })
    }

    async fn over(
        &self,
        tls: ClientConfig,
        trust: &ServerTrust,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        let path = call.path;
        let answer = self.transport.call(tls, trust, call).await?;
        if let Some(console) = date_of(&answer.headers) {
            let sighting = Sighting { console, host: crate::clock::now(&self.clock) };
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(sighting);
        }
        tracing::debug!(path, status = answer.status, bytes = answer.body.len(), "the Console answered");
        answer::expect_success(answer, &self.transport.target(), crate::clock::now(&self.clock))
    }
}
