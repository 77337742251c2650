//! The real binary: set-up, tokens, serving; spoken to with a small TLS client.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use assert_cmd::Command;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;

fn stub() -> Command {
    Command::new(env!("CARGO_BIN_EXE_telovix-console-stub"))
}

/// Runs a command that has to succeed, and reads what it prints.
#[track_caller]
fn json(command: &[&str], data: &Path) -> Value {
    let output =
        stub().args(command).arg("--data-dir").arg(data).args(["--output", "json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

struct Place {
    dir: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self { dir, data }
    }

    fn file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.dir.path().join(name);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn set_up(&self) -> Value {
        let password = self.file("password", "correct horse battery staple\n");
        let email = ["--admin-email", "admin@example.com", "--admin-password-file", &password];
        json(&[&["setup"], &email[..]].concat(), &self.data)
    }
}

/// A `serve` that is ended by its own id.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn command(data: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_telovix-console-stub"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command
    }

    fn start(data: &Path) -> Self {
        let mut child = Self::command(data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // The first line is the address and nothing else.
        let address = line.trim_end().parse().unwrap();
        Self { child, address }
    }

    /// Asks for a path over TLS that trusts this CA; gives the status and the body.
    #[expect(clippy::disallowed_methods, reason = "this is the one place of these tests that opens sockets")]
    fn get(&self, path: &str, ca: Option<&str>) -> Option<(u16, String)> {
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(ca.unwrap_or("").as_bytes()) {
            roots.add(der.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.address).unwrap());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Sets the Console up beside the running server, which notices.
    #[track_caller]
    fn becomes_ready(&self, place: &Place) {
        let made = place.set_up();
        let ca = std::fs::read_to_string(made["ca_file"].as_str().unwrap()).unwrap();
        let ready = (0..100).any(|_| {
            let pause = std::time::Duration::from_millis(100);
            let waited = std::process::Command::new("sleep").arg(format!("{}", pause.as_secs_f32())).status();
            waited.is_ok() && self.get("/readyz", Some(&ca)).is_some_and(|(status, _)| status == 200)
        });
        assert!(ready, "it never became ready");
    }

    fn terminate(mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn setup_token_serve_and_ready() {
    let place = Place::new();
    let made = place.set_up();
    let ca = std::fs::read_to_string(made["ca_file"].as_str().unwrap()).unwrap();
    assert!(made["ca_fingerprint"].as_str().unwrap().starts_with("sha256:"));

    let serving = Serving::start(&place.data);
    assert_eq!(serving.get("/healthz", Some(&ca)).unwrap().0, 200);
    assert_eq!(serving.get("/readyz", Some(&ca)).unwrap().0, 200);
    assert_eq!(serving.get("/healthz", None), None, "an unknown CA was trusted");

    // The command line works beside the running server, and knows the port that it took.
    let token = json(&["token", "create", "--type", "once", "--ttl", "5m"], &place.data);
    assert!(token["token"].as_str().unwrap().starts_with("tse_"));
    let line = token["install_command"].as_str().unwrap();
    assert!(line.contains(&format!("https://127.0.0.1:{}", serving.address.port())), "{line}");
    assert!(token["capacity_warning"].is_null());
    let id = token["id"].as_str().unwrap();
    assert_eq!(json(&["token", "list"], &place.data)["data"][0]["status"], "pending");
    assert_eq!(json(&["token", "revoke", id], &place.data)["status"], "revoked");
    let audit = json(&["audit", "list"], &place.data);
    let actions: Vec<&str> =
        audit["data"].as_array().unwrap().iter().map(|row| row["action_type"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["sensor_enrollment_token_revoked", "sensor_enrollment_token_created", "console_setup_completed"]
    );
    serving.terminate();
    assert!(!place.data.join("console.db-wal").exists(), "the log was left behind");
}

#[test]
fn setup_twice_changes_nothing() {
    let place = Place::new();
    let made = place.set_up();
    let before = std::fs::read(made["ca_file"].as_str().unwrap()).unwrap();
    let password = place.file("password-2", "another long password\n");
    let run = stub()
        .args(["setup", "--admin-email", "x@example.com", "--admin-password-file", &password, "--data-dir"])
        .arg(&place.data)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("set up already"));
    assert_eq!(std::fs::read(made["ca_file"].as_str().unwrap()).unwrap(), before);
    assert_eq!(json(&["audit", "list"], &place.data)["data"].as_array().unwrap().len(), 1);
}

#[test]
fn serving_goes_on_when_nobody_takes_what_it_prints() {
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = Serving::command(&place.data).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = log.find(|line| line.contains("listening")).expect("it ended instead of serving");
    let (_, address) = listening.split_once("address=").unwrap();
    let serving = Serving { child, address: address.trim().parse().unwrap() };
    serving.becomes_ready(&place);
}

#[test]
fn serving_before_setup_is_alive_and_becomes_ready() {
    let place = Place::new();
    let serving = Serving::start(&place.data);
    serving.becomes_ready(&place);
}

#[test]
fn wrong_use_and_refusals_have_their_own_status() {
    let place = Place::new();
    let run = |args: &[&str]| stub().args(args).arg("--data-dir").arg(&place.data).output().unwrap();
    let code = |args: &[&str]| run(args).status.code();
    assert_eq!(code(&["token", "create", "--type", "monthly"]), Some(2));
    assert_eq!(code(&["serve", "--listen", "nowhere"]), Some(2));
    assert_eq!(code(&["serve", "--public-url", "http://plain"]), Some(2));
    let early = run(&["token", "create"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("setup --data-dir"));
    assert!(!place.data.exists());
    // An address that cannot be had makes nothing either.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = taken.local_addr().unwrap().to_string();
    assert_eq!(code(&["serve", "--listen", &there]), Some(1));
    assert!(!place.data.exists());
    let unknown = run(&["sensor", "list", "--status", "fine"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("healthy, stale, disabled, revoked"));
    let short = place.file("short", "short\n");
    let refused = run(&["setup", "--admin-email", "a@b.c", "--admin-password-file", &short]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("12 characters"));
    place.set_up();
    assert_eq!(code(&["token", "create", "--ttl", "25h"]), Some(1));
    assert_eq!(code(&["token", "create", "--type", "cluster"]), Some(1));
    let broken = place.dir.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::copy(place.file("no-database", &"x".repeat(4096)), broken.join("console.db")).unwrap();
    let damaged = stub().args(["token", "list", "--data-dir"]).arg(&broken).output().unwrap();
    let damaged = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(damaged.contains("console.db: ") && damaged.contains("put a backup in its place"), "{damaged}");
}

#[test]
fn licences_and_binaries() {
    let place = Place::new();
    let key = place.dir.path().join("licence-key.pem");
    let licence = place.dir.path().join("licence.json");
    let (key, licence) = (key.to_str().unwrap(), licence.to_str().unwrap());
    json(&["license", "issue", "--key", key, "--nodes", "7", "--out", licence], &place.data);
    let password = place.file("password", "correct horse battery staple\n");
    let trust = format!("{key}.pub");
    let setup = ["setup", "--admin-email", "a@b.c", "--admin-password-file", &password];
    json(&[&setup[..], &["--license", licence, "--license-trust", &trust]].concat(), &place.data);
    let shown = json(&["license", "show"], &place.data);
    assert_eq!((&shown["source"], &shown["max_protected_nodes"]), (&"bundle".into(), &7.into()));
    json(&["license", "issue", "--key", key, "--nodes", "9", "--out", licence], &place.data);
    assert_eq!(json(&["license", "import", licence], &place.data)["max_protected_nodes"], 9);

    // Another vendor's key: refused until an operator trusts it, and from then on nobody else's. Files by name alone.
    let here = |args: &[&str]| {
        stub().current_dir(place.dir.path()).args(args).arg("--data-dir").arg(&place.data).output().unwrap()
    };
    let issued = here(&["license", "issue", "--key", "other.pem", "--nodes", "3", "--out", "other.json"]);
    assert!(issued.status.success(), "{issued:?}");
    let refused = here(&["license", "import", "other.json"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--license-trust FILE"), "{refused:?}");
    let wrong = here(&["license", "import", "other.json", "--license-trust", &trust]);
    assert_eq!((refused.status.code(), wrong.status.code()), (Some(1), Some(1)));
    assert_eq!(json(&["license", "import", licence], &place.data)["max_protected_nodes"], 9);
    let taken = here(&["license", "import", "other.json", "--license-trust", "other.pem.pub"]);
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(here(&["license", "import", licence]).status.code(), Some(1));

    let own = env!("CARGO_BIN_EXE_telovix-console-stub");
    let staged = json(&["binary", "stage", own], &place.data);
    assert!(Path::new(staged["file"].as_str().unwrap()).exists());
    assert_eq!(staged["sha256"].as_str().unwrap().len(), 64);
}

/// A copy taken while the stub serves is a database: put in its place, it is the Console of that moment.
#[test]
fn a_backup_taken_while_serving_restores() {
    let place = Place::new();
    let made = place.set_up();
    let serving = Serving::start(&place.data);
    json(&["token", "create", "--label", "before"], &place.data);
    let file = place.dir.path().join("copy.db");
    let file = file.to_str().unwrap();
    let told = json(&["backup", file], &place.data);
    assert_eq!(told["file"], *file);
    assert!(told["schema_version"].as_i64().unwrap() >= 7);
    json(&["token", "create", "--label", "after"], &place.data);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file).unwrap());
    assert_eq!(mode & 0o777, 0o600, "it holds the keys of the CA");

    // Nothing is ever overwritten, and a failed copy leaves nothing behind.
    let before = std::fs::read(file).unwrap();
    let run = |args: &[&str]| stub().args(args).arg("--data-dir").arg(&place.data).output().unwrap();
    let again = run(&["backup", file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("copy.db"));
    assert_eq!(std::fs::read(file).unwrap(), before);
    assert_eq!(run(&["backup", "/nonexistent/copy.db"]).status.code(), Some(1));
    drop(serving);

    let restored = place.dir.path().join("restored");
    std::fs::create_dir(&restored).unwrap();
    std::fs::copy(file, restored.join("console.db")).unwrap();
    let labels = json(&["token", "list"], &restored);
    assert_eq!(labels["data"].as_array().unwrap().len(), 1);
    assert_eq!(labels["data"][0]["label"], "before");
    assert_eq!(json(&["audit", "verify"], &restored)["intact"], true);
    let ca = std::fs::read_to_string(made["ca_file"].as_str().unwrap()).unwrap();
    let serving = Serving::start(&restored);
    assert_eq!(serving.get("/readyz", Some(&ca)).unwrap().0, 200, "the same CA");
}

#[test]
fn a_database_at_a_server_is_named_by_url_variable_or_file_and_backed_up_by_its_own_tool() {
    let place = Place::new();
    // Port 1 of loopback: nobody listens there.
    let url = "postgres://u:hidden-word@127.0.0.1:1/console";
    let file = place.file("url", &format!("{url}\n"));
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let run =
            stub().args(args).arg("--data-dir").arg(&place.data).envs(env.iter().copied()).output().unwrap();
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!text.contains("hidden-word"), "{text}");
        (run.status.code(), text)
    };
    let variable = [("TELOVIX_DATABASE_URL", url)];
    let by_file = [("TELOVIX_DATABASE_URL_FILE", file.as_str())];
    for (args, env) in [
        (&["token", "list", "--database-url", url][..], &[][..]),
        (&["token", "list", "--database-url-file", &file], &[]),
        (&["token", "list"], &variable),
        (&["token", "list"], &by_file),
    ] {
        let (code, text) = run(args, env);
        assert_eq!(code, Some(1));
        assert!(text.contains("127.0.0.1:1/console") && text.contains("refused"), "{text}");
    }
    let (code, text) = run(&["backup", "copy.db"], &variable);
    assert!(code == Some(1) && text.contains("pg_dump"), "{text}");
    let (code, text) =
        run(&["token", "list", "--database-url", "postgres://u:hidden-word@db/c?sslmode=prefer"], &[]);
    assert!(code == Some(1) && text.contains("verify-full"), "{text}");
    assert!(!place.data.join("console.db").exists(), "the embedded one is not made beside it");
}

#[test]
fn rules_approvals_settings_and_the_audit_trail() {
    let place = Place::new();
    place.set_up();
    let set = |name: &str, value: &str| json(&["settings", "set", name, value], &place.data);
    assert_eq!(set("approval_mode", "all")["value"], "all");
    let shown = json(&["settings", "show"], &place.data);
    assert_eq!(shown["data"][0]["value"], "all");
    let all = shown["data"].as_array().expect("a list");
    let vertical = all.iter().find(|setting| setting["name"] == "vertical").expect("it is a setting");
    assert_eq!(vertical["value"], "standard");
    let rule =
        ["rule", "create", "--cluster-id", "ran-east", "--label", "east", "--allowed-roles", "o_du,o_cu"];
    let made = json(&rule, &place.data);
    assert_eq!(json(&["rule", "list"], &place.data)["data"][0], made);
    assert_eq!(json(&["rule", "delete", made["id"].as_str().unwrap()], &place.data)["id"], made["id"]);
    assert_eq!(
        json(&["approval", "list", "--status", "waiting"], &place.data)["data"].as_array().unwrap().len(),
        0
    );
    json(&["token", "create"], &place.data);
    let page = json(&["audit", "list", "--limit", "2"], &place.data);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = json(&["audit", "list", "--cursor", next], &place.data);
    assert_eq!((page["data"].as_array().unwrap().len(), rest["data"].as_array().unwrap().len()), (2, 3));
    assert_eq!(json(&["audit", "verify"], &place.data)["intact"], true);
    assert_eq!(json(&["audit", "export"], &place.data)["data"].as_array().unwrap().len(), 5);
    let run = |args: &[&str]| stub().args(args).arg("--data-dir").arg(&place.data).output().unwrap();
    let csv = String::from_utf8(run(&["audit", "export", "--format", "csv"]).stdout).unwrap();
    assert!(csv.starts_with("seq,created_at,action_type,") && csv.lines().count() == 6);
    assert_eq!(run(&["settings", "set", "certificate_hours", "0"]).status.code(), Some(1));
    assert_eq!(run(&["settings", "set", "server_names", "x"]).status.code(), Some(2));

    assert_eq!(set("vertical", "telecom")["value"], "telecom");
    let password = place.file("operator", "another long password\n");
    let operator =
        ["user", "create", "--email", "o@example.com", "--role", "operator", "--password-file", &password];
    assert_eq!(json(&operator, &place.data)["status"], "active");
    json(&["user", "password", "o@example.com", "--password-file", &password], &place.data);
    assert_eq!(json(&["user", "disable", "o@example.com"], &place.data)["status"], "disabled");
    assert_eq!(json(&["user", "list"], &place.data)["data"].as_array().unwrap().len(), 2);

    let db = rusqlite::Connection::open(place.data.join("console.db")).unwrap();
    let head = json(&["audit", "verify"], &place.data)["head"].as_str().unwrap().to_owned();
    assert_eq!(json(&["audit", "verify", "--noted-head", &head], &place.data)["intact"], true);
    assert_eq!(run(&["audit", "verify", "--noted-head", &"0f".repeat(32)]).status.code(), Some(1));
    assert_eq!(run(&["audit", "verify", "--noted-head", "x"]).status.code(), Some(2));
    db.execute_batch("DROP TRIGGER audit_no_update; UPDATE audit SET detail = 'x' WHERE seq = 2").unwrap();
    let broken = run(&["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("record 2 was changed"));
}
