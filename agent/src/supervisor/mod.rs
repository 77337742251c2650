//! The daemon: hears what happens, tells the machine, and does what it says.
//!
//! Invariant: every decision is the machine's. This module holds the only `select!`; it carries out effects in the order
//! in which they come, and answers each `Load`, `Call` and `Publish` exactly once.

mod calls;
mod effects;
mod landing;
mod summary;

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use telovix_contract::facts::HostFacts;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep};

use self::calls::{Flight, Landed};
use crate::cli::Cli;
use crate::clock::{self, Clock, Uptime};
use crate::config::{self, Config, ConsoleUrl, Environment, FoundToken};
use crate::console::Console;
use crate::enrollment::{Host, random};
use crate::hook::{self, Consumers, HookStatus, Occasion};
use crate::machine::{Input, Machine, Now, Settings, TokenFacts};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::server::ControlRequest;
use crate::status::Report;
use crate::store::{Generation, Publication, Store};
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
    pub uptime: Uptime,
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
    config: Config,
    console_url: ConsoleUrl,
    facts: HostFacts,
    clock: Clock,
    uptime: Uptime,
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
}

/// Consumers being told.
type Telling = Pin<Box<dyn Future<Output = ()>>>;

/// What happened, before the machine hears of it.
enum Event {
    Landed(Box<Landed>),
    Changed(Change),
    Asked(Option<ControlRequest>),
    Told,
    Deadline,
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
///
/// # Errors
/// Signals cannot be heard.
pub async fn run(parts: Parts) -> std::io::Result<()> {
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
    let mut watchdog = supervisor.notifier.watchdog_interval().map(interval);
    loop {
        let event = supervisor.wait(&mut signals, &mut watcher, &mut requests, watchdog.as_mut()).await;
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
            Event::Told => {
                supervisor.telling = None;
                supervisor.note_told();
                supervisor.report();
            }
            Event::Deadline => supervisor.tell(Input::Tick),
            Event::Watchdog => supervisor.notifier.alive(),
            Event::Stop => break,
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
        let supervisor = Self {
            machine: Machine::new(settings(&parts.config)),
            consumers: Arc::new(Consumers::new(&parts.config.hook, &parts.config.state_dir.value)),
            told: Arc::new(watch::Sender::new(HookStatus::Idle)),
            telling: None,
            event: hook::Event::Restored,
            notifier: Notifier::new(&parts.config.service),
            console,
            cli: parts.cli,
            env: parts.env,
            config: parts.config,
            console_url: parts.console_url,
            facts: parts.facts,
            clock: parts.clock,
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
                Some(wait) => sleep(wait).await,
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

    /// Makes the report anew, and passes it on where it differs.
    fn report(&self) {
        let mut report = self.machine.report(self.now());
        report.notes.extend(self.told.borrow().note());
        report.notes.extend(self.problems.iter().chain(&self.barred).cloned());
        self.reports.send_if_modified(|last| {
            let differs = *last != report;
            *last = report;
            differs
        });
    }

    /// Tells consumers of the current identity; what they are still being told of an earlier one is dropped.
    fn tell_consumers(&mut self) {
        let event = std::mem::replace(&mut self.event, hook::Event::Restored);
        if self.consumers.is_empty() {
            return;
        }
        let sensor_id = self.current.as_ref().map(|current| current.verified().sensor_id());
        let (consumers, told, metrics) = (self.consumers.clone(), self.told.clone(), self.metrics.clone());
        self.telling = Some(Box::pin(async move {
            consumers
                .deliver(Occasion { event, sensor_id }, &told, |outcome| metrics.hook_run(outcome))
                .await;
        }));
    }

    /// Everybody knows the current identity: a later process need not tell it again.
    fn note_told(&mut self) {
        if let (HookStatus::Told(_), Some(current)) = (&*self.told.borrow(), &self.current)
            && let Err(error) = self.store.set_told(current)
        {
            tracing::warn!(%error, "the state directory refuses");
        }
    }

    fn now(&self) -> Now {
        Now { wall: clock::now(&self.clock), mono: (self.uptime)(), random: random() }
    }

    /// One line for `systemctl status`.
    fn line(&self) -> String {
        let report = self.reports.borrow();
        let mut line = format!("{}: {}", report.state.as_str(), report.reason);
        if let Some(at) = report.last_error.as_ref().and_then(|error| error.next_attempt) {
            line.push_str(&format!("; next attempt {at:.0}"));
        }
        line
    }

    fn look_for_token(&mut self) {
        // Standard input belongs to `enroll`; a daemon has none.
        match self.config.token.resolve(&mut std::io::empty()) {
            Ok(found) => {
                for warning in found.iter().flat_map(|found| &found.warnings) {
                    tracing::warn!("{warning}");
                }
                self.token = found;
            }
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read");
                self.token = None;
            }
        }
    }

    fn token_facts(&self) -> Option<TokenFacts> {
        self.token.as_ref().map(|found| TokenFacts::of(&found.token))
    }

    /// Reads the configuration again. A bad one changes nothing but the log.
    fn reload(&mut self, watcher: &mut Watcher) {
        self.notifier.reloading();
        let fresh = config::load(&self.cli, &self.env).and_then(|config| {
            config.require_console_url().map(|url| url.value.clone()).map(|url| (config, url))
        });
        match fresh {
            Err(errors) => {
                tracing::error!("the new configuration is not taken, the old one stays:\n{errors}");
            }
            Ok((mut config, console_url)) => {
                for name in config.needs_restart(&self.config) {
                    tracing::warn!("a new {name} takes effect when the agent is started again");
                }
                if self.config.hook.command.is_none() {
                    config.hook.command = None;
                }
                self.console = Arc::new(
                    Console::new(console_url.clone(), &config.proxy, self.clock.clone())
                        .observed_by(Arc::clone(&self.metrics) as _),
                );
                self.console_url = console_url;
                self.facts = crate::facts::gather(&config);
                self.consumers = Arc::new(Consumers::new(&config.hook, &self.config.state_dir.value));
                self.store.publish_as(Publication::from(&config.publish));
                watcher.watch(Watched::of(&config));
                self.config = config;
                tracing::info!("the configuration was read again");
                self.tell(Input::ConfigChanged(settings(&self.config)));
                self.look_for_token();
                let facts = self.token_facts();
                self.tell(Input::Token(facts));
            }
        }
        self.notifier.ready(&self.line());
    }

    /// The host as the steps of an enrollment want it.
    fn host(&self) -> Host<'_> {
        Host {
            config: &self.config,
            console_url: &self.console_url,
            facts: &self.facts,
            clock: self.clock.clone(),
        }
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
