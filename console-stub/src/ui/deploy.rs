//! Deploy sensor: a token, and the ready commands to use it. The token is in the answer to the form and nowhere else.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use telovix_contract::states::TokenType;
use telovix_contract::{ClusterName, Flavor, NodeName, NodeRole};

use super::page::{Frame, Oops, ok, show, status_of};
use super::visitor::{Form, Visitor, opened, posted};
use super::words::{self, Choice, choices};
use crate::api::Api;
use crate::clock::timestamp;
use crate::domain::Refusal;
use crate::domain::role::Act;
use crate::domain::token::TokenDraft;
use crate::service::ServiceError;
use crate::service::tokens::CreatedToken;

/// Roles to choose from: those seen in public (docs/contract.md section 1).
const ROLES: [&str; 9] =
    ["generic_linux", "control_plane", "o_du", "o_cu", "o_ru", "gnb", "bgp_router", "amf", "o_cloud"];
const FLAVORS: [&str; 2] = ["standard", "telecom"];

#[derive(Template)]
#[template(path = "deploy.html")]
struct Start {
    frame: Frame,
}

/// Where to: a host or a cluster.
pub(super) async fn choose(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ManageTokens).await?;
    Ok(ok(&Start { frame: frame(&visitor) }))
}

fn frame(visitor: &Visitor) -> Frame {
    Frame::new("Deploy sensor", "/ui/deploy", visitor)
}

#[derive(Template)]
#[template(path = "deploy_host.html")]
struct HostPage {
    frame: Frame,
    node_name: String,
    roles: Vec<Choice>,
    flavors: Vec<Choice>,
}

fn host_page(visitor: &Visitor, form: &Form, problem: Option<String>) -> HostPage {
    let word = |name| form.text(name).unwrap_or_default().to_owned();
    HostPage {
        frame: frame(visitor).refusing(problem),
        node_name: word("node_name"),
        roles: choices(ROLES, &word("role")),
        flavors: choices(FLAVORS, &word("flavor")),
    }
}

pub(super) async fn host(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ManageTokens).await?;
    Ok(ok(&host_page(&visitor, &Form::default(), None)))
}

pub(super) async fn make_for_host(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, form) = posted(&api, request, Act::ManageTokens).await?;
    match host_token(&api, &visitor, &form).await {
        Ok((made, command)) => made_page(&api, &visitor, &made, command).await,
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let page = host_page(&visitor, &form, Some(refusal.message.clone()));
            Ok(show(status_of(&refusal), &page))
        }
    }
}

async fn host_token(
    api: &Api,
    visitor: &Visitor,
    form: &Form,
) -> Result<(CreatedToken, String), ServiceError> {
    let node: NodeName =
        form.parsed("node_name")?.ok_or_else(|| Refusal::field("node_name", "it is missing"))?;
    let role: NodeRole = form.parsed("role")?.unwrap_or_default();
    let flavor: Flavor = form.parsed("flavor")?.unwrap_or_default();
    // The host's name is kept as the token's label, for the list.
    let label = Some(node.as_str().chars().take(128).collect());
    let draft = TokenDraft { kind: Some(TokenType::Once), label, ..TokenDraft::default() };
    let made = api.console.create_token(draft, visitor.origin.clone()).await?;
    let command = made.install_command_for(&node, &role, flavor);
    Ok((made, command))
}

#[derive(Template)]
#[template(path = "made.html")]
struct MadePage {
    frame: Frame,
    id: String,
    token: String,
    command: String,
    until: String,
    left: i64,
    warnings: Vec<String>,
}

/// The token, this once.
pub(super) async fn made_page(
    api: &Api,
    visitor: &Visitor,
    made: &CreatedToken,
    command: String,
) -> Result<Response, Oops> {
    Ok(show(
        StatusCode::CREATED,
        &MadePage {
            frame: frame(visitor),
            id: made.id.to_string(),
            token: made.token.expose().to_owned(),
            command,
            until: words::clock_time(&timestamp(made.expires_at)),
            left: made.expires_at - api.console.now(),
            warnings: warnings(made),
        },
    ))
}

fn warnings(made: &CreatedToken) -> Vec<String> {
    [&made.capacity_warning, &made.licence_warning].into_iter().flatten().cloned().collect()
}

#[derive(Template)]
#[template(path = "deploy_cluster.html")]
struct ClusterPage {
    frame: Frame,
    cluster_id: String,
    expires_days: String,
    max_nodes: String,
    flavors: Vec<Choice>,
}

fn cluster_page(visitor: &Visitor, form: &Form, problem: Option<String>) -> ClusterPage {
    let word = |name| form.text(name).unwrap_or_default().to_owned();
    ClusterPage {
        frame: frame(visitor).refusing(problem),
        cluster_id: word("cluster_id"),
        expires_days: word("expires_days"),
        max_nodes: word("max_nodes"),
        flavors: choices(FLAVORS, &word("flavor")),
    }
}

pub(super) async fn cluster(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, _) = opened(&api, request, Act::ManageTokens).await?;
    Ok(ok(&cluster_page(&visitor, &Form::default(), None)))
}

#[derive(Template)]
#[template(path = "made_cluster.html")]
struct MadeClusterPage {
    frame: Frame,
    id: String,
    token: String,
    cluster: String,
    flavor: Flavor,
    url: String,
    fingerprint: String,
    until: String,
    left: i64,
    warnings: Vec<String>,
}

pub(super) async fn make_for_cluster(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (visitor, form) = posted(&api, request, Act::ManageTokens).await?;
    match cluster_token(&api, &visitor, &form).await {
        Ok(page) => Ok(show(StatusCode::CREATED, &page)),
        Err(error) => {
            let refusal = Oops::from(error).correctable()?;
            let page = cluster_page(&visitor, &form, Some(refusal.message.clone()));
            Ok(show(status_of(&refusal), &page).into_response())
        }
    }
}

async fn cluster_token(api: &Api, visitor: &Visitor, form: &Form) -> Result<MadeClusterPage, ServiceError> {
    let cluster: ClusterName =
        form.parsed("cluster_id")?.ok_or_else(|| Refusal::field("cluster_id", "it is missing"))?;
    let flavor: Flavor = form.parsed("flavor")?.unwrap_or_default();
    let draft = TokenDraft {
        kind: Some(TokenType::Cluster),
        expires_days: form.parsed("expires_days")?,
        max_nodes: form.parsed("max_nodes")?,
        cluster_id: Some(cluster.clone()),
        // As long as a label may be, and what the list calls it.
        label: Some(cluster.to_string()),
        ..TokenDraft::default()
    };
    let made = api.console.create_token(draft, visitor.origin.clone()).await?;
    Ok(MadeClusterPage {
        frame: frame(visitor),
        id: made.id.to_string(),
        token: made.token.expose().to_owned(),
        cluster: cluster.to_string(),
        flavor,
        url: api.console.public_url().await?,
        fingerprint: api.console.authority()?.fingerprint().to_string(),
        until: words::clock_time(&timestamp(made.expires_at)),
        left: made.expires_at - api.console.now(),
        warnings: warnings(&made),
    })
}
