//! State directories that somebody else has had in hand: another sensor, a newer agent, a disk that refuses, an init
//! container, a user with pipes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, Run, World};

const LOCAL_STATE: i32 = 8;
const NAMES: [&str; 4] = ["client.key.pem", "client.cert.pem", "console-ca.cert.pem", "policy-signing.pub"];
/// Far more than a command takes that does not wait.
const LIMIT: Duration = Duration::from_secs(20);

/// Insists that a command has printed each of these texts, wherever.
#[track_caller]
fn printed(run: &Run, texts: &[&str]) {
    for text in texts {
        assert!(run.output().contains(text), "no {text:?} in {}", run.report());
    }
}

/// A host that is enrolled.
fn enrolled(world: &World, name: &str) -> Agent {
    let host = world.enroll(name).token(&world.once().token);
    host.run().expect(0);
    host
}

/// Another host, whose state directory has the identity of one as files under the published names.
fn with_files_of(world: &World, of: &Agent, name: &str) -> Agent {
    let host = world.enroll(name);
    fs::create_dir(host.state_dir()).unwrap();
    fs::set_permissions(host.state_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    for file in NAMES {
        fs::write(host.state_dir().join(file), of.read(file)).unwrap();
    }
    host
}

#[test]
fn files_of_the_vendors_sensor_are_taken_over() {
    let world = World::new();
    let theirs = enrolled(&world, "host");
    let ours = with_files_of(&world, &theirs, "host-2");
    printed(&ours.clone_for(&["status"]).run(), &["the agent adopts it when it runs"]);
    printed(ours.run().expect(0), &["already enrolled", "which was adopted", "kept-aside/000001"]);
    assert_eq!((world.db().sensors(), world.db().certificates()), (1, 1), "it enrolled");
    assert_eq!(ours.key_pem(), theirs.key_pem());
    assert_eq!(ours.read("kept-aside/000001/client.key.pem"), theirs.key_pem());
    assert!(ours.state_dir().join("client.key.pem").is_symlink() && ours.has(".sensor-ready"));
}

#[test]
fn files_that_are_no_identity_are_named_and_kept() {
    let world = World::new();
    let theirs = enrolled(&world, "host");
    let ours = with_files_of(&world, &theirs, "host-2");
    fs::write(ours.state_dir().join("client.cert.pem"), "no certificate").unwrap();
    printed(&ours.clone_for(&["status"]).run(), &["client.key.pem", "are no identity"]);
    let ours = ours.token(&world.once().token);
    printed(ours.run().expect(0), &["are kept in", "kept-aside/000001"]);
    assert_eq!(ours.read("kept-aside/000001/client.key.pem"), theirs.key_pem());
    assert_eq!(ours.read("kept-aside/000001/client.cert.pem"), "no certificate");
    assert_ne!(ours.key_pem(), theirs.key_pem());
}

/// What another sensor leaves: a state of its own, and no policy key.
#[test]
fn files_of_another_program_are_taken_over_with_a_state_that_is_not_ours() {
    let world = World::new();
    let theirs = enrolled(&world, "host");
    let ours = with_files_of(&world, &theirs, "host-2");
    let at = |name: &str| ours.state_dir().join(name);
    fs::remove_file(at("policy-signing.pub")).unwrap();
    let state: Value = serde_json::from_str(&theirs.read("sensor-state.json")).unwrap();
    let beside = json!({"schema": "vendor/3", "sensor_id": state["sensor_id"]}).to_string();
    fs::write(at("sensor-state.json"), &beside).unwrap();
    printed(ours.run().expect(0), &["already enrolled", "which was adopted", "kept-aside/000001"]);
    assert_eq!(ours.read("kept-aside/000001/sensor-state.json"), beside);
    assert_eq!(world.db().sensors(), 1);
}

#[test]
fn a_place_that_cannot_hold_an_identity_costs_no_token() {
    if !std::process::Command::new("strace").arg("-V").output().is_ok_and(|run| run.status.success()) {
        eprintln!("this host has no strace; nothing to test");
        return;
    }
    let world = World::new();
    let made = world.once();
    let gid = nix::unistd::getgid().to_string();
    for (calls, says) in [
        ("symlink,symlinkat:error=EPERM", "has no symbolic links"),
        ("fchown,fchownat:error=EPERM", "cannot change the owner or group of"),
    ] {
        let host = world.enroll("host").token(&made.token).env("TELOVIX_PUBLISH_GROUP", &gid);
        let words = ["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={calls}")].map(String::from);
        host.args(["--timeout", "2s"]).run_under_strace(&words).expect(LOCAL_STATE).says(&[says]);
        assert_eq!(world.db().token_status(&made.id), "pending", "{calls}");
    }
    let host = world.enroll("host").token(&made.token).args(["--timeout", "2s"]);
    host.run_by_way_of("prlimit", &["--fsize=4096"]).expect(LOCAL_STATE).says(&["LimitFSIZE"]);
    assert_eq!(world.db().token_status(&made.id), "pending");
    world.enroll("host").token(&made.token).run().expect(0);
}

/// A key that a token was presented with is needed for as long as somebody may go on with it, and no longer.
#[test]
fn an_enrollment_that_nobody_goes_on_with_is_dropped_after_a_month() {
    let world = World::new();
    let host = enrolled(&world, "host");
    world.stub(&["settings", "set"], &["approval_mode", "all"]).expect(0);
    let begun = world.enroll("begun").token(&world.once().token);
    begun.args(["--no-wait"]).run().expect(4);
    fs::rename(world.host("begun").state_dir().join("pending"), host.state_dir().join("pending")).unwrap();
    let request = host.state_dir().join("pending/request.json");
    let age = |days: u64| {
        let at = std::time::SystemTime::now() - Duration::from_secs(days * 86_400);
        fs::File::options().write(true).open(&request).unwrap().set_modified(at).unwrap();
    };
    age(29);
    host.run().expect(0);
    assert!(request.exists(), "the token may be given again");
    age(31);
    host.run().expect(0);
    assert!(!request.parent().unwrap().exists(), "the key lies about");
}

#[test]
fn an_older_agent_leaves_a_newer_state_alone() {
    let world = World::new();
    let host = enrolled(&world, "host");
    let file = host.state_dir().join("generations/000001/sensor-state.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    newer["version"] = json!(99);
    newer["written_by"] = json!("7.2.0");
    fs::write(&file, newer.to_string()).unwrap();
    let before = Snapshot::of(host.state_dir(), &[]);
    for command in ["status", "enroll", "run"] {
        let run = host.clone_for(&[command]).env("TELOVIX_CONSOLE_URL", world.url()).limit(LIMIT).run();
        run.expect(LOCAL_STATE).says(&["install telovix-agent 7.2.0 again"]);
    }
    before.assert_same(&Snapshot::of(host.state_dir(), &[]), "an older agent");
    fs::write(&file, text).unwrap();
    printed(host.run().expect(0), &["already enrolled"]);
}

#[test]
fn a_disk_that_cannot_be_mended_is_used_as_it_is() {
    let world = World::new();
    let host = enrolled(&world, "host");
    fs::set_permissions(
        host.state_dir().join("generations/000001/client.key.pem"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    for missing in ["client.cert.pem", "current", ".enrollment-token-hash", ".sensor-ready"] {
        fs::remove_file(host.state_dir().join(missing)).unwrap();
    }
    let run = world.enroll("host").env("TELOVIX_FAULT", "EROFS:1+").run();
    printed(run.expect(0), &["already enrolled", "mode 0640 instead of 0600", "remount that file system"]);
    printed(&run, &["the link `current` was missing; generation 1 is used: cannot"]);
    assert!(!run.output().contains("went back to"), "nothing was mended: {}", run.report());
    // And what was broken is mended once that can be.
    host.run().expect(0);
    assert!(host.has("client.cert.pem") && host.has(".enrollment-token-hash") && host.has(".sensor-ready"));
}

/// `kubectl create secret --from-file` keeps the newline at the end of a file, and the chart's init container hashes that.
#[test]
fn a_hash_that_ends_in_a_newline_announces_the_token_too() {
    let world = World::new();
    let host = enrolled(&world, "host");
    let next = world.once().token;
    for name in ["client.key.pem", "client.cert.pem", "console-ca.cert.pem", "sensor-state.json"] {
        fs::remove_file(host.state_dir().join(name)).unwrap();
    }
    let announced = format!("{}\n", hex(&Sha256::digest(format!("{next}\n").as_bytes())));
    fs::write(host.state_dir().join(".enrollment-token-hash"), &announced).unwrap();
    world.enroll("host").token(&next).run().expect(0);
    assert_eq!(world.db().sensors(), 2, "a clean enrollment");
    assert_eq!(host.read(".enrollment-token-hash"), announced, "the init container compares it again");
}

#[test]
fn pipes_in_place_of_files_never_hang() {
    let world = World::new();
    let host = enrolled(&world, "host");
    let pipe = |path: &Path| mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
    let token = world.folder().join("token-pipe");
    pipe(&token);
    let ask = |what: &str, command: &[&str], expect: i32| {
        let run = host.clone_for(command).env("TELOVIX_ENROLLMENT_TOKEN_FILE", &token).limit(LIMIT).run();
        assert_eq!(run.code, Some(expect), "{what}: {}", run.report());
    };
    ask("token file", &["status"], 0);
    let doctor = host.clone_for(&["doctor"]).env("TELOVIX_ENROLLMENT_TOKEN_FILE", &token).limit(LIMIT).run();
    printed(&doctor, &["regular file"]);
    let state = host.state_dir().join("generations/000001/sensor-state.json");
    fs::remove_file(&state).unwrap();
    pipe(&state);
    ask("state", &["status"], 6);
    fs::remove_file(host.state_dir().join(".lock")).unwrap();
    pipe(&host.state_dir().join(".lock"));
    let enroll = world.enroll("host").limit(LIMIT).run();
    enroll.expect(LOCAL_STATE).says(&[".lock is not a file"]);
}
