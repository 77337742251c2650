//! The daemon on a disk that fails for a time: it keeps its identity, says what is wrong, and goes on by itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::daemon::Daemon;
use telovix_tests::proof::{is_accepted, telling};
use telovix_tests::strace::{Attached, Strike, Trace, watch};
use telovix_tests::{Agent, World, wait};

const ERRORS: [(&str, &str); 3] = [
    ("ENOSPC", "No space left on device"),
    ("EIO", "Input/output error"),
    ("EROFS", "Read-only file system"),
];
/// What fails on a disk that takes nothing any more.
const WRITES: &[&str] =
    &["openat", "write", "fsync", "rename", "symlink", "unlink", "unlinkat", "rmdir", "mkdir"];
/// Longest that it may take until an agent has gone on by itself: its waits grow to five minutes after many failures,
/// and here are few.
const BY_ITSELF: Duration = Duration::from_secs(60);

pub(crate) fn all(every: usize) {
    let world = World::new();
    world.stub(&["settings", "set"], &["heartbeat_seconds", "5"]).expect(0);
    the_mark_of_acceptance_is_made_up_for(&world);
    a_first_enrollment_waits_for_the_disk(&world);
    renewals(&world, every);
}

fn renewals(world: &World, every: usize) {
    let daemon = Daemon::start(world, "renews", "");
    daemon.enroll(&world.once().token);
    renewed(&daemon);
    let trace = world.folder().join("trace");
    let strace = Attached::to(daemon.pid(), &watch("all", &trace));
    renewed(&daemon);
    drop(strace);
    let counts = Trace::read(&trace).counts();
    let mut cases = 0;
    for (n, (error, cause)) in ERRORS.iter().enumerate() {
        for call in WRITES.iter().filter(|call| counts.contains_key(**call)) {
            let begin = (call.len() + n) % every;
            for at in (1 + begin..).step_by(every) {
                let before = generation(&daemon.status().expect("it answers"));
                let strike = Strike::fail_onwards(call, at, error);
                let strace = Attached::to(daemon.pid(), &strike.words_on(&trace, &places(&daemon, before)));
                let answer = ask(&daemon);
                let failing = Trace::read(&trace);
                let failed = failing.failed();
                if failed.is_empty() {
                    drop(strace);
                    break;
                }
                cases += 1;
                telling(&format!("{error} at {failed}: {answer}\n{}", daemon.log()), || {
                    // To sweep up old generations can wait.
                    let old = |path: &String| path.contains("/state/generations/0");
                    let is_swept_later =
                        answer["result"] == "renewed" && failing.failed_paths().iter().all(old);
                    if !is_swept_later {
                        fails_well(&answer, &failing.failed_paths(), cause);
                    }
                    is_ready(&daemon);
                    // The heartbeat that proves the successor ends its predecessor's life at the Console: where only the
                    // rename of the link is refused, there is nothing that the disk could have said before.
                    if !failed.contains("/state/current\")") {
                        is_accepted(world, &daemon.state_dir());
                    }
                    drop(strace);
                    // The one that was asked for, whether before the disk failed, or after.
                    goes_on(&daemon, before);
                    is_accepted(world, &daemon.state_dir());
                    renewed(&daemon);
                });
            }
        }
    }
    println!("daemon: {cases} renewals on a disk that failed, from one call on");
    assert!(cases * every > if every == 1 { 160 } else { 60 }, "only {cases} cases");
    assert_eq!(world.db().sensors(), 3, "a renewal makes no sensor");
}

/// `.sensor-ready` could not be written when the Console accepted the identity, and nothing happens to the files after
/// that.
fn the_mark_of_acceptance_is_made_up_for(world: &World) {
    let daemon = Daemon::start(world, "marked", "");
    let ready = daemon.state_dir().join(".sensor-ready");
    let places = [ready.clone(), daemon.state_dir().join(".sensor-ready.new")];
    let strike = Strike::fail_onwards("openat", 1, "ENOSPC");
    let strace = Attached::to(daemon.pid(), &strike.words_on(&world.folder().join("trace"), &places));
    let contact = daemon.enroll(&world.once().token)["last_contact"].clone();
    daemon.until("the next heartbeat", |status| status["last_contact"] != contact);
    assert!(!ready.exists());
    drop(strace);
    let begin = Instant::now();
    telling(&daemon.log(), || wait::until(BY_ITSELF, ".sensor-ready", || ready.exists().then_some(())));
    println!(".sensor-ready was made up for after {} s", begin.elapsed().as_secs());
}

/// The token is in place, and the disk takes nothing.
fn a_first_enrollment_waits_for_the_disk(world: &World) {
    let daemon = Daemon::start(world, "waits", "");
    let token = world.once();
    let strike = Strike::fail_onwards(&WRITES.join(","), 1, "EROFS");
    let trace = world.folder().join("trace");
    let strace = Attached::to(daemon.pid(), &strike.words_on(&trace, &places(&daemon, 0)));
    daemon.give(&token.token);
    let status = daemon.until("an error", |status| status["last_error"]["code"] == "state_io_error");
    let error = &status["last_error"];
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.contains("Read-only file system") && message.contains("remount"), "{message}");
    assert_eq!(status["waiting_for"], "host_operator", "{status}");
    assert_eq!(
        world.db().token_status(&token.id),
        "pending",
        "the token stays here as long as its key is not safe"
    );
    drop(strace);
    let begin = Instant::now();
    daemon.until_state("active");
    println!("a first enrollment went on by itself after {} ms", begin.elapsed().as_millis());
    assert_eq!(world.db().token_status(&token.id), "used");
}

/// Asks for a renewal, and gives the answer.
pub(crate) fn ask(daemon: &Daemon) -> Value {
    let answer = daemon.ask("POST /renew?force=true").expect("the agent answers");
    serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}\n{}", daemon.log()))
}

/// A renewal with nothing in its way.
pub(crate) fn renewed(daemon: &Daemon) {
    let answer = ask(daemon);
    assert_eq!(answer["result"], "renewed", "{answer}\n{}", daemon.log());
}

/// The answer names the file, the cause and what to do.
pub(crate) fn fails_well(answer: &Value, places: &[String], cause: &str) {
    assert_eq!(answer["result"], "renew_failed", "{answer}");
    assert_eq!(answer["code"], "state_io_error", "{answer}");
    let words = format!("{} {}", answer["message"], answer["action"]);
    let named = places.iter().any(|place| words.contains(place.as_str())) && words.contains(cause);
    let helps = ["make room", "remount", "kernel's log"].iter().any(|help| words.contains(help));
    assert!(named && helps, "{words}, where {places:?} failed");
}

/// What `status --ready` says.
pub(crate) fn is_ready(daemon: &Daemon) {
    Agent::new(&daemon.state_dir(), &daemon.config_file()).args(["status", "--ready"]).run().expect(0);
}

/// Waits until another generation is in force and nothing is wrong any more, without being asked.
pub(crate) fn goes_on(daemon: &Daemon, before: u64) {
    wait::until(BY_ITSELF, "the renewal to come by itself", || {
        let status = daemon.status()?;
        let done =
            generation(&status) > before && status["state"] == "active" && status["last_error"].is_null();
        done.then_some(())
    });
}

pub(crate) fn generation(status: &Value) -> u64 {
    status["generation"].as_u64().unwrap_or_default()
}

/// Every path of a state directory that a renewal can come to.
fn places(daemon: &Daemon, generation: u64) -> Vec<PathBuf> {
    let state = daemon.state_dir();
    let files = [
        "client.key.pem",
        "client.cert.pem",
        "console-ca.cert.pem",
        "policy-signing.pub",
        "sensor-state.json",
    ];
    let mut folders = vec!["generations/.new".to_owned()];
    folders.extend((generation.saturating_sub(3)..generation + 5).map(|n| format!("generations/{n:06}")));
    for errand in ["pending", "renewal"] {
        folders.extend([errand.to_owned(), format!(".{errand}.new")]);
    }
    let mut places = vec![state.clone(), state.join("generations")];
    for folder in folders {
        let folder = state.join(folder);
        places.extend(files.iter().chain(&["request.json"]).map(|file| folder.join(file)));
        places.push(folder);
    }
    for name in files.iter().chain(&["current", ".enrollment-token-hash", ".sensor-ready"]) {
        places.push(state.join(format!(".{}.new", name.trim_start_matches('.'))));
    }
    places.extend([".enrollment-token-hash", ".sensor-ready", "current"].map(|name| state.join(name)));
    places
}

/// Ends a daemon as systemd does.
pub(crate) fn stop(daemon: &mut Daemon) {
    let _ = daemon.end(Signal::SIGTERM);
}
