//! The daemon: drives the machine for ever, and tells it of what only a daemon hears of: signals, changed files, requests
//! through the control socket.
//!
//! Invariant: every decision is the machine's, and what it wants done is the driver's.

mod lock_wait;
mod reload;
mod report;

use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use telovix_contract::facts::HostFacts;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

use crate::cli::Cli;
use crate::clock::{Clock, Steps, Uptime};
use crate::config::{Config, ConfigErrors, ConsoleUrl, Draft, Environment};
use crate::console::Console;
use crate::driver::{self, Driver, Host, NewSensor, Next};
use crate::hook::{self, Consumers, HookStatus};
use crate::machine::{Input, Report};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::server::ControlRequest;
use crate::store::{Store, StoreError};
use crate::watcher::{Change, Watched, Watcher};

/// All that a daemon starts with.
pub struct Parts {
    /// The command line, for reloads.
    pub cli: Cli,
    /// The environment, for reloads.
    pub env: Environment,
    /// The configuration in force.
    pub config: Config,
    /// The Console of that configuration.
    pub console_url: ConsoleUrl,
    /// What this host says of itself.
    pub facts: HostFacts,
    /// Its clock.
    pub clock: Clock,
    /// What its waits are measured on.
    pub uptime: Arc<dyn Uptime>,
    /// The state directory; `None` while a command holds it, and then the daemon waits.
    pub store: Option<Store>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where reports go.
    pub reports: watch::Sender<Report>,
    /// What people ask for.
    pub requests: mpsc::Receiver<ControlRequest>,
    /// What could not be opened, one sentence each; part of every report.
    pub problems: Vec<String>,
    /// Why the files are no configuration, where `config` only keeps the identity in use until they are.
    pub rejected: Option<ConfigErrors>,
}

/// Why a daemon ended in good order.
#[derive(Debug)]
pub enum End {
    /// It was told to.
    Stopped,
    /// The files are a configuration now, and this daemon began without one.
    Configured(Box<Draft>),
}

/// The daemon at work.
struct Daemon {
    cli: Cli,
    env: Environment,
    driver: Driver,
    asked: Vec<ControlRequest>,
    consumers: Arc<Consumers>,
    told: Arc<watch::Sender<HookStatus>>,
    heard: watch::Receiver<HookStatus>,
    telling: Option<Telling>,
    notifier: Notifier,
    metrics: Arc<Metrics>,
    reports: watch::Sender<Report>,
    /// What could not be opened at the start.
    problems: Vec<String>,
    /// The line that the service manager has.
    said: String,
    /// Why the configuration in the files is not in effect.
    rejected: Option<String>,
    /// Whether this daemon began without a configuration.
    is_provisional: bool,
    /// What to begin anew with.
    configured: Option<Box<Draft>>,
    /// The settings that differ in the files and that only a start takes.
    waiting_for_restart: Vec<&'static str>,
    /// What is wrong with the inputs of first contact.
    first_contact: Option<String>,
    /// Why the token cannot be used, where one is named.
    token_problem: Option<String>,
    /// When to look again at what may have become right without a change of any file.
    look_again: Interval,
}

/// Time between looks at a configuration that could not be used.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why a daemon ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gives no signals.
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
    /// The state directory cannot be opened, after a command has let go of it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state directory is not the one that was opened any more, and this process cannot take the one that is there
    /// now: it is another agent's, or what confines this process is of the old one.
    #[error("the state directory {} was removed or replaced, and this process cannot take it anew: {cause}", dir.display())]
    StateGone {
        /// Where it was.
        dir: PathBuf,
        /// Why not.
        cause: String,
    },
}

/// Consumers being told.
type Telling = Pin<Box<dyn Future<Output = ()>>>;

/// What happened.
enum Event {
    Next(Next),
    Changed(Change),
    Asked(Option<ControlRequest>),
    /// How far the telling of consumers is.
    Telling,
    /// They are told, or given up.
    Told,
    /// The wall clock was set, or the host woke from suspend.
    ClockSet,
    /// A hook has ended, or what one left running.
    ChildEnded,
    /// What was wrong with the configuration may be right by now.
    LookAgain,
    Watchdog,
    Reload,
    Stop,
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    child: Signal,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(mut parts: Parts) -> Result<End, RunError> {
    let mut signals = Signals {
        hangup: signal(SignalKind::hangup())?,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        child: signal(SignalKind::child())?,
    };
    let notifier = Notifier::new(&parts.config.service);
    let mut store = match parts.store.take() {
        Some(store) => store,
        None => match parts.wait_for_store(&notifier, &mut signals).await? {
            Some(store) => store,
            None => return Ok(End::Stopped),
        },
    };
    if let Err(error) = store.set_kept() {
        tracing::warn!(%error, "cannot write down that an agent keeps this identity");
    }
    let mut watcher = Watcher::new(Watched::of(&parts.config));
    let (mut daemon, mut requests) = Daemon::new(parts, store, notifier);
    if let Some(why) = watcher.blind() {
        tracing::warn!(why, "changes of files are noticed late");
    }
    let token = daemon.find_token();
    let events = daemon.driver.start(token);
    daemon.hear(events);
    daemon.notifier.ready(&daemon.line());
    let steps = Steps::watch();
    let mut watchdog = daemon.notifier.watchdog_interval().map(interval);
    loop {
        let event = daemon.wait(&mut signals, &mut watcher, &mut requests, watchdog.as_mut(), &steps).await;
        match event {
            Event::Next(next) => {
                let events = daemon.driver.take(next);
                daemon.hear(events);
            }
            Event::Changed(Change::State) => daemon.tell(Input::FilesChanged),
            Event::Changed(Change::Token) => daemon.look_for_token(),
            Event::Changed(Change::Config) | Event::Reload => daemon.reload(&mut watcher),
            Event::Asked(Some(request)) => daemon.ask(request),
            Event::Asked(None) => requests.close(),
            Event::Telling => daemon.report(),
            Event::Told => {
                daemon.telling = None;
                daemon.note_told();
                daemon.report();
            }
            Event::ClockSet => daemon.tell(Input::Tick),
            Event::ChildEnded => hook::reap(),
            Event::LookAgain => daemon.look_again(&mut watcher),
            Event::Watchdog => daemon.notifier.alive(),
            Event::Stop => break,
        }
        if let Some(cause) = daemon.driver.take_end() {
            let gone = RunError::StateGone { dir: daemon.driver.state_dir().to_owned(), cause };
            daemon.notifier.stopping(&gone.to_string());
            return Err(gone);
        }
        if let Some(draft) = daemon.configured.take() {
            daemon.tell(Input::Stop);
            return Ok(End::Configured(draft));
        }
    }
    daemon.notifier.stopping("stopping");
    daemon.tell(Input::Stop);
    tracing::info!("stopped; the identity stays");
    Ok(End::Stopped)
}

fn look_again() -> Interval {
    let mut interval = interval_at(Instant::now() + LOOK_AGAIN, LOOK_AGAIN);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Daemon {
    fn new(parts: Parts, store: Store, notifier: Notifier) -> (Self, mpsc::Receiver<ControlRequest>) {
        let Parts { config, console_url, clock, .. } = parts;
        let console = Console::new(console_url.clone(), &config.proxy, clock.clone())
            .observed_by(Arc::clone(&parts.metrics) as _);
        let told = watch::Sender::new(HookStatus::Idle);
        let daemon = Self {
            consumers: Arc::new(Consumers::new(&config.hook, &config.state_dir.value)),
            heard: told.subscribe(),
            told: Arc::new(told),
            telling: None,
            notifier,
            is_provisional: parts.rejected.is_some(),
            rejected: parts.rejected.map(|errors| Self::provisional(&errors)),
            configured: None,
            waiting_for_restart: Vec::new(),
            first_contact: Self::first_contact_problem(&config),
            token_problem: None,
            look_again: look_again(),
            cli: parts.cli,
            env: parts.env,
            driver: Driver::new(
                Host { config, facts: parts.facts, clock },
                console_url,
                console,
                parts.uptime,
                store,
                NewSensor::Refuse,
            )
            .as_daemon(),
            asked: Vec::new(),
            metrics: parts.metrics,
            reports: parts.reports,
            problems: parts.problems,
            said: String::new(),
        };
        (daemon, parts.requests)
    }

    /// The one place that waits.
    async fn wait(
        &mut self,
        signals: &mut Signals,
        watcher: &mut Watcher,
        requests: &mut mpsc::Receiver<ControlRequest>,
        watchdog: Option<&mut tokio::time::Interval>,
        steps: &Steps,
    ) -> Event {
        let unsettled = self.is_unsettled();
        let bitten = async {
            match watchdog {
                Some(interval) => interval.tick().await,
                None => pending::<Instant>().await,
            }
        };
        let told = async {
            match &mut self.telling {
                Some(telling) => telling.await,
                None => pending().await,
            }
        };
        let look_again = async { if unsettled { self.look_again.tick().await } else { pending().await } };
        let asked = async {
            if requests.is_closed() && requests.is_empty() { pending().await } else { requests.recv().await }
        };
        tokio::select! {
            _ = signals.terminate.recv() => Event::Stop,
            _ = signals.interrupt.recv() => Event::Stop,
            _ = signals.hangup.recv() => Event::Reload,
            _ = signals.child.recv() => Event::ChildEnded,
            _ = bitten => Event::Watchdog,
            next = self.driver.next() => Event::Next(next),
            change = watcher.changed() => Event::Changed(change),
            request = asked => Event::Asked(request),
            () = told => Event::Told,
            Ok(()) = self.heard.changed() => Event::Telling,
            () = steps.clock_set() => Event::ClockSet,
            _ = look_again => Event::LookAgain,
        }
    }

    fn tell(&mut self, input: Input) {
        let events = self.driver.tell(input);
        self.hear(events);
    }

    /// What people ask for. Who asks for what somebody else waits for already gets the same answer.
    fn ask(&mut self, request: ControlRequest) {
        match request.input() {
            None => request.alive(),
            Some(input) => {
                self.asked.push(request);
                self.tell(input);
            }
        }
    }

    /// Passes on what the driver did, and reports.
    fn hear(&mut self, events: Vec<driver::Event>) {
        for event in events {
            match event {
                driver::Event::Enrollment(attempt) => self.metrics.enrollment(attempt),
                driver::Event::Renewal(attempt) => self.metrics.renewal(attempt),
                driver::Event::IdentityChanged(change) => self.tell_consumers(change),
                driver::Event::Warning(warning) => tracing::warn!("{warning}"),
                driver::Event::CommandDone(result) => {
                    let asked = std::mem::take(&mut self.asked);
                    let (done, waiting): (Vec<_>, _) =
                        asked.into_iter().partition(|request| request.ends_with(&result));
                    self.asked = waiting;
                    for request in done {
                        request.done(result.clone());
                    }
                }
            }
        }
        self.report();
    }
}
