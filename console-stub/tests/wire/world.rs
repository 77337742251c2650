//! A Console in this process on port 0, a clock to turn, and a small TLS client.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use serde_json::{Value, json};
use telovix_console_stub::app::{App, AppError, Listeners, Options};
use telovix_console_stub::clock::{Clock, Monotonic};
use telovix_console_stub::config::{DataDir, Limits};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Vertical;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::fault::Faults;
use telovix_console_stub::fault::chaos::Chaos;
use telovix_console_stub::service::Console;
use telovix_console_stub::service::setup::{Grant, Setup};
use telovix_contract::states::TokenType;
use telovix_contract::{SensorId, paths};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::Engine;

/// A clock that stands where it is put, and by how far it was set.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64, AtomicI64);

impl TestClock {
    /// Lets time pass.
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sets it: no time passes.
    pub(crate) fn jump(&self, seconds: i64) {
        self.1.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Monotonic for TestClock {
    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.0.load(Ordering::SeqCst) + self.1.load(Ordering::SeqCst)).unsigned_abs();
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// A Console that serves.
pub(crate) struct World {
    pub(crate) console: Console,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) sensors: std::net::SocketAddr,
    pub(crate) data: DataDir,
    pub(crate) ca_pem: String,
    pub(crate) database: Engine,
    pub(crate) licence_key: KeyPair,
    place: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// A host's key pair.
pub(crate) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A key that signs licences.
fn licence_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

/// A certificate request for this node.
pub(crate) fn csr(node: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, node);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// The body of a plain enrollment.
pub(crate) fn body(token: &str, node: &str, key: &KeyPair) -> Value {
    json!({"enrollment_token": token, "csr_pem": csr(node, key), "node_name": node})
}

/// An enrolled host: its certificate, its key, its id.
pub(crate) async fn host(world: &World, node: &str) -> (String, KeyPair, SensorId) {
    let key = key();
    let reply = world.enroll(&body(&world.once().await, node, &key)).await;
    let id = reply.text("sensor_id").parse().unwrap();
    (reply.text("control_plane_certificate_pem").to_owned(), key, id)
}

/// A call of a sensor.
pub(crate) async fn call(world: &World, path: &str, certificate: &str, key: &KeyPair, body: &str) -> Reply {
    world.client(Some((certificate, key))).send("POST", path, body.as_bytes(), &[]).await.unwrap()
}

/// The same body with these fields.
pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The same body from the machine whose id is this digit.
pub(crate) fn on(machine: char, body: Value) -> Value {
    with(body, &json!({"host": {"machine_id_sha256": machine.to_string().repeat(64)}}))
}

/// A status and a JSON body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: http::HeaderMap,
}

impl Reply {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> &str {
        self.body["error"].as_str().unwrap_or("")
    }

    /// A text in the body.
    #[track_caller]
    pub(crate) fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    /// Status and code together.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }
}

impl World {
    /// A Console with a trial licence for so many nodes.
    pub(crate) async fn start(nodes: u32) -> Self {
        Self::start_with(nodes, Faults::default(), Limits::default()).await
    }

    /// The same, with a fault to provoke, or other limits.
    pub(crate) async fn start_with(nodes: u32, faults: Faults, limits: Limits) -> Self {
        Self::start_on(nodes, faults, limits, Chaos::default()).await
    }

    /// The same, on a bad day.
    pub(crate) async fn start_on(nodes: u32, faults: Faults, limits: Limits, chaos: Chaos) -> Self {
        let place = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000), AtomicI64::new(0)));
        let data = DataDir::new(place.path().join("data"));
        let database = Engine::new(&data.database());
        let options = Options {
            data: data.clone(),
            database: database.location(),
            clock: Clock::new(Arc::clone(&clock) as Arc<dyn TimeProvider>).beside(clock.clone()),
            faults,
            limits,
            chaos,
        };
        let app = App::open(options).await.unwrap();
        let console = app.console().clone();
        let licence_key = licence_key();
        let setup = Setup {
            admin_email: "admin@example.com".to_owned(),
            admin_password: "correct horse battery staple".to_owned().into(),
            server_names: vec!["console.example".to_owned()],
            licence: Grant::Trial(nodes),
            licence_trust: Some(licence_key.public_key_pem()),
            public_url: None,
            vertical: Vertical::Standard,
        };
        let ca_pem = console.set_up(setup).await.unwrap().ca_pem;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sensors = second.local_addr().unwrap();
        let listeners = Listeners { main: listener, sensors: Some(second) };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            app.serve_on(listeners, shutdown).await.unwrap();
        });
        let (stop, serving) = (Some(stop), Some(serving));
        Self { console, clock, address, sensors, data, ca_pem, database, licence_key, place, stop, serving }
    }

    /// Another instance on the same database, with a data directory of its own.
    pub(crate) async fn instance(&self, name: &str) -> App {
        self.try_instance(name).await.unwrap()
    }

    /// The same, if it starts.
    pub(crate) async fn try_instance(&self, name: &str) -> Result<App, AppError> {
        let data = DataDir::new(self.place.path().join(name));
        let clock = Clock::new(Arc::clone(&self.clock) as Arc<dyn TimeProvider>);
        App::open(Options { database: self.database.location(), clock, ..Options::new(data) }).await
    }

    /// A one-time token.
    pub(crate) async fn once(&self) -> String {
        self.token(TokenDraft::default()).await
    }

    /// A cluster token.
    pub(crate) async fn cluster(&self, name: &str, max_nodes: Option<i64>) -> String {
        let cluster_id = Some(name.parse().unwrap());
        let kind = Some(TokenType::Cluster);
        self.token(TokenDraft { kind, cluster_id, max_nodes, ..TokenDraft::default() }).await
    }

    pub(crate) async fn token(&self, draft: TokenDraft) -> String {
        self.console.create_token(draft, Origin::default()).await.unwrap().token.expose().to_owned()
    }

    pub(crate) async fn enroll(&self, body: &Value) -> Reply {
        self.enroll_as(None, body).await
    }

    /// The same with the certificate of the identity that the host holds.
    pub(crate) async fn enroll_as(&self, identity: Option<(&str, &KeyPair)>, body: &Value) -> Reply {
        self.client(identity).send("POST", paths::ENROLL, body.to_string().as_bytes(), &[]).await.unwrap()
    }

    pub(crate) fn client(&self, identity: Option<(&str, &KeyPair)>) -> Client {
        Client::new(self.address, &self.ca_pem, Arc::clone(&self.clock) as Arc<dyn TimeProvider>, identity)
    }

    /// A client of the sensors' own listener.
    pub(crate) fn sensor_client(&self, identity: Option<(&str, &KeyPair)>) -> Client {
        Client::new(self.sensors, &self.ca_pem, Arc::clone(&self.clock) as Arc<dyn TimeProvider>, identity)
    }

    pub(crate) async fn heartbeat(&self, certificate: &str, key: &KeyPair) -> Reply {
        self.client(Some((certificate, key))).send("POST", paths::HEARTBEAT, b"", &[]).await.unwrap()
    }

    /// Waits until a certificate of a new issuer is taken without its issuer: the server reads the CA again once a second.
    pub(crate) async fn until_accepted(&self, certificate: &str, key: &KeyPair) {
        for _ in 0..600 {
            let client = self.client(Some((certificate, key)));
            if client.send("POST", paths::HEARTBEAT, b"", &[]).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the new issuer is not trusted");
    }

    /// The number that a query finds in the database.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.database.count(sql)
    }

    /// Stops serving and waits for it.
    pub(crate) async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.serving.take().unwrap().await.unwrap();
    }
}

/// A host's side: a connection per call.
#[derive(Clone)]
pub(crate) struct Client {
    address: std::net::SocketAddr,
    from: std::net::IpAddr,
    config: Arc<ClientConfig>,
}

impl Client {
    pub(crate) fn new(
        address: std::net::SocketAddr,
        ca_pem: &str,
        clock: Arc<dyn TimeProvider>,
        identity: Option<(&str, &KeyPair)>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        // The root alone: the server has to send its issuer along.
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), clock)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((pem, key)) => {
                // The leaf alone, as `openssl s_client -cert` sends it.
                let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![leaf], key).unwrap()
            }
        };
        Self { address, from: [127, 0, 0, 1].into(), config: Arc::new(config) }
    }

    /// The same, calling from another address of the loopback network.
    pub(crate) fn from(self, last: u8) -> Self {
        Self { from: [127, 0, 0, last].into(), ..self }
    }

    /// A connection to write anything to; the socket alone, and with TLS on it.
    pub(crate) async fn socket(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.from, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(crate) async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, self.socket().await).await
    }

    /// Makes one call on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let tls = self.tls().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::new(Bytes::copy_from_slice(body)))?).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await?.to_bytes();
        connection.abort();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::String(text));
        Ok(Reply { status, body, headers })
    }
}
