//! Answers of a Console, as the agent reads them: any status, head and body.
//!
//! The input is the text of an answer: a line with the status, a line for each header field, an empty line, the body.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use telovix_agent::console::answer::{self, date_of, retry_after};
use telovix_agent::console::http::RawAnswer;
use telovix_agent::console::{ConsoleError, EnrollReply, LONGEST_RETRY_AFTER};
use telovix_agent::machine::Code;
use telovix_agent::tls::ServerTrust;
use telovix_contract::CaFingerprint;
use telovix_contract::enroll::{Enrolled, EnrollmentWaiting, TrustBootstrap};
use telovix_contract::problem::{Advice, ErrorCode};
use telovix_contract::session::{HeartbeatAnswer, Renewed};

use crate::kit::{fit_for_a_log, now, the_same_again};

const TARGET: &str = "console.example:15483";
/// Longest sentence that an error makes out of an answer: the longest message and code that are quoted, and our words.
const LONGEST_TEXT: usize = 700;

/// Reads the input as an answer to every call.
///
/// # Panics
/// Where the agent takes what the contract does not have, or quotes what is not fit for a log.
pub fn run(data: &[u8]) {
    let Some(answer) = answer_of(data) else { return };
    head(&answer.headers);
    let copy =
        || RawAnswer { status: answer.status, headers: answer.headers.clone(), body: answer.body.clone() };
    match answer::expect_success(copy(), TARGET, now()) {
        Ok(success) => {
            assert!((200..=299).contains(&success.status));
            read_all(&success);
        }
        Err(error) => {
            refused(&answer, &error);
            told(&error);
        }
    }
}

/// What is read of an answer that was given.
pub fn told(error: &ConsoleError) {
    fit_for_a_log(&error.to_string(), LONGEST_TEXT);
    assert!(!error.code().action().is_empty());
    assert!(error.retry_after().is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
    if let ConsoleError::Refused { known: Some(code), .. } = error {
        let names_a_path = code.advice() == Advice::MissingPath;
        assert!(error.code() == Code::Console(*code) || names_a_path, "the code comes first");
    }
}

fn answer_of(data: &[u8]) -> Option<RawAnswer> {
    let split = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?.parse().ok().filter(|s| (100..=999).contains(s))?;
    let mut headers = HeaderMap::new();
    for line in lines.take(8) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    Some(RawAnswer { status, headers, body: Bytes::copy_from_slice(body) })
}

fn head(headers: &HeaderMap) {
    if let Some(wait) = retry_after(headers, now()) {
        assert!(wait <= LONGEST_RETRY_AFTER && wait.subsec_nanos() == 0);
    }
    if let Some(date) = date_of(headers) {
        // The preferred form (RFC 9110 section 5.6.7) says the same time again.
        let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let again = HeaderMap::from_iter([(http::header::DATE, text.parse().expect("ASCII"))]);
        if (1900..=9999).contains(&date.strftime("%Y").to_string().parse::<i32>().unwrap_or(0)) {
            assert_eq!(date_of(&again).map(jiff::Timestamp::as_second), Some(date.as_second()), "{text}");
        }
    }
}

fn refused(answer: &RawAnswer, error: &ConsoleError) {
    let problem = answer::problem(&answer.body);
    if let Some(problem) = &problem {
        the_same_again(problem);
    }
    match error {
        ConsoleError::Redirect { status, .. } => assert!((300..=399).contains(status)),
        ConsoleError::Refused { status, known, .. } => {
            assert_eq!(*status, answer.status);
            let code = problem.as_ref().and_then(|problem| ErrorCode::from_word(&problem.error));
            assert_eq!(*known, code);
            if code.is_none() {
                assert_eq!(error.code(), Code::of_status(*status, Code::UnknownRefusal), "then the status");
            }
            let passes = Code::of_status(*status, Code::NotAConsole) == Code::ConsoleUnavailable;
            assert!(problem.is_some() || passes);
        }
        ConsoleError::NotAConsole { status, .. } => {
            assert!(problem.is_none() && *status == answer.status);
        }
        ConsoleError::Unreachable { .. }
        | ConsoleError::OutOfResources { .. }
        | ConsoleError::Forbidden { .. }
        | ConsoleError::Proxy { .. }
        | ConsoleError::Deadline { .. }
        | ConsoleError::NotTrusted { .. }
        | ConsoleError::PinMismatch { .. }
        | ConsoleError::PinMistaken { .. }
        | ConsoleError::NoSystemRoots { .. }
        | ConsoleError::Handshake { .. }
        | ConsoleError::CertificateRefused { .. }
        | ConsoleError::CertificateRefusedEarly { .. }
        | ConsoleError::NotRequested { .. }
        | ConsoleError::Broken { .. }
        | ConsoleError::TooLarge { .. }
        | ConsoleError::Setup { .. } => panic!("an answer became {error:?}"),
    }
    if error.code().advice() == Advice::MissingPath {
        assert!(matches!(answer.status, 404 | 405), "only a path can be missing");
    }
}

fn read_all(answer: &RawAnswer) {
    both_ways::<Enrolled>(answer);
    both_ways::<EnrollmentWaiting>(answer);
    both_ways::<HeartbeatAnswer>(answer);
    both_ways::<Renewed>(answer);
    both_ways::<TrustBootstrap>(answer);
    match answer::enrollment(answer, TARGET) {
        Ok(EnrollReply::Waiting(wait)) => {
            assert!(answer.status == 202 && wait >= Duration::from_secs(1) && wait <= LONGEST_RETRY_AFTER);
        }
        Ok(EnrollReply::Enrolled(_)) => assert_ne!(answer.status, 202),
        Err(error) => told(&error),
    }
    let pin = CaFingerprint::of_der(b"no certificate");
    match answer::pinned(answer, TARGET, &pin) {
        Ok(ServerTrust::Anchors { certificates, .. }) => {
            assert!(
                certificates.iter().all(|der| CaFingerprint::of_der(der) == pin) && certificates.len() == 1
            );
        }
        Ok(ServerTrust::SystemRoots { .. } | ServerTrust::DangerAnyServer) => {
            panic!("a pin gives one anchor")
        }
        Err(error) => told(&error),
    }
}

/// What is read is written and read again as the same.
fn both_ways<T: DeserializeOwned + Serialize + PartialEq + Debug>(answer: &RawAnswer) {
    match answer::read::<T>(answer, TARGET) {
        Ok(value) => the_same_again(&value),
        Err(error) => told(&error),
    }
}
