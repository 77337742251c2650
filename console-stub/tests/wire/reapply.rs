//! What an audit trail that went on after the copy says is done again (docs/contract.md section 4): the trail of this Console, and
//! records behind it that only the lost one had.

use serde_json::json;
use telovix_console_stub::domain::approval::Ruling;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::chain::{Record, link};
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::ServiceError;
use telovix_console_stub::service::restore::{Applied, Trail};
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::token::{hex, unhex};
use telovix_contract::{ErrorCode, SensorId, paths};

use crate::restore::turn;
use crate::world::{World, body, host, key, with};

/// The trail so far, and what went on behind it.
struct Lost {
    lines: Vec<String>,
    seq: i64,
    hash: [u8; 32],
    at: i64,
}

impl Lost {
    async fn since(world: &World) -> Self {
        let records = world.console.export_audit(0).await.unwrap();
        let last = records.last().unwrap();
        let (seq, hash) = (last.seq, unhex(&last.hash).unwrap());
        let lines = records.iter().map(|record| json!(record).to_string()).collect();
        Self { lines, seq, hash, at: world.console.now() + 3600 }
    }

    fn act(&mut self, action: &str, sensor: Option<SensorId>, detail: &str) {
        self.seq += 1;
        let record = Record {
            seq: self.seq,
            created_at: self.at,
            action_type: action.to_owned(),
            outcome: "success".to_owned(),
            actor_email: Some("admin@example.com".to_owned()),
            sensor_id: sensor.map(|id| id.to_string()),
            detail: detail.to_owned(),
            client_ip: None,
            user_agent: None,
        };
        let (before, hash) = (self.hash, link(&self.hash, &record));
        let line = json!({
            "seq": record.seq, "created_at": jiff(self.at), "action_type": action, "outcome": "success",
            "actor_email": "admin@example.com", "sensor_id": record.sensor_id, "detail": detail, "client_ip": null,
            "user_agent": null, "prev_hash": hex(&before), "hash": hex(&hash),
        });
        self.lines.push(line.to_string());
        self.hash = hash;
    }

    async fn apply(&self, world: &World) -> Result<Applied, ErrorCode> {
        let trail = Trail::read(self.lines.join("\n").as_bytes()).unwrap();
        match world.console.begin_after_restore(Some(trail)).await {
            Err(ServiceError::Refused(refusal)) => Err(refusal.code),
            applied => Ok(applied.unwrap().1.unwrap()),
        }
    }
}

fn jiff(at: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(at)
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}

fn standing(world: &World, id: SensorId, column: &str) -> bool {
    world.count(&format!("SELECT count(*) FROM sensors WHERE id = '{id}' AND {column} IS NOT NULL")) == 1
}

async fn token_ids(world: &World) -> Vec<String> {
    let records = world.console.export_audit(0).await.unwrap();
    let made = records.iter().filter(|record| record.record.action_type == "sensor_enrollment_token_created");
    made.map(|made| made.record.detail.split(['=', ' ']).nth(1).unwrap().to_owned()).collect()
}

fn audited(world: &World, action: &str) -> i64 {
    world.count(&format!("SELECT count(*) FROM audit WHERE action_type = '{action}'"))
}

#[tokio::test]
async fn section_4_revocations_deletions_and_token_uses_since_the_copy_are_done_again_once() {
    let world = World::start(10).await;
    let mut hosts = Vec::new();
    for name in ["edge-1", "edge-2", "edge-3", "edge-4"] {
        hosts.push(host(&world, name).await);
    }
    let (used, revoked) = (world.once().await, world.once().await);
    let cluster = world.cluster("prod", Some(1)).await;
    let ids = token_ids(&world).await;
    let [used_id, revoked_id, cluster_id] = [&ids[4], &ids[5], &ids[6]];
    turn(&world, "on").await;

    let mut lost = Lost::since(&world).await;
    lost.act("sensor_revoked", Some(hosts[0].2), "node_name=edge-1");
    lost.act("sensor_deleted", Some(hosts[1].2), "node_name=edge-2");
    lost.act("sensor_disabled", Some(hosts[2].2), "node_name=edge-3");
    lost.act("sensor_disabled", Some(hosts[3].2), "node_name=edge-4");
    lost.act("sensor_enabled", Some(hosts[3].2), "node_name=edge-4");
    let fifth = SensorId::random();
    lost.act("sensor_enrolled", Some(fifth), &format!("node_name=edge-5 token_id={used_id} role=o_du"));
    lost.act("sensor_revoked", Some(fifth), "node_name=edge-5");
    lost.act("sensor_enrollment_token_revoked", None, &format!("token_id={revoked_id}"));
    let node = format!("node_name=edge-6 token_id={cluster_id} role=o_du cluster_name=prod install_id=i1");
    lost.act("sensor_enrolled", Some(SensorId::random()), &node);
    lost.act("sensor_enrolled", Some(SensorId::random()), &node);
    lost.act("user_password_changed", None, "user=admin@example.com");

    let applied = lost.apply(&world).await.unwrap();
    assert_eq!((applied.again, applied.by_hand, applied.until), (8, 1, lost.at));
    assert!(standing(&world, hosts[0].2, "revoked_at") && standing(&world, hosts[2].2, "disabled_at"));
    assert!(!standing(&world, hosts[3].2, "disabled_at") && standing(&world, fifth, "revoked_at"));
    assert_eq!(world.count(&format!("SELECT count(*) FROM sensors WHERE id = '{}'", hosts[1].2)), 0);
    assert_eq!(world.count("SELECT value FROM counters WHERE name = 'protected_nodes'"), 2);
    let beat = async |at: usize| {
        let (certificate, held, _) = &hosts[at];
        world.heartbeat(certificate, held).await.code().to_owned()
    };
    assert_eq!([beat(0).await, beat(2).await, beat(3).await], ["sensor_revoked", "sensor_disabled", ""]);
    assert_eq!(beat(1).await, "invalid_sensor_trust", "deleted, not forgotten");
    let refused = async |token: &str| world.enroll(&body(token, "edge-9", &key())).await.code().to_owned();
    assert_eq!(
        [refused(&used).await, refused(&revoked).await],
        ["enrollment_token_used", "enrollment_token_revoked"]
    );
    let in_cluster = |node: &str, install: &str| {
        with(body(&cluster, node, &key()), &json!({"cluster_name": "prod", "install_id": install}))
    };
    assert_eq!(world.enroll(&in_cluster("edge-7", "i1")).await.refusal(), (403, "max_nodes_exceeded"));
    assert_eq!(world.enroll(&in_cluster("edge-6", "i1")).await.status, 201, "the node that was counted");
    assert_eq!(world.count("SELECT node_count FROM enrollment_tokens WHERE token_type = 'cluster'"), 1);

    // Each is audited as what it is, and once, however often the file is given, also when it has grown.
    assert_eq!(
        (audited(&world, "console_act_reapplied"), audited(&world, "console_audit_export_applied")),
        (8, 1)
    );
    let uses = "SELECT use_count FROM enrollment_tokens WHERE token_type = 'cluster'";
    let before = world.count(uses);
    assert_eq!(lost.apply(&world).await.unwrap().again, 0);
    lost.act("sensor_revoked", Some(hosts[3].2), "node_name=edge-4");
    assert_eq!(lost.apply(&world).await.unwrap().again, 1);
    assert_eq!((world.count(uses), beat(3).await.as_str()), (before, "sensor_revoked"));
    assert!(world.console.verify_audit().await.unwrap().intact);
    let view = world.console.after_restore().await.unwrap();
    assert_eq!(view.known_until.unwrap().as_second(), lost.at);
}

#[tokio::test]
async fn section_4_denials_since_the_copy_are_done_again() {
    let world = World::start(10).await;
    let set = |value: &'static str| {
        world.console.change_setting(Setting::ApprovalMode, value.to_owned(), Origin::default())
    };
    set("all").await.unwrap();
    let (once, cluster) = (world.once().await, world.cluster("prod", None).await);
    let ids = token_ids(&world).await;
    let waits = key();
    assert_eq!(world.enroll(&body(&once, "edge-1", &waits)).await.status, 202);
    let row = world.console.list_approvals(None).await.unwrap().remove(0);
    turn(&world, "on").await;
    let mut lost = Lost::since(&world).await;
    lost.act(
        "sensor_enrollment_denied",
        None,
        &format!("approval_id={} token_id={} node_name=edge-1 role=o_du reason=new", row.id, ids[0]),
    );
    // One that asked after the copy.
    let other = key();
    let request = with(body(&cluster, "edge-2", &other), &json!({"cluster_name": "prod"}));
    let spki = {
        use sha2::Digest as _;
        hex(&sha2::Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&other)))
    };
    let denied = format!(
        "approval_id=0e8d1f5c-53c5-4c1a-a5d5-3a3b6f3f9f11 token_id={} node_name=edge-2 role=generic_linux reason=new \
         facts_sha256={} public_key_sha256={spki}",
        ids[1],
        "0".repeat(64)
    );
    lost.act("sensor_enrollment_denied", None, &denied);
    // And a sensor that was denied after an earlier restore.
    let (certificate, held, id) = {
        set("none").await.unwrap();
        let made = host(&world, "edge-3").await;
        world.database.change(&format!("DELETE FROM sensors WHERE id = '{}'", made.2)).unwrap();
        made
    };
    lost.act(
        "sensor_enrollment_denied",
        Some(id),
        "approval_id=x node_name=edge-3 role=generic_linux reason=restored",
    );
    // What this Console wrote after the copy does not matter: the trails part there.
    assert_eq!(lost.apply(&world).await.unwrap().again, 3);
    assert_eq!(world.enroll(&body(&once, "edge-1", &waits)).await.refusal(), (403, "enrollment_denied"));
    assert_eq!(world.enroll(&request).await.refusal(), (403, "enrollment_denied"));
    assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (403, "sensor_revoked"));
    let rows = world.console.list_approvals(Some(Ruling::Denied)).await.unwrap();
    assert_eq!(rows.len(), 2);
}

/// Keys, users and rules that were taken away let nobody in again.
#[tokio::test]
async fn section_4_keys_users_and_rules_that_went_since_the_copy_go_again() {
    use telovix_console_stub::domain::api_key::Scope;
    use telovix_console_stub::domain::role::Role;
    let world = World::start(10).await;
    let scopes = vec![Scope::from_word("sensors:read").unwrap()];
    let made = world.console.create_api_key("ci".to_owned(), scopes, Origin::default()).await.unwrap();
    let user = crate::browser::user(&world, Role::Operator).await;
    let draft = serde_json::from_value(json!({"cluster_id": "prod", "label": "l"})).unwrap();
    let rule = world.console.create_rule(draft, Origin::default()).await.unwrap();
    turn(&world, "on").await;
    let mut lost = Lost::since(&world).await;
    lost.act("api_key_revoked", None, &format!("key_id={}", made.key_id));
    lost.act("user_disabled", None, &format!("user={user}"));
    lost.act("auto_approve_rule_deleted", None, &format!("rule_id={}", rule.id));
    lost.act("user_disabled", None, "user=admin@example.com");
    assert_eq!(lost.apply(&world).await.unwrap().again, 3, "the last administrator stays");
    assert_eq!(world.count("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL"), 0);
    assert_eq!(world.count("SELECT count(*) FROM users WHERE disabled_at IS NOT NULL"), 1);
    assert!(world.console.list_rules().await.unwrap().is_empty());
    let signed_in = crate::browser::log_in(&world, &user, crate::browser::PASSWORD).await;
    assert_ne!(signed_in.status, 200);
}

#[tokio::test]
async fn section_4_a_trail_of_another_console_changes_nothing() {
    let (world, other) = (World::start(10).await, World::start(10).await);
    let (certificate, held, id) = host(&world, "edge-1").await;
    host(&other, "edge-1").await;
    turn(&other, "on").await;
    let mut foreign = Lost::since(&other).await;
    foreign.act("sensor_revoked", Some(id), "node_name=edge-1");
    let own = Lost::since(&world).await;
    assert_eq!(foreign.apply(&world).await, Err(ErrorCode::Conflict));
    assert_eq!(world.console.after_restore().await.unwrap().since, None, "not even the switch");
    turn(&world, "on").await;
    let before = world.count("SELECT count(*) FROM audit");
    assert_eq!(foreign.apply(&world).await, Err(ErrorCode::Conflict));
    assert_eq!(own.apply(&world).await.unwrap().again, 0, "an export from before the copy");
    // A piece that does not reach back to the copy is as foreign.
    let piece = Lost { lines: foreign.lines[3..].to_vec(), ..foreign };
    assert_eq!(piece.apply(&world).await, Err(ErrorCode::Conflict));
    assert_eq!(world.count("SELECT count(*) FROM audit"), before);
    assert_eq!(world.heartbeat(&certificate, &held).await.status, 200);
    world.console.judge_sensor(id, Verdict::Revoke, Origin::default()).await.unwrap();
    assert_eq!(world.client(None).send("GET", paths::HEALTHZ, b"", &[]).await.unwrap().status, 200);
}
