//! Approval: rules, modes, the waiting list (docs/contract.md sections 3, 4 and 6), over real TLS and in process.

use std::collections::BTreeMap;

use crate::world::{World, body, csr, key};
use serde_json::{Value, json};
use telovix_console_stub::domain::approval::{ApprovalId, RuleDraft, Ruling};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::TokenFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::ServiceError;
use telovix_console_stub::service::approvals::Say;
use telovix_console_stub::service::enroll::EnrollAnswer;
use telovix_contract::TokenHash;
use telovix_contract::enroll::EnrollRequest;

async fn set(world: &World, setting: Setting, value: &str) {
    world.console.change_setting(setting, value.to_owned(), Origin::default()).await.unwrap();
}

async fn rule(world: &World, cluster: &str, roles: &[&str], max_nodes: Option<i64>) {
    let draft = RuleDraft {
        cluster_id: cluster.parse().unwrap(),
        label: "field".to_owned(),
        allowed_roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        max_nodes,
    };
    world.console.create_rule(draft, Origin::default()).await.unwrap();
}

async fn waiting(world: &World) -> Vec<ApprovalId> {
    let rows = world.console.list_approvals(Some(Ruling::Waiting)).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

async fn say(world: &World, say: Say) {
    let [id] = waiting(world).await[..] else { panic!("not one waits") };
    world.console.decide_approval(id, say, Origin::default()).await.unwrap();
}

fn in_cluster(mut body: Value, cluster: &str, role: &str) -> Value {
    body["cluster_name"] = json!(cluster);
    body["declared_role"] = json!(role);
    body
}

/// 202 with `bootstrap_pending`; the token is kept for the key, past its expiry; approval lets the same request in.
#[tokio::test]
async fn section_3_a_waiting_host_keeps_its_token_and_comes_in_when_approved() {
    let world = World::start(10).await;
    set(&world, Setting::ApprovalMode, "all").await;
    let (token, key) = (world.once().await, key());
    let request = body(&token, "edge-1", &key);
    for _ in 0..2 {
        let reply = world.enroll(&request).await;
        assert_eq!((reply.status, reply.text("trust_state")), (202, "bootstrap_pending"));
        assert!(reply.body["retry_after_seconds"].as_i64().unwrap() > 0);
    }
    assert_eq!(waiting(&world).await.len(), 1);
    let other = world.enroll(&body(&token, "edge-1", &crate::world::key())).await;
    assert_eq!(other.refusal(), (409, "enrollment_token_used"));
    // Long past the token's quarter of an hour, the clean-up having been there.
    world.clock.advance(2 * 24 * 3600);
    world.console.clean_up().await.unwrap();
    assert_eq!(
        world.console.list_tokens(TokenFilter::default(), Piece::default()).await.unwrap().rows[0]
            .status
            .as_str(),
        "pending"
    );
    assert_eq!(world.enroll(&request).await.status, 202);
    say(&world, Say::Approve).await;
    let first = world.enroll(&request).await;
    assert_eq!((first.status, first.text("trust_state")), (201, "trusted"));
    assert_eq!(world.enroll(&request).await.body, first.body);
    assert_eq!(world.count("SELECT count(*) FROM approvals"), 0);
    assert_eq!(world.count("SELECT count(*) FROM enrollment_tokens WHERE status = 'used'"), 1);
    for action in ["sensor_enrollment_pending", "sensor_enrollment_approved", "sensor_enrolled"] {
        assert_eq!(world.count(&format!("SELECT count(*) FROM audit WHERE action_type = '{action}'")), 1);
    }
}

#[tokio::test]
async fn section_3_a_denial_ends_the_enrollment_and_spends_its_token() {
    let world = World::start(10).await;
    set(&world, Setting::ApprovalMode, "all").await;
    let (token, key) = (world.once().await, key());
    let request = body(&token, "edge-1", &key);
    assert_eq!(world.enroll(&request).await.status, 202);
    let [id] = waiting(&world).await[..] else { panic!() };
    say(&world, Say::Deny).await;
    assert_eq!(world.enroll(&request).await.refusal(), (403, "enrollment_denied"));
    let other = world.enroll(&body(&token, "edge-1", &crate::world::key())).await;
    assert_eq!(other.refusal(), (409, "enrollment_token_used"));
    assert!(world.console.decide_approval(id, Say::Approve, Origin::default()).await.is_err());
    assert_eq!(world.count("SELECT count(*) FROM audit WHERE action_type = 'sensor_enrollment_denied'"), 1);
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 0);

    let token = world.once().await;
    let request = body(&token, "edge-2", &key);
    assert_eq!(world.enroll(&request).await.status, 202);
    let pending = world.console.list_tokens(TokenFilter::default(), Piece::default()).await.unwrap().rows;
    let pending = pending.iter().find(|token| token.status.as_str() == "pending").unwrap();
    world.console.revoke_token(pending.id, Origin::default()).await.unwrap();
    assert_eq!(world.enroll(&request).await.refusal(), (401, "enrollment_token_revoked"));
}

#[tokio::test]
async fn section_4_modes_rules_and_roles() {
    let world = World::start(10).await;
    set(&world, Setting::ApprovalMode, "cluster").await;
    assert_eq!(world.enroll(&body(&world.once().await, "edge-1", &key())).await.status, 201);
    let token = world.cluster("ran-east", None).await;
    let node = |n: u32, role: &str| in_cluster(body(&token, &format!("node-{n}"), &key()), "ran-east", role);
    assert_eq!(world.enroll(&node(0, "amf")).await.status, 202);
    rule(&world, "ran-east", &["o_du"], Some(1)).await;
    assert_eq!(world.enroll(&node(1, "amf")).await.refusal(), (403, "role_not_allowed"));
    let first = world.enroll(&node(2, "o_du")).await;
    assert_eq!(first.status, 201);
    // The same node again, with another key, costs the rule nothing; the next one finds it full.
    let again = world.enroll(&node(2, "o_du")).await;
    assert_eq!(again.text("sensor_id"), first.text("sensor_id"));
    assert_eq!(world.enroll(&node(3, "o_du")).await.status, 202);
    assert_eq!(world.count("SELECT node_count FROM approval_rules"), 1);
    // A node that lost its key while it waited stands on the list once.
    assert_eq!(world.enroll(&node(3, "o_du")).await.status, 202);
    assert_eq!(waiting(&world).await.len(), 2);

    // Deleting a rule leaves the sensors that it let in alone.
    let id = world.console.list_rules().await.unwrap()[0].id;
    world.console.delete_rule(id, Origin::default()).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 2);

    // What a host says of its cluster is no proof: a token that is not bound leads to no rule.
    set(&world, Setting::ApprovalMode, "all").await;
    rule(&world, "ran-east", &[], None).await;
    let claims = in_cluster(body(&world.once().await, "edge-9", &key()), "ran-east", "o_du");
    assert_eq!(world.enroll(&claims).await.status, 202);
}

/// Enrolls in process, so that a thousand attempts cost no thousand handshakes; gives how each ended.
async fn attempt(world: &World, body: Value) -> String {
    let request: EnrollRequest = serde_json::from_value(body).unwrap();
    let hash = TokenHash::from_bytes(*request.enrollment_token.hash().as_bytes());
    match world.console.enroll(hash, request, None, Origin::default()).await {
        Ok(EnrollAnswer::Enrolled(_)) => "201".to_owned(),
        Ok(EnrollAnswer::Waiting(_)) => "202".to_owned(),
        Err(ServiceError::Refused(refusal)) => refusal.code.as_str().to_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// Runs all at once; counts how they ended.
async fn all_at_once(world: &std::sync::Arc<World>, bodies: Vec<Value>) -> BTreeMap<String, usize> {
    let tasks: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let world = std::sync::Arc::clone(world);
            tokio::spawn(async move { attempt(&world, body).await })
        })
        .collect();
    let mut ends = BTreeMap::new();
    for task in tasks {
        *ends.entry(task.await.unwrap()).or_default() += 1;
    }
    ends
}

/// docs/contract.md section 4: no cap is ever passed, by 1,200 attempts at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_caps_hold_under_1200_parallel_attempts() {
    let world = std::sync::Arc::new(World::start(70).await);
    set(&world, Setting::ApprovalMode, "cluster").await;
    rule(&world, "ran-east", &[], Some(40)).await;
    let (ruled, capped) = (world.cluster("ran-east", None).await, world.cluster("ran-west", Some(30)).await);
    rule(&world, "ran-west", &[], None).await;
    let requests: Vec<(String, String)> =
        (0..600).map(|n| (format!("n-{n}"), csr(&format!("n-{n}"), &key()))).collect();
    let bodies = requests.iter().flat_map(|(node, csr)| {
        [(&ruled, "ran-east"), (&capped, "ran-west")].map(|(token, cluster)| {
            json!({"enrollment_token": token, "csr_pem": csr, "node_name": node, "cluster_name": cluster})
        })
    });
    let ends = all_at_once(&world, bodies.collect()).await;
    let end = |name: &str| ends.get(name).copied().unwrap_or(0);
    assert_eq!(end("201"), 70, "{ends:?}");
    // When the licence is full, that is what the others hear; before, the rule's or the token's cap.
    assert_eq!(ends.values().sum::<usize>(), 1200);
    assert_eq!(world.count("SELECT node_count FROM approval_rules WHERE cluster_id = 'ran-east'"), 40);
    assert_eq!(world.count("SELECT count(*) FROM sensors WHERE cluster_id = 'ran-east'"), 40);
    assert_eq!(world.count("SELECT count(*) FROM sensors WHERE cluster_id = 'ran-west'"), 30);
    assert_eq!(world.count("SELECT node_count FROM enrollment_tokens WHERE max_nodes = 30"), 30);
    assert_eq!(world.count("SELECT value FROM counters WHERE name = 'protected_nodes'"), 70);
}

/// One token, 1,000 keys at once, an operator's approval between: one waits, one enrolls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_of_1000_hosts_with_one_token_one_waits() {
    let world = std::sync::Arc::new(World::start(10).await);
    set(&world, Setting::ApprovalMode, "all").await;
    let token = world.once().await;
    let bodies: Vec<Value> = (0..1000).map(|n| body(&token, &format!("n-{n}"), &key())).collect();
    let ends = all_at_once(&world, bodies.clone()).await;
    assert_eq!((ends["202"], ends["enrollment_token_used"]), (1, 999));
    say(&world, Say::Approve).await;
    let ends = all_at_once(&world, bodies).await;
    assert_eq!((ends["201"], ends["enrollment_token_used"]), (1, 999));
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 1);
}
