//! Bodies: read up to a limit, then field by field, so that a refusal names the field.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use telovix_contract::ErrorCode;

use crate::domain::Refusal;

/// Reads a whole body of at most `longest` bytes.
/// Errors: `payload_too_large`; `invalid_request` when the client breaks off.
pub(crate) async fn read(body: Body, longest: usize) -> Result<Bytes, Refusal> {
    match Limited::new(body, longest).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("The body is longer than {longest} bytes; send less.");
            Err(Refusal::new(ErrorCode::PayloadTooLarge, message))
        }
        Err(_) => Err(Refusal::new(ErrorCode::InvalidRequest, "The body broke off; send it again.")),
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let Fields(fields) = Fields::parse(body)?;
    serde_path_to_error::deserialize(whole(Value::Object(fields))).map_err(|error| {
        let path = error.path().to_string();
        let why = short(error.inner());
        // A missing field belongs to no path: serde names it in its words alone.
        match why.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            Some((name, _)) => Refusal::field(name, "it is missing"),
            None => Refusal::field(&path, why),
        }
    })
}

/// Writes `2.0` as `2`: in JSON Schema both are the same integer.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // Up to 2^53 every whole number has a place of its own.
            Some(float) if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 => {
                format!("{float:.0}").parse().unwrap_or(Value::Number(number))
            }
            Some(_) | None => Value::Number(number),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(whole).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, whole(value))).collect())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::String(_)) => plain,
    }
}

#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    /// Errors: `invalid_request` when it is not a JSON object. The parser's own words could quote the body; its position cannot.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        match telovix_contract::reading::unambiguous(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal::new(ErrorCode::InvalidRequest, "The body has to be a JSON object.")),
            Err(error) if error.is_data() => {
                let message = format!("A key is in the body twice, at line {}.", error.line());
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
            Err(error) => {
                let message =
                    format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or_else(|| Refusal::field(name, "it is missing"))
    }

    /// A field that only advises: what cannot be read is as if it were absent (docs/contract.md section 3).
    pub(super) fn advisory<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.0.remove(name).and_then(|value| serde_json::from_value(value).ok())
    }

    /// A field that may be absent or null.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read = serde_json::from_value(value);
                read.map(Some).map_err(|error| Refusal::field(name, short(&error)))
            }
        }
    }
}

/// The reason, without whatever a hostile client wants to see in a log.
fn short(error: &serde_json::Error) -> String {
    telovix_contract::clean(&error.to_string(), 200)
}
