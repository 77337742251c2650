//! Enrollment over real TLS against a Console in this process: the rules of docs/contract.md sections 3, 4 and 6.

use crate::world::{World, body, csr, key, on, with};
use serde_json::{Value, json};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::SensorFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::SensorId;
use telovix_contract::paths;

const DAY: i64 = 24 * 3600;

async fn enroll_all(world: &World, bodies: Vec<Value>) -> Vec<crate::world::Reply> {
    let tasks: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let client = world.client(None);
            tokio::spawn(async move {
                client.send("POST", paths::ENROLL, body.to_string().as_bytes(), &[]).await.unwrap()
            })
        })
        .collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.unwrap());
    }
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_hosts_with_one_token_exactly_one_enrolls_and_commits_are_shared() {
    let world = World::start(1000).await;
    let token = world.once().await;
    let bodies = (0..200).map(|n| body(&token, &format!("edge-{n}"), &key())).collect();
    let before = world.console.db().write_counts();
    let replies = enroll_all(&world, bodies).await;
    let after = world.console.db().write_counts();

    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    let refused = replies.iter().filter(|reply| reply.refusal() == (409, "enrollment_token_used"));
    assert_eq!(refused.count(), 199);
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 1);
    assert_eq!(world.count("SELECT count(*) FROM certificates"), 1);
    assert_eq!(world.count("SELECT value FROM counters"), 1);
    let refusals =
        "SELECT count(*) FROM audit WHERE action_type = 'sensor_enrollment_refused' AND outcome = 'failure'";
    assert_eq!(world.count(refusals), 199);

    let (changes, commits) = (after.changes - before.changes, after.commits - before.commits);
    assert!(changes >= 200 && commits < changes, "{changes} changes took {commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_nodes_with_a_cluster_token_for_ten_exactly_ten_enroll() {
    let world = World::start(1000).await;
    let token = world.cluster("ran-east", Some(10)).await;
    let named = json!({"cluster_name": "ran-east", "install_id": "i-1"});
    let bodies = (0..200).map(|n| with(body(&token, &format!("node-{n}"), &key()), &named)).collect();
    let replies = enroll_all(&world, bodies).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 10);
    let refused = replies.iter().filter(|reply| reply.refusal() == (403, "max_nodes_exceeded"));
    assert_eq!(refused.count(), 190);
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 10);
    assert_eq!(world.count("SELECT node_count FROM enrollment_tokens"), 10);
}

#[tokio::test]
async fn section_3_the_answer_is_a_working_identity() {
    let world = World::start(10).await;
    let key = key();
    let reply = world.enroll(&body(&world.once().await, "edge-1", &key)).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.text("trust_state"), "trusted");
    assert_eq!(reply.body["heartbeat_interval_seconds"], 15);
    let certificate = reply.text("control_plane_certificate_pem");
    assert_eq!(certificate.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(reply.text("control_plane_ca_certificate_pem"), world.ca_pem);
    assert!(reply.text("policy_signing_public_key_pem").contains("PUBLIC KEY"));

    let beat = world.heartbeat(certificate, &key).await;
    assert_eq!((beat.status, beat.text("sensor_id")), (200, reply.text("sensor_id")));
    let sensors = world.console.list_sensors(SensorFilter::default(), Piece::default()).await.unwrap().rows;
    assert_eq!(sensors[0].sensor_id.to_string(), reply.text("sensor_id"));
    assert!(sensors[0].last_seen_at.is_some());

    let none = world.client(None).send("POST", paths::HEARTBEAT, b"", &[]).await.unwrap();
    assert_eq!(none.refusal(), (401, "client_certificate_required"));
}

/// The repeat rule: for 24 hours the same token and key get the same certificate, and no other key does.
#[tokio::test]
async fn section_3_a_lost_answer_is_given_again() {
    let world = World::start(10).await;
    let (token, key) = (world.once().await, key());
    let request = body(&token, "edge-1", &key);
    let first = world.enroll(&request).await;
    // Past the token's own quarter of an hour.
    for later in [0, 3600, DAY - 3601] {
        world.clock.advance(later);
        let again = world.enroll(&request).await;
        assert_eq!((again.status, &again.body), (201, &first.body));
    }
    let other = world.enroll(&body(&token, "edge-1", &crate::world::key())).await;
    assert_eq!(other.refusal(), (409, "enrollment_token_used"));
    world.clock.advance(1);
    assert_eq!(world.enroll(&request).await.refusal(), (409, "enrollment_token_used"));
    assert_eq!(world.count("SELECT count(*) FROM certificates"), 1);
    assert_eq!(world.count("SELECT use_count FROM enrollment_tokens"), 1);
}

#[tokio::test]
async fn section_6_tokens_that_do_not_work() {
    let world = World::start(10).await;
    let key = key();
    let unknown = telovix_contract::EnrollmentToken::from_bytes(&[5; 32]);
    let unknown = world.enroll(&body(unknown.expose(), "edge-1", &key)).await;
    assert_eq!(unknown.refusal(), (401, "invalid_enrollment_token"));
    for malformed in ["", "x", "tse_short", "secret with spaces"] {
        let reply = world.enroll(&body(malformed, "edge-1", &key)).await;
        assert_eq!((reply.status, &reply.body), (401, &unknown.body), "{malformed:?}");
    }
    let late = world.once().await;
    let revoked = world.console.create_token(TokenDraft::default(), Origin::default()).await.unwrap();
    world.console.revoke_token(revoked.id, Origin::default()).await.unwrap();
    let reply = world.enroll(&body(revoked.token.expose(), "edge-1", &key)).await;
    assert_eq!(reply.refusal(), (401, "enrollment_token_revoked"));
    world.clock.advance(900);
    assert_eq!(world.enroll(&body(&late, "edge-1", &key)).await.refusal(), (401, "enrollment_token_expired"));
    let stored = "SELECT count(*) FROM enrollment_tokens WHERE status = 'expired'";
    assert_eq!(world.count(stored), 0, "that is worked out when it is read");
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 0);
}

#[tokio::test]
async fn section_4_a_refused_attempt_leaves_the_token_pending() {
    let world = World::start(10).await;
    let (token, key) = (world.once().await, key());
    let first = world.enroll(&body(&world.once().await, "edge-0", &key)).await;
    let held = json!({"sensor_id": first.body["sensor_id"], "new_sensor": false});
    let refused = world.enroll(&with(body(&token, "edge-1", &key), &held)).await;
    assert_eq!(refused.refusal(), (403, "sensor_binding_mismatch"));
    let foreign = json!({"csr_pem": csr("edge-2", &key)});
    let refused = world.enroll(&with(body(&token, "edge-1", &key), &foreign)).await;
    assert_eq!(refused.refusal(), (422, "invalid_csr"));

    let held = json!({"sensor_id": SensorId::random()});
    let made = world.enroll(&with(body(&token, "edge-1", &key), &held)).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["warnings"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn section_4_a_cluster_node_gets_its_own_record_back() {
    let world = World::start(10).await;
    let token = world.cluster("ran-east", Some(1)).await;
    let named = json!({"cluster_name": "ran-east", "install_id": "i-1"});
    let (old, new) = (key(), key());
    let first = world.enroll(&on('a', with(body(&token, "node-1", &old), &named))).await;
    let again = world.enroll(&on('a', with(body(&token, "node-1", &new), &named))).await;
    assert_eq!(again.text("sensor_id"), first.text("sensor_id"));
    let (first, again) =
        (first.text("control_plane_certificate_pem"), again.text("control_plane_certificate_pem"));
    assert_ne!(first, again);

    // The old certificate works until the new one has been seen.
    assert_eq!(world.heartbeat(first, &old).await.status, 200);
    assert_eq!(world.heartbeat(again, &new).await.status, 200);
    assert_eq!(world.heartbeat(first, &old).await.refusal(), (401, "invalid_sensor_trust"));

    let other = world.enroll(&with(body(&token, "node-2", &key()), &named)).await;
    assert_eq!(other.refusal(), (403, "max_nodes_exceeded"));
    let elsewhere = json!({"cluster_name": "ran-west", "install_id": "i-1"});
    let elsewhere = world.enroll(&with(body(&token, "node-1", &new), &elsewhere)).await;
    // The key enrolled before: the repeat rule answers whatever else the request says.
    assert_eq!(elsewhere.status, 201);
    let stranger = world.enroll(&body(&token, "node-3", &key())).await;
    assert_eq!(stranger.refusal(), (403, "cluster_mismatch"));
}

#[tokio::test]
async fn section_4_a_re_enrollment_token_updates_its_sensor() {
    let world = World::start(1).await;
    let first = world.enroll(&on('a', body(&world.once().await, "edge-1", &key()))).await;
    let sensor_id: SensorId = first.text("sensor_id").parse().unwrap();
    let draft = || TokenDraft { sensor_id: Some(sensor_id), ..TokenDraft::default() };
    let token = world.token(draft()).await;
    let other = json!({"sensor_id": SensorId::random()});
    let refused = world.enroll(&with(body(&token, "edge-1", &key()), &other)).await;
    assert_eq!(refused.refusal(), (403, "sensor_binding_mismatch"));
    // The licence is full, and this takes no slot.
    let again = world.enroll(&on('a', body(&token, "edge-1", &key()))).await;
    assert_eq!((again.status, again.text("sensor_id")), (201, first.text("sensor_id")));
    let full = world.enroll(&body(&world.once().await, "edge-2", &key())).await;
    assert_eq!(full.refusal(), (403, "NodeLimitExceeded"));

    let token = world.token(draft()).await;
    world.console.judge_sensor(sensor_id, Verdict::Disable, Origin::default()).await.unwrap();
    let request = body(&token, "edge-1", &key());
    assert_eq!(world.enroll(&request).await.refusal(), (403, "sensor_disabled"));
    world.console.judge_sensor(sensor_id, Verdict::Revoke, Origin::default()).await.unwrap();
    assert_eq!(world.enroll(&request).await.refusal(), (403, "sensor_revoked"));
    let another = world.console.create_token(draft(), Origin::default()).await;
    assert!(another.unwrap_err().to_string().contains("never comes back"));
    // A revoked sensor's slot is free.
    assert_eq!(world.enroll(&body(&world.once().await, "edge-2", &key())).await.status, 201);
}

#[tokio::test]
async fn section_6_bodies_that_are_not_right_name_the_field() {
    let world = World::start(10).await;
    let good = body(&world.once().await, "edge-1", &key());
    for (field, value) in [
        ("node_name", json!("a b")),
        ("node_name", json!(null)),
        ("csr_pem", json!(5)),
        ("declared_role", json!("O-DU")),
        ("cluster_name", json!("")),
        ("sensor_id", json!("1")),
        ("enrollment_token", json!({"a": 1})),
        ("enrollment_token", json!(null)),
    ] {
        let reply = world.enroll(&with(good.clone(), &json!({field: value}))).await;
        assert_eq!(reply.refusal(), (400, "invalid_request"), "{field}");
        assert!(reply.text("message").contains(&format!("`{field}`")), "{reply:?}");
    }
    let client = world.client(None);
    for broken in [&b"{"[..], b"[]", b"", b"\xff\xfe"] {
        let reply = client.send("POST", paths::ENROLL, broken, &[]).await.unwrap();
        assert_eq!(reply.refusal(), (400, "invalid_request"));
    }
    let long = vec![b' '; 64 * 1024 + 1];
    let reply = client.send("POST", paths::ENROLL, &long, &[]).await.unwrap();
    assert_eq!(reply.refusal(), (413, "payload_too_large"));
    // What only advises spoils nothing.
    let odd = json!({"tags": ["a,b"], "flavor": "vanilla", "host": [1], "sensor_version": 5});
    assert_eq!(world.enroll(&with(good, &odd)).await.status, 201);
}

#[tokio::test]
async fn nothing_secret_is_kept() {
    let mut world = World::start(10).await;
    let (token, key) = (world.once().await, key());
    world.enroll(&body(&token, "edge-1", &key)).await;
    world.enroll(&body(&token, "edge-2", &crate::world::key())).await;
    world.stop().await;
    let files = std::fs::read_dir(world.data.path()).unwrap();
    for file in files {
        let path = file.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let found = content.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!found, "the token stands in {}", path.display());
    }
}
