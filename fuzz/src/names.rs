//! The names of the contract: what is accepted keeps its limits, prints as it was, and both ways to read it agree.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use telovix_agent::config::values::{LONGEST_DURATION, parse_duration};
use telovix_agent::config::{ConsoleUrl, KeyType, LogFormat, LogLevel};
use telovix_console_stub::domain::public_url::PublicUrl;
use telovix_contract::problem::ErrorCode;
use telovix_contract::states::{HealthState, SensorStatus, TokenStatus, TokenType, TrustHealth, TrustState};
use telovix_contract::text::is_plain;
use telovix_contract::{ClusterName, Flavor, InstallId, NodeName, NodeRole, SensorId, Tag, Tags};

/// Reads the input as a name of every kind.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let host_like = |most| {
        let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        (1..=most).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
            && end(text.chars().next())
            && end(text.chars().last())
    };
    assert_eq!(both::<NodeName>(text).is_some(), host_like(253));
    let trimmed = text.trim();
    let cluster = (1..=128).contains(&trimmed.chars().count()) && trimmed.chars().all(is_plain);
    assert_eq!(both::<ClusterName>(trimmed).is_some(), cluster);
    assert_eq!(text.parse::<ClusterName>().is_ok(), cluster, "white space at the ends is dropped");
    assert_eq!(both::<InstallId>(text).is_some(), host_like(128));
    let role = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    assert_eq!(both::<NodeRole>(text).is_some(), role);
    let tag = (1..=128).contains(&text.chars().count())
        && !text.chars().any(|c| c == ',' || c.is_control())
        && text.trim() == text;
    assert_eq!(both::<Tag>(text).is_some(), tag);
    if let Some(id) = both::<SensorId>(&text.to_ascii_lowercase()) {
        assert_eq!(SensorId::from_uri(&id.to_uri()), Some(id));
    }
    if let Some(id) = SensorId::from_uri(text) {
        assert!(id.to_uri().eq_ignore_ascii_case(text));
    }
    if let Ok(tags) = text.parse::<Tags>() {
        assert!(tags.as_slice().len() <= 64);
        assert_eq!(tags.to_string().parse(), Ok(tags.clone()));
        let json = serde_json::to_string(&tags).expect("a list of texts");
        assert_eq!(serde_json::from_str::<Tags>(&json).expect("they are tags"), tags);
    }
    words(text);
    values(text);
    addresses(text);
}

/// The value that both readers give, if they do: by `FromStr`, and out of JSON.
fn both<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Debug> + Serialize + DeserializeOwned + Display + Debug + PartialEq,
{
    let parsed = text.parse::<T>();
    let json: Result<T, _> = serde_json::from_value(Value::String(text.to_owned()));
    assert_eq!(parsed.is_ok(), json.is_ok(), "two readers differ on {text:?}: {parsed:?}, {json:?}");
    let (value, again) = (parsed.ok()?, json.ok()?);
    assert_eq!(value, again);
    assert_eq!(value.to_string(), text);
    assert_eq!(serde_json::to_value(&value).expect("a text"), Value::String(text.to_owned()));
    Some(value)
}

fn words(text: &str) {
    let json = |found: bool, read: bool| assert_eq!(found, read, "two readers differ on {text:?}");
    let value = || Value::String(text.to_owned());
    json(TrustState::from_word(text).is_some(), serde_json::from_value::<TrustState>(value()).is_ok());
    json(SensorStatus::from_word(text).is_some(), serde_json::from_value::<SensorStatus>(value()).is_ok());
    json(TrustHealth::from_word(text).is_some(), serde_json::from_value::<TrustHealth>(value()).is_ok());
    json(HealthState::from_word(text).is_some(), serde_json::from_value::<HealthState>(value()).is_ok());
    json(TokenStatus::from_word(text).is_some(), serde_json::from_value::<TokenStatus>(value()).is_ok());
    json(TokenType::from_word(text).is_some(), serde_json::from_value::<TokenType>(value()).is_ok());
    json(text.parse::<Flavor>().is_ok(), serde_json::from_value::<Flavor>(value()).is_ok());
    if let Some(code) = ErrorCode::from_word(text) {
        assert_eq!(code.as_str(), text);
    }
}

fn values(text: &str) {
    if let Ok(span) = parse_duration(text) {
        assert!(span.as_secs() > 0 && span <= LONGEST_DURATION && span.subsec_nanos() == 0);
        assert_eq!(parse_duration(&format!("{}s", span.as_secs())), Ok(span));
    }
    let same = |word: &str| word.eq_ignore_ascii_case(text) || text.len() > word.len();
    assert!(!text.parse::<LogLevel>().is_ok_and(|level| !same(level.as_str())));
    assert!(!text.parse::<LogFormat>().is_ok_and(|format| !same(format.as_str())));
    assert!(!text.parse::<KeyType>().is_ok_and(|kind| !same(kind.as_str())));
}

/// The address that a Console writes into the line that installs an agent has to be one that the agent takes.
fn addresses(text: &str) {
    let agent = text.parse::<ConsoleUrl>();
    if let Ok(url) = &agent {
        assert!(url.port() > 0 && !url.host().is_empty() && !url.host().contains(['@', '/', ' ']));
        assert_eq!(url.to_string().parse().as_ref(), Ok(url));
        assert!(url.host().parse::<IpAddr>().is_ok() || url.host().is_ascii());
    }
    if let Ok(public) = text.parse::<PublicUrl>() {
        assert_eq!(public.as_str().parse().as_ref(), Ok(&public));
        let read = public.as_str().parse::<ConsoleUrl>();
        assert!(read.is_ok(), "the Console gives out {public}, and the agent says: {read:?}");
    }
}
