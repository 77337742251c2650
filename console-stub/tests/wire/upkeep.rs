//! What a running server does by itself, on a clock that is turned.

use std::time::Duration;

use crate::browser::{PASSWORD, log_in};
use crate::world::{World, body, key};
use telovix_console_stub::domain::api_key::Scope;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;

const DAY: i64 = 24 * 3600;

/// Waits until it is so: the server looks after itself once a second.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to that: {what}");
}

/// docs/contract.md section 4: what has expired is written down, and what is of no more use is forgotten.
#[tokio::test]
async fn section_4_the_clean_up_cycle_writes_down_what_time_has_done() {
    let world = World::start(10).await;
    let count = |sql: &str| world.count(sql);
    let made = body(&world.once().await, "edge-1", &key());
    assert_eq!(world.enroll(&made).await.status, 201);
    world.once().await;
    let all = "all".to_owned();
    world.console.change_setting(Setting::ApprovalMode, all, Origin::default()).await.unwrap();
    let waits = body(&world.once().await, "edge-2", &key());
    assert_eq!(world.enroll(&waits).await.status, 202);
    assert_eq!(log_in(&world, "admin@example.com", PASSWORD).await.status, 200);
    assert_eq!(log_in(&world, "admin@example.com", "a wrong password").await.status, 401);
    let api_key =
        world.console.create_api_key(String::new(), vec![Scope::Read], Origin::default()).await.unwrap();
    let nonce = format!(
        "INSERT INTO api_nonces (key_id, nonce, seen_at) VALUES ('{}', 'n', {})",
        api_key.key_id,
        world.console.now()
    );
    world.database.change(&nonce).unwrap();

    world.clock.advance(901);
    let expired = "SELECT count(*) FROM enrollment_tokens WHERE status = 'expired'";
    until("the token's expiry is written down", async || count(expired) == 1).await;
    let kept = ["api_nonces", "sessions", "login_failures", "approvals"];
    let left = |table: &str| count(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(kept.map(left), [0, 1, 0, 1], "past its 600 s, its hour, its quarter of an hour, its week");

    world.clock.advance(8 * DAY);
    // A host that waits and asks no more gives its token back, which has expired since.
    until("the silent host is forgotten", async || left("approvals") == 0 && count(expired) == 2).await;
    assert_eq!(kept.map(left), [0, 0, 0, 0]);
    let used = "SELECT count(*) FROM enrollment_tokens WHERE status = 'used'";
    assert_eq!(count(used), 1);
    world.clock.advance(83 * DAY);
    until("the used token is forgotten", async || count(used) == 0).await;
}

/// The server certificate is renewed and shown by the server that runs, again and again; the key stays, so pins hold.
#[tokio::test]
async fn a_running_server_shows_its_renewed_certificate_without_a_restart() {
    let world = World::start(10).await;
    let shown = async || {
        let tls = world.client(None).tls().await.unwrap();
        tls.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let pin = world.console.authority().unwrap().server_pin();
    let mut before = shown().await;
    for _ in 0..3 {
        let (from, to) = world.console.authority().unwrap().server().unwrap().validity;
        // In its last third: the one that is shown is good still, and every handshake on the way succeeds.
        world.clock.advance(from + (to - from) * 3 / 4 - world.console.now());
        until("another certificate is shown", async || shown().await != before).await;
        before = shown().await;
        assert_eq!(world.console.authority().unwrap().server_pin(), pin);
    }
}
