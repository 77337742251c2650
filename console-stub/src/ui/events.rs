//! Server-sent events (HTML standard, section 9.2): a token's line turns from waiting to enrolled by itself, and lists hear
//! that there is something new.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use http_body_util::channel::Channel;
use serde::Serialize;
use telovix_contract::states::{TokenStatus, TokenType};

use super::page::Oops;
use super::visitor::{named, opened};
use crate::api::{Api, Stopping};
use crate::domain::role::Act;
use crate::domain::token::TokenId;
use crate::service::overview::TokenStory;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks before the stream ends; the browser comes again, and its session is checked again.
const LOOKS: u32 = 30;

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// `waiting`, `enrolled` or `ended`.
    state: &'static str,
    says: String,
    over: bool,
}

pub(super) async fn of_token(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let stopping = request.extensions().get::<Stopping>().cloned();
    opened(&api, request, Act::ReadTokens).await?;
    let id: TokenId = named(&id, "token")?;
    api.console.token(id).await?;
    Ok(stream(stopping, move || {
        let console = api.console.clone();
        async move {
            let line = line(&console.token(id).await.ok()?);
            let json = serde_json::to_string(&line).expect("a line of texts is JSON");
            Some((format!("event: story\ndata: {json}\n\n"), line.over))
        }
    }))
}

/// The stream that tells an open page when there may be something new to see. It says no more than that; the page then asks
/// for itself again, under the role that it is looked at with.
pub(super) async fn of_news(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let stopping = request.extensions().get::<Stopping>().cloned();
    opened(&api, request, Act::ReadSensors).await?;
    Ok(stream(stopping, move || {
        let console = api.console.clone();
        async move {
            let stamp = console.stamp_of_news().await.ok()?;
            Some((format!("event: news\ndata: {stamp}\n\n"), false))
        }
    }))
}

/// Says what `look` gives, an event and whether it is the last, each time that it is another.
fn stream<L, F>(mut stopping: Option<Stopping>, mut look: L) -> Response
where
    L: FnMut() -> F + Send + 'static,
    F: Future<Output = Option<(String, bool)>> + Send,
{
    let (mut sender, body) = Channel::<Bytes, axum::Error>::new(1);
    tokio::spawn(async move {
        let mut last = None;
        for _ in 0..LOOKS {
            let Some((event, over)) = look().await else { return };
            // A comment keeps the stream alive and finds out that nobody listens any more.
            let same = last.as_ref() == Some(&event);
            let text = if same { ":\n\n".to_owned() } else { format!("retry: 1000\n{event}") };
            last = Some(event);
            if sender.send_data(text.into()).await.is_err() || over {
                return;
            }
            let stop = async {
                match &mut stopping {
                    Some(stopping) => stopping.wait().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop => return,
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

fn line(story: &TokenStory) -> Line {
    let newest = story.enrolled.first().map(|(_, name)| name.as_str());
    let (state, says, over) = match (story.token.status, newest) {
        (TokenStatus::Used, name) => ("enrolled", format!("Enrolled: {}.", name.unwrap_or("the host")), true),
        (TokenStatus::Expired, _) => ("ended", "The token has expired; make another one.".to_owned(), true),
        (TokenStatus::Revoked, _) => ("ended", "The token was revoked.".to_owned(), true),
        (TokenStatus::Pending, Some(name)) => (
            "enrolled",
            format!("Enrolled so far: {}; the last one is {name}.", story.token.node_count),
            false,
        ),
        (TokenStatus::Pending, None) if story.token.reserved_at.is_some() => {
            ("waiting", "The host has come and waits for an operator's approval.".to_owned(), false)
        }
        (TokenStatus::Pending, None) => {
            let whom = if story.token.kind == TokenType::Once { "the host" } else { "the first node" };
            ("waiting", format!("Waiting for {whom}."), false)
        }
    };
    Line { state, says, over }
}
