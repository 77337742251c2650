//! What a host has none left of is an error that names it, never a panic: descriptors, and threads for the look-up of names.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Command, Stdio};
use std::sync::Arc;

use telovix_tests::Place;
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Rogue, console};

/// A user that has no other process.
const NOBODY_ELSE: u32 = 64_987;

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn without_descriptors_every_command_ends_with_an_error_and_none_with_a_panic() {
    if !has("prlimit") {
        eprintln!("this host has no prlimit; nothing to test");
        return;
    }
    let ca = Arc::new(Ca::root("Console"));
    let identity = ca.server(&["localhost"]);
    let rogue = Rogue::https(identity, console::console(Arc::clone(&ca), console::enrolled));
    let url = format!("https://localhost:{}", rogue.address().port());
    let place = Place::new();
    let mut done = 0;
    for limit in 4..=24 {
        let agent = place.enroll(&format!("host-{limit}"), &url, ca.pem()).token(&made_up_token(1));
        let run =
            agent.args(["--timeout", "2s"]).run_by_way_of("prlimit", &[&format!("--nofile={limit}:{limit}")]);
        assert!(!run.output().contains("panicked"), "{limit} descriptors: {}", run.report());
        let status = run.code.unwrap_or_else(|| panic!("{limit} descriptors: {}", run.report()));
        assert!([0, 1, 2, 5, 7, 8].contains(&status), "{limit} descriptors: {}", run.report());
        done += usize::from(status == 0);
    }
    assert!(done > 0, "with 24 there are enough");
}

#[test]
fn without_threads_a_name_is_not_looked_up_and_an_address_needs_none() {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root || !has("prlimit") || !has("setpriv") {
        eprintln!("only root can become a user without threads; nothing to test");
        return;
    }
    let ca = Arc::new(Ca::root("Console"));
    let identity = ca.server(&["localhost", "127.0.0.1"]);
    let rogue = Rogue::https(identity, console::console(Arc::clone(&ca), console::enrolled));
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (host, status) in [("127.0.0.1", 0), ("localhost", 8)] {
        let url = format!("https://{host}:{}", rogue.address().port());
        let agent = place.enroll(host, &url, ca.pem()).token(&made_up_token(1)).args(["--timeout", "2s"]);
        fs::create_dir(agent.state_dir()).unwrap();
        chown(agent.state_dir(), Some(NOBODY_ELSE), Some(NOBODY_ELSE)).unwrap();
        let user = NOBODY_ELSE.to_string();
        let run = agent.run_by_way_of(
            "setpriv",
            &["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", "--nproc=1:1"],
        );
        assert!(!run.output().contains("panicked"), "{}", run.report());
        run.expect(status);
        if status == 8 {
            run.says(&["no resources left", "cannot look up localhost", "TasksMax"]);
        }
    }
}
