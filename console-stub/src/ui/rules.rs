//! Auto-approve rules: the list with what each cap has left, a new one, deleting one.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use telovix_contract::NodeRole;

use super::page::{Frame, Oops, ok, show, status_of};
use super::sensor::Confirm;
use super::visitor::{Form, Visitor, named, opened, posted};
use super::words;
use crate::api::Api;
use crate::domain::Refusal;
use crate::domain::approval::RuleDraft;
use crate::domain::role::Act;
use crate::service::ServiceError;
use crate::service::approvals::{RULE_WITHOUT_MODE, RuleView};

#[derive(Template)]
#[template(path = "rules.html")]
struct Page {
    frame: Frame,
    rows: Vec<RuleView>,
    cluster_id: String,
    label: String,
    allowed_roles: String,
    max_nodes: String,
}

async fn page(api: &Api, frame: Frame, form: &Form, admits: &[String]) -> Result<Page, ServiceError> {
    let word = |name| form.text(name).unwrap_or_default().to_owned();
    let mut warnings = Vec::new();
    if api.console.asks_nobody().await? {
        warnings.push(RULE_WITHOUT_MODE.to_owned());
    }
    if !admits.is_empty() {
        warnings.push(format!(
            "Waiting nodes that the rule lets in on their next attempt: {}.",
            admits.join(", ")
        ));
    }
    Ok(Page {
        frame: frame.warning(warnings),
        rows: api.console.list_rules().await?,
        cluster_id: word("cluster_id"),
        label: word("label"),
        allowed_roles: word("allowed_roles"),
        max_nodes: word("max_nodes"),
    })
}

fn frame(visitor: &Visitor) -> Frame {
    Frame::new("Auto-approve rules", "/ui/rules", visitor)
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, asked) = opened(&api, request, Act::ReadTokens).await?;
    let done = asked.text("done");
    let frame = frame(&visitor).noting(words::done(done.as_deref()));
    Ok(ok(&page(&api, frame, &Form::default(), &[]).await?))
}

pub(super) async fn create(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, form) = posted(&api, request, Act::ManageTokens).await?;
    match make(&api, &visitor, &form).await {
        Ok(made) if made.admits.is_empty() => Ok(Redirect::to("/ui/rules?done=rule-created").into_response()),
        Ok(made) => {
            let frame = frame(&visitor).noting(words::done(Some("rule-created")));
            Ok(show(StatusCode::CREATED, &page(&api, frame, &Form::default(), &made.admits).await?))
        }
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let frame = frame(&visitor).refusing(Some(refusal.message.clone()));
            Ok(show(status_of(&refusal), &page(&api, frame, &form, &[]).await?))
        }
    }
}

async fn make(api: &Api, visitor: &Visitor, form: &Form) -> Result<RuleView, ServiceError> {
    let roles = form.text("allowed_roles").unwrap_or_default();
    let words = roles.split([',', ' ']).filter(|word| !word.is_empty());
    let roles: Result<Vec<NodeRole>, _> = words.map(str::parse).collect();
    let draft = RuleDraft {
        cluster_id: form
            .parsed("cluster_id")?
            .ok_or_else(|| Refusal::field("cluster_id", "it is missing"))?,
        label: form.text("label").unwrap_or_default().to_owned(),
        allowed_roles: roles.map_err(|error| Refusal::field("allowed_roles", error))?,
        max_nodes: form.parsed("max_nodes")?,
    };
    api.console.create_rule(draft, visitor.origin.clone()).await
}

pub(super) async fn confirm(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ManageTokens).await?;
    let rule = api.console.rule(named(&id, "rule")?).await?;
    let page = Confirm {
        frame: Frame::new("Delete rule", "/ui/rules", &visitor),
        question: format!("Delete the rule {}?", rule.label),
        leads_to: format!(
            "New nodes of {} are not let in by it any more; enrolled sensors stay.",
            rule.cluster_id
        ),
        button: "Delete",
        grave: true,
        back: "/ui/rules".to_owned(),
    };
    Ok(show(StatusCode::OK, &page))
}

pub(super) async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Oops> {
    let (visitor, _) = posted(&api, request, Act::ManageTokens).await?;
    api.console.delete_rule(named(&id, "rule")?, visitor.origin).await?;
    Ok(Redirect::to("/ui/rules?done=rule-deleted").into_response())
}
