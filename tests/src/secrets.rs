//! Looks for what must not be anywhere: a token or a private key, in every spelling in which either could leak.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use pkcs1::RsaPrivateKey;
use pkcs8::der::Decode as _;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use sec1::EcPrivateKey;
use telovix_contract::token::{TOKEN_PREFIX, hex};

/// Shortest piece that is looked for: long enough never to be met by chance.
const SHORTEST: usize = 16;

/// `id-Ed25519` (RFC 8410 section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

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
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for a token too: whole, without its prefix, its bytes, and those in hex. Half of it counts as well, as a
    /// log that shortens a secret still shows it.
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
    pub fn key(mut self, pem: &str) -> Self {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a private key in PEM");
        let numbers = secret_numbers(&der);
        let der = der.secret_der();
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
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.0.push(Needle { name: name.to_owned(), bytes: text.as_bytes().to_vec() });
        self
    }

    /// Where the secrets stand in these bytes.
    pub fn in_bytes(&self, place: &str, bytes: &[u8]) -> Vec<Finding> {
        let found = self.0.iter().filter(|needle| contains(bytes, &needle.bytes));
        found.map(|needle| Finding { what: needle.name.clone(), place: place.to_owned() }).collect()
    }

    /// Where the secrets stand in a file, or in the files of a folder and all below it. Names count too. Links are not
    /// followed.
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
    #[track_caller]
    pub fn assert_not_in(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let findings = self.in_bytes(place, bytes.as_ref());
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Insists that they stand nowhere below a path.
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

/// The secret numbers of a key, big-endian: the scalar of an elliptic curve, the seed of Ed25519, or of RSA d, p, q and
/// what is computed from them. A number is never looked into: its bytes can look like anything.
fn secret_numbers(key: &PrivateKeyDer<'_>) -> Vec<Vec<u8>> {
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa_numbers(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => vec![ec_number(key.secret_sec1_der())],
        PrivateKeyDer::Pkcs8(key) => {
            let key = PrivateKeyInfo::from_der(key.secret_pkcs8_der()).expect("PKCS #8 (RFC 5958)");
            match key.algorithm.oid {
                pkcs1::ALGORITHM_OID => rsa_numbers(key.private_key),
                sec1::ALGORITHM_OID => vec![ec_number(key.private_key)],
                ED25519 => {
                    let seed = OctetStringRef::from_der(key.private_key).expect("CurvePrivateKey (RFC 8410)");
                    vec![seed.as_bytes().to_vec()]
                }
                other => panic!("a key of an algorithm that this does not know: {other}"),
            }
        }
        _ => panic!("a key in a form that this does not know"),
    }
}

fn ec_number(der: &[u8]) -> Vec<u8> {
    EcPrivateKey::from_der(der).expect("ECPrivateKey (RFC 5915)").private_key.to_vec()
}

fn rsa_numbers(der: &[u8]) -> Vec<Vec<u8>> {
    let key = RsaPrivateKey::from_der(der).expect("RSAPrivateKey (RFC 8017)");
    let numbers =
        [key.private_exponent, key.prime1, key.prime2, key.exponent1, key.exponent2, key.coefficient];
    numbers.iter().map(|number| number.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::KeyKind;
    use rustls_pki_types::PrivatePkcs8KeyDer;
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

    fn numbers_of(pkcs8: &[u8]) -> Vec<Vec<u8>> {
        secret_numbers(&PrivatePkcs8KeyDer::from(pkcs8).into())
    }

    #[test]
    fn scalars_are_found_alone() {
        let key = KeyKind::P256.generate();
        let numbers = numbers_of(key.serialized_der());
        assert_eq!(numbers.iter().map(Vec::len).collect::<Vec<_>>(), [32]);
        let hex = hex(&numbers[0]);
        assert!(!Secrets::new().key(&key.serialize_pem()).in_bytes("x", hex.as_bytes()).is_empty());
    }

    /// The second byte of one secret in 256 is the length that DER would have there.
    #[test]
    fn no_secret_is_taken_for_der_by_the_bytes_that_it_begins_with() {
        for kind in [KeyKind::P256, KeyKind::Ed25519] {
            let mut der = kind.generate().serialized_der().to_vec();
            let secret = numbers_of(&der).remove(0);
            let at = der.windows(32).position(|window| window == secret).unwrap();
            for start in 0..=u16::MAX {
                der[at..at + 2].copy_from_slice(&start.to_be_bytes());
                assert_eq!(numbers_of(&der), [&der[at..at + 32]], "{kind:?} {start:04x}");
            }
        }
    }
}
