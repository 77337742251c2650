//! What a list shows under each filter, found by SQL, is what the rows say of themselves; and its pages hold together.

use serde_json::json;
use telovix_console_stub::db::audit::AuditFilter;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::{SensorFilter, TokenFilter};
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::service::sensors::{SensorView, Verdict};
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};

use crate::world::{World, body, host, key};

const DAY: i64 = 24 * 3600;

/// Sensors that stand in every way, made over a month.
async fn fleet(world: &World) {
    let judge = async |id: &str, verdict| {
        world.console.judge_sensor(id.parse().unwrap(), verdict, Origin::default()).await.unwrap();
    };
    for (n, days) in [0, 9, 4, 5, 3, 2, 1, 0, 0].into_iter().enumerate() {
        for (name, end) in [("kept", None), ("off", Some(Verdict::Disable)), ("gone", Some(Verdict::Revoke))]
        {
            let key = key();
            let mut node = body(&world.once().await, &format!("{name}-{n}"), &key);
            node["tags"] = json!([format!("rack-{}", n % 3), "a\\b\"c"]);
            node["flavor"] = json!(["standard", "telecom"][n % 2]);
            node["declared_role"] = json!(["o_du", "gnb"][n % 2]);
            let enrolled = world.enroll(&node).await;
            assert_eq!(enrolled.status, 201);
            let certificate = enrolled.text("control_plane_certificate_pem").to_owned();
            if n % 3 == 0 {
                assert_eq!(world.heartbeat(&certificate, &key).await.status, 200);
            }
            if n == 8 && end.is_none() {
                world
                    .client(Some((&certificate, &key)))
                    .send("POST", telovix_contract::paths::DECOMMISSION, b"", &[])
                    .await
                    .unwrap();
            }
            if let Some(verdict) = end {
                judge(enrolled.text("sensor_id"), verdict).await;
            }
            world.clock.advance(50);
        }
        world.clock.advance(days * DAY);
    }
}

#[tokio::test]
async fn section_5_every_filter_finds_what_the_rows_say() {
    let world = World::start(100).await;
    fleet(&world).await;
    let list = async |filter: SensorFilter| {
        let page = world.console.list_sensors(filter, Piece::default()).await.unwrap();
        page.rows
    };
    let open = || SensorFilter { decommissioned: true, ..SensorFilter::default() };
    let all = list(open()).await;
    assert_eq!(all.len(), 27);
    let mut found_some = 0;
    let mut check = |filter: &str, found: &[SensorView], fits: &dyn Fn(&SensorView) -> bool| {
        let ids = |rows: &mut dyn Iterator<Item = &SensorView>| {
            rows.map(|row| row.node_name.clone()).collect::<Vec<_>>()
        };
        let wanted = ids(&mut all.iter().filter(|row| fits(row)));
        found_some += usize::from(!wanted.is_empty());
        assert_eq!(ids(&mut found.iter()), wanted, "{filter}");
    };
    check("none", &list(SensorFilter::default()).await, &|row| !row.decommissioned);
    for status in SensorStatus::ALL {
        let filter = SensorFilter { status: Some(*status), ..open() };
        check(status.as_str(), &list(filter).await, &|row| row.status == *status);
    }
    for health in HealthState::ALL {
        let filter = SensorFilter { health_state: Some(*health), ..open() };
        check(health.as_str(), &list(filter).await, &|row| row.health_state == *health);
    }
    for trust in TrustState::ALL {
        let filter = SensorFilter { trust_state: Some(*trust), ..open() };
        check(trust.as_str(), &list(filter).await, &|row| row.trust_state == *trust);
    }
    for health in TrustHealth::ALL {
        let filter = SensorFilter { trust_health: Some(*health), ..open() };
        check(health.as_str(), &list(filter).await, &|row| row.trust_health == *health);
    }
    for text in ["gnb", "telecom", "kept-", "KEPT-", "rack-1", "a\\b\"c", "rack", "%"] {
        let word = || Some(text.to_owned());
        check("role", &list(SensorFilter { role: word(), ..open() }).await, &|row| row.role == text);
        check("flavor", &list(SensorFilter { flavor: word(), ..open() }).await, &|row| row.flavor == text);
        let named = list(SensorFilter { node_name: word(), ..open() }).await;
        check("node_name", &named, &|row| row.node_name.starts_with(text));
        let tagged = |row: &SensorView| row.tags.as_array().unwrap().contains(&text.into());
        check("tag", &list(SensorFilter { tag: word(), ..open() }).await, &tagged);
    }
    let several = SensorFilter {
        status: Some(SensorStatus::Stale),
        flavor: Some("telecom".to_owned()),
        trust_health: Some(TrustHealth::RenewalRecommended),
        ..open()
    };
    check("several", &list(several).await, &|row| {
        row.status == SensorStatus::Stale
            && row.flavor == "telecom"
            && row.trust_health == TrustHealth::RenewalRecommended
    });
    // Enough of them found something, or the test shows little.
    assert!(found_some >= 18, "{found_some}");
}

#[tokio::test]
async fn a_filter_that_reads_rows_is_turned_over_by_cursor() {
    let world = World::start(100).await;
    fleet(&world).await;
    let filter = || SensorFilter { tag: Some("rack-1".to_owned()), ..SensorFilter::default() };
    let whole = world.console.list_sensors(filter(), Piece::default()).await.unwrap().rows;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let piece = world.console.list_sensors(filter(), Piece { rows: 4, after }).await.unwrap();
        seen.extend(piece.rows);
        after = piece.next;
        if after.is_none() {
            break;
        }
    }
    let names = |rows: &[SensorView]| rows.iter().map(|row| row.node_name.clone()).collect::<Vec<_>>();
    assert_eq!((whole.len(), names(&seen)), (9, names(&whole)));
}

/// Rows that come while somebody turns the pages push none out and show none twice.
#[tokio::test]
async fn section_5_pages_hold_while_rows_come() {
    let world = World::start(100).await;
    let come = async |n: i64| {
        let token = world.once().await;
        assert_eq!(world.enroll(&body(&token, &format!("edge-{n}"), &key())).await.status, 201);
        // Some share a second with those that come, so that the order has to hang on more.
        world.clock.advance(n % 2);
    };
    for n in 0..9 {
        come(n).await;
    }
    let (tokens, sensors, audit) = (TokenFilter::default(), SensorFilter::default(), AuditFilter::default());
    let before = world.count("SELECT count(*) FROM audit");
    let mut seen: [Vec<String>; 3] = Default::default();
    let mut after = [None, None, None];
    let mut more = [true; 3];
    for n in 9.. {
        let mut next = [None, None, None];
        let piece = |at: usize| Piece { rows: 2, after: after[at].clone() };
        if more[0] {
            let page = world.console.list_tokens(tokens.clone(), piece(0)).await.unwrap();
            seen[0].extend(page.rows.iter().map(|row| row.id.to_string()));
            next[0] = page.next;
        }
        if more[1] {
            let page = world.console.list_sensors(sensors.clone(), piece(1)).await.unwrap();
            seen[1].extend(page.rows.iter().map(|row| row.node_name.clone()));
            next[1] = page.next;
        }
        if more[2] {
            let page = world.console.list_audit(audit.clone(), piece(2)).await.unwrap();
            seen[2].extend(page.rows.iter().map(|row| format!("{} {}", row.created_at, row.detail)));
            next[2] = page.next;
        }
        more = [0, 1, 2].map(|at| next[at].is_some());
        after = next;
        if more == [false; 3] {
            break;
        }
        if n < 13 {
            come(n).await;
        }
    }
    let distinct = |rows: &[String]| rows.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(seen.iter().all(|rows| distinct(rows) == rows.len()), "{seen:#?}");
    // Newest first: those that came stand before where it began, or in its very second. Oldest first: they come at the end.
    assert!((0..9).all(|n| seen[1].contains(&format!("edge-{n}"))), "{seen:#?}");
    assert!((9..=13).contains(&seen[0].len()), "{seen:#?}");
    assert_eq!(i64::try_from(seen[2].len()).unwrap(), before);
}

/// A heartbeat that was written while the Console's clock was ahead is no sign of life once the clock was set right.
#[tokio::test]
async fn section_5_a_time_of_the_future_is_no_sign_of_life() {
    let world = World::start(10).await;
    let (there, key, _) = host(&world, "alive").await;
    let (gone, gone_key, _) = host(&world, "dead").await;
    world.clock.advance(2 * DAY);
    assert_eq!(world.heartbeat(&there, &key).await.status, 200);
    assert_eq!(world.heartbeat(&gone, &gone_key).await.status, 200);
    world.clock.advance(-2 * DAY);
    assert_eq!(world.heartbeat(&there, &key).await.status, 200);
    let names = async |filter: SensorFilter| {
        let page = world.console.list_sensors(filter, Piece::default()).await.unwrap();
        page.rows.into_iter().map(|row| row.node_name).collect::<Vec<_>>()
    };
    let status = |status| SensorFilter { status: Some(status), ..SensorFilter::default() };
    assert_eq!(names(status(SensorStatus::Stale)).await, ["dead"]);
    assert_eq!(names(status(SensorStatus::Healthy)).await, ["alive"]);
    let health = |health| SensorFilter { health_state: Some(health), ..SensorFilter::default() };
    assert_eq!(names(health(HealthState::Offline)).await, ["dead"]);
    assert_eq!(names(health(HealthState::Healthy)).await, ["alive"]);
}
