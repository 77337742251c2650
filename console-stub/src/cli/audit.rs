//! `audit list|verify|export`.

use std::io::Write as _;

use super::CliError;
use super::args::{AuditCommand, ExportFormat};
use super::output::Printer;
use crate::app::App;
use crate::db::audit::AuditFilter;
use crate::domain::page::{Cursor, Piece};
use crate::service::audit::ExportedRecord;

pub(super) async fn run(app: &App, command: AuditCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        AuditCommand::List { limit, cursor, action, outcome, actor, sensor_id } => {
            let after =
                cursor.as_deref().map(Cursor::parse).transpose().map_err(super::ServiceError::from)?;
            let sensor_id = sensor_id.map(|id| id.to_string());
            let filter = AuditFilter { action_type: action, outcome, actor_email: actor, sensor_id };
            let page = console.list_audit(filter, Piece { rows: i64::from(limit), after }).await?;
            let columns = ["created_at", "action_type", "outcome", "sensor_id", "client_ip", "detail"];
            Ok(print.page(&page.rows, page.next.as_ref(), &columns)?)
        }
        AuditCommand::Verify => {
            let report = console.verify_audit().await?;
            print.one(&report)?;
            if report.intact { Ok(()) } else { Err(CliError::AuditBroken(report.problems.join("; "))) }
        }
        AuditCommand::Export { format } => export(app, format).await,
    }
}

/// Writes piece by piece: a trail may be longer than memory.
async fn export(app: &App, format: ExportFormat) -> Result<(), CliError> {
    let mut last = 0;
    let mut begun = false;
    put(match format {
        ExportFormat::Json => "{\"data\":[\n",
        ExportFormat::Csv => {
            "seq,created_at,action_type,outcome,actor_email,sensor_id,detail,client_ip,user_agent,prev_hash,hash\r\n"
        }
    })?;
    loop {
        let piece = app.console().export_audit(last).await?;
        let Some(end) = piece.last() else { break };
        last = end.seq;
        let mut text = String::new();
        for record in &piece {
            match format {
                ExportFormat::Json => {
                    text.push_str(if begun { ",\n" } else { "" });
                    text.push_str(&serde_json::to_string(record).map_err(std::io::Error::other)?);
                }
                ExportFormat::Csv => text.push_str(&csv_line(record)),
            }
            begun = true;
        }
        put(&text)?;
    }
    put(match format {
        ExportFormat::Json => "\n]}\n",
        ExportFormat::Csv => "",
    })
}

fn put(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A line by RFC 4180.
fn csv_line(exported: &ExportedRecord) -> String {
    let record = &exported.record;
    let maybe = |text: &Option<String>| cell(text.as_deref().unwrap_or(""));
    let cells = [
        exported.seq.to_string(),
        cell(&record.created_at),
        cell(&record.action_type),
        cell(&record.outcome),
        maybe(&record.actor_email),
        maybe(&record.sensor_id),
        cell(&record.detail),
        maybe(&record.client_ip),
        maybe(&record.user_agent),
        exported.prev_hash.clone(),
        exported.hash.clone(),
    ];
    cells.join(",") + "\r\n"
}

/// Quoted where needed. A text from outside that a spreadsheet would take for a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let plain = if formula { format!("'{text}") } else { text.to_owned() };
    if plain.contains([',', '"', '\n', '\r']) { format!("\"{}\"", plain.replace('"', "\"\"")) } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula_survives() {
        assert_eq!(cell("a b"), "a b");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@x,y"), "\"'@x,y\"");
    }
}
