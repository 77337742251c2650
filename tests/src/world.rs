//! A whole world in a temporary folder: a Console stub that runs as a process, and as many hosts as a test wants.
//!
//! Invariant: an ERROR in the stub's log that no test announced fails the test ([`World::announce_error`]), because an
//! ERROR is worth waking someone (CONTRIBUTING.md) and a test that provokes one knows it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::agent::Agent;
use crate::bins;
use crate::client::Client;
use crate::db::Db;
use crate::place::Place;
use crate::run::{Program, Run};
use serde_json::Value;
use stub::StubProcess;

mod stub;

/// What `token create` prints.
#[derive(Debug, Clone)]
pub struct Created {
    /// The token's id in the Console.
    pub id: String,
    /// The token itself.
    pub token: String,
    /// Everything that was printed.
    pub all: Value,
}

/// How a world is to be.
#[derive(Debug, Clone)]
pub struct Terms {
    listen: SocketAddr,
    setup: Vec<String>,
    serve: Vec<String>,
    env: Vec<(String, String)>,
}

impl Terms {
    /// The address to listen on; port 0 lets the kernel choose.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// More arguments for `setup`.
    pub fn setup(mut self, args: &[&str]) -> Self {
        self.setup.extend(args.iter().map(ToString::to_string));
        self
    }

    /// More arguments for the stub's first run.
    pub fn serve(mut self, args: &[&str]) -> Self {
        self.serve.extend(args.iter().map(ToString::to_string));
        self
    }

    /// A variable of the stub's first run.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets it up and starts it.
    pub fn start(self) -> World {
        World::start(&self)
    }
}

/// A Console that runs, and a folder for hosts.
pub struct World {
    place: Place,
    stub: RefCell<Option<StubProcess>>,
    address: SocketAddr,
    ca_file: PathBuf,
    ca_fingerprint: String,
    announced: RefCell<Vec<String>>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A Console with a trial licence for a thousand nodes, on any port of 127.0.0.1.
    pub fn new() -> Self {
        Self::terms().start()
    }

    /// A Console on other terms.
    pub fn terms() -> Terms {
        Terms { listen: crate::serving::LOOPBACK, setup: Vec::new(), serve: Vec::new(), env: Vec::new() }
    }

    fn start(terms: &Terms) -> Self {
        let place = Place::new();
        let root = place.path();
        let password = place.write("admin-password", "correct horse battery staple\n");
        let data = root.join("console");
        let mut setup = Program::new(bins::console_stub())
            .args(["setup", "--data-dir"])
            .args([&data])
            .args(["--admin-email", "admin@example.com", "--admin-password-file"])
            .args([&password])
            .args(["--server-name", "127.0.0.1", "--server-name", "::1", "--server-name", "localhost"]);
        if !terms.setup.iter().any(|arg| arg == "--license" || arg == "--trial-nodes") {
            setup = setup.args(["--trial-nodes", "1000"]);
        }
        let run = setup.args(&terms.setup).args(["--output", "json"]).run();
        let made = run.expect(0).json();
        let text = |key: &str| {
            made[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", run.report())).to_owned()
        };
        let stub = StubProcess::start(root, &data, terms.listen, &terms.serve, &terms.env);
        Self {
            address: stub.address(),
            ca_file: text("ca_file").into(),
            ca_fingerprint: text("ca_fingerprint"),
            stub: RefCell::new(Some(stub)),
            announced: RefCell::default(),
            place,
        }
    }

    /// The folder of everything: `console/` is the stub's, the rest are hosts and scratch files.
    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// The stub's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("console")
    }

    /// Where the stub listens, in this run and every later one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The stub's process id.
    pub fn pid(&self) -> u32 {
        self.stub.borrow().as_ref().expect("it runs").pid()
    }

    /// The Console's URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The CA file that `setup` made.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The text of the CA file.
    pub fn ca_pem(&self) -> String {
        std::fs::read_to_string(&self.ca_file).expect("setup made the CA file")
    }

    /// The fingerprint that `setup` printed.
    pub fn ca_fingerprint(&self) -> &str {
        &self.ca_fingerprint
    }

    /// Writes a file into the world's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        self.place.write(name, text)
    }

    /// Runs a command of the stub on this world's data: `world.stub(&["token", "list"], &["--output", "json"])`.
    pub fn stub(&self, command: &[&str], args: &[&str]) -> Run {
        let data = self.data_dir();
        Program::new(bins::console_stub()).args(command).args(["--data-dir"]).args([&data]).args(args).run()
    }

    /// Makes a token with these arguments: `&["--type", "once"]`.
    #[track_caller]
    pub fn token(&self, args: &[&str]) -> Created {
        let run = self.stub(&["token", "create"], &[args, &["--output", "json"]].concat());
        let all = run.expect(0).json();
        let text = |key: &str| {
            all[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", run.report())).to_owned()
        };
        Created { id: text("id"), token: text("token"), all }
    }

    /// Makes a one-time token.
    #[track_caller]
    pub fn once(&self) -> Created {
        self.token(&["--type", "once"])
    }

    /// A host of this name: the agent with a state directory of its own and nothing else.
    pub fn host(&self, name: &str) -> Agent {
        self.place.host(name)
    }

    /// A host that is about to enroll at this Console, which it knows by its CA file. The token is still to be given.
    pub fn enroll(&self, name: &str) -> Agent {
        self.enroll_at(name, &self.url())
    }

    /// The same by way of another address.
    pub fn enroll_at(&self, name: &str, url: &str) -> Agent {
        let ca = self.ca_file.to_str().expect("a temporary folder has a UTF-8 name");
        self.host(name).args(["enroll", "--console-url", url, "--bootstrap-ca", ca, "--node-name", name])
    }

    /// A host of this name that is about to enroll, and knows the Console by the fingerprint of its CA.
    pub fn enroll_pinned(&self, name: &str) -> Agent {
        let (url, pin) = (self.url(), self.ca_fingerprint());
        self.host(name).args(["enroll", "--console-url", &url, "--ca-fingerprint", pin, "--node-name", name])
    }

    /// A client without a certificate.
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.ca_pem())
    }

    /// A client that calls as an enrolled host.
    pub fn client_as(&self, host: &Agent) -> Client {
        Client::with_identity(self.address, &self.ca_pem(), &host.read("client.cert.pem"), &host.key_pem())
    }

    /// The stub's database.
    pub fn db(&self) -> Db {
        Db::new(&self.data_dir().join("console.db"))
    }

    /// The stub's log so far, of all its runs.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The stub's log.
    pub fn log_file(&self) -> PathBuf {
        self.folder().join("console.log")
    }

    /// Says that an ERROR that holds this text is expected in the stub's log.
    pub fn announce_error(&self, text: &str) {
        self.announced.borrow_mut().push(text.to_owned());
    }

    /// Ends the stub without a warning.
    pub fn kill(&self) {
        if let Some(stub) = self.stub.borrow_mut().take() {
            stub.kill();
        }
    }

    /// Waits until the stub has ended by itself, by a fault that the test planted.
    pub fn wait_until_dead(&self) {
        if let Some(stub) = self.stub.borrow_mut().take() {
            stub.wait();
        }
    }

    /// Starts the stub again on the same address.
    pub fn restart(&self) {
        self.restart_with(&[]);
    }

    /// Starts the stub again on the same address, with these variables.
    pub fn restart_with(&self, env: &[(&str, &str)]) {
        self.kill();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let stub = StubProcess::start(self.folder(), &self.data_dir(), self.address, &[], &env);
        *self.stub.borrow_mut() = Some(stub);
    }

    /// Starts the stub again on the same address, at this log level.
    pub fn restart_logging(&self, level: &str) {
        self.restart_serving(&["--log-level", level]);
    }

    /// Starts the stub again on the same address, with more arguments.
    pub fn restart_serving(&self, args: &[&str]) {
        self.kill();
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let stub = StubProcess::start(self.folder(), &self.data_dir(), self.address, &args, &[]);
        *self.stub.borrow_mut() = Some(stub);
    }

    /// The ERROR lines of the stub's log that nobody announced.
    pub fn unannounced_errors(&self) -> Vec<String> {
        errors_in(&self.log(), &self.announced.borrow())
    }
}

/// Lines at level ERROR, and panics, that hold none of the announced texts.
fn errors_in(log: &str, announced: &[String]) -> Vec<String> {
    let bad = |line: &&str| {
        line.contains(" ERROR ") || line.contains("\"level\":\"ERROR\"") || line.contains("panicked at")
    };
    let unexpected = |line: &&str| !announced.iter().any(|text| line.contains(text));
    log.lines().filter(bad).filter(unexpected).map(ToOwned::to_owned).collect()
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        let errors = self.unannounced_errors();
        if std::thread::panicking() {
            eprintln!("--- the stub's log\n{}", self.log());
        } else {
            assert!(errors.is_empty(), "ERRORs in the stub's log that no test announced: {errors:#?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_sees_errors_and_panics_and_lets_announced_ones_pass() {
        let log = "2026 INFO a: fine, no ERROR here? \n2026 ERROR b: the disk is full\n{\"level\":\"ERROR\",\"x\":1}\n\
                   thread 'main' panicked at src/main.rs:1:1\n";
        assert_eq!(errors_in(log, &[]).len(), 4, "the word alone counts too: better once too often");
        let announced = ["disk is full".to_owned(), "fine".to_owned()];
        assert_eq!(errors_in(log, &announced).len(), 2);
        assert!(errors_in("2026 INFO a: error handling is ready\n", &[]).is_empty());
    }
}
