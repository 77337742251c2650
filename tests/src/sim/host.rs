//! The host of a simulation: the agent's real daemon with its real state directory, by the simulated clock.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use telovix_agent::clock::Clock;
use telovix_agent::config::{self, Environment};
use telovix_agent::daemon::{self, Parts};
use telovix_agent::machine::{Actor, CommandResult, Report, StateName, Urgency};
use telovix_agent::metrics::Metrics;
use telovix_agent::server::ControlRequest;
use telovix_agent::store::{Publication, Store};
use telovix_agent::{cli, facts};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::{Sim, SimClock, SimConsole};

/// What a consumer finds: a key and a certificate that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// SHA-256 of the certificate's DER.
    pub fingerprint: [u8; 32],
    /// The generation that holds them.
    pub generation: PathBuf,
}

/// By what a host knows the Console at first contact (docs/contract.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The CA in a file.
    File,
    /// The CA's fingerprint: the CA itself is fetched first.
    Fingerprint,
}

/// A host with a daemon on it, or without one.
pub struct SimHost {
    folder: PathBuf,
    clock: Arc<SimClock>,
    running: Option<Running>,
}

struct Running {
    reports: watch::Receiver<Report>,
    ask: mpsc::Sender<ControlRequest>,
    task: JoinHandle<()>,
}

impl SimHost {
    /// A host of this name that knows the Console by its CA. Nothing runs on it yet.
    pub fn new(sim: &Sim, console: &SimConsole, name: &str) -> Self {
        Self::knowing(sim, console, name, By::File, "")
    }

    /// The same, by what it knows the Console, and with these lines in its configuration besides.
    pub fn knowing(sim: &Sim, console: &SimConsole, name: &str, by: By, more: &str) -> Self {
        let folder = console.place().path().join(name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join("ca.pem"), console.ca_pem()).expect("the CA can be written");
        let host = Self { folder, clock: Arc::clone(sim.clock()), running: None };
        let trust = match by {
            By::File => format!("bootstrap_ca = {:?}", host.folder.join("ca.pem")),
            By::Fingerprint => format!("ca_fingerprint = {:?}", console.ca_fingerprint()),
        };
        let text = format!(
            "console_url = \"https://{}\"\n{trust}\ntoken_file = {:?}\nstate_dir = {:?}\ncontrol_socket = {:?}\n\
             node_name = {name:?}\n{more}\n",
            sim.wire().address(),
            host.token_file(),
            host.state_dir(),
            host.folder.join("control.sock"),
        );
        fs::write(host.config_file(), text).expect("the configuration can be written");
        host
    }

    /// Adds a line to its configuration, which a daemon reads when it starts.
    pub fn configure(&self, line: &str) {
        let text = fs::read_to_string(self.config_file()).expect("it was written");
        fs::write(self.config_file(), format!("{text}{line}\n")).expect("the configuration can be written");
    }

    /// Starts the daemon.
    pub fn run(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let line = ["telovix-agent".into(), "--config".into(), self.config_file().into(), "run".into()];
        let cli = cli::parse(line).unwrap_or_else(|_| panic!("the command line is one"));
        let env = Environment::default();
        let config = config::load(&cli, &env).expect("the configuration is one");
        let console_url = config.require_console_url().expect("it was given").value.clone();
        let publication = Publication::from(&config.publish);
        let store = Store::open_as(&config.state_dir.value, publication).expect("nobody else has it");
        let starting = Report::new(StateName::Starting, "the agent has just started", Actor::Agent);
        let (reports, seen) = watch::channel(starting);
        let (ask, requests) = mpsc::channel(4);
        let clock: Clock = Arc::clone(&self.clock) as Arc<dyn TimeProvider>;
        let parts = Parts {
            facts: facts::gather(&config),
            cli,
            env,
            config,
            console_url,
            clock,
            uptime: self.clock.clone(),
            store: Some(store),
            metrics: Arc::new(Metrics::new(seen.clone())),
            reports,
            requests,
            problems: Vec::new(),
            rejected: None,
        };
        let task = tokio::task::spawn_local(async move {
            daemon::run(parts).await.expect("signals can be heard");
        });
        self.running = Some(Running { reports: seen, ask, task });
    }

    /// Ends the daemon in the middle of whatever it waits for.
    pub async fn crash(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            let ended = running.task.await;
            assert!(ended.is_err_and(|error| error.is_cancelled()), "the daemon had ended by itself");
        }
    }

    /// What the daemon says of itself.
    pub fn report(&self) -> Report {
        let running = self.running.as_ref().expect("it runs");
        assert!(!running.task.is_finished(), "the daemon has ended by itself");
        running.reports.borrow().clone()
    }

    /// What `/readyz` says.
    pub fn is_ready(&self) -> bool {
        let clock: Clock = Arc::clone(&self.clock) as Arc<dyn TimeProvider>;
        self.report().is_ready(telovix_agent::clock::now(&clock))
    }

    /// Whether it is in order: ready, and nothing to say.
    pub fn is_well(&self) -> bool {
        let report = self.report();
        report.state == StateName::Active && report.last_error.is_none() && self.is_ready()
    }

    /// The code of the last failure that still matters.
    pub fn trouble(&self) -> Option<String> {
        self.report().last_error.map(|error| error.code.to_string())
    }

    /// Asks for a renewal at once.
    pub fn renew(&self) -> oneshot::Receiver<CommandResult> {
        self.ask(|answer| ControlRequest::Renew { urgency: Urgency::Now, answer })
    }

    /// Asks to retire.
    pub fn decommission(&self) -> oneshot::Receiver<CommandResult> {
        self.ask(|answer| ControlRequest::Decommission { answer })
    }

    fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<CommandResult>) -> ControlRequest,
    ) -> oneshot::Receiver<CommandResult> {
        let (answer, heard) = oneshot::channel();
        let running = self.running.as_ref().expect("it runs");
        assert!(running.ask.try_send(request(answer)).is_ok(), "the daemon listens");
        heard
    }

    /// Puts a token where the daemon looks for it, whole.
    pub fn give(&self, token: &str) {
        let new = self.folder.join("token.new");
        fs::write(&new, token).expect("the token can be written");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::rename(new, self.token_file()).expect("the token can be put in place");
    }

    /// What a consumer finds in this moment; `None` where nothing is published.
    pub fn pair(&self) -> Result<Option<Pair>, String> {
        let current = self.state_dir().join("current");
        let Ok(generation) = fs::canonicalize(&current) else { return Ok(None) };
        let text = |name: &str| {
            fs::read_to_string(generation.join(name)).map_err(|error| format!("{name}: {error}"))
        };
        let (key, certificate) = (text("client.key.pem")?, text("client.cert.pem")?);
        let key = KeyPair::from_pem(&key).map_err(|error| error.to_string())?;
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| error.to_string())?;
        let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        if read.public_key().raw != key.subject_public_key_info() {
            return Err(format!("key and certificate in {} do not belong together", generation.display()));
        }
        Ok(Some(Pair { fingerprint: Sha256::digest(&der).into(), generation }))
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The folder of this host.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }
}
