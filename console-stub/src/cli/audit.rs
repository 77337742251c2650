//! `audit list|verify|export`.

use std::io::Write as _;

use super::args::AuditCommand;
use super::error::CliError;
use super::output::Printer;
use crate::app::App;
use crate::db::audit::AuditFilter;
use crate::domain::page::{Cursor, Piece};
use crate::service::ServiceError;
use crate::service::audit_export::{Export, ExportFormat};

pub(super) async fn run(app: &App, command: AuditCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        AuditCommand::List { limit, cursor, action, outcome, actor, sensor_id } => {
            let after = cursor.as_deref().map(Cursor::parse).transpose().map_err(ServiceError::from)?;
            let sensor_id = sensor_id.map(|id| id.to_string());
            let filter = AuditFilter { action_type: action, outcome, actor_email: actor, sensor_id };
            let page = console.list_audit(filter, Piece { rows: i64::from(limit), after }).await?;
            let columns = ["created_at", "action_type", "outcome", "sensor_id", "client_ip", "detail"];
            Ok(print.page(&page.rows, page.next.as_ref(), &columns)?)
        }
        AuditCommand::Verify { noted } => {
            let report = match noted {
                None => console.verify_audit().await?,
                Some(noted) => console.verify_audit_since(noted).await?,
            };
            print.one(&report)?;
            if report.intact { Ok(()) } else { Err(CliError::AuditBroken(report.problems.join("; "))) }
        }
        AuditCommand::Export { format } => export(app, format).await,
    }
}

async fn export(app: &App, format: ExportFormat) -> Result<(), CliError> {
    let mut export = Export::new(app.console().clone(), format);
    while let Some(text) = export.next().await? {
        put(&text)?;
    }
    Ok(())
}

fn put(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
