//! One call over TLS, with the agent's own TLS settings: a new connection and a full handshake each, or a kept connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use telovix_agent::clock;
use telovix_agent::console::client_config;
use telovix_agent::tls::{ClientIdentity, ServerTrust};
use telovix_contract::enroll::TrustBootstrap;
use telovix_contract::{CaFingerprint, paths};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why a call has no good answer; the text is the kind that errors are counted by, without anything of one call alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(pub(super) String);

impl Fault {
    fn io(phase: &str, error: &io::Error) -> Self {
        Self(format!("{phase}: {}", error.kind()))
    }
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Ask {
    /// `POST` with JSON.
    pub(super) fn post(path: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    /// `GET`.
    pub(super) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }
}

/// A connection that is kept between calls; empty before the first and after one that broke.
#[derive(Debug, Default)]
pub(super) struct Line(Option<SendRequest<Full<Bytes>>>);

/// Where the Console is.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    authority: String,
    address: SocketAddr,
    name: ServerName<'static>,
    timeout: Duration,
}

impl Wire {
    /// Looks the Console up, once.
    ///
    /// # Errors
    /// When the URL is not `https://HOST[:PORT]`, or nobody knows the host.
    pub(super) async fn new(url: &str, timeout: Duration) -> io::Result<Self> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
        let uri: http::Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(wrong("a Console's URL is https://HOST[:PORT]"));
        }
        let host = uri.host().ok_or_else(|| wrong("no host"))?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong("not a host name"))?;
        let mut found = tokio::net::lookup_host((host.as_str(), port)).await?;
        let address = found.next().ok_or_else(|| wrong("the name has no address"))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self { authority, address, name, timeout })
    }

    /// Calls, over a connection of its own where no line is given. Gives the answer's JSON, or `null` for another body.
    pub(super) async fn call(
        &self,
        tls: &Arc<ClientConfig>,
        line: Option<&mut Line>,
        ask: Ask,
    ) -> Result<Value, Fault> {
        let mut own = Line::default();
        let line = line.unwrap_or(&mut own);
        let answered = tokio::time::timeout(self.timeout, self.exchange(tls, line, ask)).await;
        let answered = answered.unwrap_or_else(|_| Err(Fault("no answer in time".to_owned())));
        if answered.is_err() {
            line.0 = None;
        }
        answered
    }

    async fn exchange(&self, tls: &Arc<ClientConfig>, line: &mut Line, ask: Ask) -> Result<Value, Fault> {
        // A server may end a kept connection between two calls; that is not the call's fault.
        if line.0.as_ref().is_none_or(SendRequest::is_closed) {
            line.0 = Some(self.connect(tls).await?);
        }
        let sender = line.0.as_mut().ok_or_else(|| Fault("no connection".to_owned()))?;
        let mut request = Request::builder().method(ask.method).uri(&ask.path);
        request = request.header(header::HOST, &self.authority);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let request =
            request.body(Full::new(ask.body)).map_err(|error| Fault(format!("request: {error}")))?;
        let broken = |_| Fault("the connection broke".to_owned());
        sender.ready().await.map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(json);
        }
        let code = json["error"].as_str().unwrap_or_default();
        Err(Fault(format!("{} {code}", status.as_u16()).trim_end().to_owned()))
    }

    async fn connect(&self, tls: &Arc<ClientConfig>) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let stream =
            TcpStream::connect(self.address).await.map_err(|error| Fault::io("connecting", &error))?;
        stream.set_nodelay(true).map_err(|error| Fault::io("connecting", &error))?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(self.name.clone(), stream).await;
        let stream = stream.map_err(|error| Fault::io("TLS handshake", &error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Fault(format!("connection: {error}")))?;
        // Ends when the sender is dropped, or with the connection; what the end was like shows in the call.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Fetches the CA over a connection that carries no secret, and compares it with the fingerprint.
    pub(super) async fn fetch_ca(&self, wanted: &CaFingerprint) -> Result<String, Fault> {
        let tls = settings(&ServerTrust::DangerAnyServer, None)?;
        let answer = self.call(&tls, None, Ask::get(paths::TRUST_BOOTSTRAP)).await?;
        let unreadable = || Fault("the Console's CA cannot be read".to_owned());
        let found: TrustBootstrap = serde_json::from_value(answer).map_err(|_| unreadable())?;
        let pem = found.control_plane_ca_certificate_pem;
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        if CaFingerprint::of_der(&root) != *wanted {
            return Err(Fault("the Console's CA is not the one with the fingerprint".to_owned()));
        }
        // The rest of the bundle is not covered by the fingerprint, and the root is enough.
        Ok(crate::pki::pem_of(&root))
    }
}

/// The agent's own TLS settings.
pub(super) fn settings(
    trust: &ServerTrust,
    identity: Option<ClientIdentity>,
) -> Result<Arc<ClientConfig>, Fault> {
    let made = client_config(&clock::system(), trust, identity);
    made.map(Arc::new).map_err(|error| Fault(format!("TLS settings: {error:?}")))
}

/// Trust in the certificates of this file.
pub(super) fn trust(ca_pem: &str) -> Result<ServerTrust, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect();
    let certificates = found.ok().filter(|found| !found.is_empty());
    let certificates =
        certificates.ok_or_else(|| Fault("the CA file holds no certificate in PEM".to_owned()))?;
    Ok(ServerTrust::Anchors { certificates, named: "the CA that was given".to_owned() })
}
