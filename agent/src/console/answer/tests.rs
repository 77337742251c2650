//! Answers of every kind: what spoils one, and what does not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(status: u16, body: &Value) -> RawAnswer {
    let body = serde_json::to_vec(body).unwrap().into();
    RawAnswer { status, headers: HeaderMap::new(), body }
}

fn issued(body: &Value) -> Result<Issued, ConsoleError> {
    match enrollment(&answer(201, body), "c:1")? {
        EnrollReply::Enrolled(issued) => Ok(*issued),
        EnrollReply::Waiting(_) => panic!("a 201 is no waiting"),
    }
}

const LEAST: [&str; 2] = ["control_plane_certificate_pem", "control_plane_ca_certificate_pem"];

#[test]
fn of_a_201_the_certificate_and_the_ca_alone_are_required() {
    let least = json!({LEAST[0]: "c", LEAST[1]: "a"});
    let plain = issued(&least).unwrap();
    assert_eq!((plain.trust_state(), plain.heartbeat_interval_seconds()), (TrustState::Trusted, 15));
    for (key, value) in [
        ("trust_state", json!("new_word")),
        ("token_type", json!("new_word")),
        ("token_type", json!(null)),
        ("sensor_id", json!(null)),
        ("warnings", json!(null)),
        ("warnings", json!({"a": 1})),
        ("heartbeat_interval_seconds", json!("15")),
        ("heartbeat_interval_seconds", json!(15.0)),
        ("heartbeat_interval_seconds", json!(-1)),
        ("policy_signing_public_key_pem", json!(null)),
        ("from_the_future", json!([1])),
    ] {
        let mut body = least.clone();
        body[key] = value.clone();
        let issued = issued(&body).unwrap_or_else(|error| panic!("{key} {value}: {error}"));
        assert_eq!(issued.heartbeat_interval_seconds(), 15, "{key} {value}");
        assert_eq!((issued.trust_state(), issued.warnings()), (TrustState::Trusted, vec![]));
    }
    for key in LEAST {
        let mut body = least.clone();
        body[key] = json!(null);
        assert!(issued(&body).is_err());
    }
    let mut wrong = least;
    wrong["sensor_id"] = json!("../../etc/passwd");
    assert!(issued(&wrong).is_err());
}

#[test]
fn two_hundred_thousand_warnings_are_a_few_short_ones() {
    let mut many = vec!["w".to_owned(); 200_000];
    many[0] = "w\u{1b}".repeat(1000);
    let warnings = issued(&json!({LEAST[0]: "c", LEAST[1]: "a", "warnings": many})).unwrap().warnings();
    assert_eq!(warnings.len(), reading::MOST_SENTENCES);
    assert!(warnings.iter().all(|text| text.chars().count() <= 501 && !text.contains('\u{1b}')));
}

#[test]
fn a_202_waits_whatever_it_says_of_the_time() {
    for (body, seconds) in [
        (json!({"trust_state": "bootstrap_pending", "retry_after_seconds": 20}), 20),
        (json!({"trust_state": "bootstrap_pending"}), 15),
        (json!({"retry_after_seconds": "20"}), 20),
        (json!({"trust_state": "new_word", "retry_after_seconds": 0}), 1),
        (json!({"retry_after_seconds": 1e30}), 600),
    ] {
        let waiting = enrollment(&answer(202, &body), "c:1").unwrap_or_else(|e| panic!("{body}: {e}"));
        assert!(matches!(waiting, EnrollReply::Waiting(time) if time.as_secs() == seconds), "{body}");
    }
    assert!(enrollment(&answer(202, &json!({"status": "accepted"})), "c:1").is_err());
}

#[test]
fn a_refusal_is_heard_without_its_sentence() {
    for body in
        [&br#"{"error":"sensor_revoked","message":null}"#[..], b"\xef\xbb\xbf{\"error\":\"sensor_revoked\"}"]
    {
        assert_eq!(problem(body).unwrap().error, "sensor_revoked");
    }
    assert_eq!(problem(br#"{"error":5}"#), None);
}

#[test]
fn a_date_that_was_kept_tells_no_time() {
    let with = |age: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, "Thu, 01 Jan 2026 00:01:00 GMT".parse().unwrap());
        age.map(|age| headers.insert(header::AGE, age.parse().unwrap()));
        date_of(&headers).is_some()
    };
    assert_eq!(
        [with(None), with(Some("0")), with(Some("7200")), with(Some("x"))],
        [true, true, false, false]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_that_advises_spoils_an_answer(values in proptest::collection::vec(any_json(), 6)) {
        let keys = ["policy_signing_public_key_pem", "trust_state", "heartbeat_interval_seconds", "token_type",
            "warnings", "from_the_future"];
        let mut body = json!({LEAST[0]: "c", LEAST[1]: "a"});
        for (key, value) in keys.into_iter().zip(values) {
            body[key] = value;
        }
        let issued = issued(&body).unwrap();
        prop_assert!(issued.warnings().len() <= reading::MOST_SENTENCES);
    }
}

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())])
}

#[test]
fn retry_after_in_both_forms_and_capped() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(retry_after(&headers("7"), now), Some(Duration::from_secs(7)));
    let date = "Thu, 01 Jan 2026 00:01:00 GMT";
    assert_eq!(retry_after(&headers(date), now), Some(Duration::from_secs(60)));
    let past = "Wed, 31 Dec 2025 00:01:00 GMT";
    assert_eq!(retry_after(&headers(past), now), Some(Duration::ZERO));
    assert_eq!(retry_after(&headers("99999999999"), now), Some(LONGEST_RETRY_AFTER));
    assert_eq!(retry_after(&headers("99999999999999999999999"), now), Some(LONGEST_RETRY_AFTER));
    for bad in ["", "soon", "-1", "1.5"] {
        assert_eq!(retry_after(&headers(bad), now), None, "{bad:?}");
    }
}
