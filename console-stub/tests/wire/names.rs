//! A name is not an identity: whose record an enrollment gets (docs/contract.md section 4), over real TLS.

use rcgen::KeyPair;
use serde_json::{Value, json};
use telovix_console_stub::domain::approval::Ruling;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::approvals::{ApprovalView, Say};
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::SensorId;

use crate::world::{Reply, World, body, key, on, with};

fn node(token: &str, name: &str, key: &KeyPair) -> Value {
    with(body(token, name, key), &json!({"cluster_name": "prod"}))
}

fn certificate(reply: &Reply) -> &str {
    reply.text("control_plane_certificate_pem")
}

async fn waiting(world: &World) -> ApprovalView {
    let rows = world.console.list_approvals(Some(Ruling::Waiting)).await.unwrap();
    let [row] = <[ApprovalView; 1]>::try_from(rows).unwrap();
    row
}

async fn approve(world: &World) {
    let id = waiting(world).await.id;
    world.console.decide_approval(id, Say::Approve, Origin::default()).await.unwrap();
}

fn audited(world: &World, action: &str, detail: &str) -> i64 {
    world.count(&format!(
        "SELECT count(*) FROM audit WHERE action_type = '{action}' AND detail LIKE '%{detail}%'"
    ))
}

/// Two machines with one host name and one cluster token: the one that is there keeps its record.
#[tokio::test]
async fn section_4_of_two_hosts_with_one_name_the_one_that_is_alive_keeps_its_record() {
    let world = World::start(10).await;
    let token = world.cluster("prod", None).await;
    let (mine, other) = (key(), key());
    let first = world.enroll(&on('a', node(&token, "raspberrypi", &mine))).await;
    assert_eq!(world.heartbeat(certificate(&first), &mine).await.status, 200);
    let second = on('b', node(&token, "raspberrypi", &other));
    for _ in 0..2 {
        let refused = world.enroll(&second).await;
        assert_eq!(refused.refusal(), (409, "node_name_in_use"));
        assert!(refused.headers["retry-after"].to_str().unwrap().parse::<i64>().unwrap() >= 60);
    }
    let row = waiting(&world).await;
    assert_eq!(
        (row.reason, row.record_id.unwrap().to_string().as_str()),
        ("conflict", first.text("sensor_id"))
    );
    // Neither a rule, nor a mode, nor what the host says of itself gets it the record.
    let says =
        with(on('b', node(&token, "raspberrypi", &key())), &json!({"sensor_id": first.text("sensor_id")}));
    assert_eq!(world.enroll(&says).await.refusal(), (409, "node_name_in_use"));
    assert_eq!(world.heartbeat(certificate(&first), &mine).await.status, 200);

    // Six minutes after the last that was heard of it, the record is free.
    world.clock.advance(359);
    assert_eq!(world.enroll(&second).await.refusal(), (409, "node_name_in_use"));
    world.clock.advance(1);
    let taken = world.enroll(&second).await;
    assert_eq!((taken.status, taken.text("sensor_id")), (201, first.text("sensor_id")));
    assert!(taken.body["warnings"][0].as_str().unwrap().contains("another machine"), "{taken:?}");
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let said = format!("claim=not_alive machine_id_before={a} machine_id={b}");
    assert_eq!(audited(&world, "sensor_enrolled", &said), 1);
    assert_eq!(audited(&world, "sensor_enrolled", "replaces="), 1);
}

#[tokio::test]
async fn section_4_an_operator_can_give_a_living_record_to_another_host() {
    let world = World::start(1).await;
    let token = world.cluster("prod", None).await;
    let mine = key();
    let first = world.enroll(&on('a', node(&token, "edge-1", &mine))).await;
    assert_eq!(world.heartbeat(certificate(&first), &mine).await.status, 200);
    let other = key();
    let ask = on('b', node(&token, "edge-1", &other));
    assert_eq!(world.enroll(&ask).await.refusal(), (409, "node_name_in_use"));
    approve(&world).await;
    let moved = world.enroll(&on('c', node(&token, "edge-1", &other))).await;
    assert_eq!(moved.refusal(), (409, "node_name_in_use"), "another machine than the one approved");
    approve(&world).await;
    let taken = world.enroll(&on('c', node(&token, "edge-1", &other))).await;
    assert_eq!((taken.status, taken.text("sensor_id")), (201, first.text("sensor_id")));
    assert!(taken.body["warnings"][0].as_str().unwrap().contains("was alive"), "{taken:?}");
    // What was said first is said again.
    assert_eq!(world.enroll(&on('c', node(&token, "edge-1", &other))).await.body, taken.body);
    assert_eq!(world.heartbeat(certificate(&taken), &other).await.status, 200);
    assert_eq!(world.heartbeat(certificate(&first), &mine).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(audited(&world, "sensor_enrolled", "claim=approval"), 1);
}

/// Its own machine gets a living record at most twice a day, and a proof of the key counts for ever.
#[tokio::test]
async fn section_4_a_living_record_goes_to_its_key_and_its_machine() {
    let world = World::start(10).await;
    let token = world.cluster("prod", None).await;
    let mut held = key();
    let mut last = world.enroll(&on('a', node(&token, "edge-1", &held))).await;
    for expected in [201, 201, 409] {
        let new = key();
        let again = world.enroll(&on('a', node(&token, "edge-1", &new))).await;
        assert_eq!(again.status, expected);
        if expected == 201 {
            (last, held) = (again, new);
        }
    }
    assert_eq!(audited(&world, "sensor_enrolled", "claim=machine_id"), 2);
    assert_eq!(world.heartbeat(certificate(&last), &held).await.status, 200);
    let new = key();
    let proof = Some((certificate(&last), &held));
    let again = world.enroll_as(proof, &on('b', node(&token, "edge-1", &new))).await;
    assert_eq!((again.status, again.text("sensor_id")), (201, last.text("sensor_id")));
    assert!(again.body["warnings"].as_array().is_none_or(Vec::is_empty), "{again:?}");
    // The one before proves it too, until the new one was seen.
    let newer = key();
    let once_more = world.enroll_as(proof, &on('b', node(&token, "edge-1", &newer))).await;
    assert_eq!(once_more.status, 201);
    assert_eq!(world.heartbeat(certificate(&once_more), &newer).await.status, 200);
    let stale = world.enroll_as(proof, &on('c', node(&token, "edge-1", &key()))).await;
    assert_eq!(stale.refusal(), (409, "node_name_in_use"));
    // Without machine ids on either side, 45 seconds of silence.
    let quiet = node(&token, "edge-2", &key());
    assert_eq!(world.enroll(&quiet).await.status, 201);
    assert_eq!(world.enroll(&node(&token, "edge-2", &key())).await.refusal(), (409, "node_name_in_use"));
    world.clock.advance(45);
    assert_eq!(world.enroll(&node(&token, "edge-2", &key())).await.status, 201);
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 2);
}

/// A changed install id, name or role makes no second record of a host that proves its key; another cluster's token none
/// unless it is wanted.
#[tokio::test]
async fn section_4_a_cluster_token_never_doubles_a_living_host() {
    let world = World::start(10).await;
    let token = world.cluster("prod", Some(1)).await;
    let mut held = key();
    let mut last = world.enroll(&with(node(&token, "edge-1", &held), &json!({"install_id": "vendor"}))).await;
    let id = last.text("sensor_id").to_owned();
    let says = json!({"sensor_id": id, "new_sensor": false});
    for (name, changed) in [
        ("edge-1", json!({"install_id": "ours"})),
        ("edge-1", json!({})),
        ("edge-9", json!({"declared_role": "amf"})),
    ] {
        let new = key();
        let request = with(with(node(&token, name, &new), &changed), &says);
        let again = world.enroll_as(Some((certificate(&last), &held)), &request).await;
        assert_eq!((again.status, again.text("sensor_id")), (201, &*id), "{changed}: {again:?}");
        (last, held) = (again, new);
    }
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 1);
    assert_eq!(world.count("SELECT node_count FROM enrollment_tokens"), 1, "the node that it was");
    assert_eq!(world.count("SELECT count(*) FROM token_nodes WHERE node_key = 'prod//edge-9'"), 1);

    // A record without an install id is that of whoever brings one, once nobody is behind it.
    world.clock.advance(400);
    let brings = with(node(&token, "edge-9", &key()), &json!({"install_id": "i-1"}));
    assert_eq!(world.enroll(&brings).await.text("sensor_id"), id);

    // Another's name, another cluster.
    let open = world.cluster("prod", None).await;
    assert_eq!(world.enroll(&node(&open, "edge-2", &key())).await.status, 201);
    let (mine, other) = (key(), world.cluster("lab", None).await);
    let made = world.enroll(&node(&open, "edge-3", &mine)).await;
    let proof = Some((certificate(&made), &mine));
    let named = world.enroll_as(proof, &node(&open, "edge-2", &key())).await;
    assert_eq!(named.refusal(), (409, "node_name_in_use"));
    let moved = with(body(&other, "edge-3", &key()), &json!({"cluster_name": "lab", "new_sensor": false}));
    assert_eq!(world.enroll_as(proof, &moved).await.refusal(), (403, "sensor_binding_mismatch"));
    let wanted = with(moved, &json!({"new_sensor": true}));
    let second = world.enroll_as(proof, &wanted).await;
    assert_eq!((second.status, second.body["warnings"].as_array().unwrap().len()), (201, 1));
    // A plain token makes a second record, and says so.
    let plain = world.enroll_as(proof, &body(&world.once().await, "edge-3", &key())).await;
    assert!(plain.body["warnings"][0].as_str().unwrap().contains("beside it"), "{plain:?}");
}

#[tokio::test]
async fn section_4_a_re_enrollment_token_works_for_its_sensor_alone() {
    let world = World::start(10).await;
    let mine = key();
    let first = world.enroll(&on('a', body(&world.once().await, "web-1", &mine))).await;
    let id: SensorId = first.text("sensor_id").parse().unwrap();
    let draft = TokenDraft { sensor_id: Some(id), ..TokenDraft::default() };
    let token = world.token(draft.clone()).await;
    let stranger = on('b', body(&token, "totally-other-host", &key()));
    assert_eq!(world.enroll(&stranger).await.refusal(), (403, "sensor_binding_mismatch"));
    let named = on('b', body(&token, "web-1", &key()));
    assert_eq!(world.enroll(&named).await.refusal(), (409, "node_name_in_use"));
    // The conflict reserves nothing: its own machine uses the token.
    let again = world.enroll(&on('a', body(&token, "web-1", &key()))).await;
    assert_eq!((again.status, again.text("sensor_id")), (201, first.text("sensor_id")));
    world.clock.advance(360);
    let token = world.token(draft.clone()).await;
    assert_eq!(world.enroll(&on('b', body(&token, "web-1", &key()))).await.status, 201);
    let token = world.token(TokenDraft { replace_host: true, ..draft }).await;
    let moved = world.enroll(&on('c', body(&token, "web-9", &key()))).await;
    assert_eq!((moved.status, moved.text("sensor_id")), (201, first.text("sensor_id")));
    assert!(moved.body["warnings"][0].as_str().unwrap().contains("was alive"), "{moved:?}");
}

/// The same node comes back as a new sensor: after an operator's approval in every mode, or after the record was deleted.
#[tokio::test]
async fn section_4_a_revoked_node_comes_back_by_approval_or_deletion() {
    let world = World::start(1).await;
    let mine = key();
    let token = world.cluster("prod", None).await;
    let first = world.enroll(&node(&token, "edge-1", &mine)).await;
    let id: SensorId = first.text("sensor_id").parse().unwrap();
    world.console.judge_sensor(id, Verdict::Revoke, Origin::default()).await.unwrap();
    // By the token that it enrolled with: the same enrollment, and a revoked sensor.
    assert_eq!(world.enroll(&node(&token, "edge-1", &mine)).await.refusal(), (403, "sensor_revoked"));
    let new = world.cluster("prod", None).await;
    let renamed = with(body(&new, "edge-7", &key()), &json!({"cluster_name": "prod", "sensor_id": id}));
    assert_eq!(world.enroll(&renamed).await.status, 202, "it says who it is");
    let proof = Some((certificate(&first), &mine));
    assert_eq!(world.enroll_as(proof, &node(&new, "edge-8", &key())).await.status, 202, "it shows who it is");
    world.console.revoke_token(token_id(&world, "prod").await, Origin::default()).await.unwrap();

    let newer = world.cluster("prod", None).await;
    let back = node(&newer, "edge-1", &key());
    assert_eq!(world.enroll(&back).await.status, 202);
    let rows = world.console.list_approvals(Some(Ruling::Waiting)).await.unwrap();
    assert!(rows.iter().all(|row| row.reason == "revoked" && row.record_id == Some(id)));
    let row = rows.iter().find(|row| row.node_name == "edge-1").unwrap();
    world.console.decide_approval(row.id, Say::Approve, Origin::default()).await.unwrap();
    let made = world.enroll(&back).await;
    assert_eq!(made.status, 201);
    assert_ne!(made.text("sensor_id"), id.to_string());
    assert_eq!(world.count("SELECT count(*) FROM sensors WHERE node_key = 'prod//edge-1'"), 1);
    assert_eq!(audited(&world, "sensor_enrolled", &format!("instead_of={id}")), 1);

    let id: SensorId = made.text("sensor_id").parse().unwrap();
    world.console.judge_sensor(id, Verdict::Revoke, Origin::default()).await.unwrap();
    assert_eq!(world.enroll(&node(&newer, "edge-1", &key())).await.status, 202);
    world.console.judge_sensor(id, Verdict::Delete, Origin::default()).await.unwrap();
    assert_eq!(world.enroll(&node(&newer, "edge-1", &key())).await.status, 201);
}

async fn token_id(world: &World, cluster: &str) -> telovix_console_stub::domain::token::TokenId {
    let piece = telovix_console_stub::domain::page::Piece::default();
    let page = world.console.list_tokens(Default::default(), piece).await.unwrap();
    page.rows.iter().find(|row| row.cluster_id.as_deref() == Some(cluster)).unwrap().id
}

/// Under `approval_mode=all` a stranger that names a live node gets nothing, and the node goes on.
#[tokio::test]
async fn section_4_a_stranger_that_names_a_living_node_gets_nothing_in_any_mode() {
    let world = World::start(10).await;
    let token = world.cluster("prod", None).await;
    let mine = key();
    let first = world.enroll(&node(&token, "victim", &mine)).await;
    assert_eq!(world.heartbeat(certificate(&first), &mine).await.status, 200);
    for mode in ["none", "cluster", "all"] {
        world
            .console
            .change_setting(Setting::ApprovalMode, mode.to_owned(), Origin::default())
            .await
            .unwrap();
        let stranger = world.enroll(&on('b', node(&token, "victim", &key()))).await;
        assert_eq!(stranger.refusal(), (409, "node_name_in_use"), "{mode}");
        assert_eq!(world.heartbeat(certificate(&first), &mine).await.status, 200);
    }
}
