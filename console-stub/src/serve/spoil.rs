//! Carries out what [`crate::fault::chaos`] has in store.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::{Frame, Incoming};
use rustls::ServerConfig;
use telovix_contract::SensorId;
use telovix_contract::problem::ErrorCode;

use crate::api::problem_response;
use crate::ca::Authority;
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::domain::listing::SensorFilter;
use crate::domain::page::Piece;
use crate::fault::Cut;
use crate::fault::chaos::{Chaos, Wrong};
use crate::serve::tls::{self, TlsError};
use crate::service::sensors::Verdict;
use crate::service::{Console, ServiceError};

/// Where a server that has bad days tells of them and takes other rules: `GET` and `POST`, from loopback only.
pub(super) const PATH: &str = "/chaos";
/// Largest set of rules.
const LARGEST: usize = 1024 * 1024;
/// How long an expired certificate has been expired, in seconds: a day.
const LONG_AGO: i64 = 24 * 3600;

/// An answer with this status, and nothing that an agent could take for ours.
pub(super) fn status(status: u16, retry_after: Option<u32>) -> Response<Body> {
    let mut response = Response::new(Body::from("chaos"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(super) fn html() -> Response<Body> {
    let mut response = Response::new(Body::from("<!doctype html><title>Sign in to the network</title>"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// The same answer, whose body breaks off half-way.
pub(super) async fn truncated(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    Response::from_parts(parts, Body::new(Half(Some(whole.slice(..whole.len() / 2)))))
}

/// Some bytes, and then a failure that closes the connection.
struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or(Cut)))
    }
}

pub(super) fn is_about_chaos(chaos: &Chaos, path: &str, from: SocketAddr) -> bool {
    chaos.is_armed() && path == PATH && from.ip().to_canonical().is_loopback()
}

/// Tells the rules, or takes others.
pub(super) async fn about_chaos(chaos: &Chaos, request: Request<Incoming>) -> Response<Body> {
    let taken = match *request.method() {
        Method::GET => Ok(()),
        Method::POST => match Limited::new(request.into_body(), LARGEST).collect().await {
            Ok(body) => chaos.replace(&body.to_bytes()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
        _ => {
            let message = "Use GET to see the rules and POST to replace them.";
            return problem_response(&Refusal::new(ErrorCode::MethodNotAllowed, message));
        }
    };
    if let Err(problem) = taken {
        return problem_response(&Refusal::new(ErrorCode::InvalidRequest, problem));
    }
    tracing::warn!("the rules of the chaos were asked for or replaced");
    let mut response = Response::new(Body::from(chaos.left()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A configuration that shows a certificate which no host may accept.
pub(super) fn wrong_tls(console: &Console, which: Wrong) -> Result<Arc<ServerConfig>, TlsError> {
    let unfit = |error: &dyn std::fmt::Display| TlsError::Unfit(error.to_string());
    let now = console.now();
    let authority = match which {
        Wrong::OtherCa => Arc::new(Authority::temporary(now).map_err(|error| unfit(&error))?),
        Wrong::OtherName | Wrong::Expired => console.authority().map_err(|error| unfit(&error))?,
    };
    let made = match which {
        Wrong::OtherCa => authority.server().map(|server| (server.chain.clone(), server.key())),
        Wrong::OtherName => Some(authority.passing_server("other.invalid", None).map_err(|e| unfit(&e))?),
        Wrong::Expired => {
            let names = authority.passing_server("localhost", Some(now - LONG_AGO));
            Some(names.map_err(|error| unfit(&error))?)
        }
    };
    let (chain, key) = made.ok_or(TlsError::NoCertificate)?;
    tls::plain_config(chain, key, console.clock())
}

/// Takes the identity from the sensor that holds this certificate.
pub(super) async fn take_identity(
    console: &Console,
    certificate: Option<&[u8]>,
    verdict: Verdict,
) -> Result<(), ServiceError> {
    let Some(certificate) = certificate else { return Ok(()) };
    match console.holder(certificate).await? {
        Some(sensor) => console.judge_sensor(sensor, verdict, chaos()).await,
        None => Ok(()),
    }
}

pub(super) async fn forget_all(console: &Console) -> Result<(), ServiceError> {
    let everybody = || SensorFilter { decommissioned: true, ..SensorFilter::default() };
    loop {
        let page = console.list_sensors(everybody(), Piece::default()).await?;
        if page.rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<SensorId> = page.rows.iter().map(|row| row.sensor_id).collect();
        for id in ids {
            console.judge_sensor(id, Verdict::Delete, chaos()).await?;
        }
    }
}

/// The same, and every token with it.
pub(super) async fn forget_everything(console: &Console) -> Result<(), ServiceError> {
    forget_all(console).await?;
    console.forget_tokens(chaos()).await
}

/// As whom the audit log names these.
fn chaos() -> Origin {
    Origin { user_agent: Some("chaos".to_owned()), ..Origin::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is not on this machine cannot even learn that there are bad days.
    #[test]
    fn only_this_machine_is_heard_about_chaos() {
        let armed = Chaos::parse(b"[]").unwrap();
        let about =
            |chaos: &Chaos, path: &str, from: &str| is_about_chaos(chaos, path, from.parse().unwrap());
        for near in ["127.0.0.1:9", "127.9.9.9:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(about(&armed, PATH, near), "{near}");
            assert!(!about(&Chaos::default(), PATH, near) && !about(&armed, "/chaos/", near), "{near}");
        }
        for far in ["192.0.2.1:9", "10.0.0.1:9", "0.0.0.0:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9"] {
            assert!(!about(&armed, PATH, far), "{far}");
        }
    }
}
