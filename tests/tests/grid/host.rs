//! The host of a cell: the agent's real driver and machine on a real state directory, in time that passes when nothing is
//! under way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use telovix_agent::clock::{Clock, Uptime, Wait};
use telovix_agent::config::{self, Config, ConsoleUrl, Environment, FoundToken, TokenSource};
use telovix_agent::console::Console as Caller;
use telovix_agent::driver::{Driver, Host, NewSensor};
use telovix_agent::machine::{Input, StateName};
use telovix_agent::store::Store;
use telovix_agent::{cli, facts};
use telovix_contract::EnrollmentToken;
use telovix_contract::facts::HostFacts;

use super::console::Console;

/// How far the time moves at once while an answer is waited for in vain.
const SECOND: Duration = Duration::from_secs(1);

/// Both clocks of the host, and that of the Console.
#[derive(Debug)]
pub(crate) struct Time {
    began: Duration,
    milliseconds: AtomicU64,
}

impl Time {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { began: now.expect("it is past 1970"), milliseconds: AtomicU64::new(0) }
    }

    /// The same moment, on a clock of its own.
    pub(crate) fn fork(&self) -> Self {
        Self { began: self.began, milliseconds: AtomicU64::new(self.milliseconds.load(Ordering::SeqCst)) }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.milliseconds.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        // A part of a millisecond more, so that a deadline is reached.
        let time = u64::try_from(time.as_millis()).expect("not that long") + 1;
        self.milliseconds.fetch_add(time, Ordering::SeqCst);
    }
}

impl Uptime for Time {
    fn now(&self) -> Duration {
        self.elapsed()
    }

    fn wait(&self, _: Duration) -> Wait<'_> {
        Box::pin(std::future::pending())
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.began + self.elapsed()))
    }
}

/// What every host of a Console is made of.
pub(crate) struct Setup {
    config: Config,
    facts: HostFacts,
    url: ConsoleUrl,
    token: FoundToken,
}

impl Setup {
    pub(crate) fn new(console: &Console, folder: &Path) -> Self {
        let file = folder.join("agent.toml");
        fs::write(folder.join("ca.pem"), console.ca_pem()).expect("the folder can be written");
        let text = format!(
            "console_url = {:?}\nbootstrap_ca = {:?}\nstate_dir = {:?}\nnode_name = \"grid\"\n",
            console.url(),
            folder.join("ca.pem"),
            folder.join("state"),
        );
        fs::write(&file, text).expect("the folder can be written");
        let line = ["telovix-agent".into(), "--config".into(), file.into(), "run".into()];
        let cli = cli::parse(line).unwrap_or_else(|_| panic!("the command line is one"));
        let config = config::load(&cli, &Environment::default()).expect("the configuration is one");
        Self {
            facts: facts::gather(&config),
            url: config.require_console_url().expect("it was given").value.clone(),
            token: FoundToken { token: token(), source: TokenSource::Variable, warnings: Vec::new() },
            config,
        }
    }
}

/// The token that hosts without an identity have.
pub(crate) fn token() -> EnrollmentToken {
    EnrollmentToken::from_bytes(&[7; 32])
}

/// A process of the agent.
pub(crate) struct Process {
    driver: Driver,
    time: Arc<Time>,
}

impl Process {
    /// Starts on this state directory; with the token where there is nothing yet.
    pub(crate) fn start(setup: &Setup, state: &Path, time: &Arc<Time>) -> Self {
        let clock: Clock = Arc::clone(time) as Arc<dyn TimeProvider>;
        let caller = Caller::new(setup.url.clone(), &Default::default(), clock.clone());
        let host = Host { config: setup.config.clone(), facts: setup.facts.clone(), clock };
        let enrolls = !state.join("generations").exists();
        let store = Store::open(state).expect("nobody else has it");
        let mut driver = Driver::new(
            host,
            setup.url.clone(),
            caller,
            Arc::clone(time) as Arc<dyn Uptime>,
            store,
            NewSensor::Refuse,
        );
        driver.start(enrolls.then(|| setup.token.clone()));
        Self { driver, time: Arc::clone(time) }
    }

    /// Waits for the answer under way, or lets pass the time until the next call, but not beyond that moment.
    pub(crate) async fn step(&mut self, console: &Console, end: Duration) -> Result<(), String> {
        if let Some(wait) = self.driver.deadline() {
            self.time.pass(wait.min(end.saturating_sub(self.time.elapsed())));
            self.driver.tell(Input::Tick);
            return Ok(());
        }
        if !self.driver.is_calling() {
            return Err(format!("there is no next attempt: {:?}", self.driver.report()));
        }
        let next = loop {
            tokio::select! {
                biased;
                next = self.driver.next() => break next,
                () = console.stalls() => {
                    self.time.pass(SECOND);
                    tokio::time::advance(SECOND).await;
                }
            }
        };
        console.stall_is_over();
        self.driver.take(next);
        Ok(())
    }

    pub(crate) fn is_active(&self) -> bool {
        let report = self.driver.report();
        report.state == StateName::Active && report.accepted
    }

    pub(crate) fn report(&self) -> String {
        let report = self.driver.report();
        format!(
            "{:?}, {}, {:?}",
            report.state,
            report.reason,
            report.last_error.map(|error| (error.code, error.next_attempt))
        )
    }
}

/// Copies a state directory, links as links.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target): (_, PathBuf) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
