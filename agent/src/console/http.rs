//! One call over one connection.
//!
//! Invariant: the request leaves only after the TLS handshake has verified the server; every phase has a deadline and
//! every answer a cap; nothing is redirected, cached or kept alive.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::dial::Route;
pub use super::dial::{Deadlines, MAX_HEAD};
use super::error::{ConsoleError, Phase};
use super::reason;
use super::sending::Sending;
use crate::config::{ConsoleUrl, ProxySettings};
use crate::tls::ServerTrust;

/// Largest answer body: certificates, CA and key of an enrollment are under 16 KiB.
pub const MAX_BODY: usize = 1024 * 1024;

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
    route: Route,
    deadlines: Deadlines,
}

impl Transport {
    /// For this Console, through the proxies of the environment (docs/contract.md section 2).
    pub fn new(url: ConsoleUrl, proxy: &ProxySettings, deadlines: Deadlines) -> Self {
        let proxy = proxy.to(&url).cloned();
        Self { route: Route::new(url, proxy), deadlines }
    }

    /// Host and port, for error texts.
    pub fn target(&self) -> String {
        self.route.url().authority()
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
        let (stream, address) = self.route.dial(&self.deadlines).await?;
        let done = self.speak(stream, tls, trust, call).await;
        self.route.note(address, done.is_ok());
        done
    }

    async fn speak(
        &self,
        stream: TcpStream,
        tls: ClientConfig,
        trust: &ServerTrust,
        call: Request,
    ) -> Result<RawAnswer, ConsoleError> {
        let has_identity = tls.client_auth_cert_resolver.has_certs();
        let phase = Exchange { transport: self, trust, has_identity };
        let connector = TlsConnector::from(Arc::new(tls));
        let handshake = async {
            let connected = connector.connect(self.route.url().server_name(), stream).await;
            connected.map_err(|error| phase.tls_error(&error, Phase::Handshake))
        };
        let stream = self.within(Phase::Handshake, self.deadlines.handshake, handshake).await?;
        phase.run(stream, call).await
    }

    /// The proxy for this Console, without its user and password.
    pub(super) fn proxy_shown(&self) -> Option<String> {
        self.route.proxy().map(ToString::to_string)
    }

    /// What a call under way is at.
    pub(super) fn phase(&self) -> Phase {
        self.route.phase()
    }

    /// Looks up the host that a connection is made to.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, ConsoleError> {
        self.route.resolve(self.deadlines.look_up).await
    }

    /// Connects and hangs up.
    pub(super) async fn dial(&self) -> Result<(), ConsoleError> {
        self.route.dial(&self.deadlines).await.map(drop)
    }

    async fn within<T>(
        &self,
        phase: Phase,
        limit: Duration,
        work: impl Future<Output = Result<T, ConsoleError>>,
    ) -> Result<T, ConsoleError> {
        self.route.enter(phase);
        match timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(ConsoleError::Deadline { target: self.target(), phase, limit }),
        }
    }
}

struct Exchange<'a> {
    transport: &'a Transport,
    trust: &'a ServerTrust,
    has_identity: bool,
}

impl Exchange<'_> {
    async fn run(&self, stream: TlsStream<TcpStream>, call: Request) -> Result<RawAnswer, ConsoleError> {
        let unsent = Arc::new(AtomicBool::new(true));
        let stream = Sending::new(stream, Arc::clone(&unsent));
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.http_error(&error, Phase::Request))?;
        let request = self.request(call);
        let limits = self.transport.deadlines;
        let exchange = async {
            let asked = self.transport.within(Phase::Answer, limits.answer, async {
                let sent = sender.send_request(request).await;
                sent.map_err(|error| self.http_error(&error, Phase::Answer))
            });
            let stuck = async {
                sleep(limits.request).await;
                if !unsent.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
            };
            let answer = tokio::select! {
                biased;
                answer = asked => answer?,
                () = stuck => {
                    let (target, limit) = (self.transport.target(), limits.request);
                    return Err(ConsoleError::Deadline { target, phase: Phase::Request, limit });
                }
            };
            self.transport.within(Phase::Body, limits.body, self.collect(answer)).await
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
            .header(header::HOST, self.transport.target())
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
            Err(error) => Err(self.http_error(error.as_ref(), Phase::Body)),
        }
    }

    fn http_error(&self, error: &(dyn std::error::Error + 'static), phase: Phase) -> ConsoleError {
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
        self.tls_error(error, phase)
    }

    fn tls_error(&self, error: &(dyn std::error::Error + 'static), phase: Phase) -> ConsoleError {
        let target = self.transport.target();
        match reason::find_tls(error) {
            Some(rustls::Error::InvalidCertificate(cause)) => ConsoleError::NotTrusted {
                target,
                against: self.trust.describe(),
                cause: reason::certificate(cause),
                about_time: reason::is_about_time(cause),
            },
            Some(rustls::Error::AlertReceived(alert))
                if self.has_identity && reason::blames_certificate(*alert) =>
            {
                let alert = reason::alert(*alert);
                // In the handshake it may come from anybody: only one after it is the Console's word.
                if phase == Phase::Handshake {
                    ConsoleError::CertificateRefusedEarly { target, alert }
                } else {
                    ConsoleError::CertificateRefused { target, alert }
                }
            }
            Some(cause) => ConsoleError::Handshake { target, cause: reason::handshake(cause) },
            None => ConsoleError::Broken { target, phase, cause: reason::chain(error) },
        }
    }
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::AsyncReadExt as _;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::config::pem;
    use crate::console::client_config;
    use crate::testpki::{answer, authority};
    use crate::tls::{ClientIdentity, provider};

    fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// A TLS server that takes a request and says nothing.
    fn silent_server() -> TlsAcceptor {
        let (certificate, key) = certificate();
        let config = rustls::ServerConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
    }

    /// A server of this TLS version that wants a certificate of an unknown CA.
    fn refusing_server(version: &'static rustls::SupportedProtocolVersion) -> TlsAcceptor {
        let mut roots = rustls::RootCertStore::empty();
        let other = pem::blocks(pem::CERTIFICATE, &authority().0).next().unwrap().unwrap();
        roots.add(other.into()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let config = rustls::ServerConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(&[version]).unwrap();
        let config = config.with_client_cert_verifier(verifier.unwrap());
        let (certificate, key) = certificate();
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
    }

    #[tokio::test]
    async fn a_certificate_that_is_refused_is_told_in_both_versions_and_believed_in_one() {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
            let transport = Transport::new(url, &ProxySettings::default(), Deadlines::default());
            let made = answer(|_| {});
            let chain =
                pem::blocks(pem::CERTIFICATE, &made.certificate).map(|der| der.unwrap().into()).collect();
            let identity = ClientIdentity { chain, key: made.key().to_private_der().unwrap() };
            let any = ServerTrust::DangerAnyServer;
            let tls = client_config(&crate::clock::system(), &any, Some(identity)).unwrap();
            let call = Request { method: Method::GET, path: "/readyz", body: None };
            let server = async {
                let (stream, _) = listener.accept().await.unwrap();
                let refused = refusing_server(version).accept(stream).into_fallible().await;
                let (_, mut stream) = refused.map(drop).unwrap_err();
                // A close with something unread in it could overtake the alert.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            };
            let (called, ()) = tokio::join!(transport.call(tls, &any, call), server);
            let error = called.err().unwrap();
            let believed = matches!(error, ConsoleError::CertificateRefused { .. });
            let early = matches!(error, ConsoleError::CertificateRefusedEarly { .. });
            let is_13 = version.version == rustls::ProtocolVersion::TLSv1_3;
            assert_eq!((believed, early), (is_13, !is_13), "{error}");
            assert!(error.to_string().contains("refused this sensor's certificate"), "{error}");
        }
    }

    #[tokio::test]
    async fn each_phase_that_runs_out_is_named() {
        let short = Duration::from_millis(100);
        for (phase, limits) in [
            (Phase::Handshake, Deadlines { handshake: short, ..Deadlines::default() }),
            (Phase::Answer, Deadlines { answer: short, ..Deadlines::default() }),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
            let transport = Transport::new(url, &ProxySettings::default(), limits);
            let tls = client_config(&crate::clock::system(), &ServerTrust::DangerAnyServer, None).unwrap();
            let call = Request { method: Method::GET, path: "/readyz", body: None };
            let server = async {
                let (stream, _) = listener.accept().await.unwrap();
                if phase == Phase::Answer {
                    let _open = silent_server().accept(stream).await.unwrap();
                    std::future::pending::<()>().await;
                }
                std::future::pending::<()>().await;
            };
            let error = tokio::select! {
                called = transport.call(tls, &ServerTrust::DangerAnyServer, call) => called.err().unwrap(),
                () = server => unreachable!("it never ends"),
            };
            assert!(
                matches!(error, ConsoleError::Deadline { phase: named, .. } if named == phase),
                "{error}"
            );
        }
    }
}
