//! Auto-approve rules and the waiting list.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use telovix_contract::ErrorCode;
use utoipa::ToSchema;

use super::call::{Call, Rows, authorize};
use crate::api::body::parse;
use crate::api::doc::{Book, Op, word};
use crate::api::request::Named;
use crate::api::{Api, Failure};
use crate::domain::Refusal;
use crate::domain::approval::{FactsHash, RuleDraft, Ruling};
use crate::domain::role::Act;
use crate::service::approvals::{ApprovalView, RuleView, Say};

pub(super) fn routes(base: &str) -> Book {
    let (rules, approvals) = (format!("{base}/rules"), format!("{base}/approvals"));
    let list = Op::get("listRules", "Auto-approve rules, oldest first.")
        .operators(Act::ReadTokens)
        .gives_rows::<RuleView>("All of them.");
    let create = Op::post("createRule", "An auto-approve rule.")
        .operators(Act::ManageTokens)
        .takes::<RuleDraft>()
        .gives::<RuleView>(201, "The rule.")
        .refuses(&[ErrorCode::NotReady]);
    let delete = Op::delete("deleteRule", "Deletes a rule; sensors that it let in stay.")
        .operators(Act::ManageTokens)
        .gives::<RuleView>(200, "The rule that was.")
        .refuses(&[ErrorCode::NotFound]);
    let statuses = [Ruling::Waiting, Ruling::Approved, Ruling::Denied].map(Ruling::as_str);
    let waiting = Op::get("listApprovals", "Enrollments that an operator has to look at, oldest first.")
        .operators(Act::ReadTokens)
        .query([word("status", "Only those of this status.", statuses)])
        .gives_rows::<ApprovalView>("All of them.");
    let decide = |id, summary| {
        Op::post(id, summary)
            .operators(Act::ManageTokens)
            .gives::<ApprovalView>(200, "The enrollment; its host hears of it when it asks again.")
            .refuses(&[ErrorCode::NotFound, ErrorCode::Conflict])
    };
    Book::default()
        .add(&rules, list, list_rules)
        .add(&rules, create, create_rule)
        .add(&format!("{rules}/{{id}}"), delete, delete_rule)
        .add(&approvals, waiting, list_approvals)
        .add(
            &format!("{approvals}/{{id}}/approve"),
            decide("approveEnrollment", "Lets a waiting host in.").may_take::<Seen>(),
            approve,
        )
        .add(
            &format!("{approvals}/{{id}}/deny"),
            decide("denyEnrollment", "Turns a waiting host away."),
            deny,
        )
}

async fn create_rule(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let draft: RuleDraft = parse(&call.body)?;
    let made = api.console.create_rule(draft, call.origin).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn list_rules(State(api): State<Api>, request: Request) -> Result<Json<Rows<RuleView>>, Failure> {
    authorize(&api, request, Act::ReadTokens).await?;
    Ok(Json(Rows { data: api.console.list_rules().await? }))
}

async fn delete_rule(
    State(api): State<Api>,
    Named(id): Named,
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

/// What an operator approves.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Seen {
    /// `facts_sha256` of the row that the operator saw: refused with `conflict` if the request has changed since. Absent approves
    /// what the row says now.
    facts_sha256: Option<FactsHash>,
}

async fn approve(
    State(api): State<Api>,
    Named(id): Named,
    request: Request,
) -> Result<Json<ApprovalView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    let seen: Seen = if call.body.is_empty() { Seen::default() } else { parse(&call.body)? };
    decide(&api, &id, call, seen.facts_sha256.map_or(Say::Approve, Say::ApproveSeen)).await
}

async fn deny(
    State(api): State<Api>,
    Named(id): Named,
    request: Request,
) -> Result<Json<ApprovalView>, Failure> {
    let call = authorize(&api, request, Act::ManageTokens).await?;
    decide(&api, &id, call, Say::Deny).await
}

async fn decide(api: &Api, id: &str, call: Call, say: Say) -> Result<Json<ApprovalView>, Failure> {
    let none = |_| Refusal::new(ErrorCode::NotFound, "No enrollment of this id waits.");
    Ok(Json(api.console.decide_approval(id.parse().map_err(none)?, say, call.origin).await?))
}
