//! Reads the parts of an answer that are not its JSON.

use std::time::Duration;

use ::http::{HeaderMap, header};
use jiff::Timestamp;

use super::LONGEST_RETRY_AFTER;
use super::error::clean;
use super::http::RawAnswer;

/// What an answer that cannot be read seems to be.
pub(super) fn kind_of(answer: &RawAnswer) -> String {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let head = answer.body.trim_ascii_start();
    if kind.contains("html") || head.first() == Some(&b'<') {
        return "an HTML page".to_owned();
    }
    match (head.first(), kind) {
        (None, _) => "an empty body".to_owned(),
        (Some(b'{'), _) => "torn or foreign JSON".to_owned(),
        (Some(_), "") => "an unknown kind of body".to_owned(),
        (Some(_), kind) => format!("a body of type {}", clean(kind, 60)),
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3) in either form, capped.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = http_date(text)?;
            Duration::from_secs(u64::try_from(until.as_second() - now.as_second()).unwrap_or(0))
        }
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

/// The other side's time, where it says it.
pub(super) fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// Reads an HTTP date (RFC 9110 section 5.6.7; the preferred form alone).
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_in_both_forms_and_capped() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after(&headers("7"), now), Some(Duration::from_secs(7)));
        let date = "Thu, 01 Jan 2026 00:01:00 GMT";
        assert_eq!(retry_after(&headers(date), now), Some(Duration::from_secs(60)));
        let past = "Wed, 31 Dec 2025 00:01:00 GMT";
        assert_eq!(retry_after(&headers(past), now), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers("99999999999"), now), Some(LONGEST_RETRY_AFTER));
        for bad in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(&headers(bad), now), None, "{bad:?}");
        }
    }
}
