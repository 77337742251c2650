//! What a list shows under each filter, found by SQL, is what the rows say of themselves.

use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::listing::SensorFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_console_stub::service::sensors::{SensorView, Verdict};
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};

use crate::world::{World, body, key};

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
