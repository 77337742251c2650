//! Tests of the command line.

use clap::CommandFactory as _;
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "tse_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn read(arguments: &[&str]) -> Result<Cli, Usage> {
    parse(std::iter::once("telovix-agent").chain(arguments.iter().copied()).map(OsString::from))
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_of_enroll_is_taken_as_typed() {
    let cli = read(&[
        "enroll",
        "--console-url",
        "https://c:15483",
        "--token-file",
        "/t",
        "--token-stdin",
        "--bootstrap-ca=/ca.pem",
        "--ca-fingerprint",
        "sha256:x",
        "--node-name",
        "n 1",
        "--node-role",
        "O",
        "--cluster-name",
        "c",
        "--install-id",
        "i",
        "--tags",
        "a,b",
        "--flavor",
        "?",
        "--key-type",
        "p256",
        "--new-sensor",
        "--timeout",
        "1m",
        "--no-wait",
        "--danger-accept-unverified-console",
    ])
    .unwrap();
    for (key, typed) in [("node_name", "n 1"), ("token_file", "/t"), ("flavor", "?"), ("tags", "a,b")] {
        assert_eq!(cli.flag(key), Some(OsStr::new(typed)), "config judges values, not clap");
    }
    assert_eq!(cli.flag("danger_accept_unverified_console"), Some(OsStr::new("true")));
    assert_eq!(cli.flag("log_level"), None);
    let Command::Enroll(args) = cli.command else { panic!("not enroll") };
    assert!(args.token.token_stdin && args.new_sensor && args.no_wait);
}

#[test]
fn global_flags_stand_before_and_after_the_command() {
    let before = read(&["--state-dir", "/s", "status", "--output", "json", "--ready"]).unwrap();
    let after = read(&["status", "--state-dir", "/s"]).unwrap();
    assert_eq!(before.flag("state_dir"), Some(OsStr::new("/s")));
    assert_eq!(after.flag("state_dir"), before.flag("state_dir"));
    assert_eq!(after.flag("danger_accept_unverified_console"), None);
    let Command::Status(status) = before.command else { panic!("not status") };
    assert_eq!((status.output, status.probe()), (Output::Json, Some(Probe::Ready)));
    assert!(read(&["status", "--ready", "--live"]).is_err());
}

#[test]
fn the_commands_of_the_daemon_are_read() {
    let command = |arguments: &[&str]| read(arguments).unwrap().command;
    assert!(matches!(command(&["renew", "--force"]), Command::Renew(RenewArgs { force: true })));
    assert!(matches!(
        command(&["doctor", "--output", "json"]),
        Command::Doctor(DoctorArgs { output: Output::Json })
    ));
    assert!(matches!(command(&["completions", "zsh"]), Command::Completions(_)));
    assert!(matches!(command(&["man"]), Command::Man(ManArgs { command }) if command.is_empty()));
    assert!(matches!(command(&["--state-dir", "/s", "--decommission"]), Command::Decommission(_)));
    assert!(matches!(
        command(&["decommission", "--purge"]),
        Command::Decommission(DecommissionArgs { purge: true })
    ));
    assert!(read(&["completions"]).is_err() && read(&["completions", "tcsh"]).is_err());
    assert!(read(&["status", "--decommission"]).is_err());
    let named = read(&["renew", "--control-socket", "/x.sock"]).unwrap();
    assert_eq!(named.flag("control_socket"), Some(OsStr::new("/x.sock")));
}

#[test]
fn nothing_at_all_means_run_only_where_nobody_is_there_to_read_help() {
    let words = |words: &[&str], unattended| or_run(words.iter().map(OsString::from).collect(), unattended);
    assert_eq!(words(&["agent"], true), ["agent", "run"]);
    assert_eq!(words(&["agent"], false), ["agent"]);
    assert_eq!(words(&["agent", "status"], true), ["agent", "status"]);
}

#[test]
fn a_token_on_the_command_line_is_refused_and_never_echoed() {
    let attached = format!("--node-name={TOKEN}");
    let hidden = format!("--frobnicate=x{TOKEN}y");
    let cases: [&[&str]; 9] = [
        &["enroll", "--token", TOKEN],
        &["enroll", "--token", "hunter2-secret"],
        &["enroll", "--token=hunter2-secret"],
        &["enroll", "--enrollment-token", "hunter2-secret"],
        &["enroll", TOKEN],
        &["enroll", "tse_short"],
        &["enroll", "--token-file", TOKEN],
        &["token", "inspect", &attached],
        &[&hidden],
    ];
    for case in cases {
        let error = read(case).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Usage::Secret), "{case:?}");
        assert!(!text.contains("hunter2") && !text.contains("AAAA") && !text.contains("tse_short"), "{text}");
        assert!(text.contains("--token-file") && text.contains("--token-stdin"), "{text}");
    }
}

#[test]
fn mistakes_go_to_standard_error_and_help_does_not() {
    for (arguments, to_stderr) in [
        (&["enroll", "--nonsense"][..], true),
        (&[], true),
        (&["token"], true),
        (&["--help"], false),
        (&["enroll", "-h"], false),
        (&["--version"], false),
    ] {
        match read(arguments) {
            Err(Usage::Clap(error)) => assert_eq!(error.use_stderr(), to_stderr, "{arguments:?}"),
            other => panic!("{arguments:?}: {other:?}"),
        }
    }
}

#[test]
fn help_names_the_exit_status_and_the_environment() {
    let help = Cli::command().render_long_help().to_string();
    for word in ["Exit status", "TELOVIX_ENROLLMENT_TOKEN_FILE", "not trusted", "HTTPS_PROXY", "agent.toml.d"]
    {
        assert!(help.contains(word), "{word} is missing from\n{help}");
    }
    for row in crate::config::keys::ROWS {
        assert!(help.contains(row.variable) && help.contains(&row.help()), "{row:?} is missing from\n{help}");
    }
    assert!(Cli::command().render_help().to_string().contains("Exit status"));
}

#[test]
fn redaction_takes_tokens_out_and_leaves_the_rest() {
    assert_eq!(redact_tokens(&format!("a {TOKEN}, b")), "a tse_<redacted>, b");
    assert_eq!(redact_tokens(&format!("{TOKEN} {TOKEN}=")), "tse_<redacted> tse_<redacted>");
    assert_eq!(redact_tokens("role tse_x, file /tse_"), "role tse_x, file /tse_");
    // What does not show in a terminal does not hide it.
    for hidden in ["\0", "\u{200b}", "\u{202e}", "\x1b", "\u{feff}"] {
        for at in [1, 4, 9, 20] {
            let text = format!("a {}{hidden}{}!", &TOKEN[..at], &TOKEN[at..]);
            assert_eq!(redact_tokens(&text), "a tse_<redacted>!", "{}", text.escape_unicode());
            assert!(matches!(parse(["telovix-agent".into(), text.into()]), Err(Usage::Secret)));
        }
    }
}

proptest! {
    #[test]
    fn redacted_text_holds_no_token(text in "(\\PC{0,9}(tse_)?[A-Za-z0-9_=-]{0,20}){0,4}") {
        // What is left in place of a token looks like none.
        prop_assert!(!looks_like_token(&redact_tokens(&text)), "{}", redact_tokens(&text));
    }

    #[test]
    fn no_command_line_panics(arguments in proptest::collection::vec("\\PC{0,12}|--[a-z-]{1,12}", 0..6)) {
        let _ = parse(arguments.into_iter().map(OsString::from));
    }
}

#[test]
fn an_owner_is_two_numbers() {
    let owner = |text: &str| match read(&["prepare", "--owner", text]) {
        Ok(Cli { command: Command::Prepare(PrepareArgs { owner }), .. }) => Some(owner),
        Ok(_) | Err(_) => None,
    };
    assert_eq!(owner("65532:1000"), Some((65532, 1000)));
    for wrong in ["65532", "telovix:telovix", "1:", ":1", "-1:1", "4294967296:1", "1:2:3", ""] {
        assert_eq!(owner(wrong), None, "{wrong:?}");
    }
    assert!(read(&["prepare"]).is_err(), "there is no owner by default");
}
