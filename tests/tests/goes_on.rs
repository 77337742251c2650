//! A host that holds an identity goes on whatever becomes of its configuration and of what it enrolled with
//! (docs/contract.md section 2), and a daemon waits for what may be right a moment later.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::Value;
use telovix_tests::daemon::Daemon;
use telovix_tests::{Agent, World, wait};

const LIMIT: Duration = Duration::from_secs(30);

fn agent(daemon: &Daemon, words: &[&str]) -> Agent {
    Agent::new(&daemon.state_dir(), &daemon.config_file()).args(words)
}

fn notes(status: &Value, text: &str) -> bool {
    status["notes"].to_string().contains(text)
}

fn problem<'a>(status: &'a Value, code: &str) -> Option<&'a str> {
    (status["last_error"]["code"] == code).then(|| status["last_error"]["message"].as_str().unwrap())
}

/// A host that is enrolled, and whose daemon does not run.
fn enrolled(world: &World) -> (Daemon, Value) {
    let mut daemon = Daemon::start(world, "host", "");
    let status = daemon.enroll(&world.once().token);
    daemon.end(Signal::SIGTERM);
    (daemon, status)
}

#[test]
fn what_was_needed_at_first_contact_is_gone_and_the_identity_renews() {
    let world = World::new();
    let (mut daemon, before) = enrolled(&world);
    let gone = world.folder().join("gone.pem");
    daemon.configure_trusting(&gone, &world, "host", "");
    fs::write(daemon.token_file(), "").unwrap();
    agent(&daemon, &["enroll"]).run().expect(0).says(&["holds no enrollment token"]);
    daemon.run();
    let status = daemon.until_state("active");
    assert_eq!(status["serial"], before["serial"]);
    assert!(notes(&status, "needed only to enroll") && notes(&status, "gone.pem"), "{status}");
    let token = problem(&status, "token_unusable").unwrap_or_else(|| panic!("{status}"));
    assert!(token.contains(daemon.token_file().to_str().unwrap()), "{token}");
    assert!(daemon.ask("POST /renew?force=true").unwrap().contains("\"renewed\""), "{}", daemon.log());
    // Another change of the configuration is taken, too.
    daemon.configure_trusting(&gone, &world, "host", "tags = [\"x\"]");
    wait::until(LIMIT, "the reload", || daemon.log().contains("was read again").then_some(()));
    fs::write(daemon.token_file(), "changeme").unwrap();
    daemon.until("the other token", |status| problem(status, "token_unusable").is_some());
    fs::remove_file(daemon.token_file()).unwrap();
    daemon.until("no token", |status| status["last_error"] == Value::Null);
    agent(&daemon, &["status", "--ready"]).run().expect(0);
}

#[test]
fn a_token_that_is_none_is_named_by_status_with_and_without_an_agent() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world, "host", "");
    fs::write(daemon.token_file(), "changeme").unwrap();
    let told = |status: &Value| {
        let message = problem(status, "token_unusable").unwrap_or_else(|| panic!("{status}"));
        assert!(message.contains(daemon.token_file().to_str().unwrap()), "{message}");
        assert!(status["reason"].as_str().unwrap().contains("its token cannot be used"), "{status}");
    };
    told(&agent(&daemon, &["status", "--output", "json"]).run().expect(6).json());
    daemon.run();
    let status = daemon.until_state("unenrolled");
    let message = problem(&status, "token_unusable").unwrap_or_else(|| panic!("{status}"));
    assert!(message.contains("token"), "{message}");
    daemon.enroll(&world.once().token);
}

#[test]
fn a_mistake_in_the_file_does_not_keep_an_identity_from_being_kept() {
    let world = World::new();
    let (mut daemon, before) = enrolled(&world);
    let good = fs::read_to_string(daemon.config_file()).unwrap();
    fs::write(daemon.config_file(), format!("{good}colour = \"blue\"\n")).unwrap();
    agent(&daemon, &["enroll"]).run().expect(2).says(&["colour"]);
    daemon.run();
    let status = daemon.until_state("active");
    assert_eq!(status["serial"], before["serial"]);
    assert!(problem(&status, "configuration").is_some_and(|text| text.contains("colour")), "{status}");
    assert_eq!(status["node_name"], "host");
    // Whoever asks is answered by the daemon, and told of the mistake.
    agent(&daemon, &["status"]).run().expect(0);
    agent(&daemon, &["status", "--ready"]).run().expect(0);
    agent(&daemon, &["renew", "--force"]).run().expect(0);
    let said = agent(&daemon, &["doctor"]).run();
    assert!(
        said.expect(2).stdout.contains("colour") && said.stdout.contains("it runs: active"),
        "{}",
        said.report()
    );
    // A token that comes meanwhile waits for the configuration, for what it says is not known.
    fs::write(daemon.config_file(), good).unwrap();
    daemon.until("the configuration", |status| {
        status["last_error"] == Value::Null && status["state"] == "active" && status["accepted"] == true
    });
    assert!(daemon.log().contains("beginning anew"), "{}", daemon.log());
    let status = daemon.until_state("active");
    assert!(status["confinement"].is_string(), "{status}");
}

/// A file system that is mounted late, or a configuration that is being replaced.
#[test]
fn a_configuration_that_cannot_be_read_for_a_moment_is_waited_for() {
    let world = World::new();
    let (mut daemon, before) = enrolled(&world);
    let away = world.folder().join("away.toml");
    fs::rename(daemon.config_file(), &away).unwrap();
    let path = |name: PathBuf| name.to_str().unwrap().to_owned();
    daemon.set_env("TELOVIX_STATE_DIR", &path(daemon.state_dir()));
    daemon.set_env("TELOVIX_CONTROL_SOCKET", &path(world.folder().join("host/control.sock")));
    daemon.run();
    let status = daemon.until_state("active");
    assert_eq!(status["serial"], before["serial"], "the Console is the one that issued the identity");
    assert!(
        problem(&status, "configuration").is_some_and(|text| text.contains("cannot be read")),
        "{status}"
    );
    fs::rename(&away, daemon.config_file()).unwrap();
    daemon.until("the configuration", |status| {
        status["last_error"] == Value::Null && status["accepted"] == true
    });
    daemon.end(Signal::SIGTERM);

    // Without an identity, too.
    agent(&daemon, &["reset", "--yes"]).run().expect(0);
    fs::rename(daemon.config_file(), &away).unwrap();
    let (file, log) = (daemon.config_file(), world.folder().join("host/agent.log"));
    let mended = std::thread::spawn(move || {
        wait::until(LIMIT, "the wait", || {
            fs::read_to_string(&log).unwrap().contains("waiting for the configuration").then_some(())
        });
        fs::rename(away, file).unwrap();
    });
    daemon.run();
    mended.join().unwrap();
    daemon.enroll(&world.once().token);
}

/// `enroll` may wait for an operator's approval with the state directory in its hands.
#[test]
fn a_daemon_waits_for_the_state_directory_and_says_so() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world, "host", "");
    fs::create_dir(daemon.state_dir()).unwrap();
    fs::set_permissions(daemon.state_dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let lock = fs::File::create(daemon.state_dir().join(".lock")).unwrap();
    let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
    daemon.run();
    let status = daemon.until_state("starting");
    assert!(problem(&status, "state_dir_locked").is_some(), "{status}");
    agent(&daemon, &["status", "--live"]).run().expect(0);
    agent(&daemon, &["status", "--ready"]).run().expect(6).says(&["waiting for the state directory"]);
    drop(held);
    daemon.enroll(&world.once().token);
    // Another daemon is no command: it is not waited for.
    let mut second = Daemon::prepare(&world, "host", "");
    second.run_under_strace(&[
        "-f".into(),
        "-e".into(),
        "trace=none".into(),
        "-o".into(),
        "/dev/null".into(),
    ]);
    let ended = wait::until(LIMIT, "the second daemon's end", || second.ended());
    assert_eq!(ended.code(), Some(8), "{}", second.log());
}

#[test]
fn no_probe_says_yes_where_the_agent_that_kept_the_identity_does_not_answer() {
    let world = World::new();
    let mut daemon = Daemon::prepare(&world, "host", "");
    daemon.give(&world.once().token);
    let said = agent(&daemon, &["enroll"]).run();
    for text in
        ["enrolled: this host is sensor ", "host (generic_linux)", "client.key.pem", "systemctl enable --now"]
    {
        assert!(said.expect(0).stdout.contains(text), "no {text:?}: {}", said.report());
    }
    assert!(said.stdout.contains("valid until") && said.stdout.contains(" days)"), "{}", said.report());
    // Nobody ever started an agent here: the probes speak of the identity alone, `status` of both.
    agent(&daemon, &["status", "--ready"]).run().expect(0);
    agent(&daemon, &["status", "--live"]).run().expect(0);
    let human = agent(&daemon, &["status"]).run();
    assert!(
        human.expect(0).stdout.contains("not running: nothing renews this identity"),
        "{}",
        human.report()
    );

    daemon.run();
    daemon.until_state("active");
    agent(&daemon, &["status", "--ready"]).run().expect(0);
    let json = agent(&daemon, &["status", "--output", "json"]).run().expect(0).json();
    assert_eq!((&json["agent_running"], &json["version"]), (&true.into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(json["as_of"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{json}");
    for end in [Signal::SIGKILL, Signal::SIGTERM] {
        daemon.end(end);
        agent(&daemon, &["status", "--ready"]).run().expect(6).says(&["nothing renews this identity"]);
        agent(&daemon, &["status", "--live"]).run().expect(8).says(&["no agent answers"]);
        let json = agent(&daemon, &["status", "--output", "json"]).run().expect(0).json();
        assert_eq!((&json["agent_running"], &json["waiting_for"]), (&false.into(), &"host_operator".into()));
        assert!(json["reason"].as_str().unwrap().starts_with("no agent answers"), "{json}");
        let diagnosis = agent(&daemon, &["doctor"]).run();
        let last = diagnosis.expect(9).stdout.lines().last().unwrap().to_owned();
        assert!(last.starts_with("verdict: it works, with ") && last.ends_with("warnings"), "{last}");
        daemon.run();
        daemon.until_state("active");
    }
    let diagnosis = agent(&daemon, &["doctor"]).run();
    assert_eq!(
        diagnosis.expect(0).stdout.lines().last(),
        Some("verdict: it works"),
        "{}",
        diagnosis.report()
    );
    // One that hangs is none.
    daemon.signal(Signal::SIGSTOP);
    agent(&daemon, &["status", "--ready"]).run().expect(6).says(&["did not answer"]);
    let human = agent(&daemon, &["status"]).run();
    assert!(
        human.stdout.contains("unknown: ") && !human.stdout.contains("not running"),
        "{}",
        human.report()
    );
    daemon.signal(Signal::SIGCONT);
}

/// What was read is not what is in force.
#[test]
fn a_setting_that_takes_a_restart_is_said_for_as_long_as_it_waits() {
    let world = World::new();
    let daemon = Daemon::start(&world, "host", "");
    let other = "health_listen = \"127.0.0.1:0\"";
    for more in [other, "health_listen = \"127.0.0.1:0\"\ntags = [\"a\"]"] {
        daemon.configure(&world, "host", more);
        daemon.until("the note", |status| notes(status, "restart the agent for the new health_listen"));
    }
    daemon.configure(&world, "host", "tags = [\"b\"]");
    daemon.until("the end of the note", |status| !notes(status, "restart the agent"));
}

/// A name service, or a host's own name, that comes late.
#[test]
fn a_user_that_nobody_knows_yet_stops_no_identity() {
    let world = World::new();
    let (mut daemon, before) = enrolled(&world);
    daemon.configure(&world, "host", "publish_owner = \"no-such-user-here\"");
    daemon.run();
    let status = daemon.until_state("active");
    assert_eq!(status["serial"], before["serial"]);
    assert!(
        problem(&status, "configuration")
            .is_some_and(|text| text.contains("publish_owner") || text.contains("no user")),
        "{status}"
    );
    daemon.configure(&world, "host", "");
    daemon.until("the configuration", |status| {
        status["last_error"] == Value::Null && status["accepted"] == true
    });
}
