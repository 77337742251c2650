//! An impolite client for a Console: raw requests over TLS, with or without a client certificate, one or hundreds at
//! once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http1;

/// Longest that one call may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of a refusal; empty where there is none.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// Where to, whom to trust, and as whom. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Client {
    /// Calls this address and trusts this CA bundle. Has no certificate of its own.
    pub fn new(address: SocketAddr, ca_pem: &str) -> Self {
        Self { address, name: ServerName::from(address.ip()), config: config(ca_pem, None) }
    }

    /// The same with a client certificate (leaf first) and its key, both in PEM.
    pub fn with_identity(address: SocketAddr, ca_pem: &str, cert_pem: &str, key_pem: &str) -> Self {
        let name = ServerName::from(address.ip());
        Self { address, name, config: config(ca_pem, Some((cert_pem, key_pem))) }
    }

    /// Where it calls.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same in a handshake that asks for another server name.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name.try_into().expect("a server name");
        self
    }

    /// Sends JSON and waits for the answer, without a runtime around it.
    pub fn post(&self, path: &str, body: &Value) -> io::Result<Answer> {
        block_on(self.call(
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        ))
    }

    /// Asks and waits for the answer, without a runtime around it.
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        block_on(self.call("GET", path, &[], b""))
    }

    /// Sends all these bodies at the same moment, each over a connection of its own that was opened beforehand; the
    /// answers come in the order of the bodies.
    pub fn post_all_at_once(&self, path: &str, bodies: Vec<Value>) -> Vec<Answer> {
        let barrier = Arc::new(tokio::sync::Barrier::new(bodies.len()));
        block_on(async {
            let calls: Vec<_> = bodies
                .into_iter()
                .map(|body| {
                    let (client, path, barrier) = (self.clone(), path.to_owned(), Arc::clone(&barrier));
                    tokio::spawn(async move {
                        let mut stream = client.connect().await?;
                        barrier.wait().await;
                        let headers = [("content-type", "application/json")];
                        exchange(&mut stream, "POST", &path, &headers, body.to_string().as_bytes()).await
                    })
                })
                .collect();
            let mut answers = Vec::with_capacity(calls.len());
            for call in calls {
                answers.push(call.await.expect("no panic").expect("an answer"));
            }
            answers
        })
    }

    /// One call on a connection of its own.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let whole = async {
            let mut stream = self.connect().await?;
            exchange(&mut stream, method, path, headers, body).await
        };
        tokio::time::timeout(DEADLINE, whole).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
    }
}

async fn exchange(
    stream: &mut tokio_rustls::client::TlsStream<TcpStream>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: console\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await?;
    stream.flush().await?;
    let answer = http1::read(stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = answer.word(1).parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Answer { status, headers: answer.headers, body: answer.body })
}

fn config(ca_pem: &str, identity: Option<(&str, &str)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(der.expect("PEM")).expect("a CA certificate");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain =
                CertificateDer::pem_slice_iter(cert.as_bytes()).map(|der| der.expect("PEM")).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key in PEM");
            builder.with_client_auth_cert(chain, key).expect("the key belongs to the certificate")
        }
    })
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}
