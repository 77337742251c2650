//! The audit trail taken out whole, text by text: a trail may be longer than memory.

use super::audit::ExportedRecord;
use super::{Console, ServiceError};
use crate::domain::words::words;

words! {
    pub(crate) ExportFormat {
        /// One object, its rows in `data`.
        Json = "json",
        /// RFC 4180, with a line of names.
        Csv = "csv",
    }
}

#[derive(Debug)]
pub(crate) struct Export {
    console: Console,
    format: ExportFormat,
    last: i64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    FirstRows,
    Rows,
    Done,
}

impl Export {
    pub(crate) fn new(console: Console, format: ExportFormat) -> Self {
        Self { console, format, last: 0, stage: Stage::Head }
    }

    /// The next text; `None` when all has been given.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, ServiceError> {
        if self.stage == Stage::Head {
            self.stage = Stage::FirstRows;
            return Ok(Some(self.head().to_owned()));
        }
        if self.stage == Stage::Done {
            return Ok(None);
        }
        let piece = self.console.export_audit(self.last).await?;
        let Some(end) = piece.last() else {
            self.stage = Stage::Done;
            return Ok(Some(self.tail().to_owned()));
        };
        self.last = end.seq;
        Ok(Some(piece.iter().map(|record| row(record, self.format, &mut self.stage)).collect()))
    }

    fn head(&self) -> &'static str {
        match self.format {
            ExportFormat::Json => "{\"data\":[\n",
            ExportFormat::Csv => {
                "seq,created_at,action_type,outcome,actor_email,sensor_id,detail,client_ip,user_agent,prev_hash,hash\r\n"
            }
        }
    }

    fn tail(&self) -> &'static str {
        match self.format {
            ExportFormat::Json => "\n]}\n",
            ExportFormat::Csv => "",
        }
    }
}

fn row(record: &ExportedRecord, format: ExportFormat, stage: &mut Stage) -> String {
    let first = std::mem::replace(stage, Stage::Rows) == Stage::FirstRows;
    match format {
        ExportFormat::Json => {
            let json = serde_json::to_string(record).expect("a record of texts and numbers is JSON");
            if first { json } else { format!(",\n{json}") }
        }
        ExportFormat::Csv => csv_line(record),
    }
}

/// A line by RFC 4180.
fn csv_line(exported: &ExportedRecord) -> String {
    let record = &exported.record;
    let maybe = |text: &Option<String>| cell(text.as_deref().unwrap_or(""));
    let cells = [
        exported.seq.to_string(),
        record.created_at.to_string(),
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
