//! Connections cut at the worst moments (only with the feature `failpoints`).

use crate::world::{World, body, key};
use telovix_console_stub::config::Limits;
use telovix_contract::paths;

/// Cut at this point at the first enrollment; then the same request again. Gives the sensors made and tokens used.
async fn cut_at(point: &str) -> (i64, i64) {
    let world = World::start_with(10, format!("drop:{point}").parse().unwrap(), Limits::default()).await;
    let request = body(&world.once().await, "edge-1", &key());
    let sent = world.client(None).send("POST", paths::ENROLL, request.to_string().as_bytes(), &[]).await;
    assert!(sent.is_err(), "{sent:?}");
    let reply = world.enroll(&request).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let sensors = world.count("SELECT count(*) FROM sensors");
    (sensors, world.count("SELECT use_count FROM enrollment_tokens"))
}

#[tokio::test]
async fn a_cut_connection_costs_no_host_and_no_token() {
    for point in ["enroll.before_commit", "enroll.after_commit", "enroll.before_answer"] {
        assert_eq!(cut_at(point).await, (1, 1), "{point}");
    }
}
