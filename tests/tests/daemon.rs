//! The daemon on a real host: each way of losing a credential, made with real files against a real Console, and what it
//! comes to. Times are printed (`--nocapture`), never judged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::daemon::Daemon;
use telovix_tests::pki::Ca;
use telovix_tests::{Agent, World};

const PUBLISHED: [&str; 4] =
    ["client.key.pem", "client.cert.pem", "console-ca.cert.pem", "sensor-state.json"];

/// Damages what a daemon holds.
type Spoil = fn(&Daemon);

fn sensor(status: &Value) -> String {
    status["sensor_id"].as_str().expect("a sensor id").to_owned()
}

fn told(what: &str, since: Instant) {
    println!("{what}: {} ms", since.elapsed().as_millis());
}

#[test]
fn a_token_that_comes_later_is_used_at_once_and_its_file_goes() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let waiting = daemon.until_state("unenrolled");
    assert_eq!(waiting["waiting_for"], "host_operator");
    let begin = Instant::now();
    let status = daemon.enroll(&world.once().token);
    told("from token to accepted", begin);
    assert_eq!(status["last_error"], Value::Null);
    daemon.until_gone(&daemon.token_file());
    assert!(daemon.state_dir().join(".sensor-ready").exists());
    assert_eq!(world.db().sensors(), 1);
}

/// docs/contract.md section 3 (202): the daemon waits for an operator, says so, and comes in once it is let in.
#[test]
fn a_host_that_an_operator_has_to_approve_waits_and_then_comes_in() {
    let world = World::new();
    world.stub(&["settings", "set"], &["approval_mode", "all"]).expect(0);
    let mut daemon = Daemon::start(&world, "host", "");
    let token = world.once();
    daemon.give(&token.token);
    let waiting = daemon.until_state("awaiting_approval");
    assert_eq!(waiting["waiting_for"], "console_operator", "{waiting}");
    assert_ne!(waiting["last_error"]["next_attempt"], Value::Null, "{waiting}");
    let list = world.stub(&["approval", "list"], &["--output", "json"]).expect(0).json();
    let id = list["data"][0]["id"].as_str().expect("it is on the list").to_owned();
    world.stub(&["approval", "approve"], &[&id]).expect(0);
    // A new start asks at once; the waiting host would, when the Console's time is up.
    daemon.end(Signal::SIGTERM);
    daemon.run();
    daemon.until_state("active");
    assert_eq!((world.db().sensors(), world.db().token_status(&token.id)), (1, "used".to_owned()));
}

#[test]
fn deleted_names_are_linked_again_and_nothing_else_happens() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let begin = Instant::now();
    for name in PUBLISHED {
        fs::remove_file(daemon.state_dir().join(name)).unwrap();
    }
    daemon.until("the names to be mended", |_| {
        PUBLISHED.iter().all(|name| daemon.state_dir().join(name).exists())
    });
    told("from loss to mended", begin);
    assert_eq!(daemon.until_state("active")["serial"], before["serial"]);
}

/// Every way to spoil the files of the one generation there is; a re-enrollment token brings the same sensor back.
#[test]
fn spoilt_files_are_a_loss_that_a_re_enrollment_token_mends() {
    let spoils: [(&str, Spoil); 6] = [
        ("a missing key", |daemon| fs::remove_file(daemon.current("client.key.pem")).unwrap()),
        ("a truncated certificate", |daemon| truncate(daemon, "client.cert.pem")),
        ("an empty state file", |daemon| fs::write(daemon.current("sensor-state.json"), "").unwrap()),
        ("another key", |daemon| {
            fs::write(daemon.current("client.key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem())
                .unwrap();
        }),
        ("another CA", |daemon| {
            fs::write(daemon.current("console-ca.cert.pem"), Ca::root("Another").pem()).unwrap();
        }),
        ("a missing generation", |daemon| {
            fs::remove_dir_all(daemon.state_dir().join("generations")).unwrap();
        }),
    ];
    let world = World::new();
    for (number, (what, spoil)) in spoils.into_iter().enumerate() {
        let daemon = Daemon::start(&world, &format!("host-{number}"), "");
        let before = daemon.enroll(&world.once().token);
        let begin = Instant::now();
        spoil(&daemon);
        let lost = daemon.until(what, |status| status["state"] == "lost" || status["state"] == "unenrolled");
        told(&format!("{what}: noticed"), begin);
        assert_eq!(lost["waiting_for"], "host_operator", "{what}: {lost}");
        let id = sensor(&before);
        let token = world.token(&["--type", "once", "--sensor-id", &id]).token;
        let begin = Instant::now();
        let after = daemon.enroll(&token);
        told(&format!("{what}: from token to new identity"), begin);
        assert_eq!(sensor(&after), id, "{what}");
        assert_ne!(after["serial"], before["serial"], "{what}");
    }
    assert_eq!(world.db().sensors(), 6);
}

#[test]
fn a_torn_successor_falls_back_to_the_generation_before() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    daemon.ask("POST /renew?force=true").unwrap();
    daemon.until("the renewal", |status| status["generation"] == 2);
    truncate(&daemon, "client.cert.pem");
    let after = daemon.until("the generation before", |status| status["generation"] == 1);
    assert_eq!(after["serial"], before["serial"]);
}

#[test]
fn a_renewal_takes_a_new_key_and_keeps_the_sensor() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let key = fs::read_to_string(daemon.current("client.key.pem")).unwrap();
    let answer: Value = serde_json::from_str(&daemon.ask("POST /renew").unwrap()).unwrap();
    assert_eq!(answer["result"], "not_due");
    let answer: Value = serde_json::from_str(&daemon.ask("POST /renew?force=true").unwrap()).unwrap();
    assert_eq!(answer["result"], "renewed");
    let after = daemon.until_state("active");
    assert_eq!(sensor(&after), sensor(&before));
    assert_ne!(after["serial"], before["serial"]);
    assert_ne!(fs::read_to_string(daemon.current("client.key.pem")).unwrap(), key);
    assert_eq!(world.db().sensors(), 1);
}

#[test]
fn wrong_modes_are_mended_and_said() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    let key = daemon.current("client.key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    daemon.until("the note", |status| status["notes"].to_string().contains("renew --force"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
}

/// docs/contract.md section 3: the heartbeat answer can bring a renewal forward.
#[test]
fn a_renewal_that_the_console_asks_for_comes_within_its_window() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    daemon.end(Signal::SIGTERM);
    // Wide enough for a slow start: a window that is over spreads renewals over minutes.
    world.stub(&["sensor", "renew"], &[&sensor(&before), "--within", "15s"]).expect(0);
    daemon.run();
    let after = daemon.until("the renewal", |status| {
        status["generation"] == 2 && status["state"] == "active" && status["accepted"] == true
    });
    assert_eq!((sensor(&after), after["trust_state"].as_str()), (sensor(&before), Some("rotated")));
}

/// docs/contract.md section 7: the chart's init container deletes four names and writes the hash of a new token. That is a
/// lost credential with a new token: a re-enrollment token brings the sensor back, a plain one makes a clean enrollment.
#[test]
fn the_vendors_init_container_ends_in_a_clean_enrollment() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let again = wipe_and_start(&world, &mut daemon, &before, &["--sensor-id", &sensor(&before)]);
    assert_eq!(sensor(&again), sensor(&before));
    let clean = wipe_and_start(&world, &mut daemon, &again, &[]);
    assert_ne!(sensor(&clean), sensor(&before));
    assert_eq!(world.db().sensors(), 2);
}

/// Without that announcement, a plain token on an enrolled host is refused before it is used, and the identity stays.
#[test]
fn a_plain_token_on_an_enrolled_host_changes_nothing() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    let plain = world.once();
    daemon.give(&plain.token);
    let after =
        daemon.until("the refusal", |status| status["last_error"]["code"] == "sensor_binding_mismatch");
    assert_eq!((&after["state"], &after["serial"]), (&before["state"], &before["serial"]));
    assert_eq!(world.db().token_status(&plain.id), "pending");
    assert!(daemon.token_file().exists());
}

fn wipe_and_start(world: &World, daemon: &mut Daemon, before: &Value, kind: &[&str]) -> Value {
    daemon.end(Signal::SIGTERM);
    let token = world.token(&[&["--type", "once"], kind].concat()).token;
    for name in PUBLISHED {
        fs::remove_file(daemon.state_dir().join(name)).unwrap();
    }
    let hash = token.parse::<telovix_contract::EnrollmentToken>().unwrap().hash_as_given();
    fs::write(daemon.state_dir().join(".enrollment-token-hash"), format!("{hash}\n")).unwrap();
    daemon.give(&token);
    daemon.run();
    let after = daemon.until("a new certificate", |status| {
        status["serial"] != Value::Null && status["serial"] != before["serial"] && status["accepted"] == true
    });
    assert_eq!(
        fs::read_to_string(daemon.state_dir().join(".enrollment-token-hash")).unwrap(),
        format!("{hash}\n")
    );
    after
}

#[test]
fn a_cluster_token_brings_a_deleted_sensor_back_by_itself() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "cluster_name = \"c1\"");
    let token = world.token(&["--type", "cluster", "--cluster-id", "c1"]).token;
    let before = daemon.enroll(&token);
    world.stub(&["sensor", "delete"], &[&sensor(&before)]).expect(0);
    daemon.ask("POST /renew?force=true").unwrap();
    let after = daemon.until("another identity", |status| {
        status["serial"] != before["serial"] && status["accepted"] == true
    });
    assert!(daemon.token_file().exists(), "a cluster token is not used up");
    assert_ne!(sensor(&after), sensor(&before));
}

/// A changed role takes effect at once where the token can pay again, and the node keeps its record.
#[test]
fn a_changed_role_enrolls_the_same_node_again_with_its_cluster_token() {
    let world = World::new();
    let cluster = "cluster_name = \"c1\"";
    let daemon = Daemon::start(&world, "host", cluster);
    let before = daemon.enroll(&world.token(&["--type", "cluster", "--cluster-id", "c1"]).token);
    daemon.configure(&world, "host", &format!("{cluster}\nnode_role = \"amf\""));
    daemon.signal(Signal::SIGHUP);
    let after = daemon.until("the new role in force", |status| {
        status["node_role"] == "amf" && status["serial"] != before["serial"] && status["accepted"] == true
    });
    assert_eq!(sensor(&after), sensor(&before));
    assert_eq!(world.db().one::<String>("SELECT role FROM sensors", ()), "amf");
}

#[test]
fn a_one_time_token_does_not_bring_a_revoked_sensor_back_and_another_does() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let first = world.once().token;
    let before = daemon.enroll(&first);
    world.stub(&["sensor", "revoke"], &[&sensor(&before)]).expect(0);
    daemon.ask("POST /renew?force=true").unwrap();
    let refused = daemon.until_state("refused");
    assert_eq!(refused["last_error"]["code"], "sensor_revoked");
    assert_ne!(refused["last_error"]["next_attempt"], Value::Null, "it may be let in again: {refused}");
    assert!(!daemon.state_dir().join(".sensor-ready").exists());
    daemon.give(&first);
    daemon.ask("POST /renew").unwrap();
    assert_eq!(daemon.until_state("refused")["last_error"]["code"], "sensor_revoked");
    assert!(daemon.current("client.key.pem").exists(), "nothing is thrown away");
    // The same node gets a new record after an operator's approval, in every mode.
    let second = world.once().token;
    daemon.give(&second);
    daemon.ask("POST /renew").unwrap();
    daemon.until_state("awaiting_approval");
    let rows = world.stub(&["approval", "list"], &["--output", "json"]).expect(0).json();
    world.stub(&["approval", "approve"], &[rows["data"][0]["id"].as_str().unwrap()]).expect(0);
    // A new start asks at once.
    daemon.end(Signal::SIGTERM);
    daemon.run();
    let after = daemon.until("another sensor", |status| {
        status["accepted"] == true && status["sensor_id"] != before["sensor_id"]
    });
    assert_ne!(sensor(&after), sensor(&before));
    assert_eq!(world.db().one::<i64>("SELECT count(*) FROM sensors WHERE revoked_at IS NULL", ()), 1);
}

/// No token can be bound to a sensor that is gone, and so any will do.
#[test]
fn another_token_brings_a_host_back_whose_sensor_was_deleted() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    world.stub(&["sensor", "delete"], &[&sensor(&before)]).expect(0);
    daemon.ask("POST /renew?force=true").unwrap();
    let lost = daemon.until_state("lost");
    assert_eq!(lost["waiting_for"], "host_operator", "{lost}");
    let after = daemon.enroll(&world.once().token);
    assert_ne!(sensor(&after), sensor(&before));
    assert_eq!(world.db().sensors(), 1);
}

/// A copied state directory: the machine id in it is another's. The copied identity never speaks.
#[test]
fn a_clone_never_speaks_with_the_copied_identity() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    daemon.end(Signal::SIGTERM);
    let state = daemon.current("sensor-state.json");
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&state).unwrap()).unwrap();
    json["machine_id_sha256"] = Value::from("0".repeat(64));
    fs::write(&state, json.to_string()).unwrap();
    let seen = last_seen(&world, &sensor(&before));
    daemon.run();
    let lost = daemon.until("the clone to be noticed", |status| status["state"] != "starting");
    if telovix_agent::facts::machine_id::machine_id_sha256(std::path::Path::new("/")).is_none() {
        eprintln!("this host has no machine id, so a clone cannot be told");
        return;
    }
    assert_eq!(lost["state"], "lost", "{lost}");
    assert!(lost["reason"].as_str().unwrap().contains("another machine"), "{lost}");
    let after = daemon.enroll(&world.once().token);
    assert_ne!(sensor(&after), sensor(&before));
    assert_eq!(last_seen(&world, &sensor(&before)), seen, "the copied identity spoke");
}

#[test]
fn a_console_that_is_gone_takes_nothing_away() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    world.kill();
    daemon.ask("POST /renew?force=true").unwrap();
    let alone = daemon.until("the failure to show", |status| status["last_error"] != Value::Null);
    assert!(["active", "renewing"].contains(&alone["state"].as_str().unwrap()), "{alone}");
    assert!(daemon.state_dir().join(".sensor-ready").exists());
    world.restart();
    let after = daemon.until("the Console again", |status| {
        status["state"] == "active" && status["last_error"] == Value::Null
    });
    assert_eq!(sensor(&after), sensor(&before));
}

#[test]
fn a_bad_configuration_keeps_the_old_one_and_a_good_one_is_taken() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    fs::write(daemon.config_file(), "colour = \"blue\"\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    telovix_tests::wait::until(std::time::Duration::from_secs(20), "the complaint", || {
        daemon.log().contains("the old one stays").then_some(())
    });
    assert!(daemon.log().contains("colour"));
    daemon.until_state("active");
    daemon.configure(&world, "host", "node_role = \"amf\"");
    daemon.signal(Signal::SIGHUP);
    daemon.until("the changed role to be noticed", |status| {
        status["notes"]
            .as_array()
            .is_some_and(|notes| notes.iter().any(|n| n.as_str().unwrap_or("").contains("amf")))
    });
}

#[test]
fn decommission_is_told_and_the_node_comes_back() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    let before = daemon.enroll(&world.once().token);
    daemon.end(Signal::SIGTERM);
    for _ in 0..2 {
        let run = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["decommission"]).run();
        assert!(run.expect(0).stdout.contains("retired"), "{}", run.report());
    }
    assert!(!daemon.state_dir().join(".sensor-ready").exists());
    daemon.run();
    let after = daemon.until_state("active");
    assert_eq!((sensor(&after), &after["serial"]), (sensor(&before), &before["serial"]));
    // Beside a running daemon, it is the daemon that retires, and stays so.
    let run = Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["decommission"]).run();
    assert!(run.expect(0).stdout.contains("retired"), "{}", run.report());
    daemon.until_state("decommissioned");
}

fn last_seen(world: &World, sensor: &str) -> Option<i64> {
    world.db().one("SELECT last_seen_at FROM sensors WHERE id = ?1", [sensor])
}

fn truncate(daemon: &Daemon, name: &str) {
    let file = fs::OpenOptions::new().write(true).open(daemon.current(name)).unwrap();
    file.set_len(40).unwrap();
}
