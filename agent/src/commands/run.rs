//! `telovix-agent run`: the daemon.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::report;
use crate::cli::Cli;
use crate::clock::{self, Clock};
use crate::config::{self, Config, ConfigErrors, ConsoleUrl, Draft, Environment};
use crate::confine;
use crate::daemon::{self, End, LOOK_AGAIN, Parts, RunError};
use crate::facts;
use crate::machine::Exit;
use crate::machine::{Actor, Report, StateName};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::server::{self, client::Client};
use crate::store::{self, Loaded, Publication, SensorState, Store, StoreError};

/// Requests of people that may wait for their turn.
const QUEUE: usize = 16;

/// Runs until it is told to stop. A daemon that began without a configuration begins anew as soon as there is one.
pub(super) fn run(cli: &Cli, env: &Environment, mut draft: Draft, clock: &Clock) -> Exit {
    loop {
        let ended = match begin(draft, clock) {
            Begin::Run { config, console_url, rejected } => {
                keep(cli, env, *config, console_url, rejected, clock)
            }
            Begin::Wait { notifier, errors } => wait(cli, env, &notifier, &errors),
            Begin::Refuse(errors) => return report::mistakes(&errors),
        };
        draft = match ended {
            Ok(End::Configured(draft)) => *draft,
            Ok(End::Stopped) => return Exit::Done,
            Err(exit) => return exit,
        };
    }
}

/// What a configuration, or what there is of one, allows.
enum Begin {
    /// To keep an identity. Where the files are no configuration, only the one that is there.
    Run { config: Box<Config>, console_url: ConsoleUrl, rejected: Option<ConfigErrors> },
    /// To wait for what may be right a moment later.
    Wait { notifier: Notifier, errors: ConfigErrors },
    /// Nothing.
    Refuse(ConfigErrors),
}

fn begin(Draft { mut config, mut errors }: Draft, clock: &Clock) -> Begin {
    let configured = config.require_console_url().map(|url| url.value.clone());
    match configured {
        Ok(console_url) if errors.as_slice().is_empty() => {
            return Begin::Run { config: Box::new(config), console_url, rejected: None };
        }
        Ok(_) => {}
        Err(missing) if errors.as_slice().is_empty() => errors = missing,
        Err(_) => {}
    }
    let held = match Store::peek(&config.state_dir.value).load(clock::now(clock)) {
        Ok(Loaded::Intact { generation, .. }) => Some(generation.state().clone()),
        Ok(Loaded::Lost(loss)) => loss.state.map(|state| *state),
        Ok(Loaded::Nothing) | Err(_) => None,
    };
    let url = |state: &SensorState| {
        let configured = config.console_url.as_ref().map(|url| url.value.clone());
        configured.or_else(|| state.console_url.parse().ok())
    };
    if let Some((state, console_url)) = held.and_then(|state| url(&state).map(|url| (state, url))) {
        // What may be misread must not make it enroll anew.
        config.keep_only(state.node_name, state.node_role, state.cluster_name);
        return Begin::Run { config: Box::new(config), console_url, rejected: Some(errors) };
    }
    match errors.may_pass() {
        true => Begin::Wait { notifier: Notifier::new(&config.service), errors },
        false => Begin::Refuse(errors),
    }
}

/// Waits for a configuration that can be used.
fn wait(cli: &Cli, env: &Environment, notifier: &Notifier, errors: &ConfigErrors) -> Result<End, Exit> {
    let line = format!("waiting for the configuration: {}", errors.in_one_line());
    tracing::error!("{line}");
    notifier.ready(&line);
    report::runtime()?.block_on(async {
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| report::no_runtime(&error))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| report::no_runtime(&error))?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(End::Stopped),
                _ = hangup.recv() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            notifier.alive();
            let draft = config::draft(cli, env);
            if !draft.errors.may_pass() {
                return Ok(End::Configured(Box::new(draft)));
            }
        }
    })
}

fn keep(
    cli: &Cli,
    env: &Environment,
    config: Config,
    console_url: ConsoleUrl,
    rejected: Option<ConfigErrors>,
    clock: &Clock,
) -> Result<End, Exit> {
    let store = match Store::open_as(&config.state_dir.value, Publication::from(&config.publish)) {
        Ok(store) => Some(store),
        // A command holds it, and not another daemon.
        Err(StoreError::Locked { .. }) if !is_answered(&config)? => None,
        Err(error) => return Err(report::failure(&error, "", Exit::LocalState)),
    };
    if let Some(parent) = config.server.control_socket.value.parent() {
        // Where it cannot be made there will be no control socket, which says why itself.
        let _ = store::make_runtime_dir(parent);
    }
    // Which directories are written, and whether there is a hook, is known when there is a configuration.
    if rejected.is_none() {
        tracing::info!("{}", confine::apply(&config));
    }
    let runtime = report::runtime()?;
    let facts = facts::gather(&config);
    let done = runtime.block_on(async {
        let starting = Report::new(StateName::Starting, "the agent has just started", Actor::Agent);
        let (reports, seen) = watch::channel(starting);
        let (ask, requests) = mpsc::channel(QUEUE);
        let metrics = Arc::new(Metrics::new(seen.clone()));
        let servers = server::start(&config, clock, &seen, &metrics, &ask);
        drop(ask);
        let problems = servers.problems().to_vec();
        let parts = Parts {
            cli: cli.clone(),
            env: env.clone(),
            config,
            console_url,
            facts,
            clock: clock.clone(),
            uptime: clock::uptime(),
            store,
            metrics,
            reports,
            requests,
            problems,
            rejected,
        };
        daemon::run(parts).await
    });
    runtime.shutdown_background();
    done.map_err(|error| match error {
        RunError::Signals(_) => report::failure(&error, "", Exit::Unexpected),
        RunError::Store(_) => report::failure(&error, "", Exit::LocalState),
        RunError::StateGone { .. } => report::failure(
            &error,
            "start the agent again, which takes the directory that is there",
            Exit::LocalState,
        ),
    })
}

/// Whether another daemon keeps this state directory.
fn is_answered(config: &Config) -> Result<bool, Exit> {
    let client = Client::new(&config.server.control_socket.value);
    let asked = report::runtime()?.block_on(client.status());
    Ok(asked.is_ok_and(|report| report.is_of(&config.state_dir.value)))
}
