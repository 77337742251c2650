//! What changes while something is under way: tokens, configurations and questions that come before an answer does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use telovix_tests::daemon::Daemon;
use telovix_tests::proxy::{Fault, FaultProxy};
use telovix_tests::{World, wait};

/// How long the wire holds each piece of an answer back: long enough to change something meanwhile.
const SLOWLY: Duration = Duration::from_millis(1000);
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the Console has made its decision; the answer is still on the wire.
fn until_decided(world: &World, sensors: i64) {
    wait::until(LIMIT, "the Console to enroll", || (world.db().sensors() == sensors).then_some(()));
}

fn state_of(daemon: &Daemon) -> Value {
    serde_json::from_str(&fs::read_to_string(daemon.current("sensor-state.json")).unwrap()).unwrap()
}

/// Leads a daemon that is not running yet through a wire.
fn lead_through(daemon: &Daemon, world: &World, wire: &FaultProxy) {
    let text = fs::read_to_string(daemon.config_file()).unwrap();
    let there = format!("https://{}", wire.address());
    fs::write(daemon.config_file(), text.replace(&world.url(), &there)).unwrap();
}

#[test]
fn an_issued_identity_is_taken_although_token_and_configuration_went_meanwhile() {
    let world = World::new();
    let wire = FaultProxy::start(world.address());
    let mut daemon = Daemon::prepare(&world, "host", "node_role = \"amf\"");
    lead_through(&daemon, &world, &wire);
    daemon.give(&world.once().token);
    wire.set(Fault::Delay(SLOWLY));
    daemon.run();
    until_decided(&world, 1);
    fs::remove_file(daemon.token_file()).unwrap();
    let text = fs::read_to_string(daemon.config_file()).unwrap();
    fs::write(daemon.config_file(), text.replace("amf", "upf")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wire.set(Fault::Pass);
    daemon.until_state("active");
    assert_eq!((world.db().sensors(), world.db().certificates()), (1, 1));
    // What the Console was told, so that renewals go on under the name and role that it knows.
    assert_eq!(state_of(&daemon)["node_role"], "amf");
    let renewed: Value = serde_json::from_str(&daemon.ask("POST /renew?force=true").unwrap()).unwrap();
    assert_eq!(renewed["result"], "renewed", "{renewed}");
}

#[test]
fn a_token_that_came_in_place_of_the_one_being_used_is_not_deleted() {
    let world = World::new();
    let wire = FaultProxy::start(world.address());
    let (used, next) = (world.once(), world.once());
    let file = world.write("token", &used.token);
    wire.set(Fault::Delay(SLOWLY));
    let url = format!("https://{}", wire.address());
    let running = world.enroll_at("host", &url).args(["--token-file", file.to_str().expect("UTF-8")]).spawn();
    until_decided(&world, 1);
    fs::write(&file, &next.token).unwrap();
    running.wait().expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), next.token);
    assert_eq!(world.db().token_status(&next.id), "pending");
}

#[test]
fn everybody_who_asks_for_the_same_is_answered_together() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    for (question, answer) in
        [("POST /renew?force=true", "renewed"), ("POST /decommission", "decommissioned")]
    {
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| daemon.ask(question).unwrap())).collect();
            asked.into_iter().map(|one| serde_json::from_str(&one.join().unwrap()).unwrap()).collect()
        });
        assert!(answers.iter().all(|one| one["result"] == answer), "{question}: {answers:?}");
    }
}

#[test]
fn a_hook_is_told_of_each_new_credential() {
    let world = World::new();
    let out = world.folder().join("hook.out");
    let script =
        format!("echo \"$TELOVIX_EVENT $TELOVIX_SENSOR_ID $(env | grep -c tse_)\" >> {}", out.display());
    let daemon = Daemon::start(&world, "host", &format!("hook_command = [\"/bin/sh\", \"-c\", {script:?}]"));
    // A hook that still runs when there is something newer to tell is ended.
    let told = |runs: usize| {
        wait::until(LIMIT, "the hook", || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            (text.lines().count() == runs).then_some(text)
        })
    };
    let status = daemon.enroll(&world.once().token);
    let _ = told(1);
    daemon.ask("POST /renew?force=true").unwrap();
    let id = status["sensor_id"].as_str().unwrap();
    assert_eq!(told(2), format!("enrolled {id} 0\nrenewed {id} 0\n"));
}

/// A process that died between the publication and the hook leaves it to the next one, which does it once.
#[test]
fn consumers_that_were_not_told_before_a_restart_are_told_after_it() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let held = daemon.enroll(&world.once().token);
    let out = world.folder().join("hook.out");
    let script = format!("echo \"$TELOVIX_EVENT $TELOVIX_SENSOR_ID\" >> {}", out.display());
    daemon.configure(&world, "host", &format!("hook_command = [\"/bin/sh\", \"-c\", {script:?}]"));
    let told = daemon.state_dir().join(".consumers-told");
    assert!(!told.exists());
    for _ in 0..2 {
        daemon.end(Signal::SIGTERM);
        daemon.run();
        daemon.until_state("active");
        wait::until(LIMIT, "the hook", || told.exists().then_some(()));
    }
    daemon.ask("POST /renew?force=true").unwrap();
    let lines = wait::until(LIMIT, "the hook's second run", || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    });
    let id = held["sensor_id"].as_str().unwrap();
    assert_eq!(lines, format!("restored {id}\nrenewed {id}\n"));
}

/// A golden image that was taken in the middle of an enrollment: committed, not published, begun on another machine.
#[test]
fn an_interrupted_enrollment_that_was_copied_here_is_not_finished() {
    if telovix_agent::facts::machine_id::machine_id_sha256(Path::new("/")).is_none() {
        eprintln!("this host has no machine id, so a copy cannot be told");
        return;
    }
    let world = World::new();
    let host = world.enroll("host").token(&world.once().token);
    host.run().expect(0);
    let state: Value = serde_json::from_str(&host.read("sensor-state.json")).unwrap();
    let copied = state["sensor_id"].as_str().unwrap().to_owned();
    let elsewhere = "0".repeat(64);
    let dir = host.state_dir().to_owned();
    for name in ["current", "client.key.pem", "client.cert.pem", "console-ca.cert.pem", "policy-signing.pub"]
    {
        fs::remove_file(dir.join(name)).unwrap();
    }
    let generation = dir.join("generations/000001");
    let mut there = state.clone();
    there["machine_id_sha256"] = json!(elsewhere);
    fs::write(generation.join("sensor-state.json"), there.to_string()).unwrap();
    fs::create_dir(dir.join("pending")).unwrap();
    fs::copy(generation.join("client.key.pem"), dir.join("pending/client.key.pem")).unwrap();
    let request = json!({
        "token_sha256": state["token_sha256"],
        "request": {"csr_pem": "", "node_name": state["node_name"], "host": {"machine_id_sha256": elsewhere}},
    });
    fs::write(dir.join("pending/request.json"), request.to_string()).unwrap();

    world.enroll("host").token(&world.once().token).run().expect(0);
    let fresh = fs::read_to_string(dir.join("current/sensor-state.json")).unwrap();
    let fresh: Value = serde_json::from_str(&fresh).unwrap();
    assert_ne!(fresh["sensor_id"], json!(copied));
    assert_eq!(world.db().sensors(), 2);
}
