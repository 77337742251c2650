//! Licence bundles: only what a trusted key signed counts, and its time is judged the same way everywhere.

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use telovix_console_stub::domain::licence::{LicencePayload, Slots, Term};
use telovix_console_stub::service::licence::{Bundle, issue, read};

use crate::kit::{sign, signer};

/// The key that is trusted, and one that is not.
const TRUSTED: u8 = 1;
const OTHER: u8 = 2;

/// A payload of its own making, signed, and one change.
#[derive(Debug, Arbitrary)]
struct Case {
    id: String,
    customer: String,
    nodes: u32,
    not_before: i64,
    expires_at: i64,
    grace_days: u32,
    now: i64,
    spoilt: Option<Spoilt>,
}

#[derive(Debug, Arbitrary)]
enum Spoilt {
    PayloadBit(u16),
    SignatureBit(u16),
    OtherKey,
}

/// Reads the input as a bundle, as the payload of a bundle that is signed, and as a licence with one change.
///
/// # Panics
/// When something counts that nobody trusted signed, or the other way round.
pub fn run(data: &[u8]) {
    let trust = signer(TRUSTED).public_key_pem();
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = read(text, text);
        if read(text, &trust).is_ok() {
            let bundle: Bundle = serde_json::from_str(text).expect("it was read");
            let json = STANDARD.decode(&bundle.payload).expect("it was read");
            assert_eq!(STANDARD.decode(&bundle.signature).expect("it was read"), sign(TRUSTED, &json));
        }
    }
    payload(data, &trust);
    if let Ok(case) = Case::arbitrary(&mut Unstructured::new(data)) {
        licence(case, &trust);
    }
}

/// Whatever a trusted key signed is read as what it says, or refused.
fn payload(json: &[u8], trust: &str) {
    let bundle = Bundle { payload: STANDARD.encode(json), signature: STANDARD.encode(sign(TRUSTED, json)) };
    let text = serde_json::to_string(&bundle).expect("a bundle is JSON");
    let said = serde_json::from_slice::<LicencePayload>(json);
    assert_eq!(read(&text, trust).ok(), said.ok());
    assert!(read(&text, &signer(OTHER).public_key_pem()).is_err(), "a key that is not trusted");
}

fn licence(case: Case, trust: &str) {
    let payload = LicencePayload {
        id: case.id,
        customer: case.customer,
        max_protected_nodes: case.nodes,
        not_before: case.not_before,
        expires_at: case.expires_at,
        grace_days: case.grace_days,
    };
    term(&payload, case.now);
    let spoilt = case.spoilt.is_some();
    let key = if matches!(case.spoilt, Some(Spoilt::OtherKey)) { OTHER } else { TRUSTED };
    let mut bundle = issue(&payload, &signer(key)).expect("Ed25519 signs anything");
    match case.spoilt {
        None | Some(Spoilt::OtherKey) => {}
        Some(Spoilt::PayloadBit(at)) => bundle.payload = flipped(&bundle.payload, at),
        Some(Spoilt::SignatureBit(at)) => bundle.signature = flipped(&bundle.signature, at),
    }
    let text = serde_json::to_string(&bundle).expect("a bundle is JSON");
    let found = read(&text, trust);
    assert_eq!(found.is_ok(), !spoilt, "{found:?}");
    if let Ok(found) = found {
        assert_eq!(found, payload);
    }
}

fn flipped(text: &str, at: u16) -> String {
    let mut bytes = STANDARD.decode(text).expect("it was just encoded");
    let bit = usize::from(at) % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    STANDARD.encode(bytes)
}

/// A licence never comes to life again once it is over, and who is let in is who is not refused.
fn term(payload: &LicencePayload, now: i64) {
    let term = payload.term(now);
    let lets_in = matches!(term, Term::Valid | Term::Grace { .. });
    assert_eq!(term.refusal().is_none(), lets_in);
    assert_eq!(term.warning().is_none(), term == Term::Valid);
    assert!(payload.grace_ends_at() >= payload.expires_at);
    assert_eq!(lets_in, now >= payload.not_before && now < payload.grace_ends_at());
    let later = payload.term(now.saturating_add(1));
    assert!(
        !matches!(term, Term::Expired { .. }) || matches!(later, Term::Expired { .. } | Term::NotYet { .. })
    );
    let slots = Slots { limit: i64::from(payload.max_protected_nodes), taken: now, term };
    assert_eq!(slots.one_left(), now < i64::from(payload.max_protected_nodes));
    assert!(slots.one_left() || slots.capacity_warning().is_some());
}
