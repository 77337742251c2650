//! The licence's dates and grace (docs/contract.md section 4), on a clock that is turned.

use crate::browser::Browser;
use crate::world::{World, body, csr, key};
use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::licence::LicencePayload;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::licence::issue;
use telovix_contract::paths;

const DAY: i64 = 24 * 3600;

fn bundle(world: &World, nodes: u32, days: i64, grace_days: u32) -> String {
    let now = world.console.now();
    let payload = LicencePayload {
        id: format!("l-{nodes}"),
        customer: "us".to_owned(),
        max_protected_nodes: nodes,
        not_before: now,
        expires_at: now + days * DAY,
        grace_days,
    };
    serde_json::to_string(&issue(&payload, &world.licence_key).unwrap()).unwrap()
}

#[tokio::test]
async fn section_4_after_the_grace_no_new_host_comes_in_and_the_fleet_goes_on() {
    let world = World::start(3).await;
    let text = bundle(&world, 5, 10, 5);
    let imported = {
        let admin = Browser::of(&world, "admin@example.com").await;
        admin.call("POST", paths::V1_LICENSE, &text).await
    };
    assert_eq!((imported.status, imported.text("state")), (200, "valid"));
    assert_eq!(imported.body["max_protected_nodes"], 5);
    let node_key = key();
    let made = world.enroll(&body(&world.once().await, "edge-1", &node_key)).await;
    let certificate = made.text("control_plane_certificate_pem").to_owned();
    let warning = async || {
        let made = world.console.create_token(TokenDraft::default(), Origin::default()).await.unwrap();
        made.licence_warning
    };
    assert_eq!(warning().await, None);

    world.clock.advance(10 * DAY);
    let shown = world.console.licence().await.unwrap();
    assert_eq!((shown.state, shown.protected_nodes), ("grace", 1));
    assert!(shown.warning.unwrap().contains("new hosts can enroll until"));
    assert!(warning().await.unwrap().contains("import a new licence"));
    assert_eq!(world.enroll(&body(&world.once().await, "edge-2", &key())).await.status, 201);

    world.clock.advance(5 * DAY - 1);
    assert_eq!(world.console.licence().await.unwrap().state, "grace");
    world.clock.advance(1);
    assert_eq!(world.console.licence().await.unwrap().state, "expired");
    let token = world.once().await;
    let request = body(&token, "edge-3", &key());
    assert_eq!(world.enroll(&request).await.refusal(), (403, "NodeLimitExceeded"));
    // The fleet goes on: heartbeat, renewal, a node that retired and comes back.
    assert_eq!(world.heartbeat(&certificate, &node_key).await.status, 200);
    let client = world.client(Some((&certificate, &node_key)));
    let next_key = key();
    let renewal = json!({"csr_pem": csr("edge-1", &next_key)}).to_string();
    let renewed = client.send("POST", paths::RENEW, renewal.as_bytes(), &[]).await.unwrap();
    let next = renewed.text("control_plane_certificate_pem");
    let client = world.client(Some((next, &next_key)));
    assert_eq!(client.send("POST", paths::DECOMMISSION, b"", &[]).await.unwrap().status, 200);
    assert_eq!(world.heartbeat(next, &next_key).await.status, 200);
    // The refused token was not spent: a new licence lets the same request in.
    let renewed = bundle(&world, 6, 10, 0);
    world.console.import_licence(renewed, Origin::default()).await.unwrap();
    assert_eq!(world.enroll(&request).await.status, 201);
    world.clock.advance(10 * DAY);
    assert_eq!(world.console.licence().await.unwrap().state, "expired");
}

#[tokio::test]
async fn section_4_a_licence_that_nobody_signed_changes_nothing() {
    let world = World::start(3).await;
    let admin = Browser::of(&world, "admin@example.com").await;
    for bad in [r#"{"payload":"e30=","signature":"AAAA"}"#, r#"{"payload":"e30="}"#, "{}", "[]"] {
        assert_eq!(
            admin.call("POST", paths::V1_LICENSE, bad).await.refusal(),
            (400, "invalid_request"),
            "{bad}"
        );
    }
    let shown = admin.call("GET", paths::V1_LICENSE, "").await;
    assert_eq!((shown.text("source"), shown.text("state")), ("trial", "valid"));
    assert_eq!((&shown.body["max_protected_nodes"], &shown.body["expires_at"]), (&3.into(), &json!(null)));
}
