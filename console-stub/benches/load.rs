//! How fast hosts enroll: `cargo bench -p telovix-console-stub --bench load`. A measurement; it checks that each is served.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]

#[path = "../tests/wire/engine.rs"]
#[expect(dead_code, reason = "the engine of the tests has more than a measurement needs")]
mod engine;
#[path = "../tests/wire/world.rs"]
#[expect(dead_code, reason = "the world of the tests has more than a measurement needs")]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use telovix_contract::paths;
use world::{World, body, key};

/// Clients at work at once.
const CLIENTS: usize = 64;

/// Runs one call per job on a connection of its own; gives how long all took. Requests are made beforehand.
async fn timed(world: &World, method: &'static str, path: &'static str, jobs: Vec<Vec<u8>>) -> Duration {
    let (jobs, next) = (Arc::new(jobs), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, jobs, next) = (world.client(None), Arc::clone(&jobs), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let reply = client.send(method, path, job, &[]).await.unwrap();
                    assert!(reply.status < 300, "{reply:?}");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    start.elapsed()
}

#[tokio::main]
async fn main() {
    let count = 2000;
    let world = World::start(100_000).await;
    let token = world.cluster("load", None).await;
    let jobs = (0..count).map(|n| {
        let mut request = body(&token, &format!("node-{n}"), &key());
        request["cluster_name"] = json!("load");
        request.to_string().into_bytes()
    });
    let jobs: Vec<Vec<u8>> = jobs.collect();
    let bare = timed(&world, "GET", paths::HEALTHZ, vec![Vec::new(); count]).await;
    let before = world.console.db().write_counts();
    let full = timed(&world, "POST", paths::ENROLL, jobs).await;
    let after = world.console.db().write_counts();
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!(
        "client and server in one process, {CLIENTS} clients: {:.0} enrollments/s in {} commits; {:.0} bare TLS requests/s",
        rate(full),
        after.commits - before.commits,
        rate(bare),
    );
}
