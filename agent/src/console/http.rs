//! One call over one connection. The one file that opens sockets.
//!
//! Invariant: the request leaves only after the TLS handshake has verified the server; every phase has a deadline and
//! every answer a cap; nothing is redirected, cached or kept alive.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;
use zeroize::Zeroizing;

use super::error::{ConsoleError, clean};
use crate::config::{ConsoleUrl, ProxySettings};
use crate::tls::ServerTrust;

/// Largest answer body: certificates, CA and key of an enrollment are under 16 KiB.
pub const MAX_BODY: usize = 1024 * 1024;
/// Largest answer head.
pub const MAX_HEAD: usize = 64 * 1024;

/// The phase before the server is verified.
const HANDSHAKE: &str = "the TLS handshake";

/// How long each phase of a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Name resolution and TCP, and the proxy's tunnel where there is one.
    pub connect: Duration,
    /// TLS handshake.
    pub handshake: Duration,
    /// From the first byte sent to the end of the answer's head.
    pub answer: Duration,
    /// The answer's body.
    pub body: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), handshake: seconds(10), answer: seconds(30), body: seconds(15) }
    }
}

/// What to say.
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// One of `telovix_contract::paths`.
    pub path: &'static str,
    /// JSON, which may hold a token: wiped when the call is over.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// What came back, unread.
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// The head.
    pub headers: HeaderMap,
    /// The body, at most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

/// Where the Console is and how to get there.
pub struct Transport {
    url: ConsoleUrl,
    proxy: Matcher,
    deadlines: Deadlines,
}

impl Transport {
    /// For this Console, through the proxies of the environment (docs/contract.md section 2).
    pub fn new(url: ConsoleUrl, proxy: &ProxySettings, deadlines: Deadlines) -> Self {
        // Our calls are all https. Where only HTTP_PROXY is set it serves for them too (docs/decisions).
        let https = proxy.https.as_deref().or(proxy.http.as_deref()).unwrap_or_default();
        let none = proxy.no_proxy.as_deref().unwrap_or_default();
        // The library takes `*` for every name, but not for an address.
        let https = if none.split(',').any(|entry| entry.trim() == "*") { "" } else { https };
        let proxy = Matcher::builder().https(https.to_owned()).no(none.to_owned()).build();
        Self { url, proxy, deadlines }
    }

    /// Host and port, for error texts.
    pub fn target(&self) -> String {
        self.url.authority()
    }

    /// Makes one call.
    ///
    /// # Errors
    /// [`ConsoleError`] for everything up to the end of the body; what the status means is the caller's to say.
    pub async fn call(
        &self,
        tls: ClientConfig,
        trust: &ServerTrust,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        let has_identity = tls.client_auth_cert_resolver.has_certs();
        let stream = self.within("connecting", self.deadlines.connect, self.connect()).await?;
        let connector = TlsConnector::from(Arc::new(tls));
        let handshake = async {
            connector
                .connect(self.url.server_name(), stream)
                .await
                .map_err(|error| self.tls_error(&error, trust, has_identity, HANDSHAKE))
        };
        let stream = self.within(HANDSHAKE, self.deadlines.handshake, handshake).await?;
        let phase = Exchange { transport: self, trust, has_identity };
        phase.run(stream, call).await
    }

    /// The proxy for this Console, without its user and password.
    pub(super) fn proxy_shown(&self) -> Option<String> {
        let target = self.url.to_string().parse().ok()?;
        self.proxy.intercept(&target).map(|proxy| shown(proxy.uri()))
    }

    /// Looks up the host that a connection is made to.
    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let target = self.url.to_string().parse().ok();
        let proxy = target.and_then(|target| self.proxy.intercept(&target)).map(|proxy| proxy.uri().clone());
        let (host, port) = match &proxy {
            Some(uri) => (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80)),
            None => (self.url.host(), self.url.port()),
        };
        let host = host.trim_matches(['[', ']']);
        let found = tokio::time::timeout(self.deadlines.connect, tokio::net::lookup_host((host, port))).await;
        Ok(found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.collect())
    }

    /// Connects and hangs up.
    pub(super) async fn dial(&self) -> Result<(), ConsoleError> {
        self.within("connecting", self.deadlines.connect, self.connect()).await.map(drop)
    }

    async fn connect(&self) -> Result<TcpStream, ConsoleError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        // A tunnel asks for host and port as they stand in the URI, so the port has to be explicit.
        let explicit: http::Uri = format!("https://{}/", self.url.authority())
            .parse()
            .expect("an authority that was parsed once parses again");
        if let Some(proxy) = self.proxy.intercept(&explicit) {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let stream = tunnel.call(explicit).await.map_err(|error| ConsoleError::Proxy {
                proxy: shown(proxy.uri()),
                target: self.target(),
                cause: chain(&error),
            })?;
            return Ok(stream.into_inner());
        }
        match connector.call(explicit).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => Err(ConsoleError::Unreachable { target: self.target(), cause: chain(&error) }),
        }
    }

    async fn within<T>(
        &self,
        phase: &'static str,
        limit: Duration,
        work: impl Future<Output = Result<T, ConsoleError>>,
    ) -> Result<T, ConsoleError> {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(ConsoleError::Deadline { target: self.target(), phase, limit }),
        }
    }

    fn tls_error(
        &self,
        error: &(dyn std::error::Error + 'static),
        trust: &ServerTrust,
        has_identity: bool,
        phase: &'static str,
    ) -> ConsoleError {
        let target = self.target();
        match find_tls(error) {
            Some(rustls::Error::InvalidCertificate(cause)) => ConsoleError::NotTrusted {
                target,
                against: trust.describe(),
                cause: clean(&sentence(cause), 300),
                about_time: is_about_time(cause),
            },
            // An alert during the handshake may come from anybody: only one after it is the Console's word.
            Some(rustls::Error::AlertReceived(alert))
                if has_identity && phase != HANDSHAKE && blames_certificate(*alert) =>
            {
                ConsoleError::CertificateRefused { target, alert: format!("{alert:?}") }
            }
            Some(cause) => ConsoleError::Handshake { target, cause: clean(&cause.to_string(), 300) },
            None => ConsoleError::Broken { target, phase, cause: clean(&chain(error), 300) },
        }
    }
}

struct Exchange<'a> {
    transport: &'a Transport,
    trust: &'a ServerTrust,
    has_identity: bool,
}

impl Exchange<'_> {
    async fn run(
        &self,
        stream: tokio_rustls::client::TlsStream<TcpStream>,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.http_error(&error, "sending the request"))?;
        let request = self.request(call);
        let exchange = async {
            let limit = self.transport.deadlines.answer;
            let answer = self
                .transport
                .within("answering", limit, async {
                    let sent = sender.send_request(request).await;
                    sent.map_err(|error| self.http_error(&error, "waiting for the answer"))
                })
                .await?;
            let limit = self.transport.deadlines.body;
            self.transport.within("sending its answer", limit, self.collect(answer)).await
        };
        // The connection's own future does the reading and writing; it ends with the exchange.
        tokio::pin!(exchange, connection);
        let mut driving = true;
        loop {
            tokio::select! {
                biased;
                done = &mut exchange => return done,
                // Its error, if any, reaches the exchange as well.
                _ = &mut connection, if driving => driving = false,
            }
        }
    }

    fn request(&self, call: Request) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, self.transport.url.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("telovix-agent/", env!("CARGO_PKG_VERSION")));
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        // `Bytes` takes the buffer as its owner, which wipes itself when the request has been sent.
        let body = call.body.map_or_else(Bytes::new, |body| Bytes::from_owner(Wiped(body)));
        request.body(Full::new(body)).expect("method, path and header values are valid by type")
    }

    async fn collect(
        &self,
        answer: http::Response<hyper::body::Incoming>,
    ) -> Result<RawAnswer, ConsoleError> {
        let (head, body) = answer.into_parts();
        let too_large =
            || ConsoleError::TooLarge { target: self.transport.target(), part: "body", limit: MAX_BODY };
        let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => {
                Ok(RawAnswer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
            }
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => Err(self.http_error(error.as_ref(), "receiving the answer")),
        }
    }

    fn http_error(&self, error: &(dyn std::error::Error + 'static), phase: &'static str) -> ConsoleError {
        // hyper tells a head that is too large from other parse errors by method on servers alone, else by its text.
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
            && error.to_string().contains("too large")
        {
            return ConsoleError::TooLarge {
                target: self.transport.target(),
                part: "header",
                limit: MAX_HEAD,
            };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse()
        {
            return ConsoleError::NotAConsole {
                target: self.transport.target(),
                status: 0,
                found: "something that is not HTTP".to_owned(),
            };
        }
        self.transport.tls_error(error, self.trust, self.has_identity, phase)
    }
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The alerts by which a server says that it does not take the client's certificate (RFC 8446 section 6.2).
fn blames_certificate(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::CertificateRequired
            | A::AccessDenied
    )
}

/// Why a server's certificate is not trusted, for people.
fn sentence(cause: &rustls::CertificateError) -> String {
    use rustls::CertificateError as C;
    if matches!(cause, C::UnknownIssuer) {
        "it was issued by a CA that is not among those trusted".to_owned()
    } else if matches!(cause, C::BadSignature) {
        "it claims a trusted CA as its issuer, whose signature it does not bear".to_owned()
    } else {
        cause.to_string()
    }
}

/// Whether a certificate failed on its dates.
fn is_about_time(cause: &rustls::CertificateError) -> bool {
    use rustls::CertificateError as C;
    matches!(cause, C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. })
}

/// The TLS library's error, wherever in the chain it stands.
fn find_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error hides its inner error from `source`.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find_tls(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its sources, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    clean(&text, 300)
}

/// A proxy's address without user and password.
fn shown(proxy: &http::Uri) -> String {
    let host = proxy.host().unwrap_or("?");
    proxy.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
