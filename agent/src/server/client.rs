//! The other end of the control socket, for the commands.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use telovix_contract::problem::Problem;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::console::error::clean;
use crate::machine::Report;
use crate::machine::{CommandResult, Urgency};

/// Largest answer.
const LARGEST: usize = 1024 * 1024;
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(3);
/// How long a command may take: somewhat longer than the daemon's own limit.
const COMMAND: Duration = Duration::from_secs(170);
/// How long a retirement may take: the five seconds that the daemon gives the Console, and a breath. A shutdown waits for
/// it (docs/contract.md section 3).
const RETIREMENT: Duration = Duration::from_secs(8);

/// Speaks to the daemon behind a control socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Why the daemon was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers at {}", .0.display())]
    Absent(PathBuf),
    /// The socket's mode keeps us out.
    #[error("the agent's control socket {} may only be used by its owner: {cause}", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// The conversation broke off.
    #[error("the agent at {} did not answer: {cause}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
    /// It refused.
    #[error("the agent refused: {0}")]
    Refused(String),
}

impl Client {
    /// For the daemon behind this socket.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it stands.
    pub async fn status(&self) -> Result<Report, ClientError> {
        self.ask(Method::GET, "/status", LOOK).await
    }

    /// Whether it lives.
    ///
    /// # Errors
    /// [`ClientError`]; one that does not is [`ClientError::Refused`], with the reason.
    pub async fn live(&self) -> Result<(), ClientError> {
        let (status, body) = self.call(Method::GET, "/livez", LOOK).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(ClientError::Refused(clean(&String::from_utf8_lossy(&body), 300)))
    }

    /// Has the certificate renewed, and waits for it.
    pub async fn renew(&self, urgency: Urgency) -> Result<CommandResult, ClientError> {
        let path = match urgency {
            Urgency::WhenDue => "/renew",
            Urgency::Now => "/renew?force=true",
        };
        self.ask(Method::POST, path, COMMAND).await
    }

    /// Has this node retired, and waits for it.
    pub async fn decommission(&self) -> Result<CommandResult, ClientError> {
        self.ask(Method::POST, "/decommission", RETIREMENT).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &'static str,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let (status, body) = self.call(method, path, limit).await?;
        self.read(status, &body)
    }

    async fn call(
        &self,
        method: Method,
        path: &'static str,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|cause| {
            let is = |kinds: &[io::ErrorKind]| kinds.contains(&cause.kind());
            if is(&[io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]) {
                ClientError::Absent(self.path.clone())
            } else if is(&[io::ErrorKind::PermissionDenied]) {
                ClientError::Denied { path: self.path.clone(), cause }
            } else {
                self.broken(&cause)
            }
        })?;
        match timeout(limit, self.exchange(stream, method, path)).await {
            Ok(done) => done,
            Err(_) => Err(self.broken(&format!("it took longer than {} s", limit.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        method: Method,
        path: &'static str,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let shaken = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.broken(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .body(Empty::new())
            .expect("method, path and header are valid by type");
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            Ok((status, body.map_err(|error| self.broken(&error))?.to_bytes()))
        };
        tokio::select! {
            done = exchange => done,
            // It ends before the exchange only where there is no answer to come.
            Err(error) = connection => Err(self.broken(&error)),
        }
    }

    /// An answer of the kind that was asked for, whatever its status; else a refusal.
    fn read<T: DeserializeOwned>(&self, status: StatusCode, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => ClientError::Refused(clean(&problem.message, 300)),
            Err(_) => self.broken(&format!("{status}, {}", clean(&error.to_string(), 200))),
        })
    }

    fn broken(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken { path: self.path.clone(), cause: cause.to_string() }
    }
}
