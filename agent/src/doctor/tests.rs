//! The doctor, on hosts with one thing wrong. The Console's side of it is in `tests/`, with real ones.
#![expect(clippy::disallowed_methods, reason = "the tests lay out their own files")]

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::cli;
use crate::config::{Environment, Sources, draft_from};

struct Host {
    dir: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Host {
    fn new(console_url: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let environment = vec![
            ("TELOVIX_CONSOLE_URL", console_url.to_owned()),
            ("TELOVIX_STATE_DIR", path("state")),
            ("TELOVIX_CONTROL_SOCKET", path("control.sock")),
        ];
        Self { dir, environment }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    async fn examine(&self) -> Diagnosis {
        let args = cli::parse(["telovix-agent", "doctor"].map(OsString::from)).unwrap();
        let env = Environment::from_pairs(self.environment.iter().map(|(name, value)| (*name, value)));
        let default_file = Path::new("/nowhere/agent.toml");
        let sources = Sources { args: &args, env: &env, host_name: "h".into(), default_file };
        examine(draft_from(&sources), crate::clock::system()).await
    }
}

/// The first finding of a check.
fn of<'a>(diagnosis: &'a Diagnosis, check: &str) -> &'a Finding {
    diagnosis.checks.iter().find(|f| f.check == check).unwrap_or_else(|| panic!("{check}: {diagnosis:?}"))
}

/// That everything which is not fine says why, and what to do there or in the message.
#[track_caller]
fn explains(diagnosis: &Diagnosis) {
    for finding in &diagnosis.checks {
        assert!(!finding.message.is_empty() && !finding.message.contains('\n'), "{finding:?}");
        assert_eq!(finding.level == Level::Fail, finding.kind.is_some(), "{finding:?}");
    }
}

#[tokio::test]
async fn an_unenrolled_host_whose_console_is_away() {
    let host = Host::new("https://127.0.0.1:1");
    let diagnosis = host.examine().await;
    explains(&diagnosis);
    assert_eq!((diagnosis.result, diagnosis.root()), (Level::Fail, Some(Kind::NotReached)));
    assert_eq!(of(&diagnosis, "configuration").level, Level::Ok);
    assert_eq!(of(&diagnosis, "state directory").level, Level::Ok);
    assert_eq!(of(&diagnosis, "agent").level, Level::Warn);
    assert_eq!(of(&diagnosis, "token").level, Level::Warn);
    assert_eq!(of(&diagnosis, "name resolution").level, Level::Ok);
    assert_eq!(of(&diagnosis, "connection").kind, Some(Kind::NotReached));
    assert_eq!(of(&diagnosis, "credential").kind, Some(Kind::NoIdentity));
    assert!(diagnosis.checks.iter().all(|f| f.check != "tls"), "what hangs on a failure is not tried");
    assert!(!host.dir.path().join("state").exists(), "it made something");
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let diagnosis = Host::new("https://console.invalid:15483").examine().await;
    let finding = of(&diagnosis, "name resolution");
    assert!(
        finding.message.contains("console.invalid") && finding.remedy.contains("resolv.conf"),
        "{finding:?}"
    );
    assert_eq!(diagnosis.root(), Some(Kind::NotReached));
}

#[tokio::test]
async fn somebody_who_does_not_speak_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = b"HTTP/1.0 400 Bad Request\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, said).await;
        }
    });
    let host = Host::new(&format!("https://{address}"));
    let pinned = host.with("TELOVIX_CA_FINGERPRINT", format!("sha256:{}", "0".repeat(64)));
    let diagnosis = pinned.examine().await;
    assert_eq!(of(&diagnosis, "connection").level, Level::Ok);
    let finding = of(&diagnosis, "tls");
    assert_eq!(finding.kind, Some(Kind::NotReached), "{finding:?}");
    assert!(!finding.remedy.is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_not_there() {
    let host = Host::new("https://console.invalid:15483").with("HTTPS_PROXY", "http://u:hunter2@127.0.0.1:1");
    let diagnosis = host.examine().await;
    let finding = of(&diagnosis, "proxy");
    assert!(finding.kind == Some(Kind::NotReached) && finding.message.contains("127.0.0.1:1"), "{finding:?}");
    assert!(!serde_json::to_string(&diagnosis).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn tokens_are_judged_by_their_form_and_never_shown() {
    let host = Host::new("https://127.0.0.1:1");
    let file = host.dir.path().join("token");
    let host = host.with("TELOVIX_ENROLLMENT_TOKEN_FILE", file.display().to_string());
    let token = telovix_contract::EnrollmentToken::from_bytes(&[5; 32]);
    std::fs::write(&file, token.expose()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let diagnosis = host.examine().await;
    let levels: Vec<Level> =
        diagnosis.checks.iter().filter(|f| f.check == "token").map(|f| f.level).collect();
    assert_eq!(levels, [Level::Ok, Level::Warn], "well formed, and readable by everybody");
    assert!(!format!("{diagnosis:?}").contains(&token.expose()[4..]));
    assert!(file.exists());
    std::fs::write(&file, "tse_torn").unwrap();
    let diagnosis = host.examine().await;
    assert_eq!(of(&diagnosis, "token").kind, Some(Kind::Configuration));
    assert_eq!(diagnosis.root(), Some(Kind::Configuration), "it comes before the network");
}

#[tokio::test]
async fn a_state_directory_that_others_can_write() {
    let host = Host::new("https://127.0.0.1:1");
    let state = host.dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    let diagnosis = host.examine().await;
    let finding = of(&diagnosis, "state directory");
    assert!(finding.message.contains("chmod 700"), "{finding:?}");
    assert_eq!(diagnosis.root(), Some(Kind::LocalState));
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "it made something");
}

#[tokio::test]
async fn a_broken_configuration_is_the_whole_diagnosis() {
    let host = Host::new("http://c.example").with("TELOVIX_HOOK_COMMAND", "relative");
    let diagnosis = host.examine().await;
    assert_eq!((diagnosis.checks.len(), diagnosis.root()), (2, Some(Kind::Configuration)));
    explains(&diagnosis);
    let mut host = Host::new("https://c.example");
    host.environment.remove(0);
    let diagnosis = host.examine().await;
    assert_eq!(diagnosis.root(), Some(Kind::Configuration));
    assert!(of(&diagnosis, "configuration").message.contains("--console-url"));
}
