//! The doctor at a real Console: every check by its name, each failure with its reason, its remedy and its exit status.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_contract::ErrorCode;
use telovix_tests::daemon::Daemon;
use telovix_tests::pki::Ca;
use telovix_tests::rogue::{Rogue, Script};
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, Place, World};

fn doctor(agent: &Agent) -> Agent {
    agent.clone_for(&["doctor", "--output", "json"])
}

/// One check: its level and everything that it says.
fn check(diagnosis: &Value, name: &str) -> (String, String) {
    let found = diagnosis["checks"].as_array().unwrap().iter().find(|check| check["check"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name} in {diagnosis:#}"));
    if found["level"] == "fail" {
        assert!(!found["remedy"].as_str().unwrap().is_empty(), "no remedy: {found}");
    }
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("level"), format!("{} {}", text("message"), text("remedy")))
}

#[test]
fn a_host_that_is_well_has_every_check_and_none_is_more_than_fine() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    let host = Agent::new(&daemon.state_dir(), &daemon.config_file());
    let diagnosis = doctor(&host).run().expect(0).json();
    assert_eq!(diagnosis["result"], "ok", "{diagnosis:#}");
    let names: Vec<_> = diagnosis["checks"].as_array().unwrap().iter().map(|check| &check["check"]).collect();
    let wanted = [
        "configuration",
        "state directory",
        "agent",
        "confinement",
        "token",
        "name resolution",
        "connection",
        "proxy",
        "tls",
        "clock",
        "console",
        "credential",
        "renewal",
    ];
    assert_eq!(names, wanted);
    let human = host.clone_for(&["doctor"]).run();
    assert_eq!(human.expect(0).stdout.lines().count(), wanted.len() + 1, "{}", human.report());
}

#[test]
fn each_failure_has_its_name_its_remedy_and_its_exit_status() {
    let world = World::new();
    let prepared = Daemon::prepare(&world, "host", "");
    let host = Agent::new(&prepared.state_dir(), &prepared.config_file());
    // Not enrolled yet, and no token: the credential is what is missing.
    let diagnosis = doctor(&host).run().expect(6).json();
    assert_eq!(check(&diagnosis, "credential").0, "fail");
    let (level, text) = check(&diagnosis, "token");
    assert!(level == "warn" && text.contains("make a token"), "{text}");

    host.clone_for(&["enroll"]).token(&world.once().token).run().expect(0);
    let before = Snapshot::of(host.state_dir(), &[]);
    let diagnosis = doctor(&host).run().expect(9).json();
    let (level, text) = check(&diagnosis, "renewal");
    assert!(level == "warn" && text.contains("no agent is running"), "{text}");
    before.assert_same(&Snapshot::of(host.state_dir(), &[]), "the doctor changed something");

    // Another Console's CA in place of ours.
    let stranger = world.write("stranger.pem", Ca::root("Stranger").pem());
    let fresh = Daemon::prepare(&world, "fresh", "");
    let config = fs::read_to_string(fresh.config_file()).unwrap();
    let ours = world.ca_file().to_str().unwrap();
    fs::write(fresh.config_file(), config.replace(ours, stranger.to_str().unwrap())).unwrap();
    let fresh = Agent::new(&fresh.state_dir(), &fresh.config_file());
    let diagnosis = doctor(&fresh).run().expect(7).json();
    let (level, text) = check(&diagnosis, "tls");
    assert!(level == "fail" && text.contains("not trusted"), "{text}");

    // A lost credential.
    let key = host.state_dir().join("current/client.key.pem");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let (level, text) = check(&doctor(&host).run().expect(6).json(), "credential");
    assert!(level == "fail" && text.contains("client.key.pem") && text.contains("re-enrollment"), "{text}");
    fs::write(&key, kept).unwrap();

    // No Console at all: everything on the way there is not looked at.
    world.kill();
    let diagnosis = doctor(&host).run().expect(5).json();
    assert_eq!(check(&diagnosis, "connection").0, "fail");
    assert_eq!(diagnosis["checks"].to_string().matches("\"tls\"").count(), 0);
    assert_eq!(check(&diagnosis, "credential").0, "ok");
}

#[test]
fn a_token_that_was_refused_already_is_said_with_the_consoles_reason() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let token = world.once();
    world.stub(&["token", "revoke"], &[&token.id]).expect(0);
    daemon.give(&token.token);
    daemon.until_state("refused");
    let host = Agent::new(&daemon.state_dir(), &daemon.config_file());
    let diagnosis = doctor(&host).run().expect(6).json();
    let (level, text) = check(&diagnosis, "token");
    assert!(level == "warn" && text.contains("refused: ") && text.contains("revoked"), "{text}");
    let (level, text) = check(&diagnosis, "credential");
    assert!(level == "fail" && text.contains("enrollment_token_revoked"), "{text}");
    // What the agent says is not said twice in one line.
    let (_, text) = check(&diagnosis, "agent");
    assert_eq!(text.matches("enrollment_token_revoked").count(), 1, "{text}");
}

/// Whatever the disk holds: the verdict is the Console's, where the running agent has heard it.
#[test]
fn nothing_works_for_a_host_whose_sensor_the_console_refuses() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let sensor = daemon.enroll(&world.once().token)["sensor_id"].as_str().unwrap().to_owned();
    let host = Agent::new(&daemon.state_dir(), &daemon.config_file());
    world.stub(&["sensor", "disable"], &[&sensor]).expect(0);
    daemon.end(Signal::SIGTERM);
    daemon.run();
    daemon.until_state("refused");
    let diagnosis = doctor(&host).run().expect(6).json();
    let (level, text) = check(&diagnosis, "credential");
    assert!(level == "fail" && text.contains("enable this sensor in the Console"), "{text}");
    assert!(!diagnosis.to_string().contains("no agent is running"), "{diagnosis:#}");
    let human = host.clone_for(&["doctor"]).run();
    assert!(human.expect(6).stdout.contains("verdict: it does not work"), "{}", human.report());
}

/// Who has to approve is said, and nobody is sent for a second token.
#[test]
fn a_host_that_waits_for_approval_is_told_who_has_to_act() {
    let world = World::new();
    world.stub(&["settings", "set"], &["approval_mode", "all"]).expect(0);
    let mut daemon = Daemon::start(&world, "host", "");
    daemon.give(&world.once().token);
    daemon.until_state("awaiting_approval");
    let host = Agent::new(&daemon.state_dir(), &daemon.config_file());
    let (level, text) = check(&doctor(&host).run().expect(6).json(), "credential");
    assert!(
        level == "fail" && text.contains("approve this node") && !text.contains("create a token"),
        "{text}"
    );
    daemon.end(Signal::SIGTERM);
    let (level, text) = check(&doctor(&host).run().expect(6).json(), "credential");
    assert!(level == "fail" && text.contains("run `telovix-agent enroll`"), "{text}");
    let status = host.clone_for(&["status"]).run();
    for text in ["waiting for  the operator of this host", "nothing enrolls it", "run `telovix-agent enroll`"]
    {
        assert!(status.output().contains(text), "no {text:?} in {}", status.report());
    }
}

#[test]
fn a_console_that_is_not_ready_and_has_another_time_is_said_to_be() {
    let ca = Ca::root("Console");
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), |_| {
        Script::problem(ErrorCode::NotReady).header("date", "Thu, 01 Jan 2026 00:00:00 GMT")
    });
    let place = Place::new();
    let file = place.write("ca.pem", ca.pem());
    let config = format!("console_url = {:?}\nbootstrap_ca = {file:?}\n", rogue.url());
    let host = Agent::new(&place.path().join("state"), &place.write("agent.toml", &config));
    let diagnosis = doctor(&host).run().expect(8).json();
    let (level, text) = check(&diagnosis, "clock");
    assert!(
        level == "fail" && text.contains("ahead of the Console's") && text.contains("timedatectl"),
        "{text}"
    );
    let (level, text) = check(&diagnosis, "console");
    assert!(level == "fail" && text.contains("not ready"), "{text}");
    assert_eq!(check(&diagnosis, "tls").0, "ok");
}
