//! A Console in this process, set up, with tokens, an API key and a sensor of its own, whose clock stands still.
//!
//! Invariant: what its answers are is what a sensor's agent reads: every refusal has a code of the contract and the
//! status that goes with it, and no answer is a failure of the Console.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_agent::config::KeyType;
use telovix_agent::console::answer;
use telovix_agent::console::http::RawAnswer;
use telovix_agent::csr::Csr;
use telovix_agent::key::KeyPair;
use telovix_console_stub::api::{Api, Guard, Peer, router};
use telovix_console_stub::app::{App, Options};
use telovix_console_stub::clock::Clock;
use telovix_console_stub::config::{DataDir, Limits, Rates};
use telovix_console_stub::domain::api_key::Scope;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Vertical;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::setup::{Grant, Setup};
use telovix_contract::states::TokenType;
use telovix_contract::{EnrollmentToken, ErrorCode, Problem, paths};
use tokio::runtime::Runtime;
use tower_service::Service as _;
use zeroize::Zeroizing;

use crate::kit::{NOW, now, scratch};

/// The node that the Console's own sensor is.
pub(crate) const NODE: &str = "edge-1";

/// The Console, and what there is to use on it.
pub(crate) struct Console {
    runtime: Runtime,
    router: Mutex<Router>,
    limits: Arc<Limits>,
    /// A token for any number of hosts of the cluster `ran-1`.
    pub cluster_token: EnrollmentToken,
    /// A token for one.
    pub once_token: EnrollmentToken,
    /// An API key with both scopes.
    pub key_id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// A request of a host named [`NODE`] and its key.
    pub csr: (KeyPair, String),
    /// The certificate of a sensor.
    pub certificate: Arc<CertificateDer<'static>>,
}

/// An answer as it left the Console.
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The head.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

#[derive(Debug)]
struct Still;

impl TimeProvider for Still {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW.unsigned_abs())))
    }
}

/// The Console of this process.
pub(crate) fn console() -> &'static Console {
    static CONSOLE: LazyLock<Console> = LazyLock::new(Console::start);
    &CONSOLE
}

impl Console {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let data = DataDir::new(scratch("console"));
        let clock = Clock::new(Arc::new(Still));
        let rates = Rates { enroll: 0, guess: 0, token: 0, login: 0, ..Rates::default() };
        let limits = Arc::new(Limits { rates, ..Limits::default() });
        let options =
            Options { clock: clock.clone(), limits: (*limits).clone(), ..Options::new(data.clone()) };
        let app = runtime.block_on(App::open(options)).expect("a Console");
        let console = app.console().clone();
        let setup = Setup {
            admin_email: "admin@example.com".to_owned(),
            admin_password: "correct horse battery staple".to_owned().into(),
            server_names: vec!["console.example".to_owned()],
            licence: Grant::Trial(u32::MAX),
            licence_trust: None,
            public_url: None,
            vertical: Vertical::Standard,
        };
        runtime.block_on(console.set_up(setup)).expect("it can be set up");
        let token = |kind, cluster: Option<&str>| {
            let cluster_id = cluster.map(|name| name.parse().expect("a name"));
            let draft = TokenDraft { kind: Some(kind), cluster_id, ..TokenDraft::default() };
            runtime.block_on(console.create_token(draft, Origin::default())).expect("a token").token
        };
        let (cluster_token, once_token) =
            (token(TokenType::Cluster, Some("ran-1")), token(TokenType::Once, None));
        let first = token(TokenType::Once, None);
        let scopes = vec![Scope::Read, Scope::Write];
        let made = runtime.block_on(console.create_api_key("fuzz".to_owned(), scopes, Origin::default()));
        let made = made.expect("an API key");
        let guard = Arc::new(Guard::new(&limits.rates, &clock));
        let api = Api { console, data, limits: Arc::clone(&limits), guard, setup_code: None };
        let mut console = Self {
            router: Mutex::new(router(api)),
            runtime,
            limits,
            cluster_token,
            once_token,
            key_id: made.key_id,
            secret: made.secret,
            csr: request_of(NODE),
            certificate: Arc::new(CertificateDer::from(Vec::new())),
        };
        console.certificate = console.enroll(&first);
        console
    }

    fn enroll(&self, token: &EnrollmentToken) -> Arc<CertificateDer<'static>> {
        let body =
            serde_json::json!({"enrollment_token": token.expose(), "csr_pem": self.csr.1, "node_name": NODE});
        let call = Request::post(paths::ENROLL).body(Body::from(body.to_string())).expect("a request");
        let answer = self.call(call, None);
        let enrolled: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let pem = enrolled["control_plane_certificate_pem"].as_str().expect("a certificate");
        Arc::new(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"))
    }

    /// The longest body that it takes, in bytes.
    pub(crate) fn longest_body(&self) -> usize {
        self.limits.body
    }

    /// Puts in what no input can know: `@CLUSTER@` and `@ONCE@` are tokens, `@CSR@` is the request of [`NODE`].
    pub(crate) fn filled(&self, text: &str) -> String {
        text.replace("@CLUSTER@", self.cluster_token.expose())
            .replace("@ONCE@", self.once_token.expose())
            .replace("@CSR@", &self.csr.1.replace('\n', "\\n").replace('\r', ""))
    }

    /// Makes a call, as a sensor where there is a certificate, and looks at the answer.
    pub(crate) fn call(
        &self,
        mut request: Request<Body>,
        certificate: Option<Arc<CertificateDer<'static>>>,
    ) -> Answer {
        let address = SocketAddr::from(([192, 0, 2, 1], 4711));
        request.extensions_mut().insert(Peer { address, certificate });
        let answering = self.router.lock().expect("nobody panicked").call(request);
        let answer = self.runtime.block_on(async {
            let Ok(answer): Result<Response<Body>, _> = answering.await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            Answer { status: head.status.as_u16(), headers: head.headers, body }
        });
        answer.look();
        answer
    }
}

/// A new key, and a request for this node.
pub(crate) fn request_of(node: &str) -> (KeyPair, String) {
    let key = KeyPair::generate(KeyType::P256).expect("a key");
    let csr = Csr::build(&key, &node.parse().expect("a name")).expect("a request");
    (key, csr.pem().to_owned())
}

impl Answer {
    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<ErrorCode> {
        serde_json::from_slice::<Problem>(&self.body).ok()?.code()
    }

    /// The answer as the agent's transport hands it on.
    pub(crate) fn raw(&self) -> RawAnswer {
        RawAnswer { status: self.status, headers: self.headers.clone(), body: self.body.clone() }
    }

    fn look(&self) {
        let text = String::from_utf8_lossy(&self.body);
        assert!(self.status < 500, "the Console failed: {} {text}", self.status);
        if self.status < 300 {
            return;
        }
        let code = self.refusal().unwrap_or_else(|| panic!("{} without a code: {text}", self.status));
        assert_eq!(code.status(), self.status, "{text}");
        let error = answer::expect_success(self.raw(), "console.example:1", now()).err().expect("a refusal");
        crate::answer::told(&error);
    }
}
