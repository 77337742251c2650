//! The server: accepts, shakes hands, and hands requests on, with a limit on everything that a client could drag out.
//!
//! Invariant: nothing that one client does or omits keeps the accept loop from the next. The handshake runs in the
//! connection's own task, under a deadline; so do heads, bodies and the connection as a whole.

mod client_cert;
mod crowd;
mod linger;
mod spoil;
pub mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::fmt::rfc2822::DateTimePrinter;
use telovix_contract::ErrorCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::api::{Peer, Stopping, problem_response};
use crate::clock::{Clock, timestamp};
use crate::config::Limits;
use crate::domain::Refusal;
use crate::fault::Cut;
use crate::fault::chaos::{Act, Chaos};
use crate::service::Console;
use crate::service::sensors::Verdict;
use crowd::Crowd;
use tls::{Door, TlsConfigs};

#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Whom the listener is for.
    pub door: Door,
    /// The TLS configurations; new ones count from the next connection on.
    pub tls: watch::Receiver<TlsConfigs>,
    /// The paths.
    pub router: Router,
    /// Where the `Date` header comes from.
    pub clock: Clock,
    /// What a client may drag out.
    pub limits: Arc<Limits>,
    /// What is to go wrong on purpose.
    pub chaos: Chaos,
    /// The Console, for what goes wrong with its sensors.
    pub console: Console,
}

/// Serves connections of this listener until `shutdown` is done, then lets running requests finish for a while.
pub(crate) async fn run(listener: TcpListener, server: Server, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(server.limits.connections));
    let crowd = Crowd::new(server.limits.connections_per_source);
    // Connections hold a receiver; when all are gone, the sender sees the channel closed.
    let (stop, stopping) = watch::channel(());
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (slot, accepted) = accepted => match accepted {
                Ok((stream, address)) => {
                    let Some(place) = crowd.enter(address.ip()) else {
                        tracing::debug!(%address, "an address has as many connections as it may");
                        continue;
                    };
                    let (server, stopping) = (server.clone(), stopping.clone());
                    tokio::spawn(async move {
                        connection(stream, address, server, stopping).await;
                        drop((slot, place));
                    });
                }
                Err(error) => {
                    // Out of descriptors, or a connection that was gone before it was taken: others go on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    drop(stopping);
    // No connection is left to hear it when this fails.
    let _ = stop.send(());
    if tokio::time::timeout(server.limits.shutdown, stop.closed()).await.is_err() {
        tracing::warn!("some connections were cut off at the end");
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    server: Server,
    mut stopping: watch::Receiver<()>,
) {
    // Without it an answer may wait for the client's acknowledgement; a platform that refuses is only slower.
    let _ = stream.set_nodelay(true);
    let usual = server.tls.borrow().of(server.door);
    let config = match server.chaos.strike_handshake() {
        None => usual,
        Some(which) => spoil::wrong_tls(&server.console, which).unwrap_or_else(|error| {
            tracing::error!(%error, "the certificate of a bad day cannot be made");
            usual
        }),
    };
    let acceptor = TlsAcceptor::from(config);
    let tls = match tokio::time::timeout(server.limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake took too long");
            return;
        }
    };
    let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = Peer { address, certificate: shown.map(|leaf| Arc::new(leaf.clone().into_owned())) };
    let life = server.limits.life;
    let limits = Arc::clone(&server.limits);
    let heard = Stopping::new(stopping.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(heard.clone());
        answer(request, peer.clone(), server.clone())
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_size)
        .max_headers(limits.head_fields)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(tls), service);
    let ended = tokio::time::timeout(life, async {
        tokio::select! {
            ended = &mut serving => ended,
            _ = stopping.changed() => {
                Pin::new(&mut serving).graceful_shutdown();
                (&mut serving).await
            }
        }
    });
    let answered = match ended.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a connection ended badly");
            error.is_parse()
        }
        Err(_) => {
            tracing::debug!(%address, "a connection was open too long");
            false
        }
    };
    // A server that stops has no time for it.
    if answered && !stopping.has_changed().unwrap_or(true) {
        linger::linger(serving.into_parts().io.into_inner()).await;
    }
}

/// Answers one request. An error here closes the connection without an answer, which only a fault under test wants.
async fn answer(mut request: Request<Incoming>, peer: Peer, server: Server) -> Result<Response<Body>, Cut> {
    if !names_one_host(&request) {
        let message = "The request has to name one host, in one Host field.";
        return Ok(problem_response(&Refusal::new(ErrorCode::InvalidRequest, message)));
    }
    if spoil::is_about_chaos(&server.chaos, request.uri().path(), peer.address) {
        return Ok(spoil::about_chaos(&server.chaos, request).await);
    }
    let act = server.chaos.strike(request.uri().path());
    let (console, certificate) =
        (&server.console, peer.certificate.as_ref().map(|leaf| leaf.as_ref().as_ref()));
    let mut offset = 0;
    let done = match &act {
        None | Some(Act::DropAfterCommit | Act::Truncate | Act::Certificate { .. }) => Ok(()),
        Some(Act::DropBeforeCommit) => return Err(Cut),
        Some(Act::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Ok(())
        }
        Some(Act::Status { status, retry_after }) => return Ok(spoil::status(*status, *retry_after)),
        Some(Act::Html) => return Ok(spoil::html()),
        Some(Act::Clock { offset_seconds }) => {
            offset = *offset_seconds;
            Ok(())
        }
        Some(Act::Revoke) => spoil::take_identity(console, certificate, Verdict::Revoke).await,
        Some(Act::Forget) => spoil::take_identity(console, certificate, Verdict::Delete).await,
        Some(Act::ForgetAll) => spoil::forget_all(console).await,
        Some(Act::ForgetEverything) => spoil::forget_everything(console).await,
    };
    if let Err(error) = done {
        tracing::error!(%error, ?act, "a bad day could not be had");
    }
    request.extensions_mut().insert(peer);
    let service = TowerToHyperService::new(server.router);
    let answered = tokio::time::timeout(server.limits.request, service.call(request)).await;
    let mut response = match answered {
        Ok(answered) => answered.unwrap_or_else(|never: Infallible| match never {}),
        Err(_) => {
            let message = "The request took too long; send it again, and faster.";
            problem_response(&Refusal::new(ErrorCode::RequestTimeout, message))
        }
    };
    if let Some(cut) = response.extensions().get::<Cut>() {
        return Err(*cut);
    }
    if act == Some(Act::DropAfterCommit) {
        return Err(Cut);
    }
    if act == Some(Act::Truncate) {
        response = spoil::truncated(response).await;
    }
    if let Some(date) = date(&server.clock, offset) {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response)
}

/// HTTP/1.1 names exactly one host (RFC 9112 section 3.2), so that nobody in between can have read another.
fn names_one_host(request: &Request<Incoming>) -> bool {
    match request.headers().get_all(header::HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        hosts => hosts == 1,
    }
}

/// The `Date` header of RFC 9110 section 5.6.7, from our own clock and so many seconds.
fn date(clock: &Clock, offset: i64) -> Option<HeaderValue> {
    let now = clock.now().saturating_add(offset);
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp(now)).ok()?;
    HeaderValue::from_str(&text).ok()
}
