//! The daemon: hears what happens, tells the machine, and does what it says.
//!
//! Invariant: every decision is the machine's. This module holds the only `select!`; it carries out effects in the order
//! in which they come, and answers each `Load`, `Call` and `Publish` exactly once.

mod calls;
mod effects;
mod landing;
mod reload;
mod summary;
mod telling;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use telovix_contract::facts::HostFacts;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval};

use self::calls::{Flight, Landed};
use crate::cli::Cli;
use crate::clock::{self, Clock, Steps, Uptime};
use crate::config::{Config, ConsoleUrl, Environment, FoundToken};
use crate::console::Console;
use crate::enrollment::{Host, random};
use crate::hook::{self, Consumers, HookStatus};
use crate::machine::{Input, Machine, Now, Settings};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::server::ControlRequest;
use crate::status::Report;
use crate::store::{Generation, Store};
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
    /// The state directory, locked.
    pub store: Store,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Where reports go.
    pub reports: watch::Sender<Report>,
    /// What people ask for.
    pub requests: mpsc::Receiver<ControlRequest>,
    /// What could not be opened, one sentence each; part of every report.
    pub problems: Vec<String>,
}

/// The daemon at work.
pub struct Supervisor {
    cli: Cli,
    env: Environment,
    here: Here,
    uptime: Arc<dyn Uptime>,
    store: Store,
    console: Arc<Console>,
    machine: Machine,
    token: Option<FoundToken>,
    current: Option<Generation>,
    committed: Option<Generation>,
    flight: Option<Flight>,
    inputs: VecDeque<Input>,
    asked: Vec<ControlRequest>,
    consumers: Arc<Consumers>,
    told: Arc<watch::Sender<HookStatus>>,
    heard: watch::Receiver<HookStatus>,
    telling: Option<Telling>,
    /// What the next notification of consumers is about.
    event: hook::Event,
    notifier: Notifier,
    metrics: Arc<Metrics>,
    reports: watch::Sender<Report>,
    /// What could not be opened at the start.
    problems: Vec<String>,
    /// What keeps consumers out of the state directory, as last seen.
    barred: Option<String>,
    /// What `.sensor-ready` should say and the disk did not take.
    owed: Option<bool>,
    /// The line that the service manager has.
    said: String,
    /// The code of the failure that stands in the log.
    logged: Option<String>,
    /// Why the configuration that stands in the files is not in force.
    rejected: Option<String>,
    /// Why this process cannot go on.
    ended: Option<String>,
}

/// This host, as the steps of an enrollment want it.
struct Here {
    config: Config,
    console_url: ConsoleUrl,
    facts: HostFacts,
    clock: Clock,
}

impl Here {
    fn host(&self) -> Host<'_> {
        Host {
            config: &self.config,
            console_url: &self.console_url,
            facts: &self.facts,
            clock: self.clock.clone(),
        }
    }
}

/// Why a daemon ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gives no signals.
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
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

/// What happened, before the machine hears of it.
enum Event {
    Landed(Box<Landed>),
    Changed(Change),
    Asked(Option<ControlRequest>),
    /// How far the telling of consumers is.
    Telling,
    /// They are told, or given up.
    Told,
    Deadline,
    /// The wall clock was set, or the host woke from suspend.
    ClockSet,
    Watchdog,
    Reload,
    Stop,
}

/// The signals that mean something.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(parts: Parts) -> Result<(), RunError> {
    let mut signals = Signals {
        hangup: signal(SignalKind::hangup())?,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let mut watcher = Watcher::new(Watched::of(&parts.config));
    let (mut supervisor, mut requests) = Supervisor::new(parts);
    if let Some(why) = watcher.blind() {
        tracing::warn!(why, "changes of files are noticed late");
    }
    supervisor.look_for_token();
    let facts = supervisor.token_facts();
    supervisor.tell(Input::Started(facts));
    supervisor.notifier.ready(&supervisor.line());
    let steps = Steps::watch();
    let mut watchdog = supervisor.notifier.watchdog_interval().map(interval);
    loop {
        let event =
            supervisor.wait(&mut signals, &mut watcher, &mut requests, watchdog.as_mut(), &steps).await;
        match event {
            Event::Landed(landed) => supervisor.land(*landed),
            Event::Changed(Change::State) => supervisor.tell(Input::FilesChanged),
            Event::Changed(Change::Token) => {
                supervisor.look_for_token();
                let facts = supervisor.token_facts();
                supervisor.tell(Input::Token(facts));
            }
            Event::Changed(Change::Config) | Event::Reload => supervisor.reload(&mut watcher),
            Event::Asked(Some(request)) => supervisor.ask(request),
            Event::Asked(None) => requests.close(),
            Event::Telling => supervisor.report(),
            Event::Told => {
                supervisor.telling = None;
                supervisor.note_told();
                supervisor.report();
            }
            Event::ClockSet => supervisor.tell(Input::Tick),
            Event::Deadline => supervisor.tell(Input::Tick),
            Event::Watchdog => supervisor.notifier.alive(),
            Event::Stop => break,
        }
        if let Some(cause) = supervisor.ended.take() {
            let gone = RunError::StateGone { dir: supervisor.store.dir().to_owned(), cause };
            supervisor.notifier.stopping(&gone.to_string());
            return Err(gone);
        }
    }
    supervisor.notifier.stopping("stopping");
    supervisor.tell(Input::Stop);
    tracing::info!("stopped; the identity stays");
    Ok(())
}

impl Supervisor {
    fn new(parts: Parts) -> (Self, mpsc::Receiver<ControlRequest>) {
        let console = Arc::new(
            Console::new(parts.console_url.clone(), &parts.config.proxy, parts.clock.clone())
                .observed_by(Arc::clone(&parts.metrics) as _),
        );
        let told = watch::Sender::new(HookStatus::Idle);
        let supervisor = Self {
            machine: Machine::new(settings(&parts.config)),
            consumers: Arc::new(Consumers::new(&parts.config.hook, &parts.config.state_dir.value)),
            heard: told.subscribe(),
            told: Arc::new(told),
            telling: None,
            event: hook::Event::Restored,
            notifier: Notifier::new(&parts.config.service),
            console,
            cli: parts.cli,
            env: parts.env,
            here: Here {
                config: parts.config,
                console_url: parts.console_url,
                facts: parts.facts,
                clock: parts.clock,
            },
            uptime: parts.uptime,
            store: parts.store,
            token: None,
            current: None,
            committed: None,
            flight: None,
            inputs: VecDeque::new(),
            asked: Vec::new(),
            metrics: parts.metrics,
            reports: parts.reports,
            problems: parts.problems,
            barred: None,
            owed: None,
            said: String::new(),
            logged: None,
            rejected: None,
            ended: None,
        };
        (supervisor, parts.requests)
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
        let deadline = self.machine.next_deadline(self.now());
        let landed = async {
            match &mut self.flight {
                Some(flight) => flight.await,
                None => pending().await,
            }
        };
        let due = async {
            match deadline {
                Some(wait) => self.uptime.wait(wait).await,
                None => pending().await,
            }
        };
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
        let asked = async {
            if requests.is_closed() && requests.is_empty() { pending().await } else { requests.recv().await }
        };
        tokio::select! {
            _ = signals.terminate.recv() => Event::Stop,
            _ = signals.interrupt.recv() => Event::Stop,
            _ = signals.hangup.recv() => Event::Reload,
            _ = bitten => Event::Watchdog,
            landed = landed => Event::Landed(Box::new(landed)),
            change = watcher.changed() => Event::Changed(change),
            request = asked => Event::Asked(request),
            () = told => Event::Told,
            Ok(()) = self.heard.changed() => Event::Telling,
            () = steps.clock_set() => Event::ClockSet,
            () = due => Event::Deadline,
        }
    }

    /// Tells the machine what happened, and carries out what it says until it says nothing more.
    fn tell(&mut self, input: Input) {
        self.make_up();
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            let now = self.now();
            for effect in self.machine.step(now, input) {
                self.carry_out(effect);
            }
        }
        self.report();
    }

    fn now(&self) -> Now {
        Now { wall: clock::now(&self.here.clock), mono: self.uptime.now(), random: random() }
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        node_name: config.node_name.value.to_string(),
        node_role: config.node_role.value.to_string(),
        cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.to_string()),
        console_url: config.console_url.as_ref().map(|setting| setting.value.to_string()),
    }
}
