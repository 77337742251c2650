//! Signed calls of an operator's program (docs/contract.md section 5): let in exactly when every part is what was signed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::hmac;
use axum::body::Body;
use http::{HeaderValue, Method, Request};
use sha2::{Digest as _, Sha256};
use telovix_console_stub::domain::api_key::{
    HEADER_KEY_ID, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIMESTAMP,
};
use telovix_contract::ErrorCode;

use crate::console::console;
use crate::kit::NOW;

/// A call, and what is changed after it was signed.
#[derive(Debug, Arbitrary)]
struct Case {
    path: u8,
    posted: bool,
    skew: i16,
    far: Option<i64>,
    nonce: Vec<u8>,
    body: Vec<u8>,
    query: Option<String>,
    spoilt: Option<Spoilt>,
}

/// One thing that is not as it was signed.
#[derive(Debug, Arbitrary)]
enum Spoilt {
    KeyId(Vec<u8>),
    Timestamp(Vec<u8>),
    Nonce(Vec<u8>),
    Signature(Vec<u8>),
    SignatureBit(u8),
    UpperCase,
    OtherPath,
    OtherMethod,
    Body(Vec<u8>),
    Missing(u8),
    Twice(u8, Vec<u8>),
}

const PATHS: [&str; 5] = [
    "/api/v2/sensors",
    "/api/v2/audit",
    "/api/v2/enrollment/tokens",
    "/api/v2/enrollment/rules",
    "/api/v2/enrollment/approvals",
];
const NAMES: [&str; 4] = [HEADER_KEY_ID, HEADER_TIMESTAMP, HEADER_NONCE, HEADER_SIGNATURE];

/// Makes the call.
///
/// # Panics
/// When it is let in and should not be, or the other way round.
pub fn run(data: &[u8]) {
    let Ok(case) = Case::arbitrary(&mut Unstructured::new(data)) else { return };
    let console = console();
    let method = if case.posted { Method::POST } else { Method::GET };
    let path = PATHS[usize::from(case.path) % PATHS.len()];
    let timestamp = case.far.unwrap_or(NOW + i64::from(case.skew));
    let text = signed_text(&method, path, timestamp, &case.nonce, &case.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, console.secret.as_bytes()), &text);
    let mut fields: Vec<(&str, Vec<u8>)> = vec![
        (HEADER_KEY_ID, console.key_id.clone().into_bytes()),
        (HEADER_TIMESTAMP, timestamp.to_string().into_bytes()),
        (HEADER_NONCE, case.nonce.clone()),
        (HEADER_SIGNATURE, format!("sha256={}", telovix_contract::token::hex(tag.as_ref())).into_bytes()),
    ];
    let (mut sent_method, mut sent_path, mut sent_body) = (method.clone(), path, case.body.clone());
    let signed = fields.clone();
    match case.spoilt {
        None => {}
        Some(Spoilt::KeyId(bytes)) => fields[0].1 = bytes,
        Some(Spoilt::Timestamp(bytes)) => fields[1].1 = bytes,
        Some(Spoilt::Nonce(bytes)) => fields[2].1 = bytes,
        Some(Spoilt::Signature(bytes)) => fields[3].1 = bytes,
        Some(Spoilt::SignatureBit(bit)) => {
            let at = 7 + usize::from(bit) % 64;
            fields[3].1[at] = if fields[3].1[at] == b'0' { b'1' } else { b'0' };
        }
        Some(Spoilt::UpperCase) => fields[3].1[7..].make_ascii_uppercase(),
        Some(Spoilt::OtherPath) => sent_path = PATHS[(usize::from(case.path) + 1) % PATHS.len()],
        Some(Spoilt::OtherMethod) => sent_method = if case.posted { Method::GET } else { Method::POST },
        Some(Spoilt::Body(bytes)) => sent_body = bytes,
        Some(Spoilt::Missing(which)) => drop(fields.remove(usize::from(which) % 4)),
        // The first of two counts, and it is the right one.
        Some(Spoilt::Twice(which, bytes)) => fields.push((NAMES[usize::from(which) % 4], bytes)),
    }
    if sent_body.len() > console.longest_body() {
        return;
    }
    let query =
        case.query.filter(|query| !query.is_empty()).map_or(String::new(), |query| format!("?{query}"));
    let mut request = match Request::builder()
        .method(sent_method.clone())
        .uri(format!("{sent_path}{query}"))
        .body(Body::from(sent_body.clone()))
    {
        Ok(request) => request,
        Err(_) => return,
    };
    for (name, value) in &fields {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        request.headers_mut().append(*name, value);
    }
    // What was signed is what arrives, byte for byte; but hex may be in either case, and a number written otherwise
    // (`+5`, `05`) is the same number: both say the same.
    let same = fields.len() >= 4
        && sent_method == method
        && sent_path == path
        && sent_body == case.body
        && means_the_same(&fields, &signed);
    let answer = console.call(request, None);
    let code = answer.refusal();
    if code == Some(ErrorCode::MethodNotAllowed) {
        // The path alone decides that, before anybody asks who calls.
        return;
    }
    let fresh = || used().lock().expect("nobody panicked").insert(case.nonce.clone());
    let good = same && NOW.abs_diff(timestamp) <= 300 && is_nonce(&case.nonce) && fresh();
    assert_eq!(good, code != Some(ErrorCode::Unauthorized), "{code:?} for {fields:?}");
}

fn means_the_same(sent: &[(&str, Vec<u8>)], signed: &[(&str, Vec<u8>)]) -> bool {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<i64>().ok();
    let hex = |bytes: &[u8]| bytes.strip_prefix(b"sha256=").map(<[u8]>::to_ascii_lowercase);
    sent[0] == signed[0]
        && sent[1].0 == signed[1].0
        && number(&sent[1].1) == number(&signed[1].1)
        && sent[2] == signed[2]
        && sent[3].0 == signed[3].0
        && hex(&sent[3].1) == hex(&signed[3].1)
}

/// docs/contract.md section 5, written another way.
fn signed_text(method: &Method, path: &str, timestamp: i64, nonce: &[u8], body: &[u8]) -> Vec<u8> {
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let timestamp = timestamp.to_string();
    [method.as_str().as_bytes(), path.as_bytes(), timestamp.as_bytes(), nonce, digest.as_bytes()].join(&b'\n')
}

fn is_nonce(bytes: &[u8]) -> bool {
    (1..=128).contains(&bytes.len()) && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte))
}

/// The nonces that this Console has seen with a good signature.
fn used() -> &'static Mutex<BTreeSet<Vec<u8>>> {
    static USED: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());
    &USED
}
