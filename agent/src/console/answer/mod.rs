//! Reads an answer: its status, its head and its JSON.
//!
//! Invariant: pure functions of what came and of the time. Whatever came, the result is an answer of the contract or a
//! [`ConsoleError`] that is fit for a log: nothing of an answer is quoted before it was cleaned. `target` is the host and
//! port that error texts name.

use std::time::Duration;

use ::http::{HeaderMap, header};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use telovix_contract::enroll::{DEFAULT_HEARTBEAT_SECONDS, TrustBootstrap};
use telovix_contract::problem::Problem;
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{CaFingerprint, SensorId, reading};

use super::error::{ConsoleError, clean};
use super::http::RawAnswer;
use crate::config::{MistakenPin, pem};
use crate::machine::Code;
use crate::tls::ServerTrust;

/// Longest wait that an answer may ask of us (docs/contract.md section 6); a larger one is a mistake or an attack.
pub const LONGEST_RETRY_AFTER: Duration = crate::machine::schedule::LONGEST;

/// Most characters of a sentence of the other side.
const LONGEST_SENTENCE: usize = 500;

/// An identity, or the successor of one, as the Console hands it out. Not trusted yet. Of it the certificate and the CA alone
/// are required (docs/contract.md section 3): whatever else cannot be read is as if it were absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Issued {
    /// Whose identity it is said to be; the certificate says so as well.
    #[serde(default)]
    pub sensor_id: Option<SensorId>,
    /// The client certificate in PEM, issuers after it.
    pub control_plane_certificate_pem: String,
    /// The Console's CA in PEM.
    pub control_plane_ca_certificate_pem: String,
    /// The key that signs policies, in PEM.
    #[serde(default, deserialize_with = "reading::maybe")]
    pub policy_signing_public_key_pem: Option<String>,
    #[serde(default, deserialize_with = "reading::maybe")]
    trust_state: Option<TrustState>,
    #[serde(default, deserialize_with = "reading::count")]
    heartbeat_interval_seconds: Option<u64>,
    /// What kind of token paid.
    #[serde(default, deserialize_with = "reading::maybe")]
    pub token_type: Option<TokenType>,
    #[serde(default, deserialize_with = "reading::sentences")]
    warnings: Vec<String>,
}

impl Issued {
    /// What the Console thinks of the identity; trusted, where it does not say.
    pub fn trust_state(&self) -> TrustState {
        self.trust_state.unwrap_or(TrustState::Trusted)
    }

    /// Seconds between heartbeats.
    pub fn heartbeat_interval_seconds(&self) -> u32 {
        let said = self.heartbeat_interval_seconds;
        said.map_or(DEFAULT_HEARTBEAT_SECONDS, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// What the operator of the host should know, bounded in number and length, and cleaned.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(|text| clean(text, LONGEST_SENTENCE)).collect()
    }
}

/// What the Console answered to an enrollment. Not trusted yet.
pub enum EnrollReply {
    /// 201: an identity, so it says.
    Enrolled(Box<Issued>),
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
        status => match problem(&answer.body) {
            Some(problem) => Err(ConsoleError::Refused {
                status,
                known: problem.code(),
                code: clean(&problem.error, 64),
                message: clean(&problem.message, LONGEST_SENTENCE),
                retry_after: retry_after(&answer.headers, now),
            }),
            None if Code::of_status(status, Code::NotAConsole) == Code::ConsoleUnavailable => {
                Err(ConsoleError::Refused {
                    status,
                    known: None,
                    code: format!("http_{status}"),
                    message: format!("the answer was {}", kind_of(&answer)),
                    retry_after: retry_after(&answer.headers, now),
                })
            }
            None => Err(not_a_console(status, target, &kind_of(&answer))),
        },
    }
}

/// A refusal, of which the code alone is required.
pub fn problem(body: &[u8]) -> Option<Problem> {
    let body = json(body).ok()?;
    let text = |key| body.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Problem { error: text("error")?, message: text("message").unwrap_or_default() })
}

/// Any JSON; of a key that is there twice, the last. A byte-order mark before it does not matter.
fn json(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body))
}

/// Reads the JSON of a success.
pub fn read<T: DeserializeOwned>(answer: &RawAnswer, target: &str) -> Result<T, ConsoleError> {
    json(&answer.body).and_then(serde_json::from_value).map_err(|error| {
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
    /// What makes a 202 one of a Console: either key.
    #[derive(Deserialize)]
    struct Waiting {
        #[serde(default)]
        trust_state: Value,
        #[serde(default)]
        retry_after_seconds: Value,
    }
    if answer.status == 202 {
        let waiting: Waiting = read(answer, target)?;
        if waiting.trust_state.is_null() && waiting.retry_after_seconds.is_null() {
            return Err(not_a_console(answer.status, target, "JSON that is not the answer expected"));
        }
        let asked = reading::count(waiting.retry_after_seconds).ok().flatten();
        let asked = Duration::from_secs(asked.unwrap_or(DEFAULT_HEARTBEAT_SECONDS.into()));
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
    let text = bootstrap.control_plane_ca_certificate_pem;
    let shown: Vec<CertificateDer<'static>> = pem::blocks(pem::CERTIFICATE, &text)
        .map(|block| block.map(CertificateDer::from))
        .collect::<Result<_, _>>()
        .map_err(|_| not_a_console(answer.status, target, "a CA that is not PEM"))?;
    if let Some(mistake) = MistakenPin::of(pinned, &text, &shown) {
        return Err(ConsoleError::PinMistaken { target: target.to_owned(), mistake });
    }
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
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => LONGEST_RETRY_AFTER,
        Err(_) => {
            let until = http_date(text)?;
            Duration::from_secs(u64::try_from(until.as_second() - now.as_second()).unwrap_or(0))
        }
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

/// The other side's time, where it says it (`Date`) and nobody kept the answer for a while (`Age`, RFC 9111 section 5.1).
pub fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    if headers.get(header::AGE).is_some_and(|age| age.as_bytes().trim_ascii() != b"0") {
        return None;
    }
    http_date(headers.get(header::DATE)?.to_str().ok()?)
}

/// Reads an HTTP date (RFC 9110 section 5.6.7; the preferred form alone).
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests;
