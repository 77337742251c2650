//! Requests of sensors, as the Console reads them, against the contract's own reading of the same bytes.
//!
//! The first byte of the input chooses the call (`e`nroll, `h`eartbeat, `r`enew, `d`ecommission); the rest is its body.

use axum::body::Body;
use http::Request;
use telovix_agent::console::{EnrollReply, answer};
use telovix_agent::key::KeyPair;
use telovix_agent::verify::{self, Claim, Naming};
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::session::{Heartbeat, HeartbeatAnswer, RenewRequest, Renewed};
use telovix_contract::{ErrorCode, paths};

use crate::console::{Answer, Console, console};
use crate::kit::{now, the_same_again};

const TARGET: &str = "console.example:15483";

/// Sends the input.
///
/// # Panics
/// Where the two readings differ, or the answer is not one that the agent can use.
pub fn run(data: &[u8]) {
    let (Some(call), Ok(body)) = (data.first(), std::str::from_utf8(data.get(1..).unwrap_or_default()))
    else {
        return;
    };
    let console = console();
    let body = console.filled(body);
    if body.len() > console.longest_body() {
        return;
    }
    match call {
        b'e' => enroll(console, &body),
        b'h' => heartbeat(console, &body),
        b'r' => renew(console, &body),
        b'd' => drop(send(console, paths::DECOMMISSION, &body, true)),
        _ => {}
    }
}

fn send(console: &Console, path: &str, body: &str, as_a_sensor: bool) -> Answer {
    let request = Request::post(path).body(Body::from(body.to_owned())).expect("a request");
    let answer = console.call(request, as_a_sensor.then(|| console.certificate.clone()));
    let said = String::from_utf8_lossy(&answer.body);
    for token in [&console.cluster_token, &console.once_token] {
        assert!(!said.contains(token.expose()), "the answer holds the token");
    }
    answer
}

/// What the Console reads: no key is in a body twice.
fn unambiguous<T: serde::de::DeserializeOwned>(body: &str) -> serde_json::Result<T> {
    telovix_contract::reading::unambiguous(body.as_bytes()).and_then(serde_json::from_value)
}

fn enroll(console: &Console, body: &str) {
    let answer = send(console, paths::ENROLL, body, false);
    let read = unambiguous::<EnrollRequest>(body);
    if let Ok(request) = &read {
        assert_ne!(
            answer.refusal(),
            Some(ErrorCode::InvalidRequest),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        the_same_again(request);
    }
    if answer.status >= 300 {
        return;
    }
    match answer::enrollment(&answer.raw(), TARGET) {
        Ok(EnrollReply::Enrolled(enrolled)) => {
            let claim = Claim {
                sensor_id: enrolled.sensor_id,
                certificate_pem: &enrolled.control_plane_certificate_pem,
                ca_pem: &enrolled.control_plane_ca_certificate_pem,
                policy_key_pem: enrolled.policy_signing_public_key_pem.as_deref().expect("a policy key"),
                naming: Naming::Required,
            };
            holds(console, claim);
        }
        Ok(EnrollReply::Waiting(_)) => panic!("no approval is asked for here"),
        Err(error) => panic!("the agent cannot read what the Console answered: {error}"),
    }
}

fn heartbeat(console: &Console, body: &str) {
    let answer = send(console, paths::HEARTBEAT, body, true);
    if let Ok(beat) = unambiguous::<Heartbeat>(body) {
        the_same_again(&beat);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
    if answer.status == 200 {
        answer::read::<HeartbeatAnswer>(&answer.raw(), TARGET).expect("the agent reads it");
    }
}

fn renew(console: &Console, body: &str) {
    let answer = send(console, paths::RENEW, body, true);
    if let Ok(request) = unambiguous::<RenewRequest>(body) {
        the_same_again(&request);
        assert_ne!(
            answer.refusal(),
            Some(ErrorCode::InvalidRequest),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    if answer.status == 200 {
        let renewed = answer::read::<Renewed>(&answer.raw(), TARGET).expect("the agent reads it");
        let claim = Claim {
            sensor_id: Some(renewed.sensor_id),
            certificate_pem: &renewed.control_plane_certificate_pem,
            ca_pem: &renewed.control_plane_ca_certificate_pem,
            policy_key_pem: &renewed.policy_signing_public_key_pem,
            naming: Naming::Required,
        };
        holds(console, claim);
    }
}

/// Only one request in the whole target is signed: its key's is the only certificate that there can be.
fn holds(console: &Console, claim: Claim<'_>) {
    let key = KeyPair::from_pem(&console.csr.0.to_pem()).expect("a key");
    verify::check(claim, key, now()).expect("what the Console issues the agent takes");
}
