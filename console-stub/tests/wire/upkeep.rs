//! What a running server does by itself, on a clock that is turned.

use std::time::Duration;

use crate::browser::{PASSWORD, log_in};
use crate::world::{World, body, key};
use telovix_console_stub::domain::api_key::Scope;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::TokenFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_contract::states::TokenStatus;

const DAY: i64 = 24 * 3600;

/// A token that lasts a day.
fn long() -> TokenDraft {
    TokenDraft { ttl_seconds: Some(DAY), ..TokenDraft::default() }
}

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

/// docs/contract.md section 4: what is of no more use is forgotten, and never by a clock that was wrong for a moment.
#[tokio::test]
async fn section_4_the_clean_up_forgets_by_a_trusted_clock_alone() {
    let world = World::start(10).await;
    let count = |sql: &str| world.count(sql);
    let made = body(&world.once().await, "edge-1", &key());
    assert_eq!(world.enroll(&made).await.status, 201);
    world.once().await;
    let pending = body(&world.token(long()).await, "edge-3", &key());
    let all = "all".to_owned();
    world.console.change_setting(Setting::ApprovalMode, all, Origin::default()).await.unwrap();
    let waits = body(&world.once().await, "edge-2", &key());
    assert_eq!(world.enroll(&waits).await.status, 202);
    world.console.change_setting(Setting::ApprovalMode, "none".to_owned(), Origin::default()).await.unwrap();
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

    // The clock is set 400 days ahead for a moment: the server has looked at it when it has made itself a new certificate.
    let until_renewed = async |after: i64| {
        let renewed = async || world.console.authority().unwrap().server().unwrap().validity.1 > after;
        until("the server certificate is renewed", renewed).await;
    };
    world.clock.jump(400 * DAY);
    until_renewed(world.console.now()).await;
    world.console.clean_up(None).await.unwrap();
    world.clock.jump(-400 * DAY);
    until("the server is itself again", async || world.client(None).tls().await.is_ok()).await;
    let kept = ["approvals", "enrollment_tokens", "sessions"];
    let left = |table: &str| count(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(kept.map(left), [1, 4, 1], "nothing is destroyed by a clock that was wrong");
    assert_eq!(world.enroll(&pending).await.status, 201, "a token is as good as before");

    let expired = async || {
        let tokens = world.console.list_tokens(TokenFilter::default(), Piece::default()).await.unwrap();
        tokens.rows.iter().filter(|token| token.status == TokenStatus::Expired).count()
    };
    world.clock.advance(901);
    assert_eq!(expired().await, 1, "that is worked out when it is read");
    assert_eq!(count("SELECT count(*) FROM enrollment_tokens WHERE status = 'expired'"), 0);

    world.clock.advance(8 * DAY);
    // A host that waits and asks no more gives its token back, which has expired since.
    until("the silent host is forgotten", async || left("approvals") == 0).await;
    until("so are sessions and nonces", async || left("sessions") + left("api_nonces") == 0).await;
    assert_eq!((expired().await, left("enrollment_tokens")), (0, 4), "they leave the list after a week");
    world.clock.advance(83 * DAY);
    until("the tokens are forgotten", async || left("enrollment_tokens") == 0).await;
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
