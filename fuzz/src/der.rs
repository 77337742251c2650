//! Certificates and requests taken apart and put together again, so that what is signed can be changed and signed anew.

use crate::kit::sign;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// `AlgorithmIdentifier` of Ed25519 (RFC 8410 section 3).
const ED25519: [u8; 7] = [SEQUENCE, 5, 6, 3, 0x2b, 0x65, 0x70];

/// What is signed in a signed structure of X.509: its first element, head included; `None` where there is none.
pub(crate) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let (_, inside) = element(der)?;
    let (whole, _) = element(inside)?;
    Some(whole)
}

/// Signs that part with the Ed25519 key of this byte and puts the structure together.
pub(crate) fn signed_by(byte: u8, part: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend(sign(byte, part));
    let mut inside = part.to_vec();
    inside.extend(ED25519);
    inside.extend(with_head(BIT_STRING, &bits));
    with_head(SEQUENCE, &inside)
}

/// An element with its head, and its content.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (head, length) = if first < 0x80 {
        (2, first)
    } else {
        let bytes = der.get(2..2 + (first & 0x7f)).filter(|bytes| (1..=4).contains(&bytes.len()))?;
        (2 + bytes.len(), bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    };
    Some((der.get(..head + length)?, der.get(head..head + length)?))
}

fn with_head(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    der.extend(content);
    der
}

/// Changes that a fuzzer makes to bytes: at a place, so many bytes become these.
#[derive(Debug, arbitrary::Arbitrary)]
pub(crate) struct Change {
    at: u16,
    removed: u8,
    put: Vec<u8>,
}

/// The bytes after all changes.
pub(crate) fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    for Change { at, removed, put } in changes.iter().take(8) {
        let from = usize::from(*at) % (all.len() + 1);
        let to = (from + usize::from(*removed % 16)).min(all.len());
        all.splice(from..to, put.iter().copied());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::signer;

    #[test]
    fn what_is_taken_apart_and_signed_again_is_the_same() {
        let key = signer(7);
        let made = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let again = signed_by(7, signed_part(made.der()).unwrap());
        assert_eq!(again, made.der().to_vec());
    }
}
