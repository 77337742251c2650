//! The Console's issuer is rotated under a real daemon, which follows, and the old issuer goes without harm.

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::World;
use telovix_tests::daemon::Daemon;

fn issuers(world: &World) -> Vec<Value> {
    let list = world.stub(&["ca", "status"], &["--output", "json"]).expect(0).json();
    list["data"].as_array().expect("a list").clone()
}

#[test]
fn a_daemon_follows_a_rotation_and_outlives_the_old_issuer() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let old = issuers(&world)[0]["issuer_id"].as_str().expect("an id").to_owned();
    // A daemon that starts asks at once, and need not wait for its next heartbeat to hear of it.
    daemon.end(Signal::SIGTERM);
    world.stub(&["ca", "rotate"], &["--within", "15s"]).expect(0);
    let refused = world.stub(&["ca", "retire"], &[&old]);
    refused.expect(1).says(&["1 sensors still have a certificate from this issuer"]);

    daemon.run();
    let after = daemon.until("a certificate of the new issuer", |status| {
        status["serial"] != before["serial"] && status["state"] == "active" && status["accepted"] == true
    });
    assert_eq!(after["sensor_id"], before["sensor_id"]);
    world.stub(&["ca", "retire"], &[&old]).expect(0);
    let states: Vec<Value> = issuers(&world).iter().map(|issuer| issuer["state"].clone()).collect();
    assert_eq!(states, ["signing", "retired"]);

    // The next renewal and a new host know nothing of the old one.
    daemon.ask("POST /renew?force=true").unwrap();
    daemon.until("the third generation", |status| {
        status["generation"] == 3 && status["accepted"] == true && status["last_error"] == Value::Null
    });
    world.enroll("another").token(&world.once().token).run().expect(0);
}
