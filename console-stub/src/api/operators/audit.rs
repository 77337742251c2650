//! The audit trail.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use http_body_util::channel::Channel;

use super::call::{Piecewise, authorize};
use crate::api::doc::{Book, Op, text, word};
use crate::api::{Api, Failure};
use crate::db::audit::AuditFilter;
use crate::domain::role::Act;
use crate::service::audit::{AuditReport, AuditView};
use crate::service::audit_export::{Export, ExportFormat};
use crate::service::{Console, ServiceError};

pub(super) fn routes(base: &str) -> Book {
    let list = Op::get("listAudit", "The audit trail, newest first.")
        .operators(Act::ReadAudit)
        .query([
            text("action_type", "Only records of this action."),
            word("outcome", "Only records of this outcome.", ["success", "failure"]),
            text("actor_email", "Only what this operator did."),
            text("sensor_id", "Only what happened to this sensor."),
        ])
        .gives_piece::<AuditView>("A piece of the trail.");
    let verify = Op::get("verifyAudit", "Follows the trail from its first record to its end.")
        .operators(Act::ReadAudit)
        .gives::<AuditReport>(200, "What was found.");
    let export = Op::get("exportAudit", "The whole trail, oldest first, with its hashes.")
        .operators(Act::ReadAudit)
        .query([word("format", "`json` where absent.", ["json", "csv"])])
        .gives_rows::<crate::service::audit::ExportedRecord>("The trail.")
        .gives_raw(200, CSV, "The trail.");
    Book::default().add(base, list, self::list).add(&format!("{base}/verify"), verify, self::verify).add(
        &format!("{base}/export"),
        export,
        self::export,
    )
}

const CSV: &str = "text/csv; charset=utf-8";

async fn list(State(api): State<Api>, request: Request) -> Result<Json<Piecewise<AuditView>>, Failure> {
    let call = authorize(&api, request, Act::ReadAudit).await?;
    let outcome =
        call.word("outcome", |word| ["success", "failure"].into_iter().find(|known| *known == word))?;
    let filter = AuditFilter {
        action_type: call.text("action_type"),
        outcome: outcome.map(str::to_owned),
        actor_email: call.text("actor_email"),
        sensor_id: call.text("sensor_id"),
    };
    Ok(Json(api.console.list_audit(filter, call.piece()?).await?.into()))
}

async fn verify(State(api): State<Api>, request: Request) -> Result<Json<AuditReport>, Failure> {
    authorize(&api, request, Act::ReadAudit).await?;
    Ok(Json(api.console.verify_audit().await?))
}

async fn export(State(api): State<Api>, request: Request) -> Result<Response, Failure> {
    let call = authorize(&api, request, Act::ReadAudit).await?;
    let format = call.word("format", ExportFormat::from_word)?.unwrap_or(ExportFormat::Json);
    Ok(stream(api.console, format).await?)
}

/// Sends piece by piece, as fast as the caller takes it: a trail may be longer than memory.
pub(crate) async fn stream(console: Console, format: ExportFormat) -> Result<Response, ServiceError> {
    let media = match format {
        ExportFormat::Json => "application/json",
        ExportFormat::Csv => CSV,
    };
    let mut export = Export::new(console, format);
    // The first piece before the head, so that a database that fails is an answer of its own.
    let mut next = export.next().await?;
    let (mut sender, body) = Channel::<Bytes, axum::Error>::new(1);
    tokio::spawn(async move {
        while let Some(text) = next {
            if sender.send_data(text.into()).await.is_err() {
                return;
            }
            next = match export.next().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "an export of the audit trail broke off");
                    return sender.abort(axum::Error::new(error));
                }
            };
        }
    });
    Ok(([(header::CONTENT_TYPE, media)], Body::new(body)).into_response())
}
