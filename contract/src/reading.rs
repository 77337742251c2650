//! Reading what the other side sends (docs/contract.md section 3): what only advises never spoils the rest, and what decides
//! is said once.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Most sentences that are taken from the other side at once.
pub const MOST_SENTENCES: usize = 16;

/// A value that may be anything: `None` where it is not a `T`.
pub fn maybe<'de, T: DeserializeOwned, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(from)?).ok())
}

/// The same, with the default in place of what is not a `T`.
pub fn or_default<'de, T: DeserializeOwned + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    maybe(from).map(Option::unwrap_or_default)
}

/// The default in place of `null`, and no other leniency.
pub fn null_as_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// A count, also where it is written as text or with a fraction. `None` for what is none, a negative number included.
pub fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = match &value {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => return Ok(number.as_u64().or_else(|| number.as_f64().and_then(whole))),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(number.and_then(whole))
}

/// The sentences of a list, at most [`MOST_SENTENCES`]; where there were more, the last one says how many.
pub fn sentences<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let Value::Array(all) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    let mut texts: Vec<String> =
        all.into_iter().filter_map(text).filter(|text| !text.trim().is_empty()).collect();
    if texts.len() > MOST_SENTENCES {
        let more = texts.len() + 1 - MOST_SENTENCES;
        texts.truncate(MOST_SENTENCES - 1);
        texts.push(format!("and {more} more, which are not shown"));
    }
    Ok(texts)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast to an integer stops at its ends"
)]
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}

/// JSON in which no object says a key twice, on any level.
///
/// # Errors
/// As the parser's; of a repeated key, one that does not quote it.
pub fn unambiguous(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Unambiguous>(body).map(|read| read.0)
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Once).map(Self)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Unambiguous(value)) = list.next_element()? {
            read.push(value);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let Unambiguous(value) = object.next_value()?;
            if read.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is there twice"));
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn counts_are_read_in_every_spelling_and_the_rest_is_none() {
        for (value, expected) in [
            (json!(15), Some(15)),
            (json!(15.9), Some(15)),
            (json!("15"), Some(15)),
            (json!(" 15.0 "), Some(15)),
            (json!(1e30), Some(u64::MAX)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!("-1"), None),
            (json!("NaN"), None),
            (json!("soon"), None),
            (json!(null), None),
            (json!([15]), None),
        ] {
            assert_eq!(count(value.clone()).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn sentences_are_bounded_in_number_and_other_things_are_none() {
        assert_eq!(sentences(json!(["a", 1, null, " ", {"b": 1}, "c"])).unwrap(), ["a", "c"]);
        for other in [json!(null), json!("a"), json!({"a": 1})] {
            assert_eq!(sentences(other).unwrap(), Vec::<String>::new());
        }
        let many = sentences(json!(vec!["w"; 200_000])).unwrap();
        assert_eq!((many.len(), many[15].as_str()), (16, "and 199985 more, which are not shown"));
        assert_eq!(sentences(json!(many)).unwrap(), many);
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_on_every_level() {
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"c":2,"b":3}}"#, r#"[{"a":1,"\u0061":2}]"#] {
            let error = unambiguous(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("twice"), "{error}");
        }
        assert!(unambiguous(br#"[{"a":1},{"a":1}]"#).is_ok() && unambiguous(b"{").is_err());
    }

    proptest! {
        #[test]
        fn what_is_unambiguous_reads_as_ever(text in "[\\[\\]{}\",:0-9ae.+ntru-]{0,40}|\\PC{0,20}") {
            if let Ok(read) = unambiguous(text.as_bytes()) {
                prop_assert_eq!(read, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
