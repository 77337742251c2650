//! Queries put together from conditions, and rows fetched by their ids.

use std::collections::HashMap;

use super::{DbError, Row, Tx, Value};

/// Ids in one query. A constant, so that there is one statement to prepare.
const IDS_AT_ONCE: usize = 64;

/// Conditions that all have to hold, with their arguments in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    all: Vec<String>,
    args: Vec<Value>,
}

impl Conditions {
    /// Adds a condition in which each `?` stands for the next of these values.
    pub(super) fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        let mut pieces = condition.split('?');
        let mut sql = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            sql.push_str(&self.place(value));
            sql.push_str(piece);
        }
        self.all.push(sql);
    }

    /// The number of one more argument, for use behind the conditions.
    pub(super) fn place(&mut self, value: Value) -> String {
        self.args.push(value);
        format!("${}", self.args.len())
    }

    pub(super) fn sql(&self) -> String {
        if self.all.is_empty() { "1 = 1".to_owned() } else { self.all.join(" AND ") }
    }

    pub(super) fn args(&self) -> &[Value] {
        &self.args
    }
}

/// The rows with these ids, in their order. `select` ends before its `WHERE`; its first column is the id, which it calls
/// by `id`.
pub(super) fn rows_of(
    tx: &mut dyn Tx,
    select: &str,
    id: &str,
    wanted: &[String],
) -> Result<Vec<Row>, DbError> {
    let places: Vec<String> = (1..=IDS_AT_ONCE).map(|at| format!("${at}")).collect();
    let sql = format!("{select} WHERE {id} IN ({})", places.join(", "));
    let mut found = HashMap::with_capacity(wanted.len());
    for some in wanted.chunks(IDS_AT_ONCE) {
        // The last one again and again where there are fewer.
        let args: Vec<Value> = (0..IDS_AT_ONCE)
            .filter_map(|at| some.get(at).or(some.last()))
            .map(|id| id.as_str().into())
            .collect();
        for row in tx.query(&sql, &args)? {
            found.insert(row.text(0)?.to_owned(), row);
        }
    }
    Ok(wanted.iter().filter_map(|id| found.remove(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_number_their_arguments() {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.sql(), "1 = 1");
        conditions.add("a IS NULL", []);
        conditions.add("(b, c) < (?, ?)", [1i64.into(), "x".into()]);
        conditions.add("d = ?", ["y".into()]);
        let limit = conditions.place(5i64.into());
        assert_eq!(
            (conditions.sql().as_str(), limit.as_str()),
            ("a IS NULL AND (b, c) < ($1, $2) AND d = $3", "$4")
        );
        assert_eq!(conditions.args(), [1i64.into(), "x".into(), "y".into(), 5i64.into()]);
    }
}
