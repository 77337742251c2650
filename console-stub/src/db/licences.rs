//! The licences; the one imported last counts.

use super::{DbError, Tx, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LicenceRecord {
    pub id: String,
    /// `trial` or `bundle`.
    pub source: String,
    /// The signed bundle as it was imported.
    pub bundle: Option<String>,
    pub max_protected_nodes: i64,
    /// Unix seconds at which it ends; a trial does not.
    pub not_after: Option<i64>,
    /// Unix seconds.
    pub imported_at: i64,
}

/// Stores a licence; the same id again replaces it.
pub(crate) fn put(tx: &mut dyn Tx, licence: &LicenceRecord) -> Result<(), DbError> {
    let sql = "INSERT INTO licences (id, seq, source, bundle, max_protected_nodes, not_after, imported_at) \
               SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6 FROM licences WHERE true \
               ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, bundle = excluded.bundle, \
               max_protected_nodes = excluded.max_protected_nodes, not_after = excluded.not_after, \
               imported_at = excluded.imported_at";
    let args: [Value; 6] = [
        licence.id.as_str().into(),
        licence.source.as_str().into(),
        licence.bundle.clone().into(),
        licence.max_protected_nodes.into(),
        licence.not_after.into(),
        licence.imported_at.into(),
    ];
    tx.execute(sql, &args).map(|_| ())
}

pub(crate) fn current(tx: &mut dyn Tx) -> Result<Option<LicenceRecord>, DbError> {
    let sql = "SELECT id, source, bundle, max_protected_nodes, not_after, imported_at FROM licences \
               ORDER BY seq DESC LIMIT 1";
    tx.once("licences", sql)?
        .first()
        .map(|row| {
            Ok(LicenceRecord {
                id: row.text(0)?.to_owned(),
                source: row.text(1)?.to_owned(),
                bundle: row.maybe_text(2)?.map(str::to_owned),
                max_protected_nodes: row.int(3)?,
                not_after: row.maybe_int(4)?,
                imported_at: row.int(5)?,
            })
        })
        .transpose()
}
