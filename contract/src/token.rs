//! The enrollment token and its hash (docs/contract.md sections 1 and 4).
//!
//! Invariant: a token's text leaves this type through [`EnrollmentToken::expose`] and serialization alone. `Debug` and
//! errors never show it, and its memory is wiped when it is dropped.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Start of every enrollment token.
pub const TOKEN_PREFIX: &str = "tse_";
/// Random bytes in a token.
pub const TOKEN_BYTES: usize = 32;
/// Length of a token as this project writes it, unpadded.
pub const TOKEN_LENGTH: usize = 47;

/// A secret that turns into an identity once (or, for a cluster, once per node): `tse_` and 32 random bytes in URL-safe
/// base64, with or without padding.
///
/// The text is kept as it was given, because the Console knows the SHA-256 of what it gave out.
#[derive(Clone)]
pub struct EnrollmentToken(Zeroizing<String>);

/// Why a text is not an enrollment token. Never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Nothing there.
    #[error("the token is empty")]
    Empty,
    /// Another kind of secret.
    #[error("the token does not start with `{TOKEN_PREFIX}`; copy the whole token that the Console showed")]
    Prefix,
    /// Cut off, or pasted twice, or with something around it.
    #[error(
        "the token has {0} characters instead of {TOKEN_LENGTH}; copy the whole token that the Console showed"
    )]
    Length(usize),
    /// Right length, wrong characters.
    #[error("the token holds characters that are not URL-safe base64; copy the whole token again")]
    Alphabet,
}

impl EnrollmentToken {
    /// Makes a token of 32 bytes that the caller drew from a secure random source.
    pub fn from_bytes(bytes: &[u8; TOKEN_BYTES]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_LENGTH));
        text.push_str(TOKEN_PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(text)
    }

    /// The secret itself, for the one place that sends it and the one that shows it to the operator who asked.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the unpadded spelling: what a Console looks a token up by, so that both spellings are one token.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.trim_end_matches('=').as_bytes()).into())
    }

    /// SHA-256 of the text as it was given: what stands in `.enrollment-token-hash`, where other programs compare it
    /// with the hash of the text that they hold (docs/contract.md section 7).
    pub fn hash_as_given(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The hashes under which programs know this token: unpadded first, padded, and either with the newline at the end of
    /// the file that it was made from (`kubectl create secret --from-file`).
    pub fn spellings(&self) -> [TokenHash; 4] {
        let bare = self.0.trim_end_matches('=');
        ["", "=", "\n", "=\n"].map(|end| {
            let text = Zeroizing::new(format!("{bare}{end}"));
            TokenHash(Sha256::digest(text.as_bytes()).into())
        })
    }

    /// Whether this is the token that `hash` was made of, in any spelling.
    pub fn matches(&self, hash: &TokenHash) -> bool {
        self.spellings().contains(hash)
    }
}

impl FromStr for EnrollmentToken {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidToken::Empty);
        }
        let body = text.strip_prefix(TOKEN_PREFIX).ok_or(InvalidToken::Prefix)?;
        if text.len() != TOKEN_LENGTH && text.len() != TOKEN_LENGTH + 1 {
            return Err(InvalidToken::Length(text.chars().count()));
        }
        let mut bytes = Zeroizing::new([0u8; TOKEN_BYTES + 4]);
        let engine = if body.ends_with('=') { URL_SAFE } else { URL_SAFE_NO_PAD };
        match engine.decode_slice(body, bytes.as_mut()) {
            Ok(TOKEN_BYTES) => Ok(Self(Zeroizing::new(text.to_owned()))),
            Ok(_) | Err(_) => Err(InvalidToken::Alphabet),
        }
    }
}

impl PartialEq for EnrollmentToken {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for EnrollmentToken {}

impl fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrollmentToken(<redacted>)")
    }
}

impl Serialize for EnrollmentToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for EnrollmentToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let token = text.parse().map_err(serde::de::Error::custom);
        text.zeroize();
        token
    }
}

/// SHA-256 of an enrollment token: all that either side keeps of it. Compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Takes 32 bytes that were a hash before (a database column).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first eight hex digits: enough to tell tokens apart in a log, useless to an attacker.
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", self.short())
    }
}

impl FromStr for TokenHash {
    type Err = InvalidHex;
    /// Reads 64 hex digits of either case, white space around them dropped (the file ends in a newline).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text.trim()).map(Self)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that should have been 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hex digits")]
pub struct InvalidHex;

/// Lower-case hex of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Reads 32 bytes from 64 hex digits of either case.
pub fn unhex(text: &str) -> Result<[u8; 32], InvalidHex> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| InvalidHex)?;
    bytes.try_into().map_err(|_| InvalidHex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_of_tokens_spread_in_a_table() {
        let of = |byte| EnrollmentToken::from_bytes(&[byte; TOKEN_BYTES]).hash();
        let spread = std::hash::RandomState::new();
        let place = |hash: &TokenHash| std::hash::BuildHasher::hash_one(&spread, hash);
        assert_eq!(place(&of(1)), place(&of(1)));
        assert_ne!(place(&of(1)), place(&of(2)));
    }

    #[test]
    fn a_token_is_47_characters_and_padding_changes_nothing() {
        let token = EnrollmentToken::from_bytes(&[0xfb; TOKEN_BYTES]);
        assert_eq!(token.expose().len(), TOKEN_LENGTH);
        let padded: EnrollmentToken = format!("{}=", token.expose()).parse().unwrap();
        assert_eq!(padded.hash(), token.hash());
        assert_eq!(padded, token);
        assert_ne!(padded.hash_as_given(), token.hash_as_given());
        assert!(padded.matches(&token.hash_as_given()) && token.matches(&padded.hash_as_given()));
        for end in ["\n", "=\n"] {
            let written = Sha256::digest(format!("{}{end}", token.expose()).as_bytes());
            assert!(padded.matches(&TokenHash(written.into())), "{end:?}");
        }
        let other = EnrollmentToken::from_bytes(&[1; TOKEN_BYTES]);
        assert_ne!(token, other);
        assert!(!token.matches(&other.hash()));
    }

    #[test]
    fn errors_say_what_is_wrong_and_never_the_token() {
        let good = EnrollmentToken::from_bytes(&[7; TOKEN_BYTES]);
        let text = good.expose();
        let cases = [
            (String::new(), InvalidToken::Empty),
            (text[4..].to_owned(), InvalidToken::Prefix),
            (text[..40].to_owned(), InvalidToken::Length(40)),
            (format!("{text}{text}"), InvalidToken::Length(94)),
            (text.replace("tse_B", "tse_+"), InvalidToken::Alphabet),
            (format!("{text} "), InvalidToken::Alphabet),
        ];
        for (bad, expected) in cases {
            let error = bad.parse::<EnrollmentToken>().unwrap_err();
            assert_eq!(error, expected);
            assert!(bad.len() < 9 || !error.to_string().contains(&bad[4..]), "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let token = EnrollmentToken::from_bytes(&[7; TOKEN_BYTES]);
        assert_eq!(format!("{token:?}"), "EnrollmentToken(<redacted>)");
        let error = serde_json::from_str::<EnrollmentToken>("\"tse_secretsecret\"").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn hashes_read_back_with_a_newline_and_in_capitals() {
        let hash = EnrollmentToken::from_bytes(&[9; TOKEN_BYTES]).hash();
        assert_eq!(format!("{hash}\n").parse::<TokenHash>().unwrap(), hash);
        assert_eq!(hash.to_string().to_uppercase().parse::<TokenHash>().unwrap(), hash);
        assert!("00".parse::<TokenHash>().is_err());
        assert!("é".repeat(32).parse::<TokenHash>().is_err());
        assert_eq!(TokenHash::from_bytes(*hash.as_bytes()), hash);
    }

    /// Both sides, and programs of others that read `.enrollment-token-hash`, have to compute the same.
    #[test]
    fn a_hash_is_the_sha_256_of_the_text_and_a_log_shows_its_beginning() {
        const HASHED: &str = "3a5a479e4a2097664a262b644efd9c52242df655c30ce7ea5d05ca70380eb7bd";
        let token = EnrollmentToken::from_bytes(&[9; TOKEN_BYTES]);
        assert_eq!(token.expose(), "tse_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk");
        let hash = token.hash();
        assert_eq!(hash.to_string(), HASHED);
        assert_eq!(hex(hash.as_bytes()), HASHED);
        assert_eq!(hash.short(), HASHED[..8]);
        assert_eq!(format!("{hash:?}"), format!("TokenHash({}…)", &HASHED[..8]));
    }

    proptest! {
        #[test]
        fn every_key_survives_the_text(bytes in proptest::array::uniform32(any::<u8>())) {
            let token = EnrollmentToken::from_bytes(&bytes);
            let again: EnrollmentToken = token.expose().parse().unwrap();
            prop_assert_eq!(again.hash(), token.hash());
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "(tse_)?\\PC{0,60}") {
            let _ = text.parse::<EnrollmentToken>();
            let _ = text.parse::<TokenHash>();
        }
    }
}
