//! Our values as PostgreSQL's, and back. Columns are BIGINT, TEXT and BYTEA; an expression may be a narrower number.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::Row as Found;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::db::{DbError, Row, Value};

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT8 => number.to_sql(ty, out),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Text(text) if is_text(ty) => storable(text).to_sql(ty, out),
            Self::Blob(bytes) if *ty == Type::BYTEA => bytes.to_sql(ty, out),
            Self::Int(_) | Self::Text(_) | Self::Blob(_) => Err(format!("no value for a {ty}").into()),
        }
    }

    /// Which value goes with which type is looked at above, where the value is known.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::NAME, Type::UNKNOWN].contains(ty)
}

/// No text of PostgreSQL holds the character NUL; the character that stands for an unreadable one takes its place, when it
/// is written as when it is looked for.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) fn row(found: &Found) -> Result<Row, DbError> {
    let values: Result<Vec<Value>, DbError> = (0..found.len()).map(|at| value(found, at)).collect();
    values.map(Row::new)
}

fn value(found: &Found, at: usize) -> Result<Value, DbError> {
    let ty = found.columns()[at].type_();
    let wrong = |error: tokio_postgres::Error| DbError::Engine(error.to_string());
    if *ty == Type::INT8 {
        return Ok(found.try_get::<_, Option<i64>>(at).map_err(wrong)?.into());
    }
    if *ty == Type::INT4 {
        return Ok(found.try_get::<_, Option<i32>>(at).map_err(wrong)?.map(i64::from).into());
    }
    if *ty == Type::BYTEA {
        return Ok(found.try_get::<_, Option<Vec<u8>>>(at).map_err(wrong)?.into());
    }
    if is_text(ty) {
        return Ok(found.try_get::<_, Option<String>>(at).map_err(wrong)?.into());
    }
    Err(DbError::Corrupt { wanted: "a number, a text or bytes", found: format!("a {ty}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: impl Into<Value>, ty: &Type) -> Result<Option<Vec<u8>>, String> {
        let mut out = BytesMut::new();
        match value.into().to_sql(ty, &mut out).map_err(|error| error.to_string())? {
            IsNull::Yes => Ok(None),
            IsNull::No => Ok(Some(out.to_vec())),
        }
    }

    #[test]
    fn a_value_goes_into_a_column_of_its_type_alone() {
        assert_eq!(sent(258i64, &Type::INT8).unwrap().unwrap(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(sent(258i64, &Type::INT4).unwrap().unwrap(), [0, 0, 1, 2]);
        assert_eq!(sent("a", &Type::TEXT).unwrap().unwrap(), b"a");
        assert_eq!(sent(vec![0, 1], &Type::BYTEA).unwrap().unwrap(), [0, 1]);
        for ty in [Type::INT8, Type::TEXT, Type::BYTEA] {
            assert_eq!(sent(None::<i64>, &ty).unwrap(), None);
        }
        assert!(sent(1i64, &Type::TEXT).is_err() && sent("1", &Type::INT8).is_err());
        assert!(sent("1", &Type::BYTEA).is_err() && sent(i64::MAX, &Type::INT4).is_err());
    }

    #[test]
    fn a_text_with_nul_is_stored_without() {
        assert_eq!(sent("a\0b", &Type::TEXT).unwrap().unwrap(), "a\u{fffd}b".as_bytes());
    }
}
