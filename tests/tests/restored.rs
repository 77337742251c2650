//! A Console restored from a backup, and hosts that went on meanwhile (docs/contract.md section 4): real processes, a real copy.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::World;
use telovix_tests::daemon::Daemon;

/// What happened: `renewed` and `kept` enrolled, the copy was made, `renewed` renewed, `late` enrolled, `gone` was revoked. The
/// Console has ended, the copy stands in its place, and the trail that went on is beside it.
struct Restored {
    world: World,
    hosts: [Daemon; 4],
    trail: PathBuf,
}

const RENEWED: usize = 0;
const KEPT: usize = 1;
const GONE: usize = 2;
const LATE: usize = 3;

fn restored() -> Restored {
    let world = World::new();
    // Minutes pass in seconds on the hosts: what waits for an operator is asked about minutes apart.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let hosts = ["renewed", "kept", "gone", "late"].map(|name| {
        let mut host = Daemon::prepare(&world, name, "");
        host.set_env("TELOVIX_PACE", &format!("60@{now}"));
        host.run();
        host
    });
    for host in &hosts[..3] {
        host.enroll(&world.once().token);
    }
    let copy = world.folder().join("copy.db");
    world.stub(&["backup", copy.to_str().unwrap()], &[]).expect(0);
    let before = serial(&hosts[RENEWED]);
    hosts[RENEWED].ask("POST /renew?force=true").unwrap();
    hosts[RENEWED].until("a renewal", |status| status["serial"] != before && status["accepted"] == true);
    let late = hosts[LATE].enroll(&world.once().token);
    world.stub(&["sensor", "revoke", sensor(&hosts[GONE]).as_str()], &[]).expect(0);
    until_told(&hosts[GONE], "sensor_revoked");
    assert_eq!(late["state"], "active");
    let trail = world.stub(&["audit", "export"], &[]).expect(0).stdout.clone();
    let trail = world.write("trail.json", &trail);
    world.kill();
    let database = world.data_dir().join("console.db");
    for beside in ["console.db-wal", "console.db-shm"] {
        let _ = fs::remove_file(world.data_dir().join(beside));
    }
    fs::copy(copy, database).unwrap();
    Restored { world, hosts, trail }
}

fn serial(host: &Daemon) -> Value {
    host.status().unwrap()["serial"].clone()
}

fn sensor(host: &Daemon) -> String {
    host.status().unwrap()["sensor_id"].as_str().unwrap().to_owned()
}

fn until_told(host: &Daemon, code: &str) -> Value {
    host.until(code, |status| status["reason"].as_str().is_some_and(|reason| reason.contains(code)))
}

fn stays_active(host: &Daemon, serial: &Value) {
    let status = host.until("acceptance", |status| status["accepted"] == true && status["state"] == "active");
    assert_eq!(&status["serial"], serial);
}

#[test]
fn after_a_restore_hosts_come_back_by_themselves_or_by_an_approval_and_the_revoked_one_does_not() {
    let Restored { world, mut hosts, trail } = restored();
    let serials = hosts.each_ref().map(serial);
    let id = sensor(&hosts[LATE]);
    world.restart_serving(&["--after-restore", "--audit-export", trail.to_str().unwrap()]);
    let adopted = || {
        world
            .db()
            .one::<i64>("SELECT count(*) FROM audit WHERE action_type = 'sensor_certificate_adopted'", ())
    };
    telovix_tests::wait::until(std::time::Duration::from_secs(30), "the renewed one", || {
        (adopted() == 1).then_some(())
    });
    stays_active(&hosts[RENEWED], &serials[RENEWED]);
    stays_active(&hosts[KEPT], &serials[KEPT]);
    // It keeps its identity, and says what it waits for.
    let waits = until_told(&hosts[LATE], "sensor_approval_pending");
    assert_eq!((&waits["sensor_id"], &waits["serial"]), (&Value::from(id.as_str()), &serials[LATE]));
    assert_eq!(waits["waiting_for"], "console_operator");
    let list = world.stub(&["approval", "list"], &["--output", "json"]).expect(0).json();
    let row = list["data"].as_array().unwrap().iter().find(|row| row["record_id"] == id.as_str()).unwrap();
    world.stub(&["approval", "approve", row["id"].as_str().unwrap()], &[]).expect(0);
    stays_active(&hosts[LATE], &serials[LATE]);
    // Revoked after the copy: the trail knows.
    let revoked = "SELECT count(*) FROM sensors WHERE revoked_at IS NOT NULL AND node_name = 'gone'";
    assert_eq!(world.db().one::<i64>(revoked, ()), 1);
    hosts[GONE].end(Signal::SIGTERM);
    hosts[GONE].run();
    assert_eq!(until_told(&hosts[GONE], "sensor_revoked")["serial"], serials[GONE]);
    // Later runs need no flag, and with it nothing is done twice.
    let acts = || {
        world.db().one::<i64>("SELECT count(*) FROM audit WHERE action_type = 'console_act_reapplied'", ())
    };
    let before = acts();
    assert!(before >= 1 && world.log().contains("may be forgotten"), "{}", world.log());
    world.restart_serving(&["--after-restore", "--audit-export", trail.to_str().unwrap()]);
    assert_eq!(acts(), before);
    world.stub(&["audit", "verify"], &[]).expect(0);
    let shown = world.stub(&["settings", "after-restore"], &["--output", "json"]).expect(0).json();
    assert_eq!((&shown["on"], &shown["ended_at"]), (&Value::from(true), &Value::Null));
}

/// Without the switch, a host that renewed goes back to the certificate of the copy; who enrolled since is lost, keeps its files, and
/// is back as soon as an administrator has switched it on and approved.
#[test]
fn after_a_restore_without_the_switch_older_generations_serve_and_nothing_is_thrown_away() {
    let Restored { world, mut hosts, trail } = restored();
    let serials = hosts.each_ref().map(serial);
    world.restart();
    let back = hosts[RENEWED].until("the earlier generation", |status| {
        status["accepted"] == true && status["serial"] != serials[RENEWED]
    });
    assert_eq!(back["state"], "active");
    hosts[LATE].until_state("lost");
    // The copy does not know of it, and nobody said so. Revoked, it would ask within the hour; begun anew, it asks at once.
    hosts[GONE].end(Signal::SIGTERM);
    hosts[GONE].run();
    hosts[GONE].until_state("active");
    // Bad input changes nothing, and the line is named.
    let cut = fs::read_to_string(&trail).unwrap().replacen("sensor_revoked", "sensor_enabled", 1);
    let cut = world.write("forged.json", &cut);
    let args = ["--after-restore", "--listen", "127.0.0.1:0", "--audit-export", cut.to_str().unwrap()];
    world.kill();
    let refused = world.stub(&["serve"], &args);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains(": it does not fit its hash") && refused.stderr.contains("line "),
        "{}",
        refused.report()
    );
    assert_eq!(world.db().one::<i64>("SELECT count(*) FROM settings WHERE name = 'after_restore'", ()), 0);
    world.stub(&["settings", "set", "after_restore", "on"], &[]).expect(0);
    world.restart();
    until_told(&hosts[LATE], "sensor_approval_pending");
    let list = world.stub(&["approval", "list"], &["--output", "json"]).expect(0).json();
    world.stub(&["approval", "approve", list["data"][0]["id"].as_str().unwrap()], &[]).expect(0);
    stays_active(&hosts[LATE], &serials[LATE]);
    hosts[LATE].end(Signal::SIGTERM);
}
