//! Enrollment tokens.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::{ClusterName, ErrorCode};

use super::{Call, Piecewise, authorize};
use crate::api::body::Fields;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::listing::TokenFilter;
use crate::domain::role::Act;
use crate::domain::token::TokenDraft;
use crate::service::tokens::TokenView;

/// The paths below this one.
pub(super) fn routes(base: &str) -> Router<Api> {
    Router::new()
        .route(&format!("{base}/tokens"), get(list).post(create))
        .route(&format!("{base}/tokens/{{id}}"), delete(revoke))
        .route(&format!("{base}/cluster-tokens"), post(create_for_cluster))
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
    let mut fields = Fields::parse(&call.body)?;
    let named = fields.optional("type")?;
    let draft = TokenDraft {
        kind: kind.or(named),
        ttl_seconds: fields.optional("ttl_seconds")?,
        expires_days: fields.optional("expires_days")?,
        cluster_id: fields.optional::<ClusterName>("cluster_id")?,
        max_nodes: fields.optional("max_nodes")?,
        sensor_id: fields.optional("sensor_id")?,
        label: fields.optional("label")?,
    };
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
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<TokenView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let none = |_| Refusal::new(ErrorCode::NotFound, "There is no such token.");
    Ok(Json(api.console.revoke_token(id.parse().map_err(none)?, call.origin).await?))
}
