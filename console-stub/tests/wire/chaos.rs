//! A bad day: each way of spoiling an answer, and the host that comes through (CONTRACT.md section 3, the repeat rule).

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
