//! After a restore from a backup (docs/contract.md section 4): certificates and sensors that the copy does not know.

use rcgen::KeyPair;
use serde_json::json;
use telovix_console_stub::domain::approval::Ruling;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::approvals::{ApprovalView, Say};
use telovix_console_stub::service::restore::Begun;
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::{SensorId, paths};

use crate::browser::Browser;
use crate::pages::{Reader, text};
use crate::world::{Reply, World, body, call, csr, host, key, with};

const DAY: i64 = 24 * 3600;

pub(crate) async fn turn(world: &World, to: &str) {
    let change = world.console.change_setting(Setting::AfterRestore, to.to_owned(), Origin::default());
    assert_eq!(change.await.unwrap().value, to);
}

async fn renewed(world: &World, certificate: &str, held: &KeyPair, new: &KeyPair) -> String {
    let request = json!({"csr_pem": csr("edge-1", new)}).to_string();
    let reply = call(world, paths::RENEW, certificate, held, &request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text("control_plane_certificate_pem").to_owned()
}

/// Brings the database back to what a copy from before the first renewal holds.
fn forget_renewals(world: &World) {
    world
        .database
        .change(
            "DELETE FROM certificates WHERE generation > 1; UPDATE certificates SET ended_at = NULL; \
             UPDATE sensors SET certificate_generation = 1, trust_state = 'trusted'",
        )
        .unwrap();
}

/// Brings it back to a copy from before this sensor enrolled.
fn forget_sensor(world: &World, id: SensorId) {
    let sql = format!(
        "DELETE FROM sensors WHERE id = '{id}'; UPDATE counters SET value = value - 1 WHERE name = 'protected_nodes'"
    );
    world.database.change(&sql).unwrap();
}

async fn waiting(world: &World) -> Vec<ApprovalView> {
    world.console.list_approvals(Some(Ruling::Waiting)).await.unwrap()
}

async fn decide(world: &World, say: Say) -> ApprovalView {
    let row = waiting(world).await.remove(0);
    world.console.decide_approval(row.id, say, Origin::default()).await.unwrap()
}

fn audited(world: &World, action: &str, detail: &str) -> i64 {
    world.count(&format!(
        "SELECT count(*) FROM audit WHERE action_type = '{action}' AND detail LIKE '%{detail}%'"
    ))
}

fn lost(reply: &Reply) {
    assert_eq!(reply.refusal(), (401, "invalid_sensor_trust"));
}

#[tokio::test]
async fn section_4_after_a_restore_a_newer_certificate_is_adopted_while_the_switch_is_on() {
    let world = World::start(10).await;
    let (old, old_key, id) = host(&world, "edge-1").await;
    let serial = |world: &World| {
        world.database.text("SELECT serial FROM certificates ORDER BY generation DESC LIMIT 1")
    };
    let before = serial(&world);
    world.clock.advance(DAY);
    let new_key = key();
    let new = renewed(&world, &old, &old_key, &new_key).await;
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    let after = serial(&world);
    forget_renewals(&world);

    lost(&world.heartbeat(&new, &new_key).await);
    turn(&world, "on").await;
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    lost(&world.heartbeat(&old, &old_key).await);
    let both = format!("certificate_serial={after} replaces={before}");
    assert_eq!(audited(&world, "sensor_certificate_adopted", &both), 1);
    assert_eq!(world.count(&format!("SELECT count(*) FROM audit WHERE action_type = 'sensor_certificate_adopted' AND sensor_id = '{id}'")), 1);
    // From here on it is one that was handed out: again by every call, and with the switch off.
    turn(&world, "off").await;
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    let next_key = key();
    let next = renewed(&world, &new, &new_key, &next_key).await;
    assert_eq!(world.heartbeat(&next, &next_key).await.status, 200);
    lost(&world.heartbeat(&new, &new_key).await);
    assert_eq!(audited(&world, "console_setting_changed", "name=after_restore"), 2);
}

/// By which call does not matter, nor whether the certificate has expired meanwhile, as far as it could renew.
#[tokio::test]
async fn section_4_after_a_restore_every_call_of_a_sensor_adopts() {
    for path in [paths::HEARTBEAT, paths::RENEW, paths::DECOMMISSION, paths::ENROLL] {
        let world = World::start(10).await;
        let token = world.cluster("prod", None).await;
        let (first, second, third) = (key(), key(), key());
        let node = |key: &KeyPair| with(body(&token, "edge-1", key), &json!({"cluster_name": "prod"}));
        let made = world.enroll(&node(&first)).await;
        let old = made.text("control_plane_certificate_pem").to_owned();
        world.clock.advance(DAY);
        let new = renewed(&world, &old, &first, &second).await;
        forget_renewals(&world);
        turn(&world, "on").await;
        let request = match path {
            paths::RENEW => json!({"csr_pem": csr("edge-1", &third)}).to_string(),
            paths::ENROLL => node(&third).to_string(),
            _ => String::new(),
        };
        let reply = call(&world, path, &new, &second, &request).await;
        assert!(reply.status < 300, "{path}: {reply:?}");
        assert_eq!(audited(&world, "sensor_certificate_adopted", "replaces="), 1, "{path}");
        assert_eq!(reply.text("sensor_id"), made.text("sensor_id"), "{path}");
        assert_eq!(world.count("SELECT count(*) FROM sensors"), 1, "{path}");
    }
    let world = World::start(10).await;
    let (old, first, _) = host(&world, "edge-1").await;
    world.clock.advance(DAY);
    let second = key();
    let new = renewed(&world, &old, &first, &second).await;
    forget_renewals(&world);
    world.clock.advance(31 * DAY);
    turn(&world, "on").await;
    let told = world.heartbeat(&new, &second).await;
    assert_eq!(told.refusal(), (401, "certificate_expired"));
    assert_eq!(audited(&world, "sensor_certificate_adopted", ""), 0, "what is refused changes nothing");
    renewed(&world, &new, &second, &key()).await;
    assert_eq!(audited(&world, "sensor_certificate_adopted", ""), 1);
}

/// Whatever the order of calls, the newest certificate is left, and the others are refused.
#[tokio::test]
async fn section_4_after_a_restore_the_newest_certificate_wins_in_every_order_of_calls() {
    let world = World::start(10).await;
    turn(&world, "on").await;
    let (certificate, held, _) = host(&world, "edge-1").await;
    let mut all = vec![(certificate, held)];
    // The last two begin in the same second: the greater serial number is the newer.
    for days in [1, 1, 0] {
        world.clock.advance(days * DAY);
        let (newest, held) = all.last().unwrap();
        let new = key();
        let made = renewed(&world, newest, held, &new).await;
        assert_eq!(world.heartbeat(&made, &new).await.status, 200);
        all.push((made, new));
    }
    let greatest =
        world.count("SELECT generation FROM certificates ORDER BY not_before DESC, serial DESC LIMIT 1");
    let newest = usize::try_from(greatest).unwrap() - 1;
    let orders = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6]);
    for order in orders.filter(|order| (0..4).all(|one| order.contains(&one))) {
        forget_renewals(&world);
        let mut said = Vec::new();
        for at in order.into_iter().chain(order) {
            said.push(world.heartbeat(&all[at].0, &all[at].1).await.status);
        }
        let second: Vec<u16> = order.iter().map(|at| if *at == newest { 200 } else { 401 }).collect();
        assert_eq!(said[4..], second, "{order:?}");
    }
    lost(&world.heartbeat(&all[0].0, &all[0].1).await);
}

#[tokio::test]
async fn section_4_after_a_restore_what_was_barred_stays_barred() {
    let world = World::start(10).await;
    let (old, old_key, id) = host(&world, "edge-1").await;
    world.clock.advance(DAY);
    let new_key = key();
    let new = renewed(&world, &old, &old_key, &new_key).await;
    forget_renewals(&world);
    turn(&world, "on").await;
    let judge = async |verdict| world.console.judge_sensor(id, verdict, Origin::default()).await.unwrap();
    judge(Verdict::Disable).await;
    assert_eq!(world.heartbeat(&new, &new_key).await.refusal(), (403, "sensor_disabled"));
    judge(Verdict::Revoke).await;
    assert_eq!(world.heartbeat(&new, &new_key).await.refusal(), (403, "sensor_revoked"));
    judge(Verdict::Delete).await;
    lost(&world.heartbeat(&new, &new_key).await);
    assert!(waiting(&world).await.is_empty(), "it was deleted, not forgotten");
    assert_eq!(audited(&world, "sensor_certificate_adopted", ""), 0);
}

#[tokio::test]
async fn section_4_a_sensor_that_the_copy_does_not_have_waits_for_an_operator() {
    let world = World::start(10).await;
    let (certificate, held, id) = host(&world, "edge-1").await;
    forget_sensor(&world, id);
    lost(&world.heartbeat(&certificate, &held).await);
    assert!(waiting(&world).await.is_empty());
    turn(&world, "on").await;
    for path in [paths::HEARTBEAT, paths::HEARTBEAT, paths::RENEW] {
        let request = if path == paths::RENEW {
            json!({"csr_pem": csr("edge-1", &key())}).to_string()
        } else {
            String::new()
        };
        let told = call(&world, path, &certificate, &held, &request).await;
        assert_eq!(told.refusal(), (403, "sensor_approval_pending"));
    }
    let [row] = <[ApprovalView; 1]>::try_from(waiting(&world).await).unwrap();
    assert_eq!((row.reason, row.record_id, row.token_id.as_deref()), ("restored", Some(id), None));
    let shown = json!(row);
    assert_eq!(
        (shown["node_name"].as_str(), shown["facts"]["sensor_id"].as_str()),
        (Some("edge-1"), Some(&*id.to_string()))
    );
    for fact in ["subject", "certificate_serial", "not_before", "not_after"] {
        assert!(shown["facts"][fact].is_string(), "{shown}");
    }
    assert_eq!(audited(&world, "sensor_enrollment_pending", "reason=restored"), 1);
    // On the page, without a link to a record that is not there.
    let mut admin = Reader::of(&world, "admin@example.com").await;
    let page = admin.get("/ui/approvals").await;
    assert!(
        text(&page).contains("does not have this sensor") && text(&page).contains("Certificate: "),
        "{page:?}"
    );
    assert!(!text(&page).contains("href=\"/ui/sensors/"));

    let decided = decide(&world, Say::Approve).await;
    assert!(decided.warnings.is_empty());
    let back = world.heartbeat(&certificate, &held).await;
    assert_eq!((back.status, back.text("sensor_id")), (200, &*id.to_string()));
    assert_eq!(world.count("SELECT value FROM counters WHERE name = 'protected_nodes'"), 1);
    turn(&world, "off").await;
    renewed(&world, &certificate, &held, &key()).await;
    // It can be approved once.
    let again = world.console.decide_approval(row.id, Say::Deny, Origin::default()).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn section_4_a_sensor_that_is_denied_after_a_restore_is_revoked_for_good() {
    let world = World::start(10).await;
    let (certificate, held, id) = host(&world, "edge-1").await;
    forget_sensor(&world, id);
    turn(&world, "on").await;
    assert_eq!(world.heartbeat(&certificate, &held).await.status, 403);
    decide(&world, Say::Deny).await;
    for to in ["on", "off"] {
        turn(&world, to).await;
        assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (403, "sensor_revoked"));
    }
    assert_eq!(world.count("SELECT value FROM counters WHERE name = 'protected_nodes'"), 0);
}

#[tokio::test]
async fn section_4_an_approval_after_a_restore_keeps_to_the_licence() {
    let world = World::start(1).await;
    let (certificate, held, id) = host(&world, "edge-1").await;
    forget_sensor(&world, id);
    let (other, other_key, _) = host(&world, "edge-2").await;
    turn(&world, "on").await;
    assert_eq!(world.heartbeat(&certificate, &held).await.status, 403);
    assert!(decide(&world, Say::Approve).await.warnings[0].contains("licence is full"));
    assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (403, "NodeLimitExceeded"));
    assert_eq!(call(&world, paths::DECOMMISSION, &other, &other_key, "").await.status, 200);
    assert_eq!(world.heartbeat(&certificate, &held).await.status, 200);
}

/// One row for each sensor, with its newest certificate; what an operator saw is what is approved; and the list is bounded.
#[tokio::test]
async fn section_4_the_list_of_forgotten_sensors_is_bounded_and_shows_the_newest_certificate() {
    let world = World::start(10).await;
    let (old, old_key, id) = host(&world, "edge-1").await;
    world.clock.advance(DAY);
    let new_key = key();
    let new = renewed(&world, &old, &old_key, &new_key).await;
    let (other, other_key, other_id) = host(&world, "edge-2").await;
    forget_sensor(&world, id);
    forget_sensor(&world, other_id);
    turn(&world, "on").await;
    assert_eq!(world.heartbeat(&old, &old_key).await.status, 403);
    let facts = |row: &ApprovalView| json!(row)["facts_sha256"].as_str().unwrap().parse().unwrap();
    let seen = waiting(&world).await.remove(0);
    for (certificate, held) in [(&new, &new_key), (&old, &old_key)] {
        assert_eq!(world.heartbeat(certificate, held).await.refusal(), (403, "sensor_approval_pending"));
    }
    let [row] = <[ApprovalView; 1]>::try_from(waiting(&world).await).unwrap();
    assert_eq!(row.id, seen.id);
    assert!(
        world
            .console
            .decide_approval(row.id, Say::ApproveSeen(facts(&seen)), Origin::default())
            .await
            .is_err()
    );
    world.console.decide_approval(row.id, Say::ApproveSeen(facts(&row)), Origin::default()).await.unwrap();
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    lost(&world.heartbeat(&old, &old_key).await);

    // Asked just now: the Console looks after itself meanwhile, and forgets who is silent.
    let now = world.console.now();
    let fill = format!(
        "INSERT INTO approvals (id, spki_sha256, ruling, node_name, role, host, asked_at, last_asked_at, reason, record_id, \
         facts, facts_sha256) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT 'x' || i, \
         a.spki_sha256, 'waiting', 'n', 'r', '{{}}', {now}, {now}, 'restored', 'x' || i, '{{}}', '' FROM n, approvals a"
    );
    world.database.change(&fill).unwrap();
    assert_eq!(world.heartbeat(&other, &other_key).await.refusal(), (429, "rate_limited"));
    world.database.change("DELETE FROM approvals WHERE id = 'x1'").unwrap();
    assert_eq!(world.heartbeat(&other, &other_key).await.refusal(), (403, "sensor_approval_pending"));
    // Who asks no more is forgotten, the denied ones too: their records remember it.
    world.console.clean_up(Some(world.console.now() + 8 * DAY)).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM approvals"), 0);
}

#[tokio::test]
async fn section_4_the_switch_ends_after_one_certificate_life_and_is_no_flag_for_ever() {
    let world = World::start(10).await;
    let token = world.once().await;
    let begin = async || world.console.begin_after_restore(None).await.unwrap().0;
    assert_eq!(begin().await, Begun::Now);
    let view = world.console.after_restore().await.unwrap();
    assert!(view.on && view.ended_at.is_none());
    assert_eq!(view.until.unwrap().as_second(), world.console.now() + 30 * DAY);
    assert_eq!(view.known_until.unwrap().as_second(), world.console.now());
    // The token of the copy may have been used since, and one that is made now was not.
    world.clock.advance(1);
    world.once().await;
    let view = world.console.after_restore().await.unwrap();
    assert_eq!((view.pending_tokens, view.tokens.len()), (1, 1));
    assert!(!token.is_empty() && audited(&world, "console_setting_changed", "pending_tokens=1") == 1);

    assert_eq!(begin().await, Begun::Before, "a restart with the flag changes nothing");
    // A clock that is ahead for a moment ends nothing.
    world.clock.jump(400 * DAY);
    assert!(!world.console.after_restore().await.unwrap().on);
    world.console.clean_up(None).await.unwrap();
    world.clock.jump(-400 * DAY);
    assert!(world.console.after_restore().await.unwrap().on);
    world.clock.advance(30 * DAY);
    assert!(!world.console.after_restore().await.unwrap().on);
    world.console.clean_up(Some(world.console.now())).await.unwrap();
    assert_eq!(audited(&world, "console_setting_changed", "from=on to=off by=itself"), 1);
    world.clock.advance(-DAY);
    assert!(!world.console.after_restore().await.unwrap().on, "what ended is over");
    assert_eq!(begin().await, Begun::Ended);
    // An administrator can, after another restore.
    turn(&world, "on").await;
    turn(&world, "off").await;
    assert_eq!(begin().await, Begun::Ended);
}

#[tokio::test]
async fn section_4_an_administrator_switches_it_on_the_page_and_by_the_api() {
    let world = World::start(10).await;
    world.once().await;
    let mut admin = Reader::of(&world, "admin@example.com").await;
    assert!(!text(&admin.get("/ui/settings").await).contains("Known until"));
    let fields = [("what", "setting"), ("name", "after_restore"), ("value", "on")];
    let done = admin.post("/ui/settings", "/ui/settings", &fields).await;
    assert_eq!(done.status, 303, "{done:?}");
    let page = admin.get("/ui/settings").await;
    for shown in [
        "After a restore from a backup",
        "Known until",
        "Pending tokens that may have been used</dt><dd>1</dd>",
    ] {
        assert!(text(&page).contains(shown), "{shown}: {page:?}");
    }
    let browser = Browser::of(&world, "admin@example.com").await;
    let view = browser.call("GET", paths::V1_AFTER_RESTORE, "").await;
    assert_eq!((&view.body["on"], &view.body["pending_tokens"]), (&json!(true), &json!(1)), "{view:?}");
    let off = json!({"name": "after_restore", "value": "off"}).to_string();
    assert_eq!(browser.call("POST", paths::V1_SETTINGS, &off).await.text("value"), "off");
    let view = browser.call("GET", paths::V1_AFTER_RESTORE, "").await;
    assert!(view.body["on"] == json!(false) && view.body["ended_at"].is_string(), "{view:?}");
    assert_eq!(audited(&world, "console_setting_changed", "name=after_restore"), 2);
}
