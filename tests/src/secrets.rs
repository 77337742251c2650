//! Looks for what must not be anywhere: a token or a private key, in every spelling in which either could leak.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use telovix_contract::token::{TOKEN_PREFIX, hex};

/// Shortest piece that is looked for: long enough never to be met by chance.
const SHORTEST: usize = 16;

/// One spelling of one secret.
#[derive(Clone)]
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

/// Everything to look for. Its `Debug` names the needles and shows none.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Needle>);

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which spelling of which secret.
    pub what: String,
    /// The file, or the name that the test gave to the text.
    pub place: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|needle| &needle.name)).finish()
    }
}

impl Secrets {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for a token too: whole, without its prefix, its bytes, and those in hex. Half of it counts as well, as a
    /// log that shortens a secret still shows it.
    ///
    /// # Panics
    /// When it is no token.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        let body = token.trim_end_matches('=').strip_prefix(TOKEN_PREFIX).expect("a token");
        let bytes = URL_SAFE_NO_PAD.decode(body).expect("a token");
        self.add("token", body.as_bytes());
        self.add("first half of the token", &body.as_bytes()[..body.len() / 2]);
        self.add("second half of the token", &body.as_bytes()[body.len() / 2..]);
        self.add_binary("token", &bytes);
        self
    }

    /// Looks for a private key too: its PEM line by line, its DER, and the numbers in it that are the secret.
    ///
    /// # Panics
    /// When it is no private key in PEM.
    #[must_use]
    pub fn key(mut self, pem: &str) -> Self {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a private key in PEM");
        let der = der.secret_der();
        let mut numbers = Vec::new();
        secret_numbers(der, &mut numbers);
        assert!(!numbers.is_empty(), "no secret number found in the key");
        for (at, line) in pem.lines().filter(|line| !line.starts_with("-----")).enumerate() {
            // A line of 64 characters is 48 bytes. Some hold only the algorithm or the public half, which is no secret.
            let bytes = at * 48..at * 48 + line.trim_end_matches('=').len() * 3 / 4;
            let secret = numbers.iter().any(|number| {
                let from =
                    der.windows(number.len()).position(|window| window == number).expect("taken from there");
                let both = from.max(bytes.start)..(from + number.len()).min(bytes.end);
                both.len() >= SHORTEST / 2
            });
            if secret {
                self.add(&format!("line {} of the key's PEM", at + 1), line.as_bytes());
            }
        }
        self.add("DER of the key", der);
        for (at, number) in numbers.iter().enumerate() {
            self.add_binary(&format!("secret number {} of the key", at + 1), number);
        }
        self
    }

    /// Looks for any other text.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.0.push(Needle { name: name.to_owned(), bytes: text.as_bytes().to_vec() });
        self
    }

    /// Where the secrets stand in these bytes.
    #[must_use]
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<Finding> {
        let found = self.0.iter().filter(|needle| contains(bytes, &needle.bytes));
        found.map(|needle| Finding { what: needle.name.clone(), place: place.to_owned() }).collect()
    }

    /// Where the secrets stand in a file, or in the files of a folder and all below it. Names count too. Links are not
    /// followed.
    ///
    /// # Panics
    /// When something there cannot be read.
    #[must_use]
    pub fn in_path(&self, path: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        for file in files(path) {
            let place = file.display().to_string();
            findings.extend(self.in_bytes(&format!("name of {place}"), place.as_bytes()));
            let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{place}: {e}"));
            findings.extend(self.in_bytes(&place, &bytes));
        }
        findings
    }

    /// Insists that they stand nowhere in these bytes.
    ///
    /// # Panics
    /// When one does. The message does not repeat the text.
    #[track_caller]
    pub fn assert_not_in(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let findings = self.in_bytes(place, bytes.as_ref());
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Insists that they stand nowhere below a path.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn assert_not_below(&self, path: &Path) {
        let findings = self.in_path(path);
        assert!(findings.is_empty(), "{findings:#?}");
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        if bytes.len() >= SHORTEST {
            self.0.push(Needle { name: name.to_owned(), bytes: bytes.to_vec() });
        }
    }

    /// Bytes as they are, in hex of either case, in base64, and as Rust and JSON print a list of numbers.
    fn add_binary(&mut self, name: &str, bytes: &[u8]) {
        self.add(&format!("bytes of the {name}"), bytes);
        self.add(&format!("hex of the {name}"), hex(bytes).as_bytes());
        self.add(&format!("capital hex of the {name}"), hex(bytes).to_uppercase().as_bytes());
        self.add(&format!("base64 of the {name}"), STANDARD_NO_PAD.encode(bytes).as_bytes());
        let list = |separator: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(separator);
        self.add(&format!("list of the {name}"), list(", ").as_bytes());
        self.add(&format!("list of the {name}"), list(",").as_bytes());
    }
}

/// Every file below a path, the path itself if it is one.
///
/// # Panics
/// When a folder cannot be read.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let meta = path.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if meta.is_file() {
        return vec![path.to_owned()];
    }
    if !meta.is_dir() {
        return Vec::new();
    }
    let entries = path.read_dir().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found: Vec<PathBuf> = entries.flatten().flat_map(|entry| files(&entry.path())).collect();
    found.sort();
    found
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    // `windows` over megabytes is slow in a debug build; the first byte rules nearly every place out.
    let Some((first, rest)) = needle.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = hay[from..].iter().position(|byte| byte == first) {
        let begin = from + at + 1;
        if hay[begin..].starts_with(rest) {
            return true;
        }
        from = begin;
    }
    false
}

/// The secret numbers of a PKCS #8 key: the scalar of an elliptic curve, the seed of Ed25519, or d, p and q of RSA.
fn secret_numbers(der: &[u8], numbers: &mut Vec<Vec<u8>>) {
    let mut integers = 0;
    let mut rest = der;
    while let Some((tag, content, after)) = element(rest) {
        rest = after;
        match tag {
            0x30 => secret_numbers(content, numbers),
            // An OCTET STRING holds either the next structure or the number itself.
            0x04 if element(content).is_some_and(|(_, _, left)| left.is_empty()) => {
                secret_numbers(content, numbers);
            }
            0x04 => numbers.push(content.to_vec()),
            // RSAPrivateKey: version, n, e, then what is secret. The smaller structures have one INTEGER, the version.
            0x02 => {
                integers += 1;
                if integers > 3 {
                    let zeros = content.iter().take_while(|byte| **byte == 0).count();
                    numbers.push(content[zeros..].to_vec());
                }
            }
            _ => {}
        }
    }
}

/// The first element of DER: tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::KeyKind;
    use telovix_contract::EnrollmentToken;

    #[test]
    fn a_token_is_found_in_every_spelling() {
        let token = EnrollmentToken::from_bytes(&[0xc7; 32]);
        let secrets = Secrets::new().token(token.expose());
        for text in [
            format!("token={}=", token.expose()),
            token.expose()[4..].to_owned(),
            token.expose()[..30].to_owned(),
            format!("{:?}", [0xc7u8; 32]),
            "c7".repeat(32),
        ] {
            assert!(!secrets.in_bytes("log", text.as_bytes()).is_empty(), "{text}");
        }
        assert!(secrets.in_bytes("log", token.hash().to_string().as_bytes()).is_empty());
        assert!(secrets.in_bytes("log", b"tse_<redacted>").is_empty());
        assert!(!format!("{secrets:?}").contains(&token.expose()[4..]));
    }

    #[test]
    fn every_kind_of_key_is_found_and_its_public_key_is_not_it() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa2048] {
            let key = kind.generate();
            let secrets = Secrets::new().key(&key.serialize_pem());
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("below")).unwrap();
            let file = folder.path().join("below").join("key");
            std::fs::write(&file, key.serialize_pem()).unwrap();
            assert!(!secrets.in_path(folder.path()).is_empty(), "{kind:?} in PEM");
            std::fs::write(&file, [b"rubbish", key.serialized_der(), b"rubbish"].concat()).unwrap();
            assert!(secrets.in_path(folder.path()).len() > 1, "{kind:?} in DER");
            std::fs::write(&file, key.public_key_pem()).unwrap();
            secrets.assert_not_below(folder.path());
            let request = crate::csr::for_key(&key, crate::csr::Wish::Plain, "n");
            secrets.assert_not_in("its own request", request);
        }
    }

    #[test]
    fn scalars_are_found_alone() {
        let key = KeyKind::P256.generate();
        let mut numbers = Vec::new();
        secret_numbers(key.serialized_der(), &mut numbers);
        assert_eq!(numbers.iter().map(Vec::len).collect::<Vec<_>>(), [32]);
        let hex = hex(&numbers[0]);
        assert!(!Secrets::new().key(&key.serialize_pem()).in_bytes("x", hex.as_bytes()).is_empty());
    }
}
