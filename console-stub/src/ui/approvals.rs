//! Enrollments that wait for an operator: looked at, and decided several at once.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::page::{Frame, Oops, ok, show, status_of};
use super::visitor::{Asked, Form, Visitor, opened, posted};
use super::words::{self, Choice, choices};
use crate::api::Api;
use crate::domain::Refusal;
use crate::domain::approval::{ApprovalId, FactsHash, Ruling};
use crate::domain::role::Act;
use crate::service::ServiceError;
use crate::service::approvals::{ApprovalView, Say};

#[derive(Template)]
#[template(path = "approvals.html")]
struct Page {
    frame: Frame,
    statuses: Vec<Choice>,
    waiting: bool,
    rows: Vec<ApprovalView>,
    next: Option<String>,
}

async fn page(api: &Api, frame: Frame, word: &str, asked: &Asked) -> Result<Page, Oops> {
    let wrong = || Refusal::field("status", "it can be waiting, approved or denied");
    let only = Ruling::from_word(word).ok_or_else(wrong)?;
    let words = [Ruling::Waiting, Ruling::Approved, Ruling::Denied].map(Ruling::as_str);
    let page = api.console.list_approvals_of(only, asked.piece()?).await?;
    let next = asked.next("/ui/approvals", page.next.as_ref());
    let waiting = only == Ruling::Waiting;
    Ok(Page { frame, statuses: choices(words, word), waiting, rows: page.rows, next })
}

fn frame(visitor: &Visitor) -> Frame {
    Frame::new("Approvals", "/ui/approvals", visitor)
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::ReadTokens).await?;
    let done = asked.text("done");
    let word = asked.text("status").unwrap_or_else(|| Ruling::Waiting.as_str().to_owned());
    let frame = frame(&visitor).noting(words::done(done.as_deref()));
    Ok(ok(&page(&api, frame, &word, &asked).await?))
}

/// Decides about those that were marked, one after the other; the first that cannot be decided ends it and is named.
pub(super) async fn decide(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, form) = posted(&api, request, Act::ManageTokens).await?;
    match carry_out(&api, &visitor, &form).await {
        Ok(done) => Ok(Redirect::to(&format!("/ui/approvals?done={done}")).into_response()),
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let frame = frame(&visitor).refusing(Some(refusal.message.clone()));
            Ok(show(
                status_of(&refusal),
                &page(&api, frame, Ruling::Waiting.as_str(), &Asked::default()).await?,
            ))
        }
    }
}

async fn carry_out(api: &Api, visitor: &Visitor, form: &Form) -> Result<&'static str, ServiceError> {
    let is_approved = match form.text("say") {
        Some("approve") => true,
        Some("deny") => false,
        Some(_) | None => return Err(Refusal::field("say", "it can be approve or deny").into()),
    };
    let marked: Option<Vec<_>> = form.all("id").map(seen).collect();
    let marked = marked.ok_or_else(|| Refusal::field("id", "it names no enrollment"))?;
    if marked.is_empty() {
        return Err(Refusal::field("id", "mark at least one enrollment").into());
    }
    let mut is_full = false;
    for (id, facts) in marked {
        let say = if is_approved { Say::ApproveSeen(facts) } else { Say::Deny };
        let decided = api.console.decide_approval(id, say, visitor.origin.clone()).await?;
        is_full |= !decided.warnings.is_empty();
    }
    Ok(match (is_approved, is_full) {
        (true, true) => "approved-full",
        (true, false) => "approved",
        (false, _) => "denied",
    })
}

/// A row as the page named it: which, and what it said.
fn seen(text: &str) -> Option<(ApprovalId, FactsHash)> {
    let (id, facts) = text.split_once('.')?;
    Some((id.parse().ok()?, facts.parse().ok()?))
}
