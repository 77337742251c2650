//! What people and service managers are shown of a daemon: each change once, with the reason, who has to act and when the
//! next attempt is.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::daemon::Daemon;
use telovix_tests::{Agent, World, wait};

const LIMIT: Duration = Duration::from_secs(30);

/// A service manager that remembers what it hears.
struct Manager {
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn of(daemon: &mut Daemon, world: &World) -> Self {
        let path = world.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        daemon.set_env("NOTIFY_SOCKET", path.to_str().unwrap());
        daemon.set_env("WATCHDOG_USEC", "200000");
        // Reads all the time, as a manager does: few messages wait in a socket's queue.
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                ear.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        });
        Self { heard }
    }

    /// Waits for a message in which all of this stands.
    fn until(&self, texts: &[&str]) -> String {
        wait::until(LIMIT, &format!("{texts:?}"), || {
            let heard = self.heard.lock().unwrap();
            heard.iter().find(|message| texts.iter().all(|text| message.contains(text))).cloned()
        })
    }
}

fn count(daemon: &Daemon, texts: &[&str]) -> usize {
    daemon.log().lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
}

fn ask(daemon: &Daemon, words: &[&str]) -> telovix_tests::run::Run {
    Agent::new(&daemon.state_dir(), &daemon.config_file()).args(words).run()
}

#[test]
fn the_service_manager_hears_of_every_change_with_who_has_to_act_and_the_next_attempt() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world, "host", "");
    let manager = Manager::of(&mut daemon, &world);
    daemon.run();
    manager.until(&["READY=1", "STATUS="]);
    manager.until(&["STATUS=unenrolled (waits for the operator of this host): this host has no identity"]);
    manager.until(&["WATCHDOG=1"]);
    daemon.enroll(&world.once().token);
    manager.until(&["STATUS=active: the Console accepts the identity"]);
    // A failure that leaves the state as it is is a change too.
    world.kill();
    daemon.ask("POST /renew?force=true").unwrap();
    manager.until(&["STATUS=renewing (next attempt 2", "cannot reach"]);
    world.restart();
    manager.until(&["STATUS=active: the Console accepts"]);
    daemon.signal(Signal::SIGHUP);
    manager.until(&["RELOADING=1\nMONOTONIC_USEC="]);
    daemon.end(Signal::SIGTERM);
    manager.until(&["STOPPING=1"]);
}

#[test]
fn a_failure_is_one_line_in_the_log_when_it_comes_and_one_when_it_goes() {
    let world = World::new();
    let mut daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    world.kill();
    // Started again without a Console: heartbeats fail in a row, each a second or two after the other.
    daemon.end(Signal::SIGTERM);
    daemon.run();
    let failing = |status: &Value| status["last_error"]["code"] == "console_unreachable";
    let first = daemon.until("a failure", failing);
    let next = |status: &Value| status["last_error"]["next_attempt"].as_str().unwrap_or_default().to_owned();
    for _ in 0..2 {
        let before = next(&first);
        daemon.until("another attempt", |status| failing(status) && next(status) != before);
    }
    assert_eq!(count(&daemon, &["WARN", "console_unreachable", "waiting_for=\"agent\"", "next_attempt="]), 1);
    world.restart();
    daemon.until("the Console", |status| status["state"] == "active" && status["last_error"] == Value::Null);
    assert_eq!(count(&daemon, &["INFO", "the trouble is over"]), 1);
    fs::remove_file(daemon.current("client.key.pem")).unwrap();
    daemon.until_state("lost");
    let lost = [
        "WARN",
        "state changed",
        "to=\"lost\"",
        "client.key.pem",
        "waiting_for=\"host_operator\"",
        "action=",
    ];
    assert_eq!(count(&daemon, &lost), 1, "{}", daemon.log());
}

#[test]
fn people_are_told_why_who_has_to_act_and_when_it_goes_on() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "health_listen = \"127.0.0.1:0\"");
    let run = ask(&daemon, &["status"]);
    for line in [
        "reason       this host has no identity and no token",
        "waiting for  the operator of this host",
        "action       create a token in the Console",
    ] {
        assert!(run.expect(6).stdout.contains(line), "{}", run.report());
    }
    assert!(!run.stdout.contains("next attempt"), "{}", run.report());
    daemon.enroll(&world.once().token);
    world.kill();
    daemon.ask("POST /renew?force=true").unwrap();
    daemon.until("the failure", |status| status["last_error"] != Value::Null);
    let run = ask(&daemon, &["status"]);
    assert!(run.expect(0).stdout.contains("next attempt 2"), "{}", run.report());
    assert!(!run.stdout.contains("waiting for"), "the agent goes on by itself: {}", run.report());
    let metrics = daemon.ask("GET /metrics").unwrap();
    for sample in [
        "telovix_agent_waiting_for{actor=\"agent\"} 1",
        "telovix_agent_problem{code=\"console_unreachable\"} 1",
        "telovix_agent_next_attempt_timestamp_seconds ",
    ] {
        assert!(metrics.contains(sample), "no {sample} in:\n{metrics}");
    }
}

/// Not only at the next heartbeat: a Console may have none.
#[test]
fn a_hook_that_fails_shows_at_once_and_so_does_its_success() {
    let world = World::new();
    let works = world.folder().join("works");
    let script = format!("test -e {} || {{ echo no luck; exit 3; }}", works.display());
    let more = format!("hook_command = [\"/bin/sh\", \"-c\", {script:?}]");
    let mut daemon = Daemon::start(&world, "host", &more);
    daemon.enroll(&world.once().token);
    let noted = |status: &Value| status["notes"].to_string().contains("a consumer was not told");
    let status = daemon.until("the note", noted);
    assert!(status["notes"].to_string().contains("no luck"), "{status}");
    fs::write(&works, "").unwrap();
    daemon.end(Signal::SIGTERM);
    daemon.run();
    daemon.until("the next try", |status| status["state"] == "active" && !noted(status));
}

#[test]
fn a_configuration_that_is_not_taken_is_said_for_as_long_as_it_stands_there() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    daemon.enroll(&world.once().token);
    let good = fs::read_to_string(daemon.config_file()).unwrap();
    fs::write(daemon.config_file(), format!("{good}colour = \"blue\"\n")).unwrap();
    let noted = |status: &Value| status["notes"].to_string().contains("the old one stays");
    let status = daemon.until("the note", noted);
    assert!(status["notes"].to_string().contains("colour"), "{status}");
    // Another state directory takes a restart; until then the one in force is watched as before.
    let elsewhere = world.folder().join("elsewhere");
    fs::write(
        daemon.config_file(),
        good.replace(&format!("{:?}", daemon.state_dir()), &format!("{elsewhere:?}")),
    )
    .unwrap();
    daemon.until("the end of the note", |status| !noted(status));
    fs::remove_file(daemon.state_dir().join("client.cert.pem")).unwrap();
    wait::until(LIMIT, "the link to be mended", || {
        daemon.state_dir().join("client.cert.pem").exists().then_some(())
    });
    assert!(!elsewhere.exists());
}

#[test]
fn json_logs_are_one_object_a_line_with_the_values_as_fields() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "log_format = \"json\"");
    daemon.enroll(&world.once().token);
    let log = daemon.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let changes: Vec<_> = lines.iter().filter(|line| line["message"] == "state changed").collect();
    let last = changes.last().expect("there were some");
    assert_eq!(
        (&last["to"], &last["waiting_for"], &last["level"]),
        (&"active".into(), &"agent".into(), &"INFO".into())
    );
}
