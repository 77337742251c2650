//! Bad configuration: each mistake has its own message and exit status, all are told at once, and nothing is changed.

use std::os::unix::fs::PermissionsExt as _;

use telovix_contract::{ErrorCode, paths};
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::serving::closed_port;
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, Place, Run, wait};

const USAGE: i32 = 2;
const LOCAL_STATE: i32 = 8;

/// An agent that would enroll, if there were not the arguments that a test adds.
fn agent(place: &Place) -> Agent {
    agent_for(place, "1s")
}

/// The same, with so much time.
fn agent_for(place: &Place, time: &str) -> Agent {
    let ca = place.write("ca.pem", Ca::root("Console").pem());
    place.host("state").args(["enroll", "--timeout", time, "--bootstrap-ca", ca.to_str().unwrap()])
}

/// Insists on exit status 2, on these texts, and that nothing came into being.
#[track_caller]
fn refused(place: &Place, run: &Run, says: &[&str]) {
    run.expect(USAGE).says(says);
    assert!(!place.path().join("state").exists(), "a state directory was made: {}", run.report());
    assert!(!run.stderr.contains("panicked"), "{}", run.report());
    Secrets::new().token(&made_up_token(1)).assert_not_in("the output", run.output());
}

#[test]
fn a_value_that_cannot_be_one() {
    let long = "n".repeat(254);
    let tags = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let good = "https://127.0.0.1:1";
    let cases: &[(&[&str], &[&str])] = &[
        (&["--console-url", "http://127.0.0.1:1"], &["--console-url", "http://127.0.0.1:1", "use https://"]),
        (&["--console-url", "127.0.0.1:1"], &["--console-url", "does not start with https://"]),
        (&["--console-url", "https://"], &["--console-url", "https://"]),
        (&["--console-url", "https://h/prefix"], &["--console-url", "holds a path"]),
        (&["--console-url", "https://h:99999"], &["--console-url", "impossible port"]),
        (&["--console-url", good, "--node-role", "o-du"], &["--node-role", "node role", "'-'"]),
        (&["--console-url", good, "--node-name", &long], &["--node-name", "254 characters", "at most 253"]),
        (&["--console-url", good, "--node-name", "a b"], &["--node-name", "' '"]),
        (&["--console-url", good, "--node-name", ""], &["--node-name"]),
        (&["--console-url", good, "--cluster-name=a\u{202e}b"], &["--cluster-name", "invisible character"]),
        (&["--console-url", good, "--flavor", "vanilla"], &["--flavor", "standard or telecom"]),
        (&["--console-url", good, "--tags", &tags], &["--tags", "64"]),
        (&["--console-url", good, "--key-type", "dsa"], &["--key-type", "p256"]),
        (&["--console-url", good, "--timeout", "soon"], &["--timeout"]),
        (&["--console-url", good, "--timeout=-1s"], &["--timeout"]),
        (&["--console-url", good, "--ca-fingerprint", "sha256:12"], &["--ca-fingerprint", "64 hex digits"]),
        (&["--console-url", good, "--no-such-flag"], &["--no-such-flag"]),
        (&[], &["console_url", "--console-url"]),
    ];
    for (args, says) in cases {
        let place = Place::new();
        refused(&place, &agent(&place).args(*args).token(&made_up_token(1)).run(), says);
    }
}

#[test]
fn a_file_that_cannot_be_a_configuration() {
    let cases: &[(&str, &[&str])] = &[
        ("console_url = \"https://h\"\nnode_rle = \"amf\"\n", &["line 2", "node_rle", "node_role"]),
        ("console_url = \"http://h\"\n", &["line 1", "use https://"]),
        ("\n\nnode_role = 7\n", &["line 3"]),
        ("console_url = \"https://h\n", &["line 1"]),
        ("timeout = \"fast\"\n", &["line 1", "timeout"]),
        ("token = \"x\"\n", &["line 1", "token"]),
    ];
    for (text, says) in cases {
        let place = Place::new();
        let file = place.write("agent.toml", text);
        let run = agent(&place).config(&file).token(&made_up_token(1)).run();
        refused(&place, &run, says);
        run.says(&[file.to_str().unwrap()]);
    }
    let place = Place::new();
    let missing = place.path().join("missing.toml");
    refused(&place, &agent(&place).config(&missing).run(), &[missing.to_str().unwrap()]);
    refused(&place, &agent(&place).config(place.path()).run(), &[place.path().to_str().unwrap()]);
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let place = Place::new();
    let file = place.write("agent.toml", "node_role = \"O-DU\"\nsurprise = 1\n");
    std::fs::create_dir(place.path().join("agent.toml.d")).unwrap();
    let drop_in = place.write("agent.toml.d/10-site.toml", "flavor = \"vanilla\"\n");
    let run = agent(&place)
        .config(&file)
        .args(["--console-url", "http://h"])
        .env("TELOVIX_SENSOR_TAGS", "a".repeat(200))
        .token(&made_up_token(1))
        .run();
    let (file, drop_in) = (file.to_str().unwrap(), drop_in.to_str().unwrap());
    let says =
        [file, drop_in, "line 1", "line 2", "surprise", "flavor", "--console-url", "TELOVIX_SENSOR_TAGS"];
    refused(&place, &run, &says);
    assert!(run.stderr.lines().count() >= 5, "one mistake on a line: {}", run.report());
}

#[test]
fn layers_beat_each_other_in_their_order() {
    let place = Place::new();
    let file = place.write(
        "agent.toml",
        "console_url = \"https://main.invalid\"\nnode_role = \"main\"\nflavor = \"telecom\"\n",
    );
    std::fs::create_dir(place.path().join("agent.toml.d")).unwrap();
    let _ = place.write("agent.toml.d/10.toml", "node_role = \"ten\"\n");
    let _ = place.write("agent.toml.d/20.toml", "node_role = \"twenty\"\n");
    let _ = place.write("agent.toml.d/.hidden.toml", "rubbish");
    let ca = std::sync::Arc::new(Ca::root("Console"));
    // A refusal for good: each run asks once, however slow it is.
    let refusal = |_: &telovix_tests::rogue::Request| Script::problem(ErrorCode::InvalidEnrollmentToken);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), refusal);
    let trusted = place.write("trusted.pem", ca.pem());
    let ask = |extend: fn(Agent) -> Agent| {
        let agent = place.host("state").config(&file).env("TELOVIX_CONSOLE_URL", rogue.url());
        let args = ["enroll", "--bootstrap-ca", trusted.to_str().unwrap()];
        extend(agent.args(args)).token(&made_up_token(1)).run().expect(3);
        rogue.requests().last().unwrap().json()
    };
    let sent = ask(|agent| agent);
    assert_eq!((&sent["declared_role"], &sent["flavor"]), (&"twenty".into(), &"telecom".into()));
    let sent = ask(|agent| agent.env("TELOVIX_NODE_ROLE", "environment"));
    assert_eq!(sent["declared_role"], "environment");
    let sent = ask(|agent| agent.env("TELOVIX_NODE_ROLE", "environment").args(["--node-role", "flag"]));
    assert_eq!(sent["declared_role"], "flag");
    let sent = ask(|agent| agent.env("TELOVIX_NODE_ROLE", ""));
    assert_eq!(sent["declared_role"], "twenty", "an empty variable is an unset one");
}

#[test]
fn a_token_on_the_command_line_is_refused_and_not_repeated() {
    let token = made_up_token(1);
    for args in [
        vec![format!("--token={token}")],
        vec!["--token".to_owned(), token.clone()],
        vec!["--token-file".to_owned(), token.clone()],
        vec![format!("--token-file={token}")],
        vec![token.clone()],
        vec!["--node-name".to_owned(), token.clone()],
    ] {
        let place = Place::new();
        let run = agent(&place).args(["--console-url", "https://127.0.0.1:1"]).args(args).run();
        refused(&place, &run, &["token", "--token-stdin"]);
    }
    let place = Place::new();
    let file = place.write("agent.toml", &format!("token_file = \"{token}\"\n"));
    refused(&place, &agent(&place).config(&file).run(), &["name of a file"]);
}

#[test]
fn a_token_that_is_none() {
    let good = made_up_token(1);
    for (text, says) in [
        ("", "empty"),
        ("\n\n", "empty"),
        ("hello", "does not start with"),
        (&good[..30], "30 characters"),
        (&format!("{good}{good}"), "94 characters"),
        (&good.replace("tse_AQ", "tse_+/"), "URL-safe"),
    ] {
        let place = Place::new();
        let run = agent(&place).args(["--console-url", "https://127.0.0.1:1"]).token(text).run();
        refused(&place, &run, &["standard input", says]);
    }
    let place = Place::new();
    let missing = place.path().join("no-token");
    let run = agent(&place)
        .args(["--console-url", "https://127.0.0.1:1", "--token-file", missing.to_str().unwrap()])
        .run();
    refused(&place, &run, &[missing.to_str().unwrap()]);
}

#[test]
fn no_token_at_all() {
    let place = Place::new();
    let run = agent(&place).args(["--console-url", "https://127.0.0.1:1"]).run();
    run.expect(USAGE).says(&["no enrollment token was given", "--token-file", "--token-stdin"]);
}

#[test]
fn a_state_directory_that_is_not_ours_alone() {
    for mode in [0o770, 0o707, 0o777, 0o1777] {
        let place = Place::new();
        let state = place.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode)).unwrap();
        let before = Snapshot::of(&state, &[]);
        let run = agent(&place).args(["--console-url", "https://127.0.0.1:1"]).token(&made_up_token(1)).run();
        run.expect(LOCAL_STATE)
            .says(&["can be written by others", &format!("chmod 700 {}", state.display())]);
        before.assert_same(&Snapshot::of(&state, &[]), "a state directory with the wrong mode");
    }
}

#[test]
fn a_state_directory_that_cannot_be_one() {
    let place = Place::new();
    let file = place.write("state", "a file");
    let run = agent(&place).args(["--console-url", "https://127.0.0.1:1"]).token(&made_up_token(1)).run();
    run.expect(LOCAL_STATE).says(&[file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a file");

    let place = Place::new();
    let agent = Agent::new(std::path::Path::new("/proc/telovix"), &place.path().join("empty.toml"));
    let run = agent.args(["enroll", "--console-url", "https://127.0.0.1:1"]).token(&made_up_token(1)).run();
    run.expect(LOCAL_STATE).says(&["/proc/telovix"]);
}

#[test]
fn a_second_agent_at_work() {
    let place = Place::new();
    let ca = std::sync::Arc::new(Ca::root("Console"));
    let hangs = console::console(std::sync::Arc::clone(&ca), |_, _| Script::Hang);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), hangs);
    let enroll = place.enroll("state", &rogue.url(), ca.pem()).token(&made_up_token(1));
    let first = enroll.clone().args(["--timeout", "60s"]).spawn();
    let presented = || rogue.requests_to(paths::ENROLL).pop();
    wait::until(std::time::Duration::from_secs(20), "the first agent's request", presented);
    let connections = rogue.connections();
    let before = Snapshot::of(&place.path().join("state"), &[]);
    for args in [vec!["--timeout", "1s"], vec!["--timeout", "1s", "--new-sensor"]] {
        let run = enroll.clone().args(args).run();
        run.expect(LOCAL_STATE).says(&["another telovix-agent", &first.pid().to_string()]);
    }
    place.host("state").args(["reset", "--yes"]).run().expect(LOCAL_STATE).says(&["another telovix-agent"]);
    before.assert_same(&Snapshot::of(&place.path().join("state"), &[]), "the second agent changed something");
    assert_eq!((connections, rogue.connections()), (2, 2), "the second agent sent something");
    // Looking is free.
    let status = place.host("state").args(["status", "--output", "json"]).run();
    assert_eq!(status.expect(6).json()["state"], "enrolling");
    drop(first);
    // A lock ends with its process.
    enroll.args(["--timeout", "1s"]).run().expect(5);
}

#[test]
fn a_console_that_is_not_there() {
    let place = Place::new();
    let url = format!("https://{}", closed_port());
    let run = agent(&place).args(["--console-url", &url]).token(&made_up_token(1)).run();
    run.expect(5).says(&["cannot reach", "127.0.0.1", "refused", "  do: check console_url"]);
    // A question that got lost is asked again after five seconds.
    let run = agent_for(&place, "8s")
        .args(["--console-url", "https://no-such-host.invalid:1"])
        .token(&made_up_token(1))
        .run();
    run.expect(5).says(&["cannot reach no-such-host.invalid:1"]);
}
