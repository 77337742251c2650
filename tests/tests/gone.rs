//! A state directory that is taken away from under a running daemon, and a daemon that does not answer.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::daemon::Daemon;
use telovix_tests::{Agent, World, wait};

const LIMIT: Duration = Duration::from_secs(30);
const LOCAL_STATE: i32 = 8;

/// A hook, which the daemon does not confine itself for: it could then make nothing outside of the directory that it
/// started with.
const UNCONFINED: &str = "hook_command = [\"/bin/true\"]";

fn sensor(status: &Value) -> String {
    status["sensor_id"].as_str().expect("a sensor id").to_owned()
}

#[test]
fn a_state_directory_that_was_removed_is_made_anew_and_the_host_enrolls_again() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", UNCONFINED);
    let before = daemon.enroll(&world.once().token);
    fs::remove_dir_all(daemon.state_dir()).unwrap();
    let lost = daemon.until("the loss", |status| status["state"] == "lost");
    assert!(lost["notes"].to_string().contains("opened again"), "{lost}");
    assert_eq!(fs::metadata(daemon.state_dir()).unwrap().mode() & 0o7777, 0o700);
    // A second agent is kept out of the new one, too.
    let second = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["enroll"]).run();
    second.expect(LOCAL_STATE).says(&["another telovix-agent", "works in"]);
    let after = daemon.enroll(&world.token(&["--type", "once", "--sensor-id", &sensor(&before)]).token);
    assert_eq!(sensor(&after), sensor(&before));
    assert!(daemon.state_dir().join(".sensor-ready").exists());
}

/// Landlock holds on to the directory that was there. Only another process can take the one that is there now.
#[test]
fn a_confined_daemon_that_cannot_take_the_directory_anew_ends_and_says_so() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world, "host", "");
    // In a directory of its own, for that of token and control socket may be written.
    let place = world.folder().join("var");
    let there = place.join("state");
    fs::create_dir(&place).unwrap();
    fs::DirBuilder::new().mode(0o700).create(&there).unwrap();
    symlink(&there, daemon.state_dir()).unwrap();
    daemon.run();
    let status = daemon.enroll(&world.once().token);
    if !status["confinement"].as_str().unwrap_or_default().starts_with("landlock: writes only") {
        eprintln!("this kernel has no Landlock, so nothing keeps the directory from being made anew");
        return;
    }
    let kept = world.folder().join("kept");
    fs::rename(&there, &kept).unwrap();
    fs::DirBuilder::new().mode(0o700).create(&there).unwrap();
    let ended = wait::until(LIMIT, "its end", || daemon.ended());
    assert_eq!(ended.code(), Some(LOCAL_STATE), "{}", daemon.log());
    assert!(daemon.log().contains("was removed or replaced"), "{}", daemon.log());
    // What the service manager does: with what was put back all goes on.
    fs::remove_dir(&there).unwrap();
    fs::rename(&kept, &there).unwrap();
    daemon.run();
    assert_eq!(daemon.until_state("active")["serial"], status["serial"]);
}

#[test]
fn a_lock_that_was_removed_is_taken_again() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let lock = daemon.state_dir().join(".lock");
    fs::remove_file(&lock).unwrap();
    wait::until(LIMIT, "the lock", || lock.exists().then_some(()));
    daemon.until("the note", |status| status["notes"].to_string().contains("the lock in it"));
    let second = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["enroll"]).run();
    second.expect(LOCAL_STATE).says(&["another telovix-agent"]);
    assert_eq!(daemon.until_state("active")["serial"], before["serial"]);
}

/// docs/contract.md section 3: a failure never blocks a shutdown, that of the daemon to answer among them.
#[test]
fn a_node_whose_agent_hangs_is_retired_all_the_same() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    daemon.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let run = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["decommission"]).run();
    println!("decommission beside an agent that hangs: {} ms", begin.elapsed().as_millis());
    let said = &run.expect(0).stdout;
    assert!(said.contains("retired") && said.contains("did not answer"), "{}", run.report());
    let told = "SELECT count(*) FROM sensors WHERE decommissioned_at IS NOT NULL";
    assert_eq!(world.db().one::<i64>(told, ()), 1);
    // Awake again, its heartbeat brings the node back.
    daemon.signal(Signal::SIGCONT);
    daemon.ask("POST /renew?force=true").unwrap();
    daemon.until("the node", |_| world.db().one::<i64>(told, ()) == 0);
}

/// Awake after a long stop, a daemon goes on where it was.
#[test]
fn a_daemon_that_was_stopped_goes_on() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    daemon.signal(Signal::SIGSTOP);
    fs::remove_file(daemon.state_dir().join("client.cert.pem")).unwrap();
    let live = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["status", "--live"]).run();
    live.expect(1).says(&["did not answer"]);
    daemon.signal(Signal::SIGCONT);
    wait::until(LIMIT, "the link", || daemon.state_dir().join("client.cert.pem").exists().then_some(()));
    assert_eq!(daemon.until_state("active")["serial"], before["serial"]);
}
