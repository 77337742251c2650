//! PEM (RFC 7468) as people hand it on, and as we write it.
//!
//! Invariant: what was read is written anew from its bytes, so that nothing that stood around it gets onto the disk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a public key.
pub const PUBLIC_KEY: &str = "PUBLIC KEY";

/// A block that begins, and does not end or is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PEM")]
pub struct Malformed;

/// The bytes of every block with this label. Line breaks may be missing, doubled, indented or written as `\n`, which is
/// what variables, YAML and JSON make of them; blocks of other kinds and other text are passed over.
pub fn blocks<'a>(label: &str, text: &'a str) -> impl Iterator<Item = Result<Vec<u8>, Malformed>> + use<'a> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&begin)?;
        let Some((body, after)) = after.split_once(&end) else {
            rest = "";
            return Some(Err(Malformed));
        };
        rest = after;
        let body = body.replace("\\n", "").replace("\\r", "");
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        Some(STANDARD.decode(body).ok().filter(|der| !der.is_empty()).ok_or(Malformed))
    })
}

/// One block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(64) {
        text.push_str(&body[start..body.len().min(start + 64)]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Vec<u8>>, Malformed> {
        blocks(CERTIFICATE, text).collect()
    }

    #[test]
    fn blocks_are_read_however_their_lines_are_broken() {
        let der: Vec<u8> = (0..=255).collect();
        let pem = encode(CERTIFICATE, &der);
        assert!(pem.lines().all(|line| line.len() <= 64));
        let indented = format!("text\n    {}", pem.replace('\n', "\n    "));
        for form in [
            pem.clone(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', " "),
            pem.replace('\n', "\\n"),
            pem.trim_end().to_owned(),
            format!("\u{feff}{pem}"),
            indented,
        ] {
            assert_eq!(read(&format!("{form}{form}")).unwrap(), [der.clone(), der.clone()], "{form}");
        }
    }

    #[test]
    fn other_kinds_are_passed_over_and_torn_ones_are_not() {
        let pem = encode(CERTIFICATE, b"x");
        for other in ["TRUSTED CERTIFICATE", "PRIVATE KEY"] {
            assert_eq!(read(&format!("{}{pem}", encode(other, b"y"))).unwrap(), [b"x"]);
        }
        for torn in [&pem[..40], &pem.replace("eA==", "e!=="), &pem.replace("eA==", "")] {
            assert_eq!(read(torn), Err(Malformed), "{torn}");
        }
        assert_eq!(read("no block").unwrap(), Vec::<Vec<u8>>::new());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der in proptest::collection::vec(any::<u8>(), 1..300)) {
            prop_assert_eq!(read(&encode(CERTIFICATE, &der)).unwrap(), vec![der]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,50}(-----BEGIN CERTIFICATE-----)?\\PC{0,20}(-----END CERTIFICATE-----)?") {
            let _ = read(&text);
        }
    }
}
