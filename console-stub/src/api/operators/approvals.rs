//! Auto-approve rules and the waiting list.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use telovix_contract::ErrorCode;

use super::{Rows, authorize};
use crate::api::body::Fields;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::approval::{RuleDraft, Ruling};
use crate::domain::role::Act;
use crate::service::approvals::{ApprovalView, RuleView, Say};

/// The paths below this one.
pub(super) fn routes(base: &str) -> Router<Api> {
    Router::new()
        .route(&format!("{base}/rules"), get(list_rules).post(create_rule))
        .route(&format!("{base}/rules/{{id}}"), delete(delete_rule))
        .route(&format!("{base}/approvals"), get(list_approvals))
        .route(&format!("{base}/approvals/{{id}}/approve"), post(approve))
        .route(&format!("{base}/approvals/{{id}}/deny"), post(deny))
}

async fn create_rule(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let mut fields = Fields::parse(&call.body)?;
    let draft = RuleDraft {
        cluster_id: fields.required("cluster_id")?,
        label: fields.required("label")?,
        allowed_roles: fields.optional("allowed_roles")?.unwrap_or_default(),
        max_nodes: fields.optional("max_nodes")?,
    };
    let made = api.console.create_rule(draft, call.origin).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn list_rules(State(api): State<Api>, request: Request) -> Result<Json<Rows<RuleView>>, Failure> {
    authorize(&api, request, Act::ReadTokens).await?;
    Ok(Json(Rows { data: api.console.list_rules().await? }))
}

async fn delete_rule(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<RuleView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let none = |_| Refusal::new(ErrorCode::NotFound, "There is no such rule.");
    Ok(Json(api.console.delete_rule(id.parse().map_err(none)?, call.origin).await?))
}

async fn list_approvals(
    State(api): State<Api>,
    request: Request,
) -> Result<Json<Rows<ApprovalView>>, Failure> {
    let call = authorize(&api, request, Act::ReadTokens).await?;
    let wrong = || Refusal::field("status", "it can be waiting, approved or denied");
    let only = match call.query.get("status") {
        None => None,
        Some(word) => Some(Ruling::from_word(word).ok_or_else(wrong)?),
    };
    Ok(Json(Rows { data: api.console.list_approvals(only).await? }))
}

async fn approve(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<ApprovalView>, Failure> {
    decide(&api, &id, request, Say::Approve).await
}

async fn deny(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<ApprovalView>, Failure> {
    decide(&api, &id, request, Say::Deny).await
}

async fn decide(api: &Api, id: &str, request: Request, say: Say) -> Result<Json<ApprovalView>, Failure> {
    let call = authorize(api, request, Act::ManageTokens).await?;
    let none = |_| Refusal::new(ErrorCode::NotFound, "No enrollment of this id waits.");
    Ok(Json(api.console.decide_approval(id.parse().map_err(none)?, say, call.origin).await?))
}
