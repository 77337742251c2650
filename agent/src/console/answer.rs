//! Reads an answer: its status, its head and its JSON.
//!
//! Invariant: pure functions of what came and of the time. Whatever came, the result is an answer of the contract or a
//! [`ConsoleError`] that is fit for a log: nothing of an answer is quoted before it was cleaned. `target` is the host and
//! port that error texts name.

use std::time::Duration;

use ::http::{HeaderMap, header};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use telovix_contract::CaFingerprint;
use telovix_contract::enroll::{Enrolled, EnrollmentWaiting, TrustBootstrap};
use telovix_contract::problem::Problem;

use super::error::{ConsoleError, clean};
use super::http::RawAnswer;
use crate::machine::Code;
use crate::tls::ServerTrust;

/// Longest wait that an answer may ask of us (docs/contract.md section 6); a larger one is a mistake or an attack.
pub const LONGEST_RETRY_AFTER: Duration = crate::machine::schedule::LONGEST;

/// What the Console answered to an enrollment. Not trusted yet.
pub enum EnrollReply {
    /// 201: an identity, so it says.
    Enrolled(Box<Enrolled>),
    /// 202: an operator has to approve; repeat the identical request after this long.
    Waiting(Duration),
}

/// Sorts an answer by status: success, redirect, refusal.
///
/// # Errors
/// [`ConsoleError::Redirect`], [`ConsoleError::Refused`], [`ConsoleError::NotAConsole`].
pub fn expect_success(answer: RawAnswer, target: &str, now: Timestamp) -> Result<RawAnswer, ConsoleError> {
    match answer.status {
        200..=299 => Ok(answer),
        300..=399 => {
            let location = answer
                .headers
                .get(header::LOCATION)
                .map_or("nowhere", |l| l.to_str().unwrap_or("an unreadable address"));
            Err(ConsoleError::Redirect {
                target: target.to_owned(),
                status: answer.status,
                location: clean(location, 200),
            })
        }
        status => match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => Err(ConsoleError::Refused {
                status,
                known: problem.code(),
                code: clean(&problem.error, 64),
                message: clean(&problem.message, 500),
                retry_after: retry_after(&answer.headers, now),
            }),
            Err(_) if Code::of_status(status, Code::NotAConsole) == Code::ConsoleUnavailable => {
                Err(ConsoleError::Refused {
                    status,
                    known: None,
                    code: format!("http_{status}"),
                    message: format!("the answer was {}", kind_of(&answer)),
                    retry_after: retry_after(&answer.headers, now),
                })
            }
            Err(_) => Err(not_a_console(status, target, &kind_of(&answer))),
        },
    }
}

/// Reads the JSON of a success.
pub fn read<T: DeserializeOwned>(answer: &RawAnswer, target: &str) -> Result<T, ConsoleError> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let found = match error.classify() {
            serde_json::error::Category::Data => {
                format!("JSON that is not the answer expected ({})", clean(&error.to_string(), 200))
            }
            serde_json::error::Category::Eof
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Io => kind_of(answer),
        };
        not_a_console(answer.status, target, &found)
    })
}

/// Reads the answer to an enrollment.
pub fn enrollment(answer: &RawAnswer, target: &str) -> Result<EnrollReply, ConsoleError> {
    if answer.status == 202 {
        let waiting: EnrollmentWaiting = read(answer, target)?;
        let asked = Duration::from_secs(waiting.retry_after_seconds.into());
        return Ok(EnrollReply::Waiting(asked.clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER)));
    }
    read(answer, target).map(|enrolled| EnrollReply::Enrolled(Box::new(enrolled)))
}

/// Reads the answer to the trust bootstrap, and keeps of it the one certificate that the operator pinned.
///
/// # Errors
/// [`ConsoleError::PinMismatch`] when no certificate there has the fingerprint; as [`read`].
pub fn pinned(answer: &RawAnswer, target: &str, pinned: &CaFingerprint) -> Result<ServerTrust, ConsoleError> {
    let bootstrap: TrustBootstrap = read(answer, target)?;
    let shown = CertificateDer::pem_slice_iter(bootstrap.control_plane_ca_certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| not_a_console(answer.status, target, "a CA that is not PEM"))?;
    let first = shown.first().map(|der| CaFingerprint::of_der(der));
    match shown.into_iter().find(|der| CaFingerprint::of_der(der) == *pinned) {
        Some(certificate) => Ok(ServerTrust::Anchors {
            certificates: vec![certificate],
            named: format!("the pinned CA {pinned}"),
        }),
        None => Err(ConsoleError::PinMismatch {
            target: target.to_owned(),
            found: first.map_or_else(|| "none".to_owned(), |f| f.to_string()),
            pinned: pinned.to_string(),
        }),
    }
}

fn not_a_console(status: u16, target: &str, found: &str) -> ConsoleError {
    ConsoleError::NotAConsole { target: target.to_owned(), status, found: found.to_owned() }
}

/// What an answer that cannot be read seems to be.
fn kind_of(answer: &RawAnswer) -> String {
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

/// `Retry-After` (RFC 9110 section 10.2.3) in either form, at most [`LONGEST_RETRY_AFTER`].
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
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

/// The other side's time, where it says it (`Date`).
pub fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
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
