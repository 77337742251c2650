//! What can be asked for, and how it is answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use telovix_contract::clean;
use telovix_contract::problem::{ErrorCode, Problem};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::ControlRequest;
use crate::clock::{self, Clock};
use crate::confine;
use crate::machine::Report;
use crate::machine::{CommandResult, Urgency};
use crate::metrics::{self, Metrics};

/// Largest body that anybody may send.
pub(super) const LARGEST_BODY: usize = 4 * 1024;
/// Most characters of a line of plain text.
const LONGEST_LINE: usize = 1000;
/// How long a body may take.
const BODY: Duration = Duration::from_secs(5);
/// How long the daemon may take to say that it lives.
const PULSE: Duration = Duration::from_secs(2);
/// How long a command may take: a renewal is three calls at their longest.
const COMMAND: Duration = Duration::from_secs(150);

/// What the routes work with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) clock: Clock,
    pub(super) report: watch::Receiver<Report>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ask: mpsc::Sender<ControlRequest>,
    /// Goes into the report, so that nobody takes one agent's for another's.
    pub(super) state_dir: PathBuf,
}

/// What can be seen through a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    Control,
    /// Probes and metrics.
    Health,
}

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(request: Request<Incoming>, context: &Context, scope: Scope) -> Answer {
    let (head, body) = request.into_parts();
    let looks = head.method == Method::GET || head.method == Method::HEAD;
    let acts = head.method == Method::POST;
    match (head.uri.path(), scope) {
        ("/livez", _) if looks => live(context).await,
        ("/readyz", _) if looks => ready(context),
        ("/metrics", _) if looks => text(StatusCode::OK, metrics::CONTENT_TYPE, context.metrics.render()),
        ("/status", Scope::Control) if looks => json(StatusCode::OK, &report(context)),
        ("/renew", Scope::Control) if acts => match (urgency(head.uri.query()), swallow(body).await) {
            (Some(urgency), Ok(())) => {
                command(context, |answer| ControlRequest::Renew { urgency, answer }).await
            }
            (None, _) => refuse(ErrorCode::InvalidRequest, "the only parameter is force=true or force=false"),
            (_, Err(refusal)) => *refusal,
        },
        ("/decommission", Scope::Control) if acts => match swallow(body).await {
            Ok(()) => command(context, |answer| ControlRequest::Decommission { answer }).await,
            Err(refusal) => *refusal,
        },
        ("/livez" | "/readyz" | "/metrics", _) | ("/status", Scope::Control) => wrong_method("GET, HEAD"),
        ("/renew" | "/decommission", Scope::Control) => wrong_method("POST"),
        (_, Scope::Control | Scope::Health) => refuse(
            ErrorCode::NotFound,
            "there are /livez, /readyz and /metrics, and /status, /renew and /decommission on the control socket",
        ),
    }
}

fn report(context: &Context) -> Report {
    Report {
        state_dir: Some(context.state_dir.clone()),
        agent_running: Some(true),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        as_of: Some(clock::now(&context.clock)),
        confinement: confine::in_force().map(ToString::to_string),
        ..context.report.borrow().clone()
    }
}

/// The process works, and its main loop answers.
async fn live(context: &Context) -> Answer {
    let (answer, heard) = oneshot::channel();
    let asked = timeout(PULSE, async {
        context.ask.send(ControlRequest::Ping { answer }).await.is_ok() && heard.await.is_ok()
    });
    match asked.await {
        Ok(true) => plain(StatusCode::OK, "ok"),
        Ok(false) => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping"),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent's main loop does not answer"),
    }
}

/// Enrolled, accepted, in force.
fn ready(context: &Context) -> Answer {
    match context.report.borrow().readiness(clock::now(&context.clock)) {
        Ok(()) => plain(StatusCode::OK, "ready"),
        Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// Hands a command to the daemon and waits for its end.
async fn command(
    context: &Context,
    request: impl FnOnce(oneshot::Sender<CommandResult>) -> ControlRequest,
) -> Answer {
    let (answer, heard) = oneshot::channel();
    // Commands that pile up are turned away, so that those who only look still get in.
    if context.ask.try_send(request(answer)).is_err() {
        return refuse(ErrorCode::NotReady, "the agent is busy with other requests or stopping; ask again");
    }
    match timeout(COMMAND, heard).await {
        Ok(Ok(ended)) => json(status_of(&ended), &ended),
        Ok(Err(_)) => refuse(ErrorCode::NotReady, "the agent stopped before the command came to an end"),
        Err(_) => refuse(
            ErrorCode::RequestTimeout,
            "the command has not come to an end; the agent goes on with it, and `telovix-agent status` shows how far",
        ),
    }
}

fn status_of(answer: &CommandResult) -> StatusCode {
    match answer {
        CommandResult::Renewed { .. }
        | CommandResult::NotDue { .. }
        | CommandResult::Decommissioned { .. } => StatusCode::OK,
        CommandResult::CannotRenew { .. } => StatusCode::CONFLICT,
        CommandResult::RenewFailed(_) => StatusCode::BAD_GATEWAY,
    }
}

fn urgency(query: Option<&str>) -> Option<Urgency> {
    match query.unwrap_or_default() {
        "" | "force=false" => Some(Urgency::WhenDue),
        "force=true" => Some(Urgency::Now),
        _ => None,
    }
}

/// Reads a body to its end and forgets it: nothing here takes one.
async fn swallow(body: Incoming) -> Result<(), Box<Answer>> {
    match timeout(BODY, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Box::new(refuse(ErrorCode::PayloadTooLarge, "nothing here takes a body")))
        }
        Ok(Err(_)) => Err(Box::new(refuse(ErrorCode::InvalidRequest, "the body broke off"))),
        Err(_) => Err(Box::new(refuse(ErrorCode::RequestTimeout, "the body did not come"))),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = refuse(ErrorCode::MethodNotAllowed, "this path does not take that method");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn refuse(code: ErrorCode, message: &str) -> Answer {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &Problem::new(code, message))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => text(status, "application/json", body),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// One line.
fn plain(status: StatusCode, line: &str) -> Answer {
    text(status, "text/plain; charset=utf-8", format!("{}\n", clean(line, LONGEST_LINE)))
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
