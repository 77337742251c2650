//! Hostile and broken answers to an enrollment: each is refused with its own exit status and a precise message, and
//! leaves the state directory as it was, on a host without an identity and on one that holds one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use telovix_contract::{ErrorCode, SensorId, paths};
use telovix_tests::pki::{Ca, Flaw};
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{After, Request, Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Place, Run};

/// A server that answers enrollments as a test says, or honestly while it is told to.
struct Stage {
    place: Place,
    ca: Arc<Ca>,
    rogue: Rogue,
    honest: Arc<AtomicBool>,
}

impl Stage {
    fn new(hostile: impl Fn(&Request, &Ca) -> Script + Send + Sync + 'static) -> Self {
        let ca = Arc::new(Ca::root("Console"));
        let honest = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&honest);
        let enroll = move |request: &Request, ca: &Ca| {
            if switch.load(Ordering::SeqCst) { console::enrolled(request, ca) } else { hostile(request, ca) }
        };
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll));
        Self { place: Place::new(), ca, rogue, honest }
    }

    fn enroll(&self, host: &str, token: u8, args: &[&str]) -> Run {
        self.enroll_within("3s", host, token, args)
    }

    fn enroll_within(&self, time: &str, host: &str, token: u8, args: &[&str]) -> Run {
        let agent = self.place.enroll(host, &self.rogue.url(), self.ca.pem());
        agent.args(["--timeout", time]).args(args).token(&made_up_token(token)).run()
    }

    /// Enrolls twice at this server: as a new host, and as one that holds an identity. Gives how the first one ended.
    #[track_caller]
    fn refuses(&self, what: &str, status: i32, says: &[&str]) -> Run {
        // What does not pass ends by itself; the rest has to be waited for.
        let time = if status == 5 { "3s" } else { "30s" };
        let run = self.enroll_within(time, "new", 1, &[]);
        let state = self.place.path().join("new");
        run.expect(status).says(says);
        let left = Snapshot::of_state(&state);
        assert_eq!(left.names(), [""], "{what}: left behind by a refused answer");
        Secrets::new().token(&made_up_token(1)).assert_not_below(&state);

        self.honest.store(true, Ordering::SeqCst);
        self.enroll_within("30s", "old", 2, &[]).expect(0);
        self.honest.store(false, Ordering::SeqCst);
        let state = self.place.path().join("old");
        let before = Snapshot::of_state(&state);
        self.enroll_within(time, "old", 3, &["--new-sensor"]).expect(status).says(says);
        before.assert_same(&Snapshot::of_state(&state), what);
        self.place.host("old").args(["status", "--ready"]).run().expect(0);
        run
    }
}

/// What follows when the honest answer is changed like this.
#[track_caller]
fn changed(what: &str, change: fn(&mut Value), says: &[&str]) {
    let stage = Stage::new(move |request, ca| {
        let mut answer = serde_json::to_value(ca.enrolled(&request.csr_pem(), None)).unwrap();
        change(&mut answer);
        Script::json(201, &answer)
    });
    stage.refuses(what, 1, says);
    assert_eq!(stage.rogue.requests_to(paths::ENROLL).len(), 3, "{what}: a bad answer is asked for once");
}

#[test]
fn certificates_with_one_flaw() {
    for flaw in Flaw::ALL {
        let says = match flaw {
            Flaw::OtherKey => "for another key than the one that this host made",
            Flaw::OtherCa => "does not chain to the Console CA",
            Flaw::Expired => "the certificate expired at",
            Flaw::NotYetValid => "the certificate is not valid before",
            Flaw::IsCa => "CA:TRUE",
            Flaw::NoKeyUsage | Flaw::ServerAuthOnly => "extendedKeyUsage clientAuth is missing",
            Flaw::OtherSensor => "but the answer says",
            Flaw::NoUri => "names 0 sensors in its subject alternative name",
        };
        let stage =
            Stage::new(move |request, ca| Script::json(201, &ca.enrolled(&request.csr_pem(), Some(*flaw))));
        stage.refuses(&format!("{flaw:?}"), 1, &["error: the Console's answer was not accepted", says]);
        assert_eq!(
            stage.rogue.requests_to(paths::ENROLL).len(),
            3,
            "{flaw:?}: a bad answer is asked for once"
        );
    }
}

#[test]
fn answers_with_a_part_that_is_not_what_it_should_be() {
    changed(
        "no certificate",
        |a| a["control_plane_certificate_pem"] = json!(""),
        &["the certificate cannot be read"],
    );
    changed(
        "rubbish for a certificate",
        |a| a["control_plane_certificate_pem"] = json!("rubbish"),
        &["the certificate cannot be read"],
    );
    changed(
        "no CA",
        |a| a["control_plane_ca_certificate_pem"] = json!(""),
        &["the Console's CA cannot be read"],
    );
    changed(
        "another CA",
        |a| a["control_plane_ca_certificate_pem"] = json!(Ca::root("Console").pem()),
        &["does not chain"],
    );
    changed(
        "a sensor id that is none",
        |a| a["sensor_id"] = json!("../../etc/passwd"),
        &["not an answer of a Console"],
    );
    changed(
        "a missing part",
        |a| drop(a.as_object_mut().unwrap().remove("control_plane_ca_certificate_pem")),
        &["control_plane_ca_certificate_pem"],
    );
    changed("another sensor", |a| a["sensor_id"] = json!(SensorId::random()), &["but the answer says"]);
    changed("a list", |a| *a = json!([1, 2, 3]), &["not an answer of a Console"]);
}

#[test]
fn what_only_advises_costs_no_token() {
    type Change = (&'static str, fn(&mut Value));
    let changes: [Change; 9] = [
        ("unknown words", |a| {
            a["trust_state"] = json!("new_word");
            a["token_type"] = json!("new_word");
        }),
        ("nulls", |a| {
            for key in ["trust_state", "token_type", "warnings", "heartbeat_interval_seconds", "sensor_id"] {
                a[key] = json!(null);
            }
        }),
        ("a number as text", |a| a["heartbeat_interval_seconds"] = json!("15")),
        ("a fraction", |a| a["heartbeat_interval_seconds"] = json!(15.5)),
        ("no sensor id", |a| drop(a.as_object_mut().unwrap().remove("sensor_id"))),
        ("no policy key", |a| drop(a.as_object_mut().unwrap().remove("policy_signing_public_key_pem"))),
        ("rubbish for a policy key", |a| a["policy_signing_public_key_pem"] = json!("rubbish")),
        ("text around the CA", |a| {
            let ca = a["control_plane_ca_certificate_pem"].as_str().unwrap();
            let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
            a["control_plane_ca_certificate_pem"] = json!(format!("\u{1b}[31m{key}{ca}"));
        }),
        ("200,000 warnings", |a| a["warnings"] = json!(vec!["w"; 200_000])),
    ];
    for (what, change) in changes {
        let stage = Stage::new(move |request, ca| {
            let mut answer = serde_json::to_value(ca.enrolled(&request.csr_pem(), None)).unwrap();
            change(&mut answer);
            Script::json(201, &answer)
        });
        let run = stage.enroll_within("30s", "new", 1, &[]);
        run.expect(0);
        assert!(run.output().lines().count() < 40, "{what}: {} lines", run.output().lines().count());
        let state = stage.place.path().join("new");
        let ca = std::fs::read_to_string(state.join("console-ca.cert.pem")).unwrap();
        assert_eq!(ca, stage.ca.pem(), "{what}");
        let host = stage.place.host("new");
        let status = host.args(["status", "--output", "json"]).run().json();
        assert_eq!(
            (&status["state"], &status["accepted"]),
            (&json!("active"), &json!(true)),
            "{what}: {status:#}"
        );
    }
}

#[test]
fn answers_that_are_too_large_are_cut_off() {
    for (what, script) in [
        ("50 MB, announced", Script::HugeBody(50_000_000)),
        ("a body without an end", Script::EndlessBody),
        ("a header line without an end", Script::EndlessHeader),
        ("header lines without an end", Script::EndlessHeaders),
    ] {
        let stage = Stage::new(move |_, _| script.clone());
        let part = if what.contains("header") { "(header)" } else { "(body)" };
        let run = stage.refuses(what, 1, &["is larger than", part]);
        // What was read is little; the rest of what was sent stood in the buffers of the kernel.
        assert!(stage.rogue.sent() < 25_000_000, "{what}: {} bytes were taken", stage.rogue.sent());
        assert!(run.took.as_secs() < 10, "{what}: took {:?}", run.took);
    }
}

#[test]
fn pages_of_a_proxy_are_recognised() {
    const PAGE: &str = "<!DOCTYPE html><html><body>Please sign in to the guest network</body></html>";
    for (status, exit) in [(200, 1), (201, 1), (403, 1), (404, 1), (407, 1), (502, 5), (503, 5)] {
        let stage = Stage::new(move |_, _| Script::html(status, PAGE));
        let run =
            stage.refuses(&format!("a page with {status}"), exit, &[&status.to_string(), "an HTML page"]);
        assert!(!run.output().contains("guest network"), "the page itself is not repeated: {}", run.report());
    }
}

#[test]
fn half_an_answer_is_no_answer() {
    let whole =
        |request: &Request, ca: &Ca| Box::new(Script::json(201, &ca.enrolled(&request.csr_pem(), None)));
    for keep in [0, 9, 40, 400] {
        let stage = Stage::new(move |r, ca| Script::Half(whole(r, ca), keep, After::Hang));
        stage.refuses(&format!("{keep} bytes and silence"), 5, &["did not answer within"]);
        let stage = Stage::new(move |r, ca| Script::Half(whole(r, ca), keep, After::Close));
        stage.refuses(&format!("{keep} bytes and the end"), 5, &["error: ", "broke"]);
        assert!(stage.rogue.requests_to(paths::ENROLL).len() > 3, "a broken connection is tried again");
    }
    let stage = Stage::new(|_, _| Script::Hang);
    stage.refuses("silence", 5, &["did not answer within"]);
    let stage = Stage::new(|_, _| Script::Close);
    stage.refuses("the end", 5, &["error: ", "broke"]);
}

#[test]
fn every_repeat_is_the_same_request() {
    let stage = Stage::new(|_, _| Script::Close);
    stage.enroll("new", 1, &[]).expect(5);
    stage.enroll("new", 1, &[]).expect(5);
    let bodies: Vec<_> = stage.rogue.requests_to(paths::ENROLL).into_iter().map(|r| r.body).collect();
    assert!(bodies.len() >= 4, "two runs, and repeats in each: {}", bodies.len());
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "the bodies differ");
}

#[test]
fn what_is_not_http_or_not_json() {
    for (what, script, says) in [
        (
            "another protocol",
            Script::RawBytes(b"220 smtp.example ESMTP\r\n".to_vec(), After::Close),
            "not HTTP",
        ),
        ("bytes", Script::RawBytes(vec![0xff; 4096], After::Hang), "not HTTP"),
        ("an empty 201", Script::Respond { status: 201, headers: vec![], body: vec![] }, "an empty body"),
        (
            "a 204",
            Script::RawBytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), After::Close),
            "an empty body",
        ),
        (
            "torn JSON",
            Script::Respond { status: 201, headers: vec![], body: b"{\"sensor_id\":".to_vec() },
            "JSON",
        ),
        ("a 200 of another product", Script::json(200, &json!({"ok": true})), "not an answer of a Console"),
        ("a 418", Script::json(418, &json!({"ok": true})), "418"),
    ] {
        let stage = Stage::new(move |_, _| script.clone());
        stage.refuses(what, 1, &[says]);
    }
}

#[test]
fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Rogue::plain(b"");
        let to = format!("https://{}{}", elsewhere.address(), paths::ENROLL);
        let shown = to.clone();
        let stage = Stage::new(move |_, _| Script::redirect(status, &to));
        stage.refuses(&format!("a {status}"), 1, &["redirects are not followed", &shown]);
        assert_eq!(elsewhere.connections(), 0, "{status}: the other server was called");
    }
}

#[test]
fn text_from_the_other_side_cannot_drive_a_terminal() {
    let nasty = json!({"error": "x\u{1b}[2J\ny", "message": format!("\u{1b}]0;owned\u{7}\r\nerror: all is well {}", "a".repeat(9000))});
    let stage = Stage::new(move |_, _| Script::json(403, &nasty));
    let run = stage.enroll("new", 1, &[]);
    assert!(!run.output().contains(['\u{1b}', '\u{7}', '\r']), "{:?}", run.output());
    assert!(!run.stderr.lines().any(|line| line.starts_with("error: all is well")), "{}", run.report());
    assert!(run.output().len() < 2000, "{} characters", run.output().len());

    let to = "https://x.example/\u{1b}[31m";
    let stage = Stage::new(move |_, _| Script::redirect(302, to));
    assert!(!stage.enroll("new", 1, &[]).output().contains('\u{1b}'));
}

#[test]
fn absurd_waits_are_not_waited_for() {
    for script in [
        Script::json(202, &json!({"trust_state": "bootstrap_pending", "retry_after_seconds": u32::MAX})),
        Script::json(202, &json!({"trust_state": "bootstrap_pending", "retry_after_seconds": 0})),
    ] {
        let stage = Stage::new(move |_, _| script.clone());
        let run = stage.enroll("new", 1, &[]);
        run.expect(4).says(&["has to approve"]);
        assert!(run.took.as_secs() < 60, "{:?}", run.took);
        stage.enroll("new", 1, &["--no-wait"]).expect(4);
        assert!(
            stage.rogue.requests_to(paths::ENROLL).len() < 6,
            "a wait of nothing is not an invitation to hammer"
        );
    }
    let stage = Stage::new(|_, _| Script::html(429, "").header("retry-after", "999999999"));
    let run = stage.enroll("new", 1, &[]);
    run.expect(5);
    assert!(run.took.as_secs() < 5, "{:?}", run.took);
    assert_eq!(stage.rogue.requests_to(paths::ENROLL).len(), 1);
}

#[test]
fn a_heartbeat_for_another_sensor_is_not_a_proof() {
    let ca = Arc::new(Ca::root("Console"));
    let honest = console::console(Arc::clone(&ca), console::enrolled);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| {
        let other = telovix_contract::SensorId::random();
        match request.path.as_str() {
            paths::HEARTBEAT => Script::json(200, &json!({"sensor_id": other, "trust_state": "trusted"})),
            _ => honest(request),
        }
    });
    let place = Place::new();
    let agent = place.enroll("new", &rogue.url(), ca.pem()).token(&made_up_token(1));
    agent.run().expect(1).says(&["this certificate belongs to sensor"]);
    assert!(!agent.has(".sensor-ready"), "not accepted, so not ready");
}

/// docs/contract.md section 6: what ends TLS before the Console answers for nobody, whatever the words.
#[test]
fn a_refusal_is_a_verdict_only_where_the_certificate_was_requested() {
    let ca = Arc::new(Ca::root("Console"));
    let console =
        Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    place.enroll("host", &console.url(), ca.pem()).token(&made_up_token(1)).run().expect(0);
    for code in [
        ErrorCode::InvalidSensorTrust,
        ErrorCode::CertificateExpired,
        ErrorCode::SensorRevoked,
        ErrorCode::SensorDisabled,
    ] {
        let front = Rogue::https_ending_tls(ca.server(&["127.0.0.1"]), move |_| Script::problem(code));
        let run = place.enroll("host", &front.url(), ca.pem()).token(&made_up_token(1)).run();
        run.expect(3).says(&["did not request this sensor's certificate", "pass TLS through"]);
        assert_eq!(front.requests_to(paths::HEARTBEAT).len(), 1, "{code}: minutes apart");
        assert!(front.requests_to(paths::ENROLL).is_empty(), "{code}: nothing is lost");
    }
    // And where it was requested, the same words are one: asked twice, and then the token.
    let refusing =
        Rogue::https(ca.server(&["127.0.0.1"]), |_| Script::problem(ErrorCode::InvalidSensorTrust));
    let run = place.enroll("host", &refusing.url(), ca.pem()).token(&made_up_token(1)).run();
    assert_ne!(run.code, Some(0), "{}", run.report());
    assert_eq!(refusing.requests_to(paths::HEARTBEAT).len(), 2, "{}", run.report());
}
