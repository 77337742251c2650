//! One identity in two places, over real TLS (docs/contract.md section 4).

use rcgen::KeyPair;
use serde_json::json;
use telovix_console_stub::domain::listing::SensorFilter;
use telovix_console_stub::domain::page::Piece;
use telovix_contract::paths;
use telovix_contract::states::TrustHealth;

use crate::world::{Reply, World, call, host};

const HERE: &str = "00000000-0000-4000-8000-000000000001";
const THERE: &str = "00000000-0000-4000-8000-000000000002";

async fn beat(world: &World, (certificate, key): (&str, &KeyPair), instance: &str, sequence: u64) -> Reply {
    let body = json!({"instance": instance, "sequence": sequence}).to_string();
    world.clock.advance(7);
    let reply = call(world, paths::HEARTBEAT, certificate, key, &body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

fn told(reply: &Reply) -> bool {
    reply.body["notices"].as_array().is_some_and(|notices| notices.len() == 1)
}

#[tokio::test]
async fn section_4_two_hosts_with_one_identity_are_noticed_audited_and_told() {
    let world = World::start(10).await;
    let (certificate, key, id) = host(&world, "edge-1").await;
    let copied = (certificate.as_str(), &key);
    let audited = || {
        let by = format!("action_type = 'sensor_identity_shared' AND sensor_id = '{id}'");
        world.count(&format!("SELECT count(*) FROM audit WHERE {by}"))
    };
    let health = async |wanted: Option<TrustHealth>| {
        let filter = SensorFilter { trust_health: wanted, ..SensorFilter::default() };
        let rows = world.console.list_sensors(filter, Piece::default()).await.unwrap().rows;
        rows.first().map(|row| (row.trust_health, row.identity_shared_at.is_some()))
    };
    for (instance, sequence) in [(HERE, 8), (THERE, 1), (HERE, 9)] {
        assert!(!told(&beat(&world, copied, instance, sequence).await));
    }
    // A command beside the daemon says nothing of itself.
    assert!(!told(&call(&world, paths::HEARTBEAT, &certificate, &key, "{}").await));
    assert_eq!((audited(), health(None).await), (0, Some((TrustHealth::Healthy, false))));

    for sequence in 2..6 {
        assert!(told(&beat(&world, copied, THERE, sequence).await));
        assert!(told(&beat(&world, copied, HERE, sequence + 8).await));
    }
    assert_eq!(audited(), 1, "once, however long it goes on");
    assert_eq!(health(Some(TrustHealth::Degraded)).await, Some((TrustHealth::Degraded, true)));
    assert_eq!(health(Some(TrustHealth::Healthy)).await, None);

    world.clock.advance(3600);
    assert_eq!(health(Some(TrustHealth::Healthy)).await, Some((TrustHealth::Healthy, false)));
    assert_eq!(health(Some(TrustHealth::Degraded)).await, None);
    assert!(!told(&beat(&world, copied, HERE, 99).await), "an hour after the last sign");
    for (instance, sequence) in [(THERE, 90), (HERE, 100), (THERE, 91)] {
        beat(&world, copied, instance, sequence).await;
    }
    assert_eq!(audited(), 2, "it is noticed again");
}

/// What it costs: a heartbeat is one change, whether or not it says who speaks, and a sign is no change of its own.
#[tokio::test]
async fn section_4_noticing_costs_no_write() {
    let world = World::start(10).await;
    let (certificate, key, _) = host(&world, "edge-1").await;
    let changes = || world.console.db().write_counts().changes;
    let cost = async |bodies: [serde_json::Value; 4]| {
        let mut costs = Vec::new();
        for body in bodies {
            let before = changes();
            call(&world, paths::HEARTBEAT, &certificate, &key, &body.to_string()).await;
            costs.push(changes() - before);
        }
        costs
    };
    let says = |instance: &str, sequence: u64| json!({"instance": instance, "sequence": sequence});
    let silent = cost([json!({}), json!({}), json!({}), json!({})]).await;
    let shared = cost([says(HERE, 1), says(THERE, 1), says(HERE, 2), says(THERE, 2)]).await;
    assert_eq!((silent, shared), (vec![1; 4], vec![1; 4]));
}
