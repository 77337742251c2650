//! Enrollment tokens: the list, one token and who came with it, revoking one.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use telovix_contract::states::{TokenStatus, TokenType};

use super::page::{Frame, Oops, ok, show as page_of, status_of};
use super::sensor::Confirm;
use super::visitor::{Visitor, named, opened, posted};
use super::words::{self, Choice, choices};
use crate::api::Api;
use crate::domain::Refusal;
use crate::domain::listing::TokenFilter;
use crate::domain::role::Act;
use crate::domain::token::TokenId;
use crate::service::overview::TokenStory;
use crate::service::tokens::TokenView;

#[derive(Template)]
#[template(path = "tokens.html")]
struct Page {
    frame: Frame,
    cluster_id: String,
    statuses: Vec<Choice>,
    kinds: Vec<Choice>,
    rows: Vec<TokenView>,
    next: Option<String>,
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::ReadTokens).await?;
    let cluster = asked.text("cluster_id").map(|name| name.parse()).transpose();
    let filter = TokenFilter {
        status: asked.word("status", TokenStatus::from_word)?,
        kind: asked.word("type", TokenType::from_word)?,
        cluster_id: cluster.map_err(|error| Refusal::field("cluster_id", error))?,
    };
    let page = api.console.list_tokens(filter, asked.piece()?).await?;
    let done = asked.text("done");
    Ok(ok(&Page {
        frame: Frame::new("Enrollment tokens", "/ui/tokens", &visitor).noting(words::done(done.as_deref())),
        cluster_id: asked.shown("cluster_id"),
        statuses: choices(TokenStatus::ALL.iter().map(|it| it.as_str()), &asked.shown("status")),
        kinds: choices(TokenType::ALL.iter().map(|it| it.as_str()), &asked.shown("type")),
        next: asked.next("/ui/tokens", page.next.as_ref()),
        rows: page.rows,
    }))
}

#[derive(Template)]
#[template(path = "token.html")]
struct OnePage {
    frame: Frame,
    story: TokenStory,
    pending: bool,
    left: i64,
}

pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ReadTokens).await?;
    let story = api.console.token(named(&id, "token")?).await?;
    Ok(ok(&OnePage {
        frame: Frame::new("Token", "/ui/tokens", &visitor),
        pending: story.token.status == TokenStatus::Pending,
        left: story.token.expires_at.as_second() - api.console.now(),
        story,
    }))
}

pub(super) async fn confirm(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ManageTokens).await?;
    let story = api.console.token(named(&id, "token")?).await?;
    Ok(ok(&asking(&visitor, &story)))
}

fn asking(visitor: &Visitor, story: &TokenStory) -> Confirm {
    let name = story.token.label.clone().unwrap_or_else(|| story.token.id.to_string());
    Confirm {
        frame: Frame::new("Revoke token", "/ui/tokens", visitor),
        question: format!("Revoke the token {name}?"),
        leads_to: "No host enrolls with it any more. Sensors that came with it stay.".to_owned(),
        button: "Revoke",
        grave: true,
        back: format!("/ui/tokens/{}", story.token.id),
    }
}

pub(super) async fn revoke(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, _) = posted(&api, request, Act::ManageTokens).await?;
    let id: TokenId = named(&id, "token")?;
    match api.console.revoke_token(id, visitor.origin.clone()).await {
        Ok(_) => Ok(Redirect::to("/ui/tokens?done=token-revoked").into_response()),
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let mut page = asking(&visitor, &api.console.token(id).await?);
            page.frame = page.frame.refusing(Some(refusal.message.clone()));
            Ok(page_of(status_of(&refusal), &page))
        }
    }
}
