//! Tests of the token's sources: their order, their absence, and that no text holds the token.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::tests::Bench;

fn token(n: u8) -> String {
    EnrollmentToken::from_bytes(&[n; 32]).expose().to_owned()
}

fn resolve(bench: &Bench, stdin: &str) -> Result<Option<FoundToken>, TokenError> {
    bench.load().unwrap().token.resolve(&mut stdin.as_bytes())
}

fn found(bench: &Bench, stdin: &str) -> (u8, String) {
    let found = resolve(bench, stdin).unwrap().unwrap();
    let n = (0..=9).find(|n| token(*n) == found.token.expose()).unwrap();
    let here = format!("{}/", bench.directory.path().display());
    (n, found.source.to_string().replace(&here, ""))
}

/// All sources at once, the number of each in its token.
fn all() -> Bench {
    let bench = Bench::new()
        .file("flag", format!("  {}\r\n", token(2)))
        .file("env", token(3))
        .file("credentials/telovix.enrollment-token", token(4))
        .file("configured", token(6))
        .file("dropped-in", token(7))
        .file("agent.toml", "token_file = 'dropped-in'")
        .file("agent.toml.d/1.toml", "token_file = '../configured'");
    let (env, credentials) = (bench.path("env"), bench.path("credentials"));
    bench
        .env("TELOVIX_ENROLLMENT_TOKEN_FILE", env.display().to_string())
        .env("CREDENTIALS_DIRECTORY", credentials.display().to_string())
        .env("TELOVIX_ENROLLMENT_TOKEN", format!("{}\n", token(5)))
}

#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
fn remove(bench: &Bench, name: &str) {
    std::fs::remove_file(bench.path(name)).unwrap();
}

#[test]
fn the_first_source_found_wins() {
    let flag = all();
    let path = flag.path("flag").display().to_string();
    let flag = flag.args(&["--token-file", &path]);
    assert_eq!(found(&flag, ""), (2, "token file flag (flag --token-file)".into()));
    let stdin = flag.args(&["--token-stdin"]);
    assert_eq!(found(&stdin, &format!("{}\n", token(1))), (1, "standard input".into()));

    let rest = all();
    assert_eq!(found(&rest, "").1, "token file env (environment TELOVIX_ENROLLMENT_TOKEN_FILE)");
    remove(&rest, "env");
    assert_eq!(found(&rest, ""), (4, "systemd credential credentials/telovix.enrollment-token".into()));
    remove(&rest, "credentials/telovix.enrollment-token");
    assert_eq!(found(&rest, ""), (5, "environment TELOVIX_ENROLLMENT_TOKEN".into()));
}

#[test]
fn a_drop_in_replaces_the_token_file_of_the_main_file() {
    let bench = Bench::new()
        .file("one", token(1))
        .file("agent.toml", "\ntoken_file = 'nowhere'")
        .file("agent.toml.d/1.toml", "\ntoken_file = '../one'");
    let sources = bench.load().unwrap().token;
    assert_eq!(sources.iter().count(), 1);
    let found = sources.resolve(&mut std::io::empty()).unwrap().unwrap();
    assert_eq!(found.source.file(), Some(bench.path("agent.toml.d/../one").as_path()));
}

#[test]
fn a_file_that_is_gone_was_used_up_unless_a_flag_names_it() {
    let bench = Bench::new()
        .file("agent.toml", "token_file = '/gone/configured'")
        .env("TELOVIX_ENROLLMENT_TOKEN_FILE", "/gone/env")
        .env("CREDENTIALS_DIRECTORY", "/gone");
    assert_eq!(resolve(&bench, "").unwrap(), None);
    let why = bench.load().unwrap().token.why_none();
    for part in
        ["/gone/env (environment", "/gone/telovix.enrollment-token", "/gone/configured (", "--token-file"]
    {
        assert!(why.contains(part), "{why}");
    }
    let nothing = Bench::new().load().unwrap().token;
    assert_eq!(nothing.resolve(&mut std::io::empty()).unwrap(), None);
    assert!(nothing.why_none().starts_with("no enrollment token was given; make a token in the Console"));

    let error = resolve(&bench.args(&["--token-file", "/gone/flag"]), "").unwrap_err().to_string();
    let expected =
        "cannot read the enrollment token from token file /gone/flag (flag --token-file): No such file";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_source_without_a_token_is_named_and_never_quoted() {
    let long = format!("{}{}", token(1), token(1));
    for (content, reason) in [
        ("", "the token is empty"),
        (" \n", "the token is empty"),
        ("hunter2-hunter2", "does not start with `tse_`"),
        (long.as_str(), "has 94 characters instead of 47"),
        (&"x".repeat(5000), "more than 4 KiB"),
    ] {
        let bench = Bench::new().args(&["--token-stdin"]);
        let error = resolve(&bench, content).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(reason) && text.contains("standard input"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("AQEB"), "{text}");
    }
    let bench = Bench::new().file("t", b"tse_\xff").file("agent.toml", "token_file = 't'");
    assert!(matches!(resolve(&bench, ""), Err(TokenError::Invalid { cause: InvalidToken::Alphabet, .. })));
    let bench = Bench::new().file("t/x", "").file("agent.toml", "token_file = 't'");
    assert!(
        matches!(resolve(&bench, ""), Err(TokenError::Unreadable { .. })),
        "a directory is no token file"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
fn a_file_that_everyone_can_read_is_worth_a_warning() {
    let bench = Bench::new().file("t", token(1)).file("agent.toml", "token_file = 't'");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(bench.path("t"), std::fs::Permissions::from_mode(mode)).unwrap();
        let found = resolve(&bench, "").unwrap().unwrap();
        assert_eq!(found.warnings.len(), warnings, "{mode:o}: {:?}", found.warnings);
    }
}

#[test]
fn inspecting_a_token_uses_the_same_sources() {
    let bench = Bench::new().command(&["token", "inspect", "--token-stdin"]);
    assert_eq!(found(&bench, &token(8)), (8, "standard input".into()));
    assert_eq!(all().command(&["status"]).load().unwrap().token.iter().count(), 4);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
fn a_token_is_still_there_while_its_file_holds_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("token");
    let found = FoundToken {
        token: token(1).parse().unwrap(),
        source: TokenSource::File { path: path.clone(), origin: Origin::Flag("--token-file") },
        warnings: Vec::new(),
    };
    for (content, there) in [
        (Some(format!("{}\n", token(1))), true),
        (Some(token(2)), false),
        (Some("unreadable".to_owned()), false),
        (None, false),
    ] {
        match &content {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        assert_eq!(found.is_still_there(), there, "{content:?}");
    }
}

#[test]
fn what_stands_around_a_token_does_not_matter() {
    let bench = Bench::new().args(&["--token-stdin"]);
    for (before, after) in [("\u{feff}", "\r\n"), ("", "\u{a0}\n"), ("\u{200b}", ""), (" \n", "\u{feff}")] {
        assert_eq!(found(&bench, &format!("{before}{}{after}", token(1))).0, 1, "{before:?} {after:?}");
    }
}

#[test]
fn a_blank_credential_is_none() {
    let bench = Bench::new()
        .file("credentials/telovix.enrollment-token", "\n")
        .file("configured", token(6))
        .file("agent.toml", "token_file = 'configured'");
    let credentials = bench.path("credentials").display().to_string();
    let bench = bench.env("CREDENTIALS_DIRECTORY", credentials);
    assert_eq!(found(&bench, "").0, 6);
    remove(&bench, "configured");
    assert_eq!(resolve(&bench, "").unwrap(), None);
}
