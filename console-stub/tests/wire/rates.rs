//! How often a source may try, over real TLS and on a clock that is turned.

use crate::browser::log_in;
use crate::world::{Reply, World, body, key};
use serde_json::{Value, json};
use telovix_console_stub::config::{Limits, Rates};
use telovix_console_stub::fault::Faults;
use telovix_contract::paths;

async fn world(rates: Rates) -> World {
    World::start_with(50, Faults::default(), Limits { rates, ..Limits::default() }).await
}

async fn enroll_from(world: &World, last: u8, body: &Value) -> Reply {
    let client = world.client(None).from(last);
    client.send("POST", paths::ENROLL, body.to_string().as_bytes(), &[]).await.unwrap()
}

fn unknown(n: u8) -> String {
    telovix_contract::EnrollmentToken::from_bytes(&[n; 32]).expose().to_owned()
}

#[tokio::test]
async fn section_6_a_guesser_is_told_to_wait_and_locks_nobody_else_out() {
    let world = world(Rates { guess: 5, token: 3, ..Rates::default() }).await;
    let key = key();
    for n in 0..5 {
        let reply = world.enroll(&body(&unknown(n), "edge-1", &key)).await;
        assert_eq!(reply.refusal(), (401, "invalid_enrollment_token"));
    }
    let before = world.count("SELECT count(*) FROM audit");
    for guess in [unknown(9), "tse_short".to_owned()] {
        let reply = world.enroll(&body(&guess, "edge-1", &key)).await;
        assert_eq!(reply.refusal(), (429, "rate_limited"));
        assert_eq!(reply.headers["retry-after"], "12");
    }
    // One note of it in the trail, and not one for each.
    assert_eq!(world.count("SELECT count(*) FROM audit") - before, 1);
    assert_eq!(world.count("SELECT count(*) FROM audit WHERE detail LIKE '%rate_limited%'"), 1);
    // The fleet behind the same address, and a guesser behind another.
    for n in 0..10 {
        let node = format!("edge-{n}");
        assert_eq!(world.enroll(&body(&world.once().await, &node, &crate::world::key())).await.status, 201);
    }
    assert_eq!(enroll_from(&world, 2, &body(&unknown(9), "edge-1", &key)).await.status, 401);
    world.clock.advance(12);
    assert_eq!(world.enroll(&body(&unknown(10), "edge-1", &key)).await.status, 401);
    assert_eq!(world.enroll(&body(&unknown(11), "edge-1", &key)).await.status, 429);
}

#[tokio::test]
async fn section_6_a_spent_token_is_asked_about_a_few_times_and_its_answer_can_be_repeated() {
    let world = world(Rates { token: 3, guess: 1000, ..Rates::default() }).await;
    let (token, host) = (world.once().await, key());
    let request = body(&token, "edge-1", &host);
    let first = world.enroll(&request).await;
    assert_eq!(first.status, 201);
    assert_eq!(world.enroll(&request).await.body, first.body);
    for _ in 0..2 {
        assert_eq!(world.enroll(&body(&token, "edge-2", &key())).await.status, 409);
    }
    let reply = world.enroll(&body(&token, "edge-2", &key())).await;
    assert_eq!(
        (reply.refusal(), &reply.headers["retry-after"]),
        ((429, "rate_limited"), &"20".parse().unwrap())
    );
    assert_eq!(enroll_from(&world, 2, &request).await.body, first.body);
    world.clock.advance(20);
    assert_eq!(world.enroll(&request).await.body, first.body);
}

#[tokio::test]
async fn the_wide_bucket_of_a_source_ends_too() {
    let world = world(Rates { enroll: 4, ..Rates::default() }).await;
    for n in 0..4 {
        assert_eq!(world.enroll(&body(&world.once().await, &format!("n-{n}"), &key())).await.status, 201);
    }
    let token = world.once().await;
    let request = body(&token, "n-5", &key());
    assert_eq!(world.enroll(&request).await.refusal(), (429, "rate_limited"));
    world.clock.advance(15);
    assert_eq!(world.enroll(&request).await.status, 201);
}

/// A quarter of an hour after a clock was put right, nobody is kept out by what it said before (docs/contract.md section 6).
#[tokio::test]
async fn section_6_a_clock_that_was_ahead_leaves_no_wait_behind() {
    let world = world(Rates { enroll: 2, ..Rates::default() }).await;
    world.clock.jump(30 * 86_400);
    for _ in 0..5 {
        assert_eq!(log_in(&world, "a@example.com", "a wrong password").await.status, 401);
    }
    let request = body(&unknown(1), "edge-1", &key());
    while world.enroll(&request).await.refusal().0 != 429 {}
    assert_eq!(log_in(&world, "a@example.com", "a wrong password").await.status, 429);
    world.clock.jump(-30 * 86_400);
    assert_eq!(log_in(&world, "a@example.com", "a wrong password").await.status, 401);
    world.clock.advance(60);
    assert_eq!(world.enroll(&request).await.refusal().0, 401);
}

/// docs/contract.md section 6: unknown and malformed tokens look alike, in every byte but the date.
#[tokio::test]
async fn section_6_unknown_and_malformed_tokens_get_the_same_answer() {
    let world = World::start(10).await;
    let key = key();
    let long = "x".repeat(5000);
    let tokens =
        [unknown(1).as_str(), "tse_", "", "tse_short", "tsx_wrong", &long, "tse_\u{e9}\n"].map(str::to_owned);
    let mut answers = Vec::new();
    for token in &tokens {
        let request = body(token, "edge-1", &key).to_string();
        let mut reply =
            world.client(None).send("POST", paths::ENROLL, request.as_bytes(), &[]).await.unwrap();
        reply.headers.remove("date");
        answers.push((reply.status, reply.body.to_string(), reply.headers));
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    // What they leave in the trail is alike too.
    let trail = "SELECT count(DISTINCT detail) FROM audit WHERE action_type = 'sensor_enrollment_refused'";
    assert_eq!(world.count(trail), 1);
}

#[tokio::test]
async fn section_5_a_locked_address_and_a_busy_source_hear_when_to_come_back() {
    let world = world(Rates { login: 8, ..Rates::default() }).await;
    for _ in 0..5 {
        assert_eq!(log_in(&world, "a@example.com", "a wrong password").await.status, 401);
    }
    world.clock.advance(60);
    let locked = log_in(&world, "a@example.com", "a wrong password").await;
    assert_eq!(
        (locked.refusal(), &locked.headers["retry-after"]),
        ((429, "rate_limited"), &"840".parse().unwrap())
    );
    for n in 0..7 {
        assert_eq!(log_in(&world, &format!("b{n}@example.com"), "a wrong password").await.status, 401);
    }
    let busy = log_in(&world, "c@example.com", "a wrong password").await;
    assert_eq!(
        (busy.refusal(), &busy.headers["retry-after"]),
        ((429, "rate_limited"), &"8".parse().unwrap())
    );
    let other = world.client(None).from(3);
    let who = json!({"email": "admin@example.com", "password": crate::browser::PASSWORD}).to_string();
    let json = [("content-type", "application/json")];
    assert_eq!(other.send("POST", paths::V1_SESSION, who.as_bytes(), &json).await.unwrap().status, 200);
}
