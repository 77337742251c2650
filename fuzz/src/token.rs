//! The enrollment token, its hash and the pinned fingerprint, as any text that somebody pasted.

use serde_json::Value;
use telovix_agent::cli::{self, looks_like_token, redact_tokens};
use telovix_contract::token::{TOKEN_LENGTH, TOKEN_PREFIX};
use telovix_contract::{CaFingerprint, EnrollmentToken, TokenHash};

/// Reads the input as a token, as a hash and as a fingerprint.
///
/// # Panics
/// Where a reader takes what the contract does not have, loses something, or shows a token.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    token(text);
    hash(text);
    fingerprint(text);
}

fn token(text: &str) {
    let parsed = text.parse::<EnrollmentToken>();
    assert_eq!(parsed.is_ok(), is_token(text), "{text:?}");
    let by_json = serde_json::from_value::<EnrollmentToken>(Value::String(text.to_owned()));
    assert_eq!(parsed.is_ok(), by_json.is_ok(), "{text:?}");
    match parsed {
        Ok(token) => taken(text, &token),
        Err(error) => {
            let said = error.to_string() + &by_json.expect_err("both refuse").to_string();
            assert!(text.len() < 12 || !said.contains(text), "{said} shows {text}");
        }
    }
}

fn taken(text: &str, token: &EnrollmentToken) {
    assert_eq!(token.expose(), text);
    let plain: EnrollmentToken =
        text.trim_end_matches('=').parse().expect("the unpadded spelling is a token");
    let padded: EnrollmentToken = format!("{}=", plain.expose()).parse().expect("so is the padded one");
    assert_eq!((plain.hash(), padded.hash()), (token.hash(), token.hash()));
    assert_eq!(&plain, token);
    for hash in [plain.hash_as_given(), padded.hash_as_given(), token.hash()] {
        assert!(token.matches(&hash), "both spellings are one token");
    }
    assert_eq!(serde_json::to_value(token).expect("a text"), Value::String(text.to_owned()));
    assert!(!format!("{token:?}").contains(&text[8..]), "Debug shows it");
    assert!(looks_like_token(text) && redact_tokens(text) == "tse_<redacted>", "{text}");
    // Wherever it stands on a command line, nothing that is said quotes it.
    for argument in
        [text.to_owned(), format!("--token={text}"), format!("--node-name={text}"), format!("x{text}y")]
    {
        let said = cli::parse(["telovix-agent", "enroll", &argument].map(Into::into)).expect_err("a secret");
        assert!(!said.to_string().contains(&text[8..]), "{said}");
    }
}

/// docs/contract.md section 1, written another way: prefix, 43 characters of URL-safe base64, perhaps one `=`. 43 of them
/// hold 258 bits and a token has 256, so that the last two bits are none.
fn is_token(text: &str) -> bool {
    let Some(body) = text.strip_prefix(TOKEN_PREFIX) else { return false };
    let body = body.strip_suffix('=').unwrap_or(body).as_bytes();
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    body.len() + TOKEN_PREFIX.len() == TOKEN_LENGTH
        && body.iter().all(|byte| value(*byte).is_some())
        && body.last().and_then(|byte| value(*byte)).is_some_and(|last| last & 3 == 0)
}

fn hash(text: &str) {
    let Ok(hash) = text.parse::<TokenHash>() else { return };
    assert_eq!(hash.to_string(), text.trim().to_ascii_lowercase());
    assert_eq!(TokenHash::from_bytes(*hash.as_bytes()), hash);
    assert_eq!(hash.short(), hash.to_string()[..8]);
    assert!(!format!("{hash:?}").contains(&hash.to_string()[16..]));
}

fn fingerprint(text: &str) {
    let by_json = serde_json::from_value::<CaFingerprint>(Value::String(text.to_owned()));
    let parsed = text.parse::<CaFingerprint>();
    assert_eq!(parsed.is_ok(), by_json.is_ok());
    let Ok(fingerprint) = parsed else { return };
    let plain: String = text.to_ascii_lowercase().split(':').skip(1).collect();
    assert_eq!(fingerprint.to_string(), format!("sha256:{plain}"));
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
}
