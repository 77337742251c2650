//! A server that answers whatever a test tells it to, and remembers every byte that it was sent.
//!
//! Two kinds: [`Rogue::https`] speaks TLS with a certificate from [`crate::pki`], asks for a client certificate without
//! requiring one, takes any, and gives each request to the test's closure; [`Rogue::plain`] speaks nothing and only
//! listens, which is how a test proves that a secret was *not* sent.

pub mod console;
mod script;
mod tap;
mod tls;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

pub use script::{After, Script};
pub use tls::{ClientAuth, server_config};

use crate::http1;
use crate::pki::ServerIdentity;
use crate::serving::{LOOPBACK, Serving};
use tap::Tap;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The client's certificate, where it showed one.
    pub client_cert_der: Option<Vec<u8>>,
}

impl Request {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The CSR of an enrollment or a renewal.
    pub fn csr_pem(&self) -> String {
        self.json()["csr_pem"].as_str().expect("the request holds a csr_pem").to_owned()
    }
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    sent: Arc<AtomicUsize>,
    requests: Mutex<Vec<Request>>,
    raw: Arc<Mutex<Vec<u8>>>,
    application: Arc<Mutex<Vec<u8>>>,
}

type Handler = Arc<dyn Fn(&Request) -> Script + Send + Sync>;

/// A running rogue. Ends when dropped.
pub struct Rogue {
    serving: Serving,
    record: Arc<Record>,
    scheme: &'static str,
}

impl Rogue {
    /// Speaks TLS as this identity and answers each request as `handler` says.
    pub fn https(
        identity: ServerIdentity,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::https_on(LOOPBACK, identity, handler)
    }

    /// The same on another address, `[::1]:0` for one.
    pub fn https_on(
        bind: SocketAddr,
        identity: ServerIdentity,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(bind, tls::server_config(identity), handler)
    }

    /// The same, but no client certificate is requested in the handshake.
    pub fn https_ending_tls(
        identity: ServerIdentity,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(LOOPBACK, tls::anonymous_config(identity), handler)
    }

    /// The same, asking for client certificates like this.
    pub fn https_requesting(
        identity: ServerIdentity,
        auth: ClientAuth,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(LOOPBACK, tls::requesting_config(identity, auth), handler)
    }

    fn speaking(
        bind: SocketAddr,
        config: Arc<rustls::ServerConfig>,
        handler: impl Fn(&Request) -> Script + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(config);
        let handler: Handler = Arc::new(handler);
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let serving = Serving::start(bind, move |stream| {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            speak_tls(stream, acceptor.clone(), Arc::clone(&handler), Arc::clone(&shared))
        });
        Self { serving, record, scheme: "https" }
    }

    /// Speaks no TLS: takes every byte, and answers the first ones with `reply` if that is not empty. Holds the
    /// connection open until the other side ends it.
    pub fn plain(reply: &[u8]) -> Self {
        let reply = reply.to_vec();
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let serving = Serving::start(LOOPBACK, move |stream| {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            listen_only(stream, reply.clone(), Arc::clone(&shared))
        });
        Self { serving, record, scheme: "http" }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Its address as a URL: `https://…` or, for a plain one, `http://…`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address())
    }

    /// TCP connections that were opened.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// TLS handshakes that were finished.
    pub fn handshakes(&self) -> usize {
        self.record.handshakes.load(Ordering::SeqCst)
    }

    /// Bytes of answers that the other side took.
    pub fn sent(&self) -> usize {
        self.record.sent.load(Ordering::SeqCst)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.record.requests.lock().expect("no handler panicked").clone()
    }

    /// The requests to one path.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// Every byte that came out of TLS, of all connections, whether it was HTTP or not.
    pub fn application_bytes(&self) -> Vec<u8> {
        self.record.application.lock().expect("no handler panicked").clone()
    }

    /// Every byte that came over TCP, of all connections.
    pub fn raw_bytes(&self) -> Vec<u8> {
        self.record.raw.lock().expect("no handler panicked").clone()
    }
}

async fn speak_tls(stream: TcpStream, acceptor: TlsAcceptor, handler: Handler, record: Arc<Record>) {
    let stream = Tap::new(stream, Arc::clone(&record.raw));
    let Ok(stream) = acceptor.accept(stream).await else { return };
    record.handshakes.fetch_add(1, Ordering::SeqCst);
    let client_cert_der = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
    let mut stream = Tap::new(stream, Arc::clone(&record.application));
    while let Ok(Some(message)) = http1::read(&mut stream).await {
        let request = Request {
            method: message.word(0).to_owned(),
            path: message.word(1).to_owned(),
            headers: message.headers,
            body: message.body,
            client_cert_der: client_cert_der.clone(),
        };
        record.requests.lock().expect("no handler panicked").push(request.clone());
        if handler(&request).play(&mut stream, &record.sent).await.is_err() {
            return;
        }
    }
}

async fn listen_only(mut stream: TcpStream, mut reply: Vec<u8>, record: Arc<Record>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        record.raw.lock().expect("no handler panicked").extend_from_slice(&buffer[..count]);
        if !reply.is_empty() {
            let _ = stream.write_all(&std::mem::take(&mut reply)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::pki::Ca;

    #[test]
    fn a_rogue_answers_as_told_and_remembers() {
        let ca = Ca::root("Rogue");
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), |request| {
            Script::json(201, &serde_json::json!({"path": request.path, "got": request.json()}))
        });
        let client = Client::new(rogue.address(), ca.pem());
        let answer = client.post("/x?y=1", &serde_json::json!({"a": 1})).unwrap();
        assert_eq!((answer.status, answer.json()["path"].as_str()), (201, Some("/x?y=1")));
        assert_eq!(answer.json()["got"]["a"], 1);
        assert_eq!((rogue.connections(), rogue.handshakes(), rogue.requests().len()), (1, 1, 1));
        assert!(
            String::from_utf8(rogue.application_bytes()).unwrap().starts_with("POST /x?y=1 HTTP/1.1\r\n")
        );
        assert!(rogue.raw_bytes().len() > rogue.application_bytes().len());
        assert!(rogue.requests()[0].client_cert_der.is_none());
    }

    #[test]
    fn a_client_that_does_not_trust_it_sends_nothing() {
        let rogue = Rogue::https(Ca::root("Rogue").server(&["127.0.0.1"]), |_| Script::Close);
        let client = Client::new(rogue.address(), Ca::root("Console").pem());
        assert!(client.get("/").is_err());
        assert_eq!((rogue.handshakes(), rogue.application_bytes().len()), (0, 0));
        assert!(!rogue.raw_bytes().is_empty(), "the handshake itself was recorded");
    }
}
