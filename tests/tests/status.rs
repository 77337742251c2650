//! What `status` says of every state that a host can be in, as text, as JSON and as a probe; and that it only looks.

use std::sync::Arc;

use telovix_tests::pki::{Ca, Leaf, pem_of};
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Rogue, Script, console};
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, Place};

const NO_IDENTITY: i32 = 6;

struct Enrolled {
    _place: Place,
    host: Agent,
    _rogue: Rogue,
}

fn enrolled() -> Enrolled {
    let ca = Arc::new(Ca::root("Console"));
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    let host = place.enroll("state", &rogue.url(), ca.pem()).args(["--tags", "a,b"]);
    host.clone().token(&made_up_token(1)).run().expect(0);
    Enrolled { host: place.host("state"), _place: place, _rogue: rogue }
}

#[test]
fn a_host_that_never_enrolled() {
    let place = Place::new();
    let status = place.host("state").args(["status", "--output", "json"]).run();
    let json = status.expect(NO_IDENTITY).json();
    assert_eq!(json["state"], "unenrolled");
    assert!(json["last_error"]["action"].as_str().unwrap().contains("telovix-agent enroll"), "{json}");
    let human = place.host("state").args(["status"]).run();
    assert!(human.expect(NO_IDENTITY).stdout.contains("telovix-agent enroll"), "{}", human.report());
    place.host("state").args(["status", "--ready"]).run().expect(NO_IDENTITY);
    assert!(!place.path().join("state").exists(), "status made the state directory");
}

#[test]
fn a_host_that_is_enrolled() {
    let stage = enrolled();
    let host = &stage.host;
    let before = Snapshot::of(host.state_dir(), &[]);
    let status = host.clone().args(["status", "--output", "json"]).run();
    let json = status.expect(0).json();
    assert_eq!((&json["state"], &json["node_name"]), (&"active".into(), &"state".into()));
    assert!(json["console_url"].as_str().unwrap().starts_with("https://127.0.0.1:"), "{json}");
    let times = ["last_contact", "renew_at", "not_after"].map(|key| {
        json[key].as_str().unwrap_or_else(|| panic!("no {key}: {json}")).parse::<jiff::Timestamp>().unwrap()
    });
    assert!(times.is_sorted(), "{times:?}");
    assert!(json["sensor_id"].as_str().unwrap().parse::<telovix_contract::SensorId>().is_ok());
    let human = host.clone().args(["status"]).run();
    assert!(human.expect(0).stdout.contains(json["sensor_id"].as_str().unwrap()));
    host.clone().args(["status", "--ready"]).run().expect(0);
    host.clone().args(["status", "--live"]).run().expect(0);
    before.assert_same(&Snapshot::of(host.state_dir(), &[]), "status changed something");
}

#[test]
fn an_identity_that_was_damaged_is_lost_and_says_which_file() {
    for name in [
        "client.key.pem",
        "client.cert.pem",
        "console-ca.cert.pem",
        "policy-signing.pub",
        "sensor-state.json",
    ] {
        for damage in ["torn", "empty", "gone", "rubbish", "another's"] {
            let stage = enrolled();
            let host = &stage.host;
            let file = host.state_dir().join("current").join(name);
            let text = std::fs::read_to_string(&file).unwrap();
            match damage {
                "torn" => std::fs::write(&file, &text[..text.len() / 2]).unwrap(),
                // An answer without a policy key costs no identity, and leaves this file empty.
                "empty" if name == "policy-signing.pub" => continue,
                "empty" => std::fs::write(&file, "").unwrap(),
                "rubbish" => std::fs::write(&file, [0u8, 255, 1, 2]).unwrap(),
                "gone" => std::fs::remove_file(&file).unwrap(),
                _ => {
                    let other = enrolled();
                    // Another Console's policy key or state alone cannot be told from ours by looking at the file.
                    if name == "policy-signing.pub" {
                        continue;
                    }
                    std::fs::write(&file, other.host.read(name)).unwrap();
                }
            }
            let before = Snapshot::of(host.state_dir(), &[]);
            let status = host.clone().args(["status", "--output", "json"]).run();
            let json = status.expect(NO_IDENTITY).json();
            assert_eq!(json["state"], "lost", "{name} {damage}: {json}");
            let message = json["last_error"]["message"].as_str().unwrap();
            // A file that cannot be read is named; where one can and does not hold, the part of the identity is.
            let says = match (damage, name) {
                ("another's", _) => "",
                ("gone", _) | (_, "sensor-state.json") => name,
                (_, "client.key.pem") => "key",
                (_, "client.cert.pem") => "certificate",
                (_, "console-ca.cert.pem") => "CA",
                _ => "policy",
            };
            assert!(message.contains(says) || message.contains(name), "{name} {damage}: {message}");
            host.clone().args(["status", "--ready"]).run().expect(NO_IDENTITY);
            before.assert_same(&Snapshot::of(host.state_dir(), &[]), "status changed something");
        }
    }
}

#[test]
fn an_identity_that_has_expired() {
    let ca = Arc::new(Ca::root("Console"));
    let rogue = Rogue::https(
        ca.server(&["127.0.0.1"]),
        console::console(Arc::clone(&ca), |request, ca| {
            let mut answer = ca.enrolled(&request.csr_pem(), None);
            let csr = rcgen::CertificateSigningRequestParams::from_pem(&request.csr_pem()).unwrap();
            let leaf = Leaf { life: (-300, 8), ..Leaf::client(answer.sensor_id) };
            answer.control_plane_certificate_pem = pem_of(&ca.issue(&leaf, &csr.public_key));
            Script::json(201, &answer)
        }),
    );
    let place = Place::new();
    place.enroll("state", &rogue.url(), ca.pem()).token(&made_up_token(1)).run().expect(0);
    let host = place.host("state");
    host.clone().args(["status", "--ready"]).run().expect(0);
    let json =
        telovix_tests::wait::until(std::time::Duration::from_secs(40), "the certificate to expire", || {
            let run = host.clone().args(["status", "--output", "json"]).run();
            (run.code == Some(NO_IDENTITY)).then(|| run.json())
        });
    assert_eq!(json["state"], "lost", "{json}");
    assert!(json["last_error"]["message"].as_str().unwrap().contains("expired at"), "{json}");
    host.args(["status", "--ready"]).run().expect(NO_IDENTITY);
}

#[test]
fn reset_needs_a_yes_and_leaves_nothing() {
    let stage = enrolled();
    let host = &stage.host;
    let before = Snapshot::of(host.state_dir(), &[]);
    host.clone().args(["reset"]).run().expect(2).says(&["--yes"]);
    before.assert_same(&Snapshot::of(host.state_dir(), &[]), "reset without a yes");
    host.clone().args(["reset", "--yes"]).run().expect(0);
    assert_eq!(Snapshot::of(host.state_dir(), &[".lock"]).names(), [""]);
    host.clone().args(["reset", "--yes"]).run().expect(0);
    host.clone().args(["status"]).run().expect(NO_IDENTITY);
}
