//! The audit trail: by filter, verified, taken out.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, header};

use super::page::{Frame, Oops, ok};
use super::visitor::opened;
use super::words::{self, Choice, choices};
use crate::api::{Api, export_audit};
use crate::db::audit::AuditFilter;
use crate::domain::role::Act;
use crate::service::audit::{AuditReport, AuditView};
use crate::service::audit_export::ExportFormat;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    action_type: String,
    actor_email: String,
    sensor_id: String,
    outcomes: Vec<Choice>,
    report: Option<AuditReport>,
    rows: Vec<AuditView>,
    next: Option<String>,
}

pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    page(&api, request, false).await
}

/// The list, under what following the whole trail found.
pub(super) async fn verify(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    page(&api, request, true).await
}

async fn page(api: &Api, request: Request, verify: bool) -> Result<Response, Oops> {
    let (visitor, asked) = opened(api, request, Act::ReadAudit).await?;
    let filter = AuditFilter {
        action_type: asked.text("action_type"),
        outcome: asked.text("outcome"),
        actor_email: asked.text("actor_email"),
        sensor_id: asked.text("sensor_id"),
    };
    let page = api.console.list_audit(filter, asked.piece()?).await?;
    Ok(ok(&Page {
        frame: Frame::new("Audit log", "/ui/audit", &visitor),
        action_type: asked.shown("action_type"),
        actor_email: asked.shown("actor_email"),
        sensor_id: asked.shown("sensor_id"),
        outcomes: choices(["success", "failure"], &asked.shown("outcome")),
        report: if verify { Some(api.console.verify_audit().await?) } else { None },
        next: asked.next("/ui/audit", page.next.as_ref()),
        rows: page.rows,
    }))
}

pub(super) async fn export(State(api): State<Api>, request: Request) -> Result<Response, Oops> {
    let (_, asked) = opened(&api, request, Act::ReadAudit).await?;
    let format = asked.word("format", ExportFormat::from_word)?.unwrap_or(ExportFormat::Json);
    let name = match format {
        ExportFormat::Json => "attachment; filename=\"telovix-audit.json\"",
        ExportFormat::Csv => "attachment; filename=\"telovix-audit.csv\"",
    };
    let mut response = export_audit(api.console, format).await?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}
