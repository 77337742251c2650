//! Life after enrollment, and the operators' interface, over real TLS.

use crate::world::{Reply, World, body, call, host, key};
use aws_lc_rs::hmac;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use telovix_console_stub::domain::api_key::{Scope, signed_text};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::SensorFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::paths;
use telovix_contract::token::hex;

#[tokio::test]
async fn section_4_decommission_frees_the_slot_and_a_heartbeat_brings_it_back() {
    let world = World::start(1).await;
    let (certificate, key, id) = host(&world, "edge-1").await;
    for _ in 0..2 {
        let reply = call(&world, paths::DECOMMISSION, &certificate, &key, "").await;
        assert_eq!((reply.status, reply.text("sensor_id")), (200, &*id.to_string()));
        assert_eq!(world.count("SELECT value FROM counters"), 0);
    }
    assert!(
        world.console.list_sensors(SensorFilter::default(), Piece::default()).await.unwrap().rows.is_empty()
    );
    assert_eq!(
        world
            .console
            .list_sensors(SensorFilter { decommissioned: true, ..SensorFilter::default() }, Piece::default())
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
    let (other, other_key, _) = host(&world, "edge-2").await;
    assert_eq!(world.heartbeat(&certificate, &key).await.refusal(), (403, "NodeLimitExceeded"));
    call(&world, paths::DECOMMISSION, &other, &other_key, "").await;
    assert_eq!(world.heartbeat(&certificate, &key).await.status, 200);
    assert_eq!(world.count("SELECT value FROM counters"), 1);
}

#[tokio::test]
async fn section_6_what_operators_switch_off_stays_off() {
    let world = World::start(10).await;
    let (certificate, key, id) = host(&world, "edge-1").await;
    let judge = |verdict| world.console.judge_sensor(id, verdict, Origin::default());
    judge(Verdict::Disable).await.unwrap();
    assert_eq!(world.heartbeat(&certificate, &key).await.refusal(), (403, "sensor_disabled"));
    judge(Verdict::Enable).await.unwrap();
    assert_eq!(world.heartbeat(&certificate, &key).await.status, 200);
    judge(Verdict::Revoke).await.unwrap();
    judge(Verdict::Revoke).await.unwrap();
    assert_eq!(world.heartbeat(&certificate, &key).await.refusal(), (403, "sensor_revoked"));
    assert_eq!(world.count("SELECT value FROM counters"), 0);
    judge(Verdict::Delete).await.unwrap();
    assert_eq!(world.heartbeat(&certificate, &key).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(world.count("SELECT value FROM counters"), 0);
    assert!(judge(Verdict::Delete).await.is_err());
}

/// Header names and values.
type Headers = Vec<(&'static str, String)>;

fn signed(
    key_id: &str,
    secret: &str,
    method: &str,
    path: &str,
    time: i64,
    nonce: &str,
    body: &str,
) -> Headers {
    let text = signed_text(method, path, time, nonce, &Sha256::digest(body.as_bytes()).into());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    vec![
        ("X-Telovix-Key-ID", key_id.to_owned()),
        ("X-Telovix-Timestamp", time.to_string()),
        ("X-Telovix-Nonce", nonce.to_owned()),
        ("X-Telovix-Signature", format!("sha256={}", hex(hmac::sign(&key, text.as_bytes()).as_ref()))),
    ]
}

async fn v2(world: &World, method: &str, path: &str, body: &str, headers: &Headers) -> Reply {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.client(None).send(method, path, body.as_bytes(), &headers).await.unwrap()
}

#[tokio::test]
async fn section_5_signed_calls_make_list_and_revoke_tokens() {
    let world = World::start(10).await;
    let scopes = vec![Scope::Read, Scope::Write];
    let key = world.console.create_api_key("ci".to_owned(), scopes, Origin::default()).await.unwrap();
    let now = world.console.now();
    let sign =
        |method, path: &str, nonce, body| signed(&key.key_id, &key.secret, method, path, now, nonce, body);

    let draft = json!({"type": "cluster", "cluster_id": "ran-east", "label": "l"}).to_string();
    let made =
        v2(&world, "POST", paths::V2_TOKENS, &draft, &sign("POST", paths::V2_TOKENS, "n1", &draft)).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.text("install_command").contains(made.text("token")));
    assert!(made.body["capacity_warning"].is_null());
    let listed = v2(&world, "GET", paths::V2_TOKENS, "", &sign("GET", paths::V2_TOKENS, "n2", "")).await;
    assert_eq!(listed.body["data"][0]["id"], made.body["id"]);
    assert!(listed.body["data"][0].get("token").is_none());
    let path = format!("{}/{}", paths::V2_TOKENS, made.text("id"));
    let revoked = v2(&world, "DELETE", &path, "", &sign("DELETE", &path, "n3", "")).await;
    assert_eq!((revoked.status, revoked.text("status")), (200, "revoked"));
    let again = v2(&world, "DELETE", &path, "", &sign("DELETE", &path, "n4", "")).await;
    assert_eq!(again.refusal(), (409, "conflict"));
    // Nobody is signed in: the trail names the key.
    let by = format!("SELECT count(*) FROM audit WHERE detail LIKE '%by_api_key={}%'", key.key_id);
    assert_eq!(world.count(&by), 2);
    host(&world, "edge-1").await;
    let fleet = v2(&world, "GET", paths::V2_SENSORS, "", &sign("GET", paths::V2_SENSORS, "n5", "")).await;
    assert_eq!(fleet.body["data"][0]["node_name"], "edge-1");
}

#[tokio::test]
async fn section_5_unsigned_stale_replayed_and_unscoped_calls_are_refused() {
    let world = World::start(10).await;
    let key =
        world.console.create_api_key(String::new(), vec![Scope::Read], Origin::default()).await.unwrap();
    let now = world.console.now();
    let sign = |time, nonce| signed(&key.key_id, &key.secret, "GET", paths::V2_SENSORS, time, nonce, "");
    let get = async |headers: &Headers| v2(&world, "GET", paths::V2_SENSORS, "", headers).await;

    assert_eq!(get(&Vec::new()).await.refusal(), (401, "unauthorized"));
    let good = sign(now, "n1");
    assert_eq!(get(&good).await.status, 200);
    assert_eq!(get(&good).await.refusal(), (401, "unauthorized"));
    assert_eq!(get(&sign(now - 300, "n2")).await.status, 200);
    assert_eq!(get(&sign(now - 301, "n3")).await.refusal(), (401, "unauthorized"));
    assert_eq!(get(&sign(now + 301, "n4")).await.refusal(), (401, "unauthorized"));
    let wrong = signed(&key.key_id, "other", "GET", paths::V2_SENSORS, now, "n5", "");
    assert_eq!(get(&wrong).await.refusal(), (401, "unauthorized"));
    let stranger = signed("tak_0", &key.secret, "GET", paths::V2_SENSORS, now, "n6", "");
    assert_eq!(get(&stranger).await.refusal(), (401, "unauthorized"));
    let write = signed(&key.key_id, &key.secret, "POST", paths::V2_TOKENS, now, "n7", "{}");
    let unscoped = v2(&world, "POST", paths::V2_TOKENS, "{}", &write).await;
    assert_eq!(unscoped.refusal(), (403, "forbidden"));
    world.console.revoke_api_key(key.key_id.clone(), Origin::default()).await.unwrap();
    assert_eq!(get(&sign(now, "n8")).await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn section_3_a_heartbeat_may_say_the_version_and_unknown_things() {
    let world = World::start(10).await;
    let (certificate, key, _) = host(&world, "edge-1").await;
    for body in [r#"{"sensor_version":"1.2.3","new":[1]}"#, "{}", ""] {
        let reply = call(&world, paths::HEARTBEAT, &certificate, &key, body).await;
        assert_eq!((reply.status, reply.text("trust_state")), (200, "trusted"), "{body}");
    }
    let sensors = world.console.list_sensors(SensorFilter::default(), Piece::default()).await.unwrap().rows;
    assert_eq!(sensors[0].sensor_version, "1.2.3");
}

/// The v2 interface by the same handlers: rules, the waiting list, renewals, pieces; what is for people alone stays so.
#[tokio::test]
async fn section_5_signed_calls_decide_about_waiting_hosts() {
    let world = World::start(10).await;
    let scopes = vec![Scope::Read, Scope::Write];
    let api_key = world.console.create_api_key("ci".to_owned(), scopes, Origin::default()).await.unwrap();
    let now = world.console.now();
    let call = async |method: &str, path: &str, query: &str, body: &str| {
        let nonce = format!("{method}{path}{query}").replace(' ', "");
        // The query is no part of what is signed (docs/contract.md section 5: PATH).
        let headers = signed(&api_key.key_id, &api_key.secret, method, path, now, &nonce, body);
        v2(&world, method, &format!("{path}{query}"), body, &headers).await
    };
    let all = Setting::ApprovalMode;
    world.console.change_setting(all, "all".to_owned(), Origin::default()).await.unwrap();
    let (rules, approvals) = ("/api/v2/enrollment/rules", "/api/v2/enrollment/approvals");
    let rule = r#"{"cluster_id":"c","label":"l","max_nodes":0}"#;
    assert_eq!(call("POST", rules, "?1", rule).await.refusal(), (400, "invalid_request"));
    let rule = r#"{"cluster_id":"c","label":"l","max_nodes":3,"allowed_roles":["o_du"]}"#;
    let made = call("POST", rules, "?2", rule).await;
    assert_eq!((made.status, &made.body["allowed_roles"]), (201, &json!(["o_du"])));
    let path = format!("{rules}/{}", made.text("id"));
    assert_eq!(call("DELETE", &path, "", "").await.status, 200);
    assert_eq!(call("DELETE", &path, "?2", "").await.refusal(), (404, "not_found"));

    let (host_key, token) = (key(), world.once().await);
    let request = body(&token, "edge-1", &host_key);
    assert_eq!(world.enroll(&request).await.status, 202);
    let waiting = call("GET", approvals, "?status=waiting", "").await;
    let id = waiting.body["data"][0]["id"].as_str().unwrap().to_owned();
    let approved = call("POST", &format!("{approvals}/{id}/approve"), "", "").await;
    assert_eq!((approved.status, approved.text("status")), (200, "approved"));
    let made = world.enroll(&request).await;
    assert_eq!(made.status, 201);
    let gone = call("POST", &format!("{approvals}/{id}/deny"), "", "").await;
    assert_eq!(gone.refusal(), (404, "not_found"));

    let sensor = format!("{}/{}", paths::V2_SENSORS, made.text("sensor_id"));
    let renew = call("POST", &format!("{sensor}/renew"), "", r#"{"within_seconds":60}"#).await;
    assert_eq!(
        (renew.status, renew.body["renew_between"]["end"].as_str()),
        (200, Some("2027-01-15T08:01:00Z"))
    );
    assert_eq!(call("POST", &format!("{sensor}/disable"), "", "").await.refusal(), (404, "not_found"));
    let page = call("GET", paths::V2_SENSORS, "?limit=1&status=healthy", "").await;
    assert_eq!((page.body["data"].as_array().unwrap().len(), &page.body["next_cursor"]), (1, &json!(null)));
    for bad in ["?limit=0", "?cursor=x", "?status=fine"] {
        assert_eq!(
            call("GET", paths::V2_SENSORS, bad, "").await.refusal(),
            (400, "invalid_request"),
            "{bad}"
        );
    }
    assert_eq!(call("GET", &format!("{}/verify", paths::V2_AUDIT), "", "").await.body["intact"], true);
}

#[tokio::test]
async fn answers_carry_the_date_of_our_clock() {
    let world = World::start(10).await;
    let get = async |path: &str| world.client(None).send("GET", path, b"", &[]).await.unwrap();
    let reply = get(paths::HEALTHZ).await;
    assert_eq!(
        (reply.status, reply.headers["date"].to_str().unwrap()),
        (200, "Fri, 15 Jan 2027 08:00:00 GMT")
    );
    assert_eq!(get(paths::READYZ).await.status, 200);
    let trust = get(paths::TRUST_BOOTSTRAP).await;
    assert_eq!(trust.text("control_plane_ca_certificate_pem"), world.ca_pem);
    assert_eq!(get("/nowhere").await.refusal(), (404, "not_found"));
    assert_eq!(get(paths::ENROLL).await.refusal(), (405, "method_not_allowed"));
    assert_eq!(get(&format!("{}/amd64", paths::BINARY)).await.refusal(), (404, "not_found"));
    assert!(get(paths::INSTALL_SH).await.body.as_str().unwrap().starts_with("#!/bin/sh"));
}

#[tokio::test]
async fn the_server_certificate_is_renewed_in_time_and_the_key_stays() {
    let world = World::start(10).await;
    let pin = world.console.authority().unwrap().server_pin();
    assert!(!world.console.renew_server_certificate().await.unwrap());
    world.clock.advance(61 * 24 * 3600);
    // The server looks after itself every second; this asks for the same.
    world.console.renew_server_certificate().await.unwrap();
    let authority = world.console.authority().unwrap();
    assert!(authority.server().unwrap().validity.1 > world.console.now() + 80 * 24 * 3600);
    assert_eq!(authority.server_pin(), pin);
}
