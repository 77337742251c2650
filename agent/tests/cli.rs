//! The real binary on a host that has no Console: what it prints, and how it exits.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is a report")]

use assert_cmd::Command;
use tempfile::TempDir;

fn agent(dir: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("telovix-agent")
        .unwrap()
        .env_clear()
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_host_that_never_enrolled_says_so_and_what_to_do() {
    let dir = TempDir::new().unwrap();
    let (code, out, _) = agent(&dir, &["status"]);
    assert_eq!(code, 6);
    assert!(out.contains("unenrolled") && out.contains("telovix-agent enroll"), "{out}");
    let (code, out, _) = agent(&dir, &["status", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["state"].as_str(), json["sensor_id"].as_str()), (6, Some("unenrolled"), None));
    assert_eq!(agent(&dir, &["status", "--ready"]).0, 6);
    assert_eq!(agent(&dir, &["status", "--live"]).0, 0);
    assert!(!dir.path().join("state").exists(), "looking made something");
}

#[test]
fn enroll_without_a_console_or_a_token_says_what_is_missing() {
    let dir = TempDir::new().unwrap();
    let (code, _, err) = agent(&dir, &["enroll"]);
    assert!(code == 2 && err.contains("--console-url"), "{code} {err}");
    let (code, _, err) = agent(&dir, &["enroll", "--console-url", "https://127.0.0.1:1"]);
    assert!(
        code == 2 && err.contains("--token-file") && err.contains("no identity and no token"),
        "{code} {err}"
    );
}

#[test]
fn reset_wants_to_be_sure() {
    let dir = TempDir::new().unwrap();
    let (code, _, err) = agent(&dir, &["reset"]);
    assert!(code == 2 && err.contains("--yes"), "{code} {err}");
    let (code, out, _) = agent(&dir, &["reset", "--yes"]);
    assert!(code == 0 && out.contains("nothing to remove"), "{code} {out}");
}

/// Behind a disk that fails, or a folder that this user cannot enter, there may well be a key.
#[test]
fn what_cannot_be_looked_at_is_neither_removed_nor_retired() {
    let dir = TempDir::new().unwrap();
    std::os::unix::fs::symlink("state", dir.path().join("state")).unwrap();
    for command in [&["reset", "--yes"][..], &["decommission", "--purge"]] {
        let (code, out, err) = agent(&dir, command);
        assert!(code == 8 && out.is_empty() && err.contains("Too many levels"), "{code} {out} {err}");
    }
}

#[test]
fn an_unreachable_console_ends_with_its_own_status_in_time() {
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    let text = telovix_contract::EnrollmentToken::from_bytes(&[3; 32]);
    write(&token, text.expose());
    let (code, out, err) = agent(
        &dir,
        &[
            "enroll",
            "--console-url",
            "https://127.0.0.1:1",
            "--ca-fingerprint",
            &format!("sha256:{}", "0".repeat(64)),
            "--node-name",
            "edge-1",
            "--timeout",
            "1s",
            "--token-file",
            token.to_str().unwrap(),
        ],
    );
    assert_eq!(code, 5, "{out}{err}");
    assert!(err.contains("cannot reach 127.0.0.1:1") && err.contains("  do: "), "{err}");
    assert!(!err.contains(&text.expose()[4..]), "{err}");
    assert!(token.exists(), "a token that nobody used was deleted");
}

#[test]
fn the_command_line_describes_itself() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, out, _) = agent(&dir, &["completions", shell]);
        assert!(code == 0 && out.contains("decommission"), "{shell}: {code} {out}");
    }
    let (code, out, _) = agent(&dir, &["man"]);
    assert!(code == 0 && out.contains(".TH") && out.contains("telovix\\-agent"), "{code} {out}");
    let (code, out, _) = agent(&dir, &["man", "enroll"]);
    assert!(
        code == 0 && out.contains("bootstrap") && out.contains("telovix\\-agent\\-enroll"),
        "{code} {out}"
    );
    let (code, out, _) = agent(&dir, &["man", "token", "inspect"]);
    assert!(code == 0 && out.contains("telovix\\-agent\\-token\\-inspect"), "{code} {out}");
    let (code, _, err) = agent(&dir, &["man", "token", "frobnicate"]);
    assert!(code == 2 && err.contains("name one of"), "{code} {err}");
    let (code, _, err) = agent(&dir, &["man", "frobnicate"]);
    assert!(code == 2 && err.contains("name one of"), "{code} {err}");
}

#[test]
fn renew_without_an_agent_says_who_could() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("none.sock");
    let (code, _, err) = agent(&dir, &["renew", "--control-socket", socket.to_str().unwrap()]);
    assert!(
        code == 8 && err.contains("no agent answers at") && err.contains("systemctl start"),
        "{code} {err}"
    );
}

#[test]
fn the_doctor_explains_and_exits_by_the_root() {
    let dir = TempDir::new().unwrap();
    let (code, out, _) = agent(&dir, &["doctor"]);
    assert!(code == 2 && out.contains("fail  configuration") && out.contains("console_url"), "{code} {out}");
    let file = dir.path().join("agent.toml");
    write(&file, "console_url = \"https://127.0.0.1:1\"\ncontrol_socket = \"none.sock\"\n");
    let config = file.to_str().unwrap();
    let (code, out, _) = agent(&dir, &["doctor", "--config", config]);
    assert!(
        code == 5 && out.contains("fail  connection") && out.contains("do: check console_url"),
        "{code} {out}"
    );
    let (code, out, _) = agent(&dir, &["doctor", "--config", config, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["result"].as_str()), (5, Some("fail")));
    let checks: Vec<&str> =
        json["checks"].as_array().unwrap().iter().map(|c| c["check"].as_str().unwrap()).collect();
    let expected =
        ["configuration", "state directory", "agent", "token", "name resolution", "connection", "credential"];
    assert_eq!(checks, expected);
    write(&file, "console_ulr = \"https://127.0.0.1:1\"");
    let (code, out, _) = agent(&dir, &["doctor", "--config", config]);
    assert!(code == 2 && out.contains("did you mean console_url?"), "{code} {out}");
}

#[expect(clippy::disallowed_methods, reason = "a test prepares its own file")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// `telovix-agent status | head -1` is no failure of the command.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    for (args, status) in [(&["status"][..], 6), (&["status", "--output", "json"][..], 6)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_telovix-agent"))
            .arg("--state-dir")
            .arg(dir.path())
            .args(["--config", "/dev/null"])
            .args(args)
            .env_clear()
            .stdout(writer)
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(status), "{args:?}");
    }
}

/// A disk that is full behind standard output is a failure of the command; behind standard error it changes nothing.
#[test]
fn what_was_asked_for_and_went_nowhere_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |args: &[&str], out: std::process::Stdio, err: std::process::Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_telovix-agent"));
        command.arg("--state-dir").arg(dir.path().join("state")).args(["--config", "/dev/null"]).args(args);
        command.env_clear().stdout(out).stderr(err).output().unwrap()
    };
    for args in [&["man"][..], &["completions", "bash"], &["--help"], &["--version"], &["reset", "--yes"]] {
        let ended = run(args, full().into(), std::process::Stdio::piped());
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("No space left"), "{args:?}: {ended:?}");
    }
    for (args, status) in [(&["enroll"][..], 2), (&["status"], 6), (&["renew"], 8), (&["--nonsense"], 2)] {
        let ended = run(args, std::process::Stdio::piped(), full().into());
        assert_eq!(ended.status.code(), Some(status), "{args:?}");
    }
}

/// `ulimit -f`: the signal would end it without a word.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("page");
    let script = format!("ulimit -f 0; exec {} man >{}", env!("CARGO_BIN_EXE_telovix-agent"), out.display());
    let ended = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("File too large"), "{ended:?}");
}

/// The vendor's pod starts its sensor without arguments (docs/contract.md section 8).
#[test]
fn nothing_at_all_is_the_daemon_where_a_console_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.toml");
    write(&file, "colour = 'blue'");
    let run = |url: &str| {
        let mut command = Command::cargo_bin("telovix-agent").unwrap();
        let output = command
            .env_clear()
            .env("TELOVIX_CONFIG", &file)
            .env("TELOVIX_CONSOLE_URL", url)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run("https://127.0.0.1:1");
    assert!(code == Some(2) && said.contains("unknown key") && !said.contains("Usage:"), "{code:?} {said}");
    for unset in ["", " \n"] {
        let (code, said) = run(unset);
        assert!(code == Some(2) && said.contains("Usage:"), "{code:?} {said}");
    }
}
