//! Enrollment tokens.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use telovix_contract::ErrorCode;
use telovix_contract::states::{TokenStatus, TokenType};

use super::call::{Call, Piecewise, authorize};
use crate::api::body::parse;
use crate::api::doc::{Book, Op, text, word};
use crate::api::request::Named;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::listing::TokenFilter;
use crate::domain::role::Act;
use crate::domain::token::TokenDraft;
use crate::service::tokens::{CreatedView, TokenView};

pub(super) fn routes(base: &str) -> Book {
    let tokens = format!("{base}/tokens");
    let list = Op::get("listTokens", "Enrollment tokens, newest first; used ones for a day.")
        .operators(Act::ReadTokens)
        .query([
            word("status", "Only those of this status.", TokenStatus::ALL.iter().map(|word| word.as_str())),
            word("type", "Only those of this kind.", TokenType::ALL.iter().map(|word| word.as_str())),
            text("cluster_id", "Only those bound to this cluster."),
        ])
        .gives_piece::<TokenView>("A piece of the list.");
    let create = |id, summary| {
        Op::post(id, summary)
            .operators(Act::ManageTokens)
            .takes::<TokenDraft>()
            .gives::<CreatedView<'static>>(201, "The token, this once.")
            .refuses(&[ErrorCode::NotReady, ErrorCode::Conflict])
    };
    let revoke = Op::delete("revokeToken", "Takes a pending token back.")
        .operators(Act::ManageTokens)
        .gives::<TokenView>(200, "The token as it is now.")
        .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict]);
    let for_cluster = create("createClusterToken", "An enrollment token for every node of one cluster.");
    Book::default()
        .add(&tokens, list, self::list)
        .add(&tokens, create("createToken", "An enrollment token."), self::create)
        .add(&format!("{tokens}/{{id}}"), revoke, self::revoke)
        .add(&format!("{base}/cluster-tokens"), for_cluster, create_for_cluster)
}

async fn create(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    make(&api, call, None).await
}

async fn create_for_cluster(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    make(&api, call, Some(TokenType::Cluster)).await
}

async fn make(api: &Api, call: Call, kind: Option<TokenType>) -> Result<Response, Failure> {
    let mut draft: TokenDraft = parse(&call.body)?;
    draft.kind = kind.or(draft.kind);
    let created = api.console.create_token(draft, call.origin).await?;
    Ok((StatusCode::CREATED, Json(created.view())).into_response())
}

async fn list(State(api): State<Api>, request: Request) -> Result<Json<Piecewise<TokenView>>, Failure> {
    let call = authorize(&api, request, Act::ReadTokens).await?;
    let cluster = call.text("cluster_id").map(|name| name.parse()).transpose();
    let filter = TokenFilter {
        status: call.word("status", TokenStatus::from_word)?,
        kind: call.word("type", TokenType::from_word)?,
        cluster_id: cluster.map_err(|error| Refusal::field("cluster_id", error))?,
    };
    Ok(Json(api.console.list_tokens(filter, call.piece()?).await?.into()))
}

async fn revoke(
    State(api): State<Api>,
    Named(id): Named,
    request: Request,
) -> Result<Json<TokenView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let none = |_| Refusal::new(ErrorCode::NotFound, "There is no such token.");
    Ok(Json(api.console.revoke_token(id.parse().map_err(none)?, call.origin).await?))
}
