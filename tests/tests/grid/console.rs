//! A Console that keeps the contract, but for one kind of answer.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use aws_lc_rs::aead;
use jiff::SignedDuration;
use rustls::{ConnectionTrafficSecrets, ServerConfig};
use serde_json::json;
use telovix_agent::clock::{self, Clock};
use telovix_contract::{ErrorCode, Problem, paths};
use telovix_tests::http1::{self, reason};
use telovix_tests::pki::{Ca, Leaf, ServerIdentity};
use telovix_tests::rogue::server_config;
use telovix_tests::serving::{LOOPBACK, Serving};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::cells::{Bad, Body, Call, Length, Moment};
use super::rules::{Memory, Rules};

pub(crate) struct Console {
    serving: Serving,
    shared: Arc<Shared>,
}

struct Shared {
    ca: Ca,
    honest: TlsAcceptor,
    /// Asks for no client certificate.
    proxied: TlsAcceptor,
    /// Of another CA.
    impostor: TlsAcceptor,
    expired: TlsAcceptor,
    state: Mutex<State>,
    stalled: watch::Sender<bool>,
}

struct State {
    rules: Rules,
    call: Call,
    /// What comes, with which connection the call for it comes, and for how long.
    bad: Option<(Bad, usize, Length)>,
    connections: usize,
    /// The connection that the call came with first.
    called: Option<usize>,
    struck: bool,
    over: Option<Instant>,
    accepted: usize,
}

impl Console {
    pub(crate) fn start() -> Self {
        let ca = Ca::root("Grid");
        let names = ["127.0.0.1"];
        let shared = Arc::new(Shared {
            honest: acceptor(&server_config(ca.server(&names))),
            proxied: acceptor(&without_client_auth(ca.server(&names))),
            impostor: acceptor(&server_config(Ca::root("Grid").server(&names))),
            expired: acceptor(&server_config(ca.server_on(&Leaf::server(&names).expired()))),
            ca,
            state: Mutex::new(State::new(Call::Heartbeat, None, Memory::default(), clock::system())),
            stalled: watch::Sender::new(false),
        });
        let serve = Arc::clone(&shared);
        let serving = Serving::start(LOOPBACK, move |stream| {
            let shared = Arc::clone(&serve);
            async move {
                // A connection that ends early is what half of the cells are about.
                let _ = shared.connection(stream).await;
            }
        });
        Self { serving, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.serving.address())
    }

    pub(crate) fn ca_pem(&self) -> &str {
        self.shared.ca.pem()
    }

    /// From now on it remembers this, and gives this call the bad answer when it comes with this connection.
    pub(crate) fn arm(&self, call: Call, bad: Option<(Bad, usize, Length)>, memory: Memory, clock: Clock) {
        self.shared.stalled.send_replace(false);
        *self.shared.lock() = State::new(call, bad, memory, clock);
    }

    /// From now on it is honest, and remembers this.
    pub(crate) fn be_honest(&self, memory: Memory, clock: Clock) {
        let mut state = self.shared.lock();
        (state.bad, state.accepted) = (None, 0);
        (state.rules.memory, state.rules.clock) = (memory, clock);
    }

    pub(crate) fn memory(&self) -> Memory {
        self.shared.lock().rules.memory.clone()
    }

    /// The connection that the call came with first.
    pub(crate) fn called(&self) -> Option<usize> {
        self.shared.lock().called
    }

    pub(crate) fn has_struck(&self) -> bool {
        self.shared.lock().struck
    }

    /// Since when the bad answer is over and the Console is honest.
    pub(crate) fn honest_since(&self) -> Option<Instant> {
        self.shared.lock().over
    }

    /// Whether it has answered a call over mutual TLS by 2xx since the bad answer.
    pub(crate) fn accepts(&self) -> bool {
        self.shared.lock().accepted > 0
    }

    /// Waits until somebody waits for it in vain.
    pub(crate) async fn stalls(&self) {
        let mut stalled = self.shared.stalled.subscribe();
        stalled.wait_for(|stalled| *stalled).await.expect("this Console holds the other end");
    }

    pub(crate) fn stall_is_over(&self) {
        self.shared.stalled.send_replace(false);
    }
}

impl State {
    fn new(call: Call, bad: Option<(Bad, usize, Length)>, memory: Memory, clock: Clock) -> Self {
        let rules = Rules::new(memory, clock, call);
        Self { rules, call, bad, connections: 0, called: None, struck: false, over: None, accepted: 0 }
    }

    /// What comes instead of the answer to a request to this path.
    fn late(&self, path: &str) -> Option<Bad> {
        let (bad, _, length) = self.bad?;
        let comes = !bad.is_early() && (!self.struck || length != Length::Once) && path == self.call.path();
        comes.then_some(bad)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no connection panicked")
    }

    async fn connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let (number, bad, is_late) = {
            let mut state = self.lock();
            state.connections += 1;
            let early = state.bad.filter(|(bad, at, length)| {
                bad.is_early() && (*at == state.connections || (*length != Length::Once && state.struck))
            });
            (state.connections, early.map(|(bad, ..)| bad), state.call == Call::TimeQuestion && !state.struck)
        };
        let mut acceptor = if is_late { &self.expired } else { &self.honest };
        match bad {
            Some(Bad::Cut(Moment::Connected) | Bad::Stall(Moment::Connected)) => {
                return self.fall_silent(bad, stream).await;
            }
            Some(Bad::EarlyAlert(alert)) => {
                // After the client's hello, or it were an answer to nothing.
                stream.readable().await?;
                self.lock().struck = true;
                stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await?;
                let done = drain(&mut stream).await;
                return self.strike(done);
            }
            Some(Bad::OtherCa) => acceptor = &self.impostor,
            Some(Bad::NotRequested(_)) => acceptor = &self.proxied,
            Some(_) | None => {}
        }
        if bad == Some(Bad::OtherCa) {
            self.lock().struck = true;
            let done = acceptor.accept(stream).await;
            // Who verifies nobody, to ask the time, is answered.
            let done = match done {
                Ok(tls) => self.exchange(tls, number, None).await,
                Err(_) => Ok(()),
            };
            return self.strike(done);
        }
        let tls = acceptor.accept(stream).await?;
        if let Some(Bad::SealedAlert(alert)) = bad {
            self.lock().struck = true;
            let done = seal(tls, alert).await;
            return self.strike(done);
        }
        self.exchange(tls, number, bad).await
    }

    async fn exchange(
        &self,
        mut tls: TlsStream<TcpStream>,
        number: usize,
        bad: Option<Bad>,
    ) -> std::io::Result<()> {
        let peer = tls.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
        let Some(request) = http1::read(&mut tls).await? else { return Ok(()) };
        let bad = bad.or_else(|| self.lock().late(request.word(1)));
        if let Some(Bad::Cut(Moment::Requested) | Bad::Stall(Moment::Requested)) = bad {
            return self.fall_silent(bad, tls).await;
        }
        let (head, body) = self.answer(&request, peer.as_deref(), number, bad);
        match bad {
            Some(Bad::Cut(Moment::Done) | Bad::Stall(Moment::Done)) => {
                return self.fall_silent(bad, tls).await;
            }
            Some(Bad::Cut(_) | Bad::Stall(_)) => {
                tls.write_all(format!("{head}{}", &body[..body.len() / 2]).as_bytes()).await?;
                tls.flush().await?;
                return self.fall_silent(bad, tls).await;
            }
            Some(_) | None => tls.write_all(format!("{head}{body}").as_bytes()).await?,
        }
        let done = tls.shutdown().await;
        if bad.is_some() { self.strike(done) } else { done }
    }

    /// Head and body.
    fn answer(
        &self,
        request: &http1::Message,
        peer: Option<&[u8]>,
        number: usize,
        bad: Option<Bad>,
    ) -> (String, String) {
        let mut state = self.lock();
        let path = request.word(1);
        if path == state.call.path() {
            state.called.get_or_insert(number);
        }
        let refusal =
            if let Some(Bad::NotRequested(code)) = bad { code } else { ErrorCode::InvalidSensorTrust };
        let mut date = Some(clock::now(&state.rules.clock));
        let mut kind = "application/json";
        let status;
        let text = if let Some(Bad::Answer { status: instead, body }) = bad {
            (status, date) = (instead, None);
            match body {
                Body::Honest => state.rules.answer(&self.ca, request, peer, refusal).1.to_string(),
                Body::Problem(code) => json!(Problem::new(code, "Once.")).to_string(),
                Body::Foreign => json!({"error": "Forbidden", "request_id": 1}).to_string(),
                Body::Html => {
                    kind = "text/html";
                    "<html><body>Sorry.</body></html>".to_owned()
                }
                Body::Empty => String::new(),
            }
        } else {
            let (honest, mut answer) = state.rules.answer(&self.ca, request, peer, refusal);
            status = honest;
            if bad == Some(Bad::TrustRevoked) {
                answer["trust_state"] = "trust_revoked".into();
            }
            answer.to_string()
        };
        if bad == Some(Bad::FutureDate) {
            date = date.map(|now| now + SignedDuration::from_hours(24 * 365));
        }
        let mutual = [paths::HEARTBEAT, paths::RENEW].contains(&path);
        state.accepted += usize::from(bad.is_none() && state.struck && mutual && status == 200);
        // It is honest from here on, whoever is faster.
        state.struck |= bad.is_some();
        let date = date.map(|date| format!("date: {}\r\n", date.strftime("%a, %d %b %Y %H:%M:%S GMT")));
        let (reason, date, length) = (reason(status), date.unwrap_or_default(), text.len());
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\n{date}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        (head, text)
    }

    async fn fall_silent(&self, bad: Option<Bad>, stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
        if let Some(Bad::Cut(_)) = bad { self.strike(Ok(())) } else { self.stall(stream).await }
    }

    /// The bad answer is over.
    fn strike(&self, done: std::io::Result<()>) -> std::io::Result<()> {
        let mut state = self.lock();
        state.struck = true;
        state.over.get_or_insert_with(Instant::now);
        done
    }

    /// Says nothing more until the other side has had enough.
    async fn stall(&self, mut stream: impl AsyncRead + Unpin) -> std::io::Result<()> {
        self.lock().struck = true;
        self.stalled.send_replace(true);
        let done = drain(&mut stream).await;
        self.strike(done)
    }
}

/// Reads until the other side hangs up.
async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// Sends an alert under the server's keys (RFC 8446 section 5.2), which the library sends for reasons of its own alone.
async fn seal(tls: TlsStream<TcpStream>, alert: u8) -> std::io::Result<()> {
    let (mut stream, session) = tls.into_inner();
    let secrets = session.dangerous_extract_secrets().expect("its configuration allows it");
    let (sequence, secrets) = secrets.tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("the first suite of both sides")
    };
    let mut nonce: [u8; 12] = iv.as_ref().try_into().expect("twelve bytes");
    for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
        *byte ^= number;
    }
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).expect("a key of that length");
    let mut sealed = vec![2, alert, 21];
    let header = [23, 3, 3, 0, 19];
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let sealing =
        aead::LessSafeKey::new(key).seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut sealed);
    sealing.expect("three bytes can be sealed");
    stream.write_all(&[header.as_slice(), &sealed].concat()).await?;
    drain(&mut stream).await
}

fn acceptor(config: &ServerConfig) -> TlsAcceptor {
    let mut config = config.clone();
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    TlsAcceptor::from(Arc::new(config))
}

fn without_client_auth(identity: ServerIdentity) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("aws-lc-rs has them").with_no_client_auth();
    config.with_single_cert(identity.chain, identity.key).expect("the key belongs to the certificate")
}
