//! A bad day: each way of spoiling an answer, and the host that comes through (docs/contract.md section 3, repeat rule).

use telovix_console_stub::config::Limits;
use telovix_console_stub::fault::Faults;
use telovix_console_stub::fault::chaos::Chaos;
use telovix_contract::paths;

use crate::world::{World, body, key};

#[tokio::test]
async fn every_act_strikes_once_and_costs_no_host_and_no_token() {
    let acts = [
        r#"{"kind": "drop_before_commit"}"#,
        r#"{"kind": "status", "status": 503, "retry_after": 7}"#,
        r#"{"kind": "html"}"#,
        r#"{"kind": "drop_after_commit"}"#,
        r#"{"kind": "truncate"}"#,
        r#"{"kind": "delay", "ms": 1}"#,
    ];
    let rules: Vec<String> =
        acts.iter().map(|act| format!(r#"{{"path": "{}", "act": {act}}}"#, paths::ENROLL)).collect();
    let chaos = Chaos::parse(format!("[{}]", rules.join(",")).as_bytes()).unwrap();
    let world = World::start_on(10, Faults::default(), Limits::default(), chaos).await;
    let request = body(&world.once().await, "edge-1", &key()).to_string();
    let client = world.client(None);
    let send = async || client.send("POST", paths::ENROLL, request.as_bytes(), &[]).await;
    let sensors = || world.count("SELECT count(*) FROM sensors");

    assert!(send().await.is_err());
    let busy = send().await.unwrap();
    assert_eq!((busy.status, busy.headers["retry-after"].to_str().unwrap()), (503, "7"));
    assert!(send().await.unwrap().body.as_str().unwrap().starts_with("<!doctype html>"));
    assert_eq!(sensors(), 0);
    for _ in ["drop_after_commit", "truncate"] {
        assert!(send().await.is_err());
        assert_eq!(sensors(), 1);
    }
    for _ in ["delay", "nothing"] {
        assert_eq!(send().await.unwrap().status, 201);
    }
    assert_eq!((sensors(), world.count("SELECT use_count FROM enrollment_tokens")), (1, 1));
}

#[tokio::test]
async fn handshakes_clocks_and_identities_can_be_spoilt_from_loopback_while_it_runs() {
    let chaos = Chaos::parse(b"[]").unwrap();
    let world = World::start_on(10, Faults::default(), Limits::default(), chaos).await;
    let (held, other) = (key(), key());
    let first = world.enroll(&body(&world.once().await, "edge-1", &held)).await;
    let second = world.enroll(&body(&world.once().await, "edge-2", &other)).await;
    let certificate = first.text("control_plane_certificate_pem").to_owned();
    let bystander = second.text("control_plane_certificate_pem").to_owned();
    let client = world.client(None);
    let set = async |rules: &str| client.send("POST", "/chaos", rules.as_bytes(), &[]).await.unwrap();

    let refused = set(r#"[{"path": "/a", "act": {"kind": "tea"}}]"#).await;
    assert_eq!(refused.refusal(), (400, "invalid_request"));
    for which in ["other_ca", "other_name", "expired"] {
        let rule = format!(r#"[{{"path": "tls", "act": {{"kind": "certificate", "which": "{which}"}}}}]"#);
        assert_eq!(set(&rule).await.status, 200);
        assert!(world.client(None).send("GET", paths::HEALTHZ, b"", &[]).await.is_err(), "{which}");
        assert_eq!(world.client(None).send("GET", paths::HEALTHZ, b"", &[]).await.unwrap().status, 200);
    }

    let beat = format!(
        r#"[{{"path": "{}", "act": {{"kind": "clock", "offset_seconds": 7200}}}}]"#,
        paths::HEARTBEAT
    );
    set(&beat).await;
    let dates: Vec<_> =
        [world.heartbeat(&certificate, &held).await, world.heartbeat(&certificate, &held).await]
            .map(|reply| reply.headers["date"].to_str().unwrap().to_owned())
            .into();
    let read = |text: &String| jiff::fmt::rfc2822::parse(text).unwrap().timestamp();
    assert_eq!(read(&dates[0]).duration_since(read(&dates[1])).as_secs(), 7200);

    set(&beat.replace(r#""clock", "offset_seconds": 7200"#, r#""revoke""#)).await;
    assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (403, "sensor_revoked"));
    set(&beat.replace(r#""clock", "offset_seconds": 7200"#, r#""forget""#)).await;
    assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(world.heartbeat(&bystander, &other).await.status, 200);
    set(&beat.replace(r#""clock", "offset_seconds": 7200"#, r#""forget_all""#)).await;
    assert_eq!(world.heartbeat(&bystander, &other).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 0);

    let request = body(&world.once().await, "edge-3", &key());
    set(&beat
        .replace(paths::HEARTBEAT, paths::ENROLL)
        .replace(r#""clock", "offset_seconds": 7200"#, r#""forget_everything""#))
    .await;
    assert_eq!(world.enroll(&request).await.refusal(), (401, "invalid_enrollment_token"));
    let what = ["sensors", "enrollment_tokens", "enrollments", "approvals", "approval_rules"];
    assert_eq!(what.map(|table| world.count(&format!("SELECT count(*) FROM {table}"))), [0; 5]);
    let told = "SELECT count(*) FROM audit WHERE action_type = 'sensor_enrollment_tokens_forgotten'";
    assert_eq!(world.count(told), 1);
    let left = client.send("GET", "/chaos", b"", &[]).await.unwrap();
    assert_eq!((left.status, &left.body["rules"][0]["times"]), (200, &serde_json::json!(0)));
}

#[tokio::test]
async fn a_server_without_bad_days_takes_no_rules() {
    let world = World::start(10).await;
    let reply = world.client(None).send("POST", "/chaos", b"[]", &[]).await.unwrap();
    assert_eq!(reply.status, 404);
}
