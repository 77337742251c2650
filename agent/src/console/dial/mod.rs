//! The way to a TCP connection: look-up, connecting, and the proxy's tunnel. The one file that opens sockets.
//!
//! Invariant: every address of a name is tried within the time that connecting has, IPv6 and IPv4 in turn; and an address
//! that took the connection and then failed is tried last the next time.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::{ConsoleError, Phase, clean};
use super::reason::chain;
use super::resolve;
use crate::config::{ConsoleUrl, Proxy};

/// How long an attempt has a head start before the next address is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 64;
/// Most header lines of a proxy's answer.
const MOST_HEADERS: usize = 256;

/// Largest head of an answer, the proxy's or the Console's.
pub const MAX_HEAD: usize = 64 * 1024;

/// How long each phase of a call may take (docs/contract.md section 2).
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Name look-up.
    pub look_up: Duration,
    /// TCP, over all addresses.
    pub connect: Duration,
    /// The proxy's tunnel, where there is one.
    pub tunnel: Duration,
    /// TLS handshake.
    pub handshake: Duration,
    /// Sending the request; a part of the time that the answer has.
    pub request: Duration,
    /// From the handshake to the end of the answer's head.
    pub answer: Duration,
    /// The answer's body.
    pub body: Duration,
}

impl Deadlines {
    /// The same for every phase.
    pub fn all(limit: Duration) -> Self {
        Self {
            look_up: limit,
            connect: limit,
            tunnel: limit,
            handshake: limit,
            request: limit,
            answer: limit,
            body: limit,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { answer: seconds(30), body: seconds(15), ..Self::all(seconds(10)) }
    }
}

/// Where connections go: to the Console, or to the proxy before it.
pub(super) struct Route {
    url: ConsoleUrl,
    proxy: Option<Proxy>,
    /// What is going on, or went on last.
    phase: Mutex<Phase>,
    /// Addresses on which a call failed after they took the connection, the one that failed longest ago first.
    failed: Mutex<Vec<SocketAddr>>,
}

impl Route {
    pub(super) fn new(url: ConsoleUrl, proxy: Option<Proxy>) -> Self {
        resolve::prepare();
        Self { url, proxy, phase: Mutex::new(Phase::LookUp), failed: Mutex::new(Vec::new()) }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(super) fn url(&self) -> &ConsoleUrl {
        &self.url
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The addresses to connect to, in the order in which they are tried.
    pub(super) async fn resolve(&self, limit: Duration) -> Result<Vec<SocketAddr>, ConsoleError> {
        self.enter(Phase::LookUp);
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (self.url.host(), self.url.port()),
        };
        let found = timeout(limit, resolve::look_up(host, port)).await;
        match found.map_err(|_| self.late(Phase::LookUp, limit, host))? {
            Ok(found) if found.is_empty() => Err(self.unreachable(&format!("{host} has no address"), &[])),
            Ok(found) => Ok(in_turn(found, &self.failed())),
            Err(error) => Err(self.no_address(host, &error)),
        }
    }

    /// Connects, through the proxy where there is one. Also gives the address, for [`Route::note`].
    pub(super) async fn dial(&self, limits: &Deadlines) -> Result<(TcpStream, SocketAddr), ConsoleError> {
        let addresses = self.resolve(limits.look_up).await?;
        let tried = listed(&addresses);
        self.enter(Phase::Connect);
        let connecting = timeout(limits.connect, connect(addresses, limits.connect)).await;
        let (stream, address) = connecting
            .map_err(|_| self.late(Phase::Connect, limits.connect, tried.as_str()))?
            .map_err(|failed| {
                let causes: Vec<String> =
                    failed.iter().take(4).map(|(address, error)| format!("{address}: {error}")).collect();
                let errors: Vec<&io::Error> = failed.iter().map(|(_, error)| error).collect();
                self.unreachable(&causes.join("; "), &errors)
            })?;
        // Nothing is lost where the kernel does not take it.
        let _ = stream.set_nodelay(true);
        let Some(proxy) = &self.proxy else { return Ok((stream, address)) };
        self.enter(Phase::Tunnel);
        let asked = timeout(limits.tunnel, tunnel(stream, &self.url.authority(), proxy)).await;
        let stream = asked.map_err(|_| self.late(Phase::Tunnel, limits.tunnel, proxy)).and_then(|asked| {
            asked.map_err(|cause| ConsoleError::Proxy {
                proxy: proxy.to_string(),
                target: self.url.authority(),
                cause: clean(&cause, 300),
            })
        });
        stream.map(|stream| (stream, address)).inspect_err(|_| self.note(address, false))
    }

    /// Remembers how a call over a connection to this address ended.
    pub(super) fn note(&self, address: SocketAddr, worked: bool) {
        let mut failed = self.failed();
        failed.retain(|known| *known != address);
        if !worked {
            failed.truncate(MOST_ADDRESSES);
            failed.push(address);
        }
    }

    fn failed(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self, phase: Phase, limit: Duration, of: &(impl Display + ?Sized)) -> ConsoleError {
        let authority = self.url.authority();
        let of = of.to_string();
        let target = if authority.starts_with(&of) { authority } else { format!("{authority}: {of}") };
        ConsoleError::Deadline { target, phase, limit }
    }

    /// A failed look-up. A host without descriptors says of every name that it does not know it.
    fn no_address(&self, host: &str, met: &io::Error) -> ConsoleError {
        let own = tokio::net::TcpSocket::new_v4().err();
        let error = own.as_ref().unwrap_or(met);
        let cause = error.to_string();
        let cause = cause.strip_prefix("failed to lookup address information: ").unwrap_or(&cause);
        self.unreachable(&format!("cannot look up {host}: {cause}"), &[error])
    }

    fn unreachable(&self, cause: &str, errors: &[&io::Error]) -> ConsoleError {
        let target = self.url.authority();
        let any = |kinds: &[Errno]| {
            errors.iter().filter_map(|e| e.raw_os_error()).any(|e| kinds.contains(&Errno::from_raw(e)))
        };
        let cause = clean(cause, 300);
        let out = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN];
        if any(&out) {
            return ConsoleError::OutOfResources { target, cause };
        }
        if any(&[Errno::EPERM, Errno::EACCES]) {
            return ConsoleError::Forbidden { target, cause };
        }
        match &self.proxy {
            Some(proxy) => ConsoleError::Proxy { proxy: proxy.to_string(), target, cause },
            None => ConsoleError::Unreachable { target, cause },
        }
    }
}

/// IPv6 and IPv4 in turn, beginning as the system does (RFC 8305 section 4); those that failed lately last.
fn in_turn(found: Vec<SocketAddr>, failed: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut other) = (Vec::new(), Vec::new());
    for address in found {
        let of_its_kind = if address.is_ipv6() == first_is_v6 { &mut first } else { &mut other };
        if !of_its_kind.contains(&address) {
            of_its_kind.push(address);
        }
    }
    let mut other = other.into_iter();
    let mut ordered: Vec<SocketAddr> =
        first.into_iter().flat_map(|address| [Some(address), other.next()]).flatten().collect();
    ordered.extend(other);
    ordered.sort_by_key(|address| failed.iter().position(|known| known == address).map_or(0, |at| at + 1));
    ordered.truncate(MOST_ADDRESSES);
    ordered
}

/// The first of the addresses that takes a connection: each has a head start before the next one, unless it fails earlier.
async fn connect(
    addresses: Vec<SocketAddr>,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), Vec<(SocketAddr, io::Error)>> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    // The last one has half of the time.
    let head_start = HEAD_START.min(limit / count.saturating_mul(2).max(1));
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move { (address, open(address).await) });
        }
        let next = if waiting.len() > 0 {
            timeout(head_start, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match next {
            Ok(Some(Ok((address, Ok(stream))))) => return Ok((stream, address)),
            Ok(Some(Ok((address, Err(error))))) => failed.push((address, error)),
            // Nothing is left to wait for; or the head start is over, and the next one joins in.
            Ok(None) if waiting.len() == 0 => return Err(failed),
            Ok(None | Some(Err(_))) | Err(_) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that opens sockets")]
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

/// Asks the proxy for a tunnel (RFC 9110 section 9.3.6). Gives the same connection, or why it is none.
async fn tunnel(stream: TcpStream, target: &str, proxy: &Proxy) -> Result<TcpStream, String> {
    let failed = |error: hyper::Error| format!("it did not answer CONNECT: {}", chain(&error));
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let mut request =
        http::Request::builder().method(Method::CONNECT).uri(target).header(header::HOST, target);
    if let Some(value) = &proxy.authorization {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let asked = sender.send_request(request);
    let connection = connection.without_shutdown();
    tokio::pin!(asked, connection);
    let mut ended = None;
    let answer = tokio::select! {
        biased;
        answer = &mut asked => answer,
        parts = &mut connection => {
            ended = Some(parts);
            asked.await
        }
    };
    let status = answer.map_err(failed)?.status();
    if !status.is_success() {
        return Err(format!("it answered CONNECT with {status}"));
    }
    let parts = match ended {
        Some(parts) => parts,
        None => connection.await,
    };
    Ok(parts.map_err(failed)?.io.into_inner())
}

fn listed(addresses: &[SocketAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(4).map(|address| address.ip().to_string()).collect();
    let more = if addresses.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests;
