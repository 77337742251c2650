//! Approval: rules, modes, the waiting list (docs/contract.md sections 3, 4 and 6), over real TLS and in process.

use std::collections::BTreeMap;

use crate::world::{World, body, csr, key, on, with};
use serde_json::{Value, json};
use telovix_console_stub::domain::approval::{ApprovalId, RuleDraft, Ruling};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::TokenFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::ServiceError;
use telovix_console_stub::service::approvals::{ApprovalView, Say};
use telovix_console_stub::service::enroll::EnrollAnswer;
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::{ErrorCode, TokenHash};

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
    world.console.clean_up(Some(world.console.now())).await.unwrap();
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
    let node = |n: u32, role: &str| {
        on('a', in_cluster(body(&token, &format!("node-{n}"), &key()), "ran-east", role))
    };
    assert_eq!(world.enroll(&node(0, "amf")).await.status, 202);
    rule(&world, "ran-east", &["o_du"], Some(1)).await;
    // What no rule covers follows the mode.
    assert_eq!(world.enroll(&node(1, "amf")).await.status, 202);
    let first = world.enroll(&node(2, "o_du")).await;
    assert_eq!(first.status, 201);
    // The same node again, with another key, costs the rule nothing; the next one finds it full.
    let again = world.enroll(&node(2, "o_du")).await;
    assert_eq!(again.text("sensor_id"), first.text("sensor_id"));
    assert_eq!(world.enroll(&node(3, "o_du")).await.status, 202);
    assert_eq!(world.count("SELECT node_count FROM approval_rules"), 1);
    // Nobody takes the place of another key on the list, whatever name it gives.
    assert_eq!(world.enroll(&node(3, "o_du")).await.status, 202);
    assert_eq!(waiting(&world).await.len(), 4);

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

async fn row(world: &World, node: &str) -> ApprovalView {
    let rows = world.console.list_approvals(None).await.unwrap();
    rows.into_iter().find(|row| row.node_name == node).unwrap()
}

async fn decide(world: &World, id: ApprovalId, say: Say) -> Result<ApprovalView, ErrorCode> {
    match world.console.decide_approval(id, say, Origin::default()).await {
        Err(ServiceError::Refused(refusal)) => Err(refusal.code),
        decided => Ok(decided.unwrap()),
    }
}

/// An approval holds for what the operator saw; what changes is looked at anew.
#[tokio::test]
async fn section_4_what_is_approved_is_what_comes_in() {
    let world = World::start(2).await;
    set(&world, Setting::ApprovalMode, "all").await;
    let (token, own) = (world.once().await, key());
    let harmless = body(&token, "harmless-test-vm", &own);
    assert_eq!(world.enroll(&harmless).await.status, 202);
    let seen = row(&world, "harmless-test-vm").await;
    let facts = |row: &ApprovalView| json!(row)["facts_sha256"].as_str().unwrap().parse().unwrap();
    decide(&world, seen.id, Say::ApproveSeen(facts(&seen))).await.unwrap();

    let core = json!({"declared_role": "amf", "cluster_name": "prod-core", "tags": ["trusted"]});
    let core = with(body(&token, "core-amf-01", &own), &core);
    assert_eq!(world.enroll(&core).await.status, 202);
    let changed = row(&world, "core-amf-01").await;
    assert_eq!((changed.id, changed.status), (seen.id, "waiting"));
    // Between page and click.
    assert_eq!(
        decide(&world, seen.id, Say::ApproveSeen(facts(&seen))).await.unwrap_err(),
        ErrorCode::Conflict
    );
    assert_eq!(world.enroll(&core).await.status, 202);
    // What may change between two attempts is no reason to look again.
    decide(&world, seen.id, Say::ApproveSeen(facts(&changed))).await.unwrap();
    let newer =
        with(core, &json!({"sensor_version": "2", "host": {"kernel_version": "9", "memory_bytes": 5}}));
    let made = world.enroll(&newer).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        world.count("SELECT count(*) FROM sensors WHERE node_name = 'core-amf-01' AND role = 'amf'"),
        1
    );

    // A known sensor with another role is looked at again.
    let id = made.text("sensor_id");
    let draft = TokenDraft { sensor_id: Some(id.parse().unwrap()), ..TokenDraft::default() };
    let other = with(
        newer,
        &json!({"enrollment_token": world.token(draft).await, "declared_role": "o_du",
        "csr_pem": csr("core-amf-01", &key())}),
    );
    let holds = (made.text("control_plane_certificate_pem"), &own);
    assert_eq!(world.enroll_as(Some(holds), &other).await.status, 202);
    assert_eq!(row(&world, "core-amf-01").await.reason, "changed");
    assert_eq!(world.heartbeat(holds.0, holds.1).await.status, 200, "the certificate goes on meanwhile");

    // At a full licence, whoever approves hears of it.
    assert_eq!(world.enroll(&body(&world.once().await, "edge-1", &key())).await.status, 202);
    let waits = row(&world, "edge-1").await.id;
    set(&world, Setting::ApprovalMode, "none").await;
    assert_eq!(world.enroll(&body(&world.once().await, "edge-2", &key())).await.status, 201);
    assert!(decide(&world, waits, Say::Approve).await.unwrap().warnings[0].contains("licence is full"));
}

/// A change of mode admits nobody who waits; a new rule does, and says whom.
#[tokio::test]
async fn section_4_a_rule_admits_who_waits_and_says_whom() {
    let world = World::start(10).await;
    set(&world, Setting::ApprovalMode, "cluster").await;
    let token = world.cluster("ran-east", None).await;
    let nodes = [("du-1", "o_du"), ("du-2", "o_du"), ("core-1", "amf")]
        .map(|(name, role)| in_cluster(body(&token, name, &key()), "ran-east", role));
    for node in &nodes {
        assert_eq!(world.enroll(node).await.status, 202);
        world.clock.advance(1);
    }
    set(&world, Setting::ApprovalMode, "none").await;
    assert_eq!(world.enroll(&nodes[0]).await.status, 202);
    let draft = |roles: &[&str]| RuleDraft {
        cluster_id: "ran-east".parse().unwrap(),
        label: "field".to_owned(),
        allowed_roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        max_nodes: None,
    };
    let made = world.console.create_rule(draft(&["o_du"]), Origin::default()).await.unwrap();
    assert_eq!(made.admits, ["du-1", "du-2"]);
    assert!(made.warnings[0].contains("approval_mode is none"), "{made:?}");
    assert_eq!(world.enroll(&nodes[0]).await.status, 201);
    assert_eq!(world.enroll(&nodes[2]).await.status, 202);
    // A rule refuses nobody: with the mode none another role enrolls as ever.
    let other = in_cluster(body(&token, "core-2", &key()), "ran-east", "amf");
    assert_eq!(world.enroll(&other).await.status, 201);
    set(&world, Setting::ApprovalMode, "all").await;
    let made = world.console.create_rule(draft(&["gnb"]), Origin::default()).await.unwrap();
    assert!(made.warnings.is_empty() && made.admits.is_empty());
}

/// The list is bounded for each token; a full list is 429, and nobody on it makes room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_the_list_is_bounded_for_each_token() {
    let world = std::sync::Arc::new(World::start(10).await);
    set(&world, Setting::ApprovalMode, "cluster").await;
    let (token, other) = (world.cluster("c", None).await, world.cluster("c", None).await);
    let node = |token: &str, n: usize, csr: &str| {
        json!({"enrollment_token": token, "csr_pem": csr,
        "node_name": format!("n-{n}"), "cluster_name": "c"})
    };
    let csrs: Vec<String> = (0..1005).map(|n| csr(&format!("n-{n}"), &key())).collect();
    let bodies = csrs.iter().enumerate().map(|(n, csr)| node(&token, n, csr)).collect();
    let ends = all_at_once(&world, bodies).await;
    assert_eq!((ends["202"], ends["rate_limited"]), (1000, 5));
    assert_eq!(attempt(&world, node(&other, 0, &csrs[0])).await, "202");
    assert_eq!(world.count("SELECT count(*) FROM approvals"), 1001);
    // One key writes one row, whatever it calls itself.
    let own = key();
    for n in 0..3 {
        let name = format!("m-{n}");
        let body = with(body(&other, &name, &own), &json!({"cluster_name": "c"}));
        assert_eq!(attempt(&world, body).await, "202");
    }
    assert_eq!(world.count("SELECT count(*) FROM approvals"), 1002);
    let tags: Vec<String> = (0..64).map(|n| format!("{n:02}{}", "é".repeat(126))).collect();
    let long = with(body(&other, "long", &key()), &json!({"cluster_name": "c", "tags": tags}));
    assert_eq!(attempt(&world, long).await, "invalid_request");
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
