//! What the targets share: a moment, keys that are the same in every run, a scratch folder, parts of an input.
//!
//! Invariant: nothing here is drawn at random or read from a clock, so that an input fails again where it failed once.
//! The keys are made of a repeated byte and are no secrets.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use telovix_agent::cli::{looks_like_token, redact_tokens};
use telovix_agent::key::KeyPair;
use tempfile::TempDir;

/// The time of every target, in unix seconds: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
/// Ends a part of an input that has several.
pub const SEPARATOR: u8 = 0x1e;

/// [`NOW`] as the agent tells time.
pub fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a moment of this century")
}

/// The Ed25519 key of 32 times this byte, as PKCS #8 version 1 (RFC 8410 section 7).
pub fn pkcs8(byte: u8) -> Vec<u8> {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([byte; 32]);
    der
}

/// The same as the library's key.
pub fn signer(byte: u8) -> rcgen::KeyPair {
    rcgen::KeyPair::try_from(pkcs8(byte).as_slice()).expect("32 bytes are an Ed25519 key")
}

/// The same as a host's key.
pub fn key(byte: u8) -> KeyPair {
    KeyPair::from_pem(&pem("PRIVATE KEY", &pkcs8(byte))).expect("32 bytes are an Ed25519 key")
}

/// Signs with [`pkcs8`] of this byte.
pub fn sign(byte: u8, message: &[u8]) -> Vec<u8> {
    use rcgen::SigningKey as _;
    signer(byte).sign(message).expect("Ed25519 signs anything")
}

/// PEM with this label (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The parts of an input, [`SEPARATOR`] between them; those that are missing are empty.
pub fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut split = data.splitn(N, |byte| *byte == SEPARATOR);
    std::array::from_fn(|_| split.next().unwrap_or_default())
}

/// A folder of this process, in memory where there is such a place.
pub fn scratch(name: &str) -> PathBuf {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let builder = tempfile::Builder::new().prefix("telovix-fuzz-").to_owned();
        builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).expect("a folder can be made")
    });
    FOLDER.path().join(name)
}

/// Fails where what was read is not read again as the same once it is written.
pub fn the_same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_vec(value).expect("a wire type is JSON");
    assert_eq!(&serde_json::from_slice::<T>(&text).expect("what we write we read"), value);
}

/// Fails where a text for people or logs holds a control character, a token, or more than it may.
pub fn fit_for_a_log(text: &str, longest: usize) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
    assert!(!holds_a_token(text), "a token in {text:?}");
    assert!(text.chars().count() <= longest, "{} characters in {text:?}", text.chars().count());
}

/// Whether something in it could be a token; what was taken out does not count.
pub fn holds_a_token(text: &str) -> bool {
    looks_like_token(&redact_tokens(text)) || redact_tokens(text) != text
}
