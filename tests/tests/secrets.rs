//! Nothing secret in argv, logs at trace level, audit, database or error texts: all of it is searched for the token and
//! for the private key, in every spelling, after enrollments that went well and ones that did not.

use std::sync::Arc;

use telovix_contract::{ErrorCode, paths};
use telovix_tests::pki::{Ca, Flaw};
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::{Place, World, wait};

#[test]
fn a_whole_world_at_trace_level_holds_no_token_and_no_key() {
    let world = World::new();
    world.restart_logging("trace");
    let tokens = [world.once(), world.once(), world.token(&["--type", "cluster", "--cluster-id", "prod"])];
    let mut secrets = tokens.iter().fold(Secrets::new(), |secrets, token| secrets.token(&token.token));
    let mut said = String::new();

    for format in ["text", "json"] {
        let agent = world.enroll(format).global(&["--log-level", "trace", "--log-format", format]);
        let token = if format == "text" { &tokens[0] } else { &tokens[2] };
        let agent = if format == "text" { agent } else { agent.args(["--cluster-name", "prod"]) };
        let agent = agent.token(&token.token);
        let run = agent.run();
        run.expect(0);
        assert!(
            run.stderr.contains("DEBUG") || run.stderr.contains("TRACE"),
            "no log to search: {}",
            run.report()
        );
        secrets = secrets.key(&agent.key_pem());
        said += &run.output();
        // Again, which changes nothing; with a token that is used; and with the status in both forms.
        said += &agent.run().output();
        for output in ["human", "json"] {
            said += &agent.clone_for(&["status", "--output", output]).run().output();
        }
        secrets.clone().assert_not_below(&agent.state_dir().join("sensor-state.json"));
    }
    let thief = world.enroll("thief").global(&["--log-level", "trace"]).token(&tokens[0].token).run();
    thief.expect(3);
    said += &thief.output();
    for list in [&["token", "list"][..], &["sensor", "list"], &["audit", "list"]] {
        for output in ["human", "json"] {
            said += &world.stub(list, &["--output", output]).output();
        }
    }
    assert!(world.log().lines().count() > 3, "the stub logged nothing to search: {}", world.log());
    secrets.assert_not_in("what was printed", said);
    secrets.assert_not_in("the stub's log", world.log());
    // The database with its journal, the CA file, the log, everything.
    secrets.assert_not_below(&world.data_dir());
    for host in ["text", "json", "thief"] {
        let tokens_alone = tokens.iter().fold(Secrets::new(), |secrets, token| secrets.token(&token.token));
        tokens_alone.assert_not_below(&world.folder().join(host));
    }
}

#[test]
fn refusals_and_bad_answers_repeat_no_secret() {
    let answers: Vec<Script> = ErrorCode::ALL.iter().map(|code| Script::problem(*code)).collect();
    let ca = Arc::new(Ca::root("Console"));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let count = answers.len() + Flaw::ALL.len();
    let enroll = move |request: &telovix_tests::rogue::Request, ca: &Ca| {
        let at = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % count;
        match answers.get(at) {
            Some(script) => script.clone(),
            None => Script::json(201, &ca.enrolled(&request.csr_pem(), Some(Flaw::ALL[at - answers.len()]))),
        }
    };
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll));
    let place = Place::new();
    for number in 0..count {
        let name = format!("host-{number}");
        let agent = place.enroll(&name, &rogue.url(), ca.pem()).global(&["--log-level", "trace"]);
        let agent = agent.args(["--timeout", "1s"]).token(&made_up_token(1));
        let run = agent.run();
        assert!(matches!(run.code, Some(1 | 3 | 5)), "{}", run.report());
        let key = std::fs::read_to_string(agent.state_dir().join("pending/client.key.pem")).unwrap();
        Secrets::new().token(&made_up_token(1)).key(&key).assert_not_in(&name, run.output());
        Secrets::new().token(&made_up_token(1)).assert_not_below(agent.state_dir());
    }
}

#[test]
fn a_console_that_echoes_the_token_does_not_get_it_into_our_output() {
    let ca = Arc::new(Ca::root("Console"));
    let rogue = Rogue::https(
        ca.server(&["127.0.0.1"]),
        console::console(Arc::clone(&ca), |request, _| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Script::json(403, &serde_json::json!({"error": "no", "message": body}))
        }),
    );
    let place = Place::new();
    let agent = place.enroll("host", &rogue.url(), ca.pem()).global(&["--log-level", "trace"]);
    let run = agent.token(&made_up_token(1)).run();
    run.expect(3);
    Secrets::new().token(&made_up_token(1)).assert_not_in("the output", run.output());
}

#[test]
fn argv_and_environment_of_a_running_agent_hold_no_token() {
    let ca = Arc::new(Ca::root("Console"));
    let hangs = console::console(Arc::clone(&ca), |_, _| Script::Hang);
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), hangs);
    let place = Place::new();
    let running = place.enroll("host", &rogue.url(), ca.pem()).token(&made_up_token(1)).spawn();
    wait::until(std::time::Duration::from_secs(20), "the request", || rogue.requests_to(paths::ENROLL).pop());
    let secrets = Secrets::new().token(&made_up_token(1));
    for file in ["cmdline", "comm", "status"] {
        let path = format!("/proc/{}/{file}", running.pid());
        secrets.assert_not_in(&path, std::fs::read(&path).unwrap());
    }
    // Other processes of the same user cannot read its memory either (root can read everything).
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(
        core.split_whitespace().nth(4),
        Some("0"),
        "a crash would write the key into a core dump: {core}"
    );
}
