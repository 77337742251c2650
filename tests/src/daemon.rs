//! The real daemon as a process, seen through its control socket as an operator sees it.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{World, bins, wait};

/// Longest that anything here may take; far more than it does.
const LIMIT: Duration = Duration::from_secs(30);

/// One host with a daemon on it. Ends with this value.
pub struct Daemon {
    folder: PathBuf,
    env: Vec<(String, String)>,
    log_level: &'static str,
    program: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A host of this name that trusts the world's Console by its CA file, takes its token from [`Daemon::token_file`],
    /// and has these lines in its configuration besides. Its daemon runs when this returns.
    pub fn start(world: &World, name: &str, more: &str) -> Self {
        let mut daemon = Self::prepare(world, name, more);
        daemon.run();
        daemon
    }

    /// The same, not running yet.
    pub fn prepare(world: &World, name: &str, more: &str) -> Self {
        let daemon = Self::on(world.folder().join(name));
        daemon.configure(world, name, more);
        daemon
    }

    /// A host whose files are in this folder, not configured yet.
    pub fn on(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let program = bins::agent().to_owned();
        Self { folder, env: Vec::new(), log_level: "debug", program, child: None }
    }

    /// Writes the configuration file.
    pub fn configure(&self, world: &World, name: &str, more: &str) {
        self.configure_trusting(world.ca_file(), world, name, more);
    }

    /// The same, with the Console's CA in another file than the Console's own.
    pub fn configure_trusting(&self, ca_file: &Path, world: &World, name: &str, more: &str) {
        self.configure_for(&world.url(), ca_file, name, more);
    }

    /// The same, for any Console.
    pub fn configure_for(&self, url: &str, ca_file: &Path, name: &str, more: &str) {
        let text = format!(
            "console_url = {:?}\nbootstrap_ca = {:?}\ntoken_file = {:?}\nstate_dir = {:?}\ncontrol_socket = {:?}\n\
             node_name = {name:?}\n{more}\n",
            url,
            ca_file,
            self.token_file(),
            self.state_dir(),
            self.folder.join("control.sock"),
        );
        std::fs::write(self.config_file(), text).expect("the configuration can be written");
    }

    /// Starts the daemon's process.
    pub fn run(&mut self) {
        self.spawn(Command::new(&self.program));
        self.until("an answer of the control socket", |_| true);
    }

    /// Starts it under strace, which is given these words, and does not wait for anything.
    pub fn run_under_strace(&mut self, words: &[String]) {
        let mut strace = Command::new("strace");
        strace.args(words).arg(&self.program);
        self.spawn(strace);
    }

    fn spawn(&mut self, mut command: Command) {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("agent.log"));
        let child = command
            .arg("--config")
            .arg(self.config_file())
            .args(["--log-level", self.log_level, "run"])
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"))
            .spawn();
        self.child = Some(child.expect("the agent can be started"));
    }

    /// Lets every later run log at this level instead of `debug`.
    pub fn log_at(&mut self, level: &'static str) {
        self.log_level = level;
    }

    /// Lets every later run be one of this build of the agent.
    pub fn run_by(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Sets a variable of every later run.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// The process id of what was started: the agent, or strace around it.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The agent's process id as it wrote it into its lock, also where something else was started around it.
    pub fn locked_by(&self) -> Option<i32> {
        std::fs::read_to_string(self.state_dir().join(".lock")).ok()?.trim().parse().ok()
    }

    /// How it ended by itself; `None` while it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        let status = self.child.as_mut().expect("it was started").try_wait().expect("the child is ours");
        if status.is_some() {
            self.child = None;
        }
        status
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id().try_into().expect("a process id")), signal)
            .expect("it can be signalled");
    }

    /// Ends it by a signal and waits for that.
    pub fn end(&mut self, with: Signal) -> std::process::ExitStatus {
        self.signal(with);
        self.child.take().expect("it runs").wait().expect("it ends")
    }

    /// Puts a token where the daemon looks for it, as Kubernetes and careful people do: whole, by one rename.
    pub fn give(&self, token: &str) {
        let new = self.folder.join("token.new");
        std::fs::write(&new, token).expect("the token can be written");
        std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
        std::fs::rename(new, self.token_file()).expect("the token can be put in place");
    }

    /// The file that the token is taken from.
    pub fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A file in the generation that is current.
    pub fn current(&self, name: &str) -> PathBuf {
        self.state_dir().join("current").join(name)
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// What it says of itself; `None` while nobody answers.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.ask("GET /status").ok()?).ok()
    }

    /// Asks through the control socket: method and path; the answer's body.
    pub fn ask(&self, what: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(self.folder.join("control.sock"))?;
        socket.set_read_timeout(Some(LIMIT))?;
        write!(socket, "{what} HTTP/1.1\r\nhost: agent\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Waits until the daemon says of itself what is wanted.
    ///
    /// # Panics
    /// When it does not in time; the message holds its last words and its log.
    pub fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            assert!(begin.elapsed() < LIMIT, "waited for {what}; it says {status:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a state, accepted by the Console where it is `active`.
    pub fn until_state(&self, state: &str) -> Value {
        self.until(state, |status| {
            status["state"] == state && (state != "active" || status["accepted"] == true)
        })
    }

    /// Gives it a token and waits until it is enrolled and accepted.
    pub fn enroll(&self, token: &str) -> Value {
        self.give(token);
        self.until_state("active")
    }

    /// Waits until a file is gone.
    pub fn until_gone(&self, file: &Path) {
        wait::until(LIMIT, "a file to go", || (!file.exists()).then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the agent\n{}", self.log());
        }
    }
}
