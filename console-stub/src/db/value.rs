//! What goes into a query and what comes out, on any engine.

use super::DbError;

/// One value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// No value.
    Null,
    /// A number; times are unix seconds.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $made:expr;)+) => {
        $(impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $made
            }
        })+
    };
}

value_from! {
    i64 => |number| Self::Int(number);
    u32 => |number| Self::Int(i64::from(number));
    &str => |text| Self::Text(text.to_owned());
    String => |text| Self::Text(text);
    &[u8] => |bytes| Self::Blob(bytes.to_vec());
    Vec<u8> => |bytes| Self::Blob(bytes);
    &[u8; 32] => |bytes| Self::Blob(bytes.to_vec());
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, read by the position of its columns.
#[derive(Debug, Clone)]
pub struct Row(Vec<Value>);

impl Row {
    /// The row with these columns.
    pub fn new(columns: Vec<Value>) -> Self {
        Self(columns)
    }

    /// The number in this column.
    /// Errors: [`DbError::Corrupt`] when it holds something else; likewise below.
    pub(crate) fn int(&self, at: usize) -> Result<i64, DbError> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            other => Err(corrupt("a number", other)),
        }
    }

    /// The text in this column.
    pub fn text(&self, at: usize) -> Result<&str, DbError> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(corrupt("a text", other)),
        }
    }

    pub(crate) fn blob(&self, at: usize) -> Result<&[u8], DbError> {
        match self.0.get(at) {
            Some(Value::Blob(bytes)) => Ok(bytes),
            other => Err(corrupt("bytes", other)),
        }
    }

    /// The 32 bytes in this column.
    pub fn hash(&self, at: usize) -> Result<[u8; 32], DbError> {
        self.blob(at)?.try_into().map_err(|_| corrupt("32 bytes", self.0.get(at)))
    }

    pub(crate) fn maybe_blob(&self, at: usize) -> Result<Option<&[u8]>, DbError> {
        if self.is_null(at) { Ok(None) } else { self.blob(at).map(Some) }
    }

    pub(crate) fn maybe_int(&self, at: usize) -> Result<Option<i64>, DbError> {
        if self.is_null(at) { Ok(None) } else { self.int(at).map(Some) }
    }

    pub(crate) fn maybe_text(&self, at: usize) -> Result<Option<&str>, DbError> {
        if self.is_null(at) { Ok(None) } else { self.text(at).map(Some) }
    }

    /// The text in this column, read as one of our types.
    /// Errors: [`DbError::Corrupt`] when it does not keep the type's rule.
    pub fn parse<T: std::str::FromStr>(&self, at: usize, wanted: &'static str) -> Result<T, DbError> {
        self.text(at)?.parse().map_err(|_| corrupt(wanted, self.0.get(at)))
    }

    pub(crate) fn maybe_parse<T: std::str::FromStr>(
        &self,
        at: usize,
        wanted: &'static str,
    ) -> Result<Option<T>, DbError> {
        if self.is_null(at) { Ok(None) } else { self.parse(at, wanted).map(Some) }
    }

    /// The word in this column, read by a function of the contract.
    pub fn word<T>(
        &self,
        at: usize,
        wanted: &'static str,
        read: fn(&str) -> Option<T>,
    ) -> Result<T, DbError> {
        read(self.text(at)?).ok_or_else(|| corrupt(wanted, self.0.get(at)))
    }

    fn is_null(&self, at: usize) -> bool {
        matches!(self.0.get(at), Some(Value::Null))
    }
}

/// Says what stands there without quoting bytes, which may be a key.
fn corrupt(wanted: &'static str, found: Option<&Value>) -> DbError {
    let found = match found {
        None => "no column".to_owned(),
        Some(Value::Null) => "nothing".to_owned(),
        Some(Value::Int(number)) => format!("the number {number}"),
        Some(Value::Text(text)) => format!("a text of {} characters", text.chars().count()),
        Some(Value::Blob(bytes)) => format!("{} bytes", bytes.len()),
    };
    DbError::Corrupt { wanted, found }
}
