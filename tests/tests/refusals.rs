//! What an agent does about each refusal of docs/contract.md section 6: what is final is asked once, what passes is asked
//! again, politely and with the same request, and each has its exit status and its advice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use telovix_contract::problem::{Advice, ErrorCode};
use telovix_contract::{SensorId, paths};
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Request, Rogue, Script, console};
use telovix_tests::{Place, Run, World};

/// A Console that answers the first enrollments with these scripts, in order, and then honestly.
fn stage(scripts: Vec<Script>) -> (Rogue, Arc<Ca>) {
    let ca = Arc::new(Ca::root("Console"));
    let next = AtomicUsize::new(0);
    let enroll = move |request: &Request, ca: &Ca| match scripts.get(next.fetch_add(1, Ordering::SeqCst)) {
        Some(script) => script.clone(),
        None => console::enrolled(request, ca),
    };
    (Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll)), ca)
}

fn enroll(rogue: &Rogue, ca: &Ca, args: &[&str]) -> Run {
    let place = Place::new();
    place.enroll("state", &rogue.url(), ca.pem()).args(args).token(&made_up_token(1)).run()
}

#[track_caller]
fn all_the_same(rogue: &Rogue, count: usize) {
    let bodies: Vec<_> = rogue.requests_to(paths::ENROLL).into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), count);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "a repeat was another request");
}

#[test]
fn every_code_has_its_exit_status_and_its_advice() {
    for code in ErrorCode::ALL {
        let (rogue, ca) = stage(vec![Script::problem(*code); 9]);
        // As long as it takes to be sure that it is not asked again.
        let time = if code.advice() == Advice::BackOff { "2s" } else { "20s" };
        let run = enroll(&rogue, &ca, &["--timeout", time]);
        let asked = rogue.requests_to(paths::ENROLL).len();
        if code.advice() == Advice::BackOff {
            run.expect(5);
            assert!(asked >= 1, "{code}");
        } else {
            run.expect(3);
            assert_eq!(asked, 1, "{code}: asked again");
        }
        run.says(&[code.as_str(), &code.status().to_string(), "The rogue says no.", "  do: "]);
    }
}

/// The time is up amid another attempt: what the one before met says more than that nothing came.
#[test]
fn what_was_met_last_is_said_although_another_attempt_was_under_way() {
    let (rogue, ca) = stage(vec![Script::problem(ErrorCode::NotReady), Script::Hang, Script::Hang]);
    let run = enroll(&rogue, &ca, &["--timeout", "3s"]);
    run.expect(5).says(&["error: the Console refused: not_ready (503): The rogue says no."]);
}

/// Likewise for the first heartbeat of an identity.
#[test]
fn what_the_first_heartbeat_met_last_is_said_although_another_was_under_way() {
    let ca = Arc::new(Ca::root("Console"));
    let honest = console::console(Arc::clone(&ca), console::enrolled);
    let first = AtomicBool::new(true);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| match request.path.as_str() {
        paths::HEARTBEAT if first.swap(false, Ordering::SeqCst) => Script::problem(ErrorCode::NotReady),
        paths::HEARTBEAT => Script::Hang,
        _ => honest(request),
    });
    let run = enroll(&rogue, &ca, &["--timeout", "3s"]);
    run.expect(5).says(&["error: the Console refused: not_ready (503): The rogue says no."]);
}

#[test]
fn what_passes_is_asked_again_with_the_same_request() {
    let (rogue, ca) = stage(vec![
        Script::problem(ErrorCode::InternalError),
        Script::Close,
        Script::problem(ErrorCode::NotReady),
        Script::html(502, "<html>bad gateway</html>"),
    ]);
    enroll(&rogue, &ca, &["--timeout", "60s"]).expect(0);
    all_the_same(&rogue, 5);
}

#[test]
fn a_wait_that_is_asked_for_is_kept() {
    for status in [429, 503] {
        let (rogue, ca) =
            stage(vec![Script::json(status, &json!({"error": "later"})).header("retry-after", "2")]);
        let run = enroll(&rogue, &ca, &["--timeout", "60s"]);
        run.expect(0);
        assert!(run.took.as_millis() >= 2000, "{status}: {:?}", run.took);
        all_the_same(&rogue, 2);
    }
}

#[test]
fn a_waiting_enrollment_is_repeated_until_it_is_approved() {
    let waiting = Script::json(202, &json!({"trust_state": "bootstrap_pending", "retry_after_seconds": 1}));
    let (rogue, ca) = stage(vec![waiting.clone(), waiting]);
    let run = enroll(&rogue, &ca, &["--timeout", "60s"]);
    run.expect(0);
    assert!(run.took.as_millis() >= 2000, "{:?}", run.took);
    all_the_same(&rogue, 3);
}

#[test]
fn a_waiting_enrollment_that_is_denied() {
    let waiting = Script::json(202, &json!({"trust_state": "bootstrap_pending", "retry_after_seconds": 1}));
    let (rogue, ca) = stage(vec![waiting, Script::problem(ErrorCode::EnrollmentDenied)]);
    enroll(&rogue, &ca, &["--timeout", "60s"]).expect(3).says(&["enrollment_denied"]);
    all_the_same(&rogue, 2);
}

#[test]
fn a_console_without_heartbeats_is_no_failure() {
    let ca = Arc::new(Ca::root("Console"));
    for status in [404, 405] {
        let honest = console::console(Arc::clone(&ca), console::enrolled);
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| match request.path.as_str() {
            paths::HEARTBEAT => Script::html(status, "<html>no such page</html>"),
            _ => honest(request),
        });
        let run = enroll(&rogue, &ca, &["--timeout", "30s"]);
        assert!(run.expect(0).stdout.contains("no heartbeat"), "{}", run.report());
    }
}

#[test]
fn a_console_that_ever_answered_a_heartbeat_does_not_lack_it_for_a_later_process() {
    let (ca, lost_its_way) = (Arc::new(Ca::root("Console")), Arc::new(AtomicBool::new(false)));
    let honest = console::console(Arc::clone(&ca), console::enrolled);
    let switch = Arc::clone(&lost_its_way);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| match request.path.as_str() {
        paths::HEARTBEAT if switch.load(Ordering::SeqCst) => Script::html(404, "<html>no such page</html>"),
        _ => honest(request),
    });
    let place = Place::new();
    let agent = place.enroll("state", &rogue.url(), ca.pem()).args(["--timeout", "3s", "--new-sensor"]);
    agent.clone().token(&made_up_token(1)).run().expect(0);
    let line = format!("{}/ heartbeat\n", rogue.url());
    assert!([line.as_str(), &line.replace("/ ", " ")].contains(&agent.read(".console-answered").as_str()));
    let certificate = agent.read("client.cert.pem");
    lost_its_way.store(true, Ordering::SeqCst);
    agent.token(&made_up_token(2)).run().expect(1);
    assert_eq!(place.host("state").read("client.cert.pem"), certificate, "a proxy's 404 proves no successor");
}

#[test]
fn a_certificate_that_the_console_then_refuses_is_a_failure_and_not_ready() {
    let ca = Arc::new(Ca::root("Console"));
    let honest = console::console(Arc::clone(&ca), console::enrolled);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| match request.path.as_str() {
        paths::HEARTBEAT => Script::problem(ErrorCode::InvalidSensorTrust),
        _ => honest(request),
    });
    let place = Place::new();
    let agent = place.enroll("state", &rogue.url(), ca.pem()).token(&made_up_token(1));
    agent.run().expect(3).says(&["does not accept the identity", "invalid_sensor_trust"]);
    assert!(!agent.has(".sensor-ready"));
}

#[test]
fn answers_of_a_newer_console_are_taken() {
    let ca = Arc::new(Ca::root("Console"));
    let enroll_newer = |request: &Request, ca: &Ca| {
        let mut answer = serde_json::to_value(ca.enrolled(&request.csr_pem(), None)).unwrap();
        answer["from_the_future"] = json!({"deep": [1, 2, 3]});
        answer["warnings"] = json!(["A newer agent is available."]);
        Script::json(201, &answer)
    };
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll_newer));
    let run = enroll(&rogue, &ca, &[]);
    assert!(run.expect(0).stdout.contains("A newer agent is available."), "{}", run.report());
}

#[test]
fn what_an_enrollment_says_of_the_host() {
    let (rogue, ca) = stage(Vec::new());
    let place = Place::new();
    let agent = place
        .enroll("edge-7", &rogue.url(), ca.pem())
        .args(["--node-role", "o_du", "--cluster-name", "prod", "--tags", " a, b ,a", "--flavor", "telecom"])
        .env("TELOVIX_INSTALL_ID", "release-1")
        .env("TELOVIX_K8S_DEPLOYMENT", "telovix-sensor")
        .token(&made_up_token(1));
    agent.run().expect(0);
    let said = rogue.requests_to(paths::ENROLL)[0].json();
    for (key, value) in [
        ("node_name", json!("edge-7")),
        ("declared_role", json!("o_du")),
        ("cluster_name", json!("prod")),
        ("install_id", json!("release-1")),
        ("tags", json!(["a", "b"])),
        ("flavor", json!("telecom")),
        ("sensor_version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(said[key], value, "{key}");
    }
    assert!(said.get("sensor_id").is_none() && said.get("new_sensor").is_none(), "{said}");
    let host = &said["host"];
    assert_eq!(
        (&host["architecture"], &host["k8s_deployment"]),
        (&json!(std::env::consts::ARCH), &json!("telovix-sensor"))
    );
    assert!(host["cpu_count"].as_u64() > Some(0) && host["memory_bytes"].as_u64() > Some(1 << 20), "{host}");
    // The machine's id itself is not given away.
    if let Ok(id) = std::fs::read_to_string("/etc/machine-id") {
        assert!(id.trim().is_empty() || !said.to_string().contains(id.trim()));
    }
}

#[test]
fn a_real_console_on_ipv6() {
    let Some(address) = telovix_tests::serving::loopback_v6() else {
        eprintln!("this host has no IPv6 loopback; nothing to test");
        return;
    };
    let world = World::terms().listen(address).start();
    let agent = world.enroll("host").token(&world.once().token);
    agent.run().expect(0);
    let status = agent.clone_for(&["status", "--output", "json"]).run().json();
    assert!(status["sensor_id"].as_str().unwrap().parse::<SensorId>().is_ok());
    assert!(status["console_url"].as_str().unwrap().starts_with("https://[::1]:"), "{status}");
}
