//! Signed calls of an operator's program (docs/contract.md section 5): the headers, the text that is signed, the window.

use serde::Deserialize;
use telovix_contract::ErrorCode;
use telovix_contract::token::hex;
use utoipa::ToSchema;

use super::Refusal;
use super::words::words;

/// Header with the key's name.
pub const HEADER_KEY_ID: &str = "x-telovix-key-id";
/// Header with the unix seconds of the call.
pub const HEADER_TIMESTAMP: &str = "x-telovix-timestamp";
/// Header with a text that this key never used before.
pub const HEADER_NONCE: &str = "x-telovix-nonce";
/// Header with `sha256=` and the hex of the HMAC.
pub const HEADER_SIGNATURE: &str = "x-telovix-signature";
/// Seconds that the call's time may differ from ours (docs/contract.md section 5).
pub(crate) const MAX_SKEW: i64 = 300;
/// Longest nonce in characters (ours).
pub(crate) const MAX_NONCE: usize = 128;

words! {
    /// What a key may do.
    #[derive(Deserialize, ToSchema)]
    pub Scope {
        /// `sensors:read`: list.
        #[serde(rename = "sensors:read")]
        Read = "sensors:read",
        /// `sensors:write`: create and revoke.
        #[serde(rename = "sensors:write")]
        Write = "sensors:write",
    }
}

/// A call as its headers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCall {
    /// The key's name.
    pub key_id: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// Never used before.
    pub nonce: String,
    /// The HMAC.
    pub signature: [u8; 32],
}

/// `METHOD\nPATH\nUNIX_SECONDS\nNONCE\nHEX(SHA256(body))`: what is signed.
pub fn signed_text(method: &str, path: &str, timestamp: i64, nonce: &str, body_sha256: &[u8; 32]) -> String {
    format!("{method}\n{path}\n{timestamp}\n{nonce}\n{}", hex(body_sha256))
}

/// The one refusal for every unsigned or wrongly signed call: it tells no guesser what was wrong.
pub fn unauthorized() -> Refusal {
    Refusal::new(
        ErrorCode::Unauthorized,
        "Sign the call with an API key: its id, the time, a fresh nonce and the HMAC in the X-Telovix headers.",
    )
}

pub(crate) fn check_time(timestamp: i64, now: i64) -> Result<(), Refusal> {
    if now.abs_diff(timestamp) <= MAX_SKEW.unsigned_abs() {
        return Ok(());
    }
    let message =
        format!("The call's time differs from the Console's by more than {MAX_SKEW} s; set the clock right.");
    Err(Refusal::new(ErrorCode::Unauthorized, message))
}

/// Whether a nonce is one: 1 to 128 visible ASCII characters.
pub fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/contract.md section 5: the signed text, and refusal past 300 s of skew.
    #[test]
    fn section_5_signed_text_and_skew() {
        let text = signed_text("GET", "/api/v2/sensors", 7, "n", &[0; 32]);
        assert_eq!(text, format!("GET\n/api/v2/sensors\n7\nn\n{}", "00".repeat(32)));
        for near in [700, 1000, 1300] {
            check_time(near, 1000).unwrap();
        }
        for far in [699, 1301, i64::MIN, i64::MAX] {
            assert_eq!(check_time(far, 1000).unwrap_err().code, ErrorCode::Unauthorized);
        }
        assert!(is_nonce("a-1") && !is_nonce("") && !is_nonce("a b") && !is_nonce(&"x".repeat(129)));
    }
}
