//! The life of the issuers, over real TLS: rotate, drain, retire.

use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::service::ServiceError;
use telovix_console_stub::service::rotation::Drain;
use telovix_contract::paths;

use crate::world::{World, body, csr, key};

fn refused(error: ServiceError) -> String {
    match error {
        ServiceError::Refused(refusal) => refusal.message,
        other
        @ (ServiceError::Db(_) | ServiceError::Ca(_) | ServiceError::Hashing | ServiceError::Cut(_)) => {
            panic!("{other}")
        }
    }
}

/// The issuers' states with their sensors, newest first.
async fn issuers(world: &World) -> Vec<(&'static str, i64)> {
    let list = world.console.list_issuers().await.unwrap();
    list.into_iter().map(|issuer| (issuer.state, issuer.sensors)).collect()
}

#[tokio::test]
async fn a_rotation_drains_the_fleet_and_the_old_issuer_goes_when_nobody_needs_it() {
    let world = World::start(10).await;
    let (kept, held) = (key(), key());
    let old = world.enroll(&body(&world.once().await, "edge-1", &kept)).await;
    let old = old.text("control_plane_certificate_pem").to_owned();
    let gone = world.enroll(&body(&world.once().await, "edge-2", &held)).await;
    let gone = gone.text("control_plane_certificate_pem").to_owned();
    let pin = world.console.authority().unwrap().server_pin();
    assert_eq!(issuers(&world).await, [("signing", 2)]);

    for drain in [Drain::Within(0), Drain::PerMinute(0), Drain::Within(31 * 86_400)] {
        let error = world.console.rotate_issuer(drain, Origin::default()).await.unwrap_err();
        assert!(refused(error).contains("one second to 30 days"), "{drain:?}");
    }
    let rotation = world.console.rotate_issuer(Drain::PerMinute(1), Origin::default()).await.unwrap();
    assert_eq!((rotation.sensors, rotation.renew_between.end.as_second()), (2, world.console.now() + 121));
    assert_eq!(issuers(&world).await, [("signing", 0), ("draining", 2)]);
    assert_eq!(world.console.authority().unwrap().server_pin(), pin, "the server's key stays");

    // Both chains work, and the old identities are told when to renew; the client below trusts the root alone.
    let beat = world.heartbeat(&old, &kept).await;
    assert_eq!(beat.status, 200);
    assert_eq!(beat.body["renew_between"]["end"], json!(rotation.renew_between.end.to_string()));
    let early = world.console.retire_issuer(rotation.replaces.clone(), false, Origin::default()).await;
    assert!(refused(early.unwrap_err()).contains("2 sensors still have"));
    let signing = world.console.retire_issuer(rotation.issuer_id.clone(), true, Origin::default()).await;
    assert!(refused(signing.unwrap_err()).contains("rotate first"));

    let fresh = key();
    let request = json!({"csr_pem": csr("edge-1", &fresh)}).to_string();
    let client = world.client(Some((&old, &kept)));
    let renewed = client.send("POST", paths::RENEW, request.as_bytes(), &[]).await.unwrap();
    assert_eq!(renewed.status, 200);
    assert_eq!(
        renewed.text("control_plane_ca_certificate_pem").matches("BEGIN CERTIFICATE").count(),
        3,
        "the root and both issuers"
    );
    let new = renewed.text("control_plane_certificate_pem");
    world.until_accepted(new, &fresh).await;
    assert_eq!(world.heartbeat(new, &fresh).await.body["renew_between"], json!(null));
    assert_eq!(issuers(&world).await, [("signing", 1), ("draining", 1)]);

    let retired = world.console.retire_issuer(rotation.replaces, true, Origin::default()).await.unwrap();
    assert_eq!((retired.state, retired.sensors), ("retired", 1));
    assert_eq!(world.heartbeat(&gone, &held).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(world.heartbeat(new, &fresh).await.status, 200);
    assert_eq!(issuers(&world).await, [("signing", 1), ("retired", 0)]);
    for action in ["ca_issuer_rotated", "ca_issuer_retired"] {
        let count = format!("SELECT count(*) FROM audit WHERE action_type = '{action}'");
        assert_eq!(world.count(&count), 1, "{action}");
    }
}
