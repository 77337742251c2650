//! Hooks as real processes.
#![expect(clippy::disallowed_methods, reason = "the tests lay out their own files")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::config::{Origin, ReloadSignal, Sourced};

fn set<T>(value: T) -> Sourced<T> {
    Sourced::new(value, Origin::Default)
}

fn settings(command: Option<&[&str]>, limit: Duration) -> HookSettings {
    HookSettings {
        command: command.map(|words| set(words.iter().map(|word| (*word).to_owned()).collect())),
        timeout: set(limit),
        pid_file: None,
        signal: set(ReloadSignal::Hup),
    }
}

fn renewed() -> Occasion {
    Occasion { event: IdentityChange::Renewed, sensor_id: None }
}

/// A deadline ends everything below this process that was not there before the hook: of other tests too.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One try of a shell script.
async fn script(text: &str, limit: Duration) -> Result<(), HookError> {
    let _alone = ALONE.lock().await;
    let settings = settings(Some(&["/bin/sh", "-c", text, "name", "a b"]), limit);
    let consumers = Consumers::new(&settings, Path::new("/s"));
    consumers.tell(&consumers.targets[0], renewed()).await
}

const ENOUGH: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_hook_gets_its_words_and_a_clean_environment() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("seen").display().to_string();
    script(&format!("echo \"$1|$(pwd)\" > {file}; /usr/bin/env | sort >> {file}"), ENOUGH).await.unwrap();
    let seen = std::fs::read_to_string(file).unwrap();
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some("a b|/"));
    // What the shell itself adds is not ours.
    let ours: Vec<&str> =
        lines.filter(|l| !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|s| l.starts_with(s))).collect();
    let expected = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TELOVIX_CA_FILE=/s/console-ca.cert.pem",
        "TELOVIX_CERT_FILE=/s/client.cert.pem",
        "TELOVIX_EVENT=renewed",
        "TELOVIX_KEY_FILE=/s/client.key.pem",
        "TELOVIX_SENSOR_ID=",
        "TELOVIX_STATE_DIR=/s",
    ];
    assert_eq!(ours, expected);
}

#[tokio::test]
async fn a_failure_says_how_and_what_was_said_last() {
    let error = script("echo fine; echo 'no such\tservice tse_AAAAAAAAAAAAAAAA' >&2; exit 3", ENOUGH).await;
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "/bin/sh ended with exit status: 3: no such service tse_<redacted>");
    let _alone = ALONE.lock().await;
    let missing = Consumers::new(&settings(Some(&["/nowhere/hook"]), ENOUGH), Path::new("/s"));
    let error = missing.tell(&missing.targets[0], renewed()).await.unwrap_err();
    assert!(matches!(error, HookError::Start { .. }), "{error}");
}

#[tokio::test]
async fn at_the_deadline_all_that_it_started_is_killed() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("pid").display().to_string();
    // The grandchild ignores what can be ignored, and holds the output open.
    let text =
        format!("(trap '' TERM HUP; echo $$ > {file}.shell; exec sleep 1000) & echo $! > {file}; wait");
    let error = script(&text, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.outcome(), HookOutcome::TimedOut);
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    gone(pid).await;
}

#[tokio::test]
async fn at_the_deadline_no_session_and_no_lost_parent_saves_what_it_started() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    // A session of its own; one whose parent has ended; and both.
    let text = format!(
        "sleeper='echo $$ > $0.new; mv $0.new $0; exec sleep 1000'
         setsid sh -c \"$sleeper\" {0} &
         (sh -c \"$sleeper\" {1} &)
         (setsid sh -c \"$sleeper\" {2} &)
         while ! [ -e {0} -a -e {1} -a -e {2} ]; do sleep 0.01; done; exec sleep 1000",
        file("session"),
        file("orphan"),
        file("both")
    );
    let error = script(&text, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.outcome(), HookOutcome::TimedOut);
    for name in ["session", "orphan", "both"] {
        gone(std::fs::read_to_string(file(name)).unwrap().trim().parse().unwrap()).await;
    }
}

#[tokio::test]
async fn a_program_that_everybody_writes_is_not_run() {
    let _alone = ALONE.lock().await;
    let dir = TempDir::new().unwrap();
    let (program, trace) = (dir.path().join("hook"), dir.path().join("trace"));
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", trace.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
    let consumers = Consumers::new(&settings(Some(&[program.to_str().unwrap()]), ENOUGH), Path::new("/s"));
    let error = consumers.tell(&consumers.targets[0], renewed()).await.unwrap_err().to_string();
    assert!(error.contains("every user of this host can write") && error.contains("chmod o-w"), "{error}");
    assert!(!trace.exists());
}

/// Waits until a process is no more, or only its parent has not asked after it yet.
async fn gone(pid: i32) {
    let stat = format!("/proc/{pid}/stat");
    let over = async {
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(ENOUGH, over).await.expect("the grandchild lives on");
}

#[tokio::test]
async fn a_hook_that_is_no_longer_wanted_is_killed() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("pid");
    let text = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
    let running = script(&text, ENOUGH);
    let started = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = running => panic!("{done:?}"),
        () = started => {}
    }
    gone(std::fs::read_to_string(&file).unwrap().trim().parse().unwrap()).await;
}

#[tokio::test]
async fn noise_neither_blocks_a_hook_nor_fills_anything() {
    script("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero | tr '\\0' '\\n' >&2; exit 0", ENOUGH)
        .await
        .unwrap();
    // What goes on in the background does not hold us up.
    script("sleep 1000 & echo $!; exit 0", ENOUGH).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_is_told_again_and_then_given_up() {
    let _alone = ALONE.lock().await;
    let consumers = Consumers::new(&settings(Some(&["/nowhere/hook"]), ENOUGH), Path::new("/s"));
    let (shown, status) = watch::channel(HookStatus::Idle);
    let counted = Mutex::new(Vec::new());
    let began = tokio::time::Instant::now();
    consumers.deliver(renewed(), &shown, |outcome| counted.lock().unwrap().push(outcome)).await;
    assert_eq!(began.elapsed().as_secs(), PAUSES.iter().map(Duration::as_secs).sum::<u64>());
    assert_eq!(*counted.lock().unwrap(), [HookOutcome::Failed; 6]);
    assert!(matches!(&*status.borrow(), HookStatus::GivenUp { tries: 6, .. }));
    let note = status.borrow().note().unwrap();
    assert!(note.contains("/nowhere/hook cannot be run") && note.contains("by hand"), "{note}");
}

#[tokio::test]
async fn only_who_was_not_told_is_told_again() {
    let dir = TempDir::new().unwrap();
    let (runs, pid_file) = (dir.path().join("runs"), dir.path().join("pid"));
    let mut settings = settings(Some(&["/bin/sh", "-c", &format!("echo x >> {}", runs.display())]), ENOUGH);
    settings.pid_file = Some(set(pid_file.clone()));
    settings.signal = set(ReloadSignal::Term);
    let _alone = ALONE.lock().await;
    let mut process = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    const PAUSES: &[Duration] = &[Duration::from_millis(20); 1000];
    let consumers = Consumers { pauses: PAUSES, ..Consumers::new(&settings, Path::new("/s")) };
    let (shown, mut status) = watch::channel(HookStatus::Idle);
    let told = consumers.deliver(renewed(), &shown, |_| ());
    let appears = async {
        let retrying = |status: &HookStatus| matches!(status, HookStatus::Retrying { .. });
        let note = status.wait_for(retrying).await.unwrap().note().unwrap();
        assert!(note.contains("pid cannot be used") && note.contains("again after 0 s"), "{note}");
        std::fs::write(&pid_file, format!("{}\n", process.id())).unwrap();
    };
    tokio::join!(told, appears);
    assert_eq!(*shown.borrow(), HookStatus::Told(IdentityChange::Renewed));
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "x\n", "the hook ran twice");
    assert!(!process.wait().unwrap().success(), "the process was not signalled");
}

#[test]
fn a_pid_file_that_names_nobody_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pid");
    let me = std::process::id().to_string();
    for (text, problem) in [
        ("", "holds no process number"),
        ("nginx", "holds no process number"),
        ("1\n", "names process 1, which is never signalled"),
        ("0", "never signalled"),
        ("-1", "never signalled"),
        ("99999999999999", "holds no process number"),
        ("2147483647", "which is not there"),
        (me.as_str(), "names this agent itself"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = signal::send(&path, ReloadSignal::Usr1).unwrap_err().to_string();
        assert!(error.contains(problem), "{text:?}: {error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = signal::send(&path, ReloadSignal::Usr1).unwrap_err().to_string();
    assert!(error.contains("choose whom to signal"), "{error}");
    let error = signal::send(&dir.path().join("missing"), ReloadSignal::Usr1).unwrap_err().to_string();
    assert!(error.contains("cannot be used"), "{error}");
    assert!(signal::send(dir.path(), ReloadSignal::Usr1).unwrap_err().to_string().contains("not a file"));
}
