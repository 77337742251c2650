//! Lists, audit trail and requests for renewal (docs/contract.md sections 3, 4 and 5).

use crate::world::{World, body, csr, key};
use serde_json::json;
use telovix_console_stub::db::audit::AuditFilter;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::{SensorFilter, TokenFilter};
use telovix_console_stub::domain::page::{Cursor, Piece};
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_contract::states::{HealthState, SensorStatus, TokenStatus, TokenType};
use telovix_contract::{SensorId, paths};

fn rows(rows: i64, after: Option<Cursor>) -> Piece {
    Piece { rows, after }
}

#[tokio::test]
async fn section_5_the_audit_trail_is_a_chain_that_nobody_changes_unseen() {
    let mut world = World::start(10).await;
    for n in 0..5 {
        world.enroll(&body("tse_unknown", &format!("edge-{n}"), &key())).await;
        world.once().await;
    }
    let report = world.console.verify_audit().await.unwrap();
    assert_eq!((report.intact, report.records), (true, 11));
    assert_eq!(world.console.export_audit(0).await.unwrap().len(), 11);
    let refused = AuditFilter { outcome: Some("failure".to_owned()), ..AuditFilter::default() };
    let refused = world.console.list_audit(refused, rows(3, None)).await.unwrap();
    assert_eq!(refused.rows.len(), 3);
    assert!(refused.rows.iter().all(|row| row.detail.contains("reason=invalid_enrollment_token")));
    assert!(refused.rows[0].client_ip.as_deref() == Some("127.0.0.1") && refused.next.is_some());
    world.stop().await;

    for forbidden in ["UPDATE audit SET detail = 'x' WHERE seq = 3", "DELETE FROM audit WHERE seq = 3"] {
        assert!(world.database.change(forbidden).unwrap_err().contains("append-only"));
    }
    // Whoever owns the database can take the triggers away, and is found out all the same.
    world.database.unguard_audit();
    for (harm, found) in [
        ("UPDATE audit SET detail = 'reason=none' WHERE seq = 4", "record 4 was changed"),
        ("DELETE FROM audit WHERE seq = 7", "record 7 was removed"),
        ("DELETE FROM audit WHERE seq = 11", "record 11 was removed"),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; \
             UPDATE audit SET seq = 3 WHERE seq = 99",
            "record 2 was reordered: it stood at 3",
        ),
    ] {
        world.database.change(harm).unwrap();
        let report = world.console.verify_audit().await.unwrap();
        assert!(!report.intact && report.problems.contains(&found.to_owned()), "{:?}", report.problems);
    }
}

#[tokio::test]
async fn section_4_tokens_are_listed_by_filter_and_in_pieces() {
    let world = World::start(10).await;
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(world.once().await);
        // Some share a second, so that the order has to hang on more.
        world.clock.advance(n % 2);
    }
    world.cluster("ran-east", None).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.console.list_tokens(TokenFilter::default(), rows(3, after)).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (8, 8));

    world.enroll(&body(&made[0], "edge-1", &key())).await;
    let count = async |filter: TokenFilter| {
        world.console.list_tokens(filter, Piece::default()).await.unwrap().rows.len()
    };
    let of = |status| TokenFilter { status: Some(status), ..TokenFilter::default() };
    let cluster = TokenFilter { kind: Some(TokenType::Cluster), ..TokenFilter::default() };
    assert_eq!(count(cluster).await, 1);
    let named = TokenFilter { cluster_id: Some("ran-west".parse().unwrap()), ..TokenFilter::default() };
    assert_eq!(count(named).await, 0);
    assert_eq!((count(of(TokenStatus::Used)).await, count(of(TokenStatus::Pending)).await), (1, 7));
    // Expired is what it is at this moment, before the clean-up writes it down and after.
    world.clock.advance(900);
    assert_eq!((count(of(TokenStatus::Expired)).await, count(of(TokenStatus::Pending)).await), (6, 1));
    world.console.clean_up(Some(world.console.now())).await.unwrap();
    assert_eq!((count(of(TokenStatus::Expired)).await, count(of(TokenStatus::Pending)).await), (6, 1));
    // A used token leaves the list a day later.
    world.clock.advance(24 * 3600 - 901);
    assert_eq!(count(of(TokenStatus::Used)).await, 1);
    world.clock.advance(1);
    assert_eq!(count(of(TokenStatus::Used)).await, 0);
}

#[tokio::test]
async fn section_4_at_90_percent_the_maker_of_a_token_is_warned() {
    let world = World::start(10).await;
    let warning = async || {
        let made = world.console.create_token(TokenDraft::default(), Origin::default()).await.unwrap();
        made.capacity_warning
    };
    for n in 0..8 {
        world.enroll(&body(&world.once().await, &format!("edge-{n}"), &key())).await;
    }
    assert_eq!(warning().await, None);
    world.enroll(&body(&world.once().await, "edge-8", &key())).await;
    assert!(warning().await.unwrap().contains("1 left"));
    world.enroll(&body(&world.once().await, "edge-9", &key())).await;
    assert!(warning().await.unwrap().contains("0 left"));
    let full = world.enroll(&body(&world.once().await, "edge-10", &key())).await;
    assert_eq!(full.refusal(), (403, "NodeLimitExceeded"));
}

#[tokio::test]
async fn section_5_the_fleet_is_listed_by_filter_and_in_pieces() {
    let world = World::start(10).await;
    for (n, role) in ["o_du", "o_cu", "o_du", "gnb", "o_du"].into_iter().enumerate() {
        let mut request = body(&world.once().await, &format!("edge-{n}"), &key());
        request["declared_role"] = json!(role);
        request["tags"] = json!([format!("rack-{}", n % 2)]);
        assert_eq!(world.enroll(&request).await.status, 201);
        world.clock.advance(30);
    }
    let names = async |filter: SensorFilter| {
        let page = world.console.list_sensors(filter, Piece::default()).await.unwrap();
        page.rows.into_iter().map(|row| row.node_name).collect::<Vec<_>>()
    };
    let all = SensorFilter::default;
    assert_eq!(
        names(SensorFilter { role: Some("o_du".to_owned()), ..all() }).await,
        ["edge-0", "edge-2", "edge-4"]
    );
    assert_eq!(names(SensorFilter { tag: Some("rack-1".to_owned()), ..all() }).await, ["edge-1", "edge-3"]);
    assert_eq!(names(SensorFilter { node_name: Some("edge-3".to_owned()), ..all() }).await, ["edge-3"]);
    // They were heard of 150, 120, 90, 60 and 30 seconds ago.
    let stale = SensorFilter { status: Some(SensorStatus::Stale), ..all() };
    assert_eq!(names(stale).await, ["edge-0", "edge-1", "edge-2"]);
    let watch = SensorFilter { health_state: Some(HealthState::Watch), ..all() };
    assert_eq!(names(watch).await, ["edge-3"]);
    let du = || SensorFilter { role: Some("o_du".to_owned()), ..all() };
    let first = world.console.list_sensors(du(), rows(2, None)).await.unwrap();
    let rest = world.console.list_sensors(du(), rows(2, first.next)).await.unwrap();
    assert_eq!((first.rows.len(), rest.rows.len(), rest.next), (2, 1, None));
}

/// docs/contract.md section 3: the heartbeat answer can bring a renewal forward with a window, until it has been done.
#[tokio::test]
async fn section_3_an_operator_brings_a_renewal_forward() {
    let world = World::start(10).await;
    let (old_key, new_key) = (key(), key());
    let made = world.enroll(&body(&world.once().await, "edge-1", &old_key)).await;
    let old = made.text("control_plane_certificate_pem");
    let id: SensorId = made.text("sensor_id").parse().unwrap();
    assert!(world.heartbeat(old, &old_key).await.body["renew_between"].is_null());
    world.console.ask_renewal(id, 3600, Origin::default()).await.unwrap();
    let asked = world.heartbeat(old, &old_key).await;
    let window = json!({"start": "2027-01-15T08:00:00Z", "end": "2027-01-15T09:00:00Z"});
    assert_eq!(asked.body["renew_between"], window);
    world.console.change_setting(Setting::CertificateHours, "1".to_owned(), Origin::default()).await.unwrap();
    let request = json!({"csr_pem": csr("edge-1", &new_key)}).to_string();
    let client = world.client(Some((old, &old_key)));
    let renewed = client.send("POST", paths::RENEW, request.as_bytes(), &[]).await.unwrap();
    let new = renewed.text("control_plane_certificate_pem");
    assert!(world.heartbeat(new, &new_key).await.body["renew_between"].is_null());
    assert_eq!(
        world.count("SELECT max(not_after) - 1800000000 FROM certificates WHERE generation = 2"),
        3600
    );
    for bad in [0, -1, 7 * 24 * 3600 + 1] {
        assert!(world.console.ask_renewal(id, bad, Origin::default()).await.is_err());
    }
    assert!(world.console.ask_renewal(SensorId::random(), 60, Origin::default()).await.is_err());
    assert_eq!(
        world.count("SELECT count(*) FROM audit WHERE action_type = 'certificate_renewal_requested'"),
        1
    );
}
