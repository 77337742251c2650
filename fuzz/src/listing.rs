//! The parameters of lists: cursors, limits, filters; as text, and as the query of a signed call.

use aws_lc_rs::hmac;
use axum::body::Body;
use http::Request;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use telovix_console_stub::domain::api_key::{
    HEADER_KEY_ID, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIMESTAMP, signed_text,
};
use telovix_console_stub::domain::page::{Cursor, DEFAULT_ROWS, MOST_ROWS, Piece};

use crate::console::console;
use crate::kit::NOW;

const LISTS: [&str; 5] = [
    "/api/v2/sensors",
    "/api/v2/audit",
    "/api/v2/enrollment/tokens",
    "/api/v2/enrollment/rules",
    "/api/v2/enrollment/approvals",
];

/// Reads the input as a cursor and a limit, and asks for a list with it as the query; its first byte chooses the list.
///
/// # Panics
/// Where more comes than was asked for, or something is read otherwise than it was written.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(cursor) = Cursor::parse(text) {
        assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor));
    }
    if let Some((number, id)) = text.split_once(' ')
        && let Ok(at) = number.parse()
    {
        let cursor = Cursor { at, id: id.to_owned() };
        assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor));
    }
    for piece in [Piece::parse(Some(text), None), Piece::parse(None, Some(text))] {
        assert!(!piece.is_ok_and(|piece| !(1..=MOST_ROWS).contains(&piece.rows)));
    }
    let mut letters = text.chars();
    let list = letters.next().and_then(|letter| LISTS.get((letter as usize).checked_sub(usize::from(b'0'))?));
    if let Some(list) = list {
        query(list, letters.as_str());
    }
}

fn query(list: &str, query: &str) {
    static NONCE: AtomicU64 = AtomicU64::new(0);
    let console = console();
    let nonce = format!("listing-{}", NONCE.fetch_add(1, Ordering::Relaxed));
    let Ok(mut request) = Request::get(format!("{list}?{query}")).body(Body::empty()) else { return };
    // What follows a `#` is no part of the address, and another path is another call.
    if request.uri().path() != list {
        return;
    }
    const EMPTY: [u8; 32] = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ];
    let text = signed_text("GET", list, NOW, &nonce, &EMPTY);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, console.secret.as_bytes()), text.as_bytes());
    let signature = format!("sha256={}", telovix_contract::token::hex(tag.as_ref()));
    let fields = [
        (HEADER_KEY_ID, console.key_id.as_str()),
        (HEADER_TIMESTAMP, &NOW.to_string()),
        (HEADER_NONCE, &nonce),
        (HEADER_SIGNATURE, &signature),
    ];
    for (name, value) in fields {
        request.headers_mut().insert(name, value.parse().expect("ASCII"));
    }
    let asked = request.uri().query().unwrap_or_default().to_owned();
    let answer = console.call(request, None);
    assert!(matches!(answer.status, 200 | 400), "{} to ?{asked}", answer.status);
    if answer.status == 200 {
        let rows: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let rows = rows["data"].as_array().expect("rows in `data`").len();
        let limit = asked.split('&').rev().find_map(|pair| pair.strip_prefix("limit=")?.parse().ok());
        let most: i64 = limit.unwrap_or(if asked.contains("limit") { MOST_ROWS } else { DEFAULT_ROWS });
        assert!(i64::try_from(rows).is_ok_and(|rows| rows <= most), "{rows} rows to ?{asked}");
    }
}
