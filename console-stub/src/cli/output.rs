//! Prints results, for people or for programs.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::args::Output;
use crate::domain::page::Cursor;

#[derive(Debug, Clone, Copy)]
pub(super) struct Printer(Output);

impl Printer {
    pub(super) fn new(output: Output) -> Self {
        Self(output)
    }

    /// One thing: a JSON object, or a line per field.
    pub(super) fn one(&self, thing: &impl Serialize) -> io::Result<()> {
        let value = serde_json::to_value(thing).map_err(io::Error::other)?;
        let mut out = io::stdout().lock();
        match (self.0, &value) {
            (Output::Human, Value::Object(fields)) => {
                let widest = fields.keys().map(String::len).max().unwrap_or(0);
                for (name, field) in fields.iter().filter(|(_, field)| !field.is_null()) {
                    writeln!(out, "{name:widest$}  {}", plain(field))?;
                }
            }
            (Output::Json | Output::Human, _) => writeln!(out, "{value}")?,
        }
        out.flush()
    }

    /// A piece of a list: likewise, with `next_cursor`.
    pub(super) fn page(
        &self,
        rows: &[impl Serialize],
        next: Option<&Cursor>,
        columns: &[&str],
    ) -> io::Result<()> {
        if self.0 == Output::Json {
            let next_cursor = next.map(Cursor::to_text);
            return self.one(&serde_json::json!({ "data": rows, "next_cursor": next_cursor }));
        }
        self.rows(rows, columns)
    }

    /// A list: `{"data": [...]}`, or a table of these columns.
    pub(super) fn rows(&self, rows: &[impl Serialize], columns: &[&str]) -> io::Result<()> {
        let rows = serde_json::to_value(rows).map_err(io::Error::other)?;
        if self.0 == Output::Json {
            return self.one(&serde_json::json!({ "data": rows }));
        }
        let head = columns.iter().map(|name| (*name).to_owned()).collect();
        let mut table: Vec<Vec<String>> = vec![head];
        for row in rows.as_array().into_iter().flatten() {
            table.push(columns.iter().map(|name| row.get(name).map_or(String::new(), plain)).collect());
        }
        let widest = |at: usize| table.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns.len()).map(widest).collect();
        let mut out = io::stdout().lock();
        for row in &table {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        out.flush()
    }
}

/// A value as people read it. Control characters were kept out when it came in; what JSON quotes stays quoted.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
