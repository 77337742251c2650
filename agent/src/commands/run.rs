//! `telovix-agent run`: the daemon.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::report;
use crate::cli::Cli;
use crate::clock::{self, Clock};
use crate::config::{Config, Environment};
use crate::confine;
use crate::daemon::{self, Parts, RunError};
use crate::facts;
use crate::machine::Exit;
use crate::machine::{Actor, Report, StateName};
use crate::metrics::Metrics;
use crate::server;
use crate::store::{self, Publication, Store};

/// Requests of people that may wait for their turn.
const QUEUE: usize = 16;

pub(super) fn run(cli: Cli, env: Environment, config: Config, clock: Clock) -> Exit {
    let console_url = match config.require_console_url() {
        Ok(setting) => setting.value.clone(),
        Err(errors) => return report::failure(&errors, "", Exit::Usage),
    };
    let store = match Store::open_as(&config.state_dir.value, Publication::from(&config.publish)) {
        Ok(store) => store,
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    };
    if let Some(parent) = config.server.control_socket.value.parent() {
        // Where it cannot be made there will be no control socket, which says why itself.
        let _ = store::make_runtime_dir(parent);
    }
    tracing::info!("{}", confine::apply(&config));
    let runtime = match report::runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let facts = facts::gather(&config);
    let done = runtime.block_on(async {
        let starting = Report::new(StateName::Starting, "the agent has just started", Actor::Agent);
        let (reports, seen) = watch::channel(starting);
        let (ask, requests) = mpsc::channel(QUEUE);
        let metrics = Arc::new(Metrics::new(seen.clone()));
        let servers = server::start(&config, &clock, &seen, &metrics, &ask);
        drop(ask);
        let problems = servers.problems().to_vec();
        let parts = Parts {
            cli,
            env,
            config,
            console_url,
            facts,
            clock,
            uptime: clock::uptime(),
            store,
            metrics,
            reports,
            requests,
            problems,
        };
        daemon::run(parts).await
    });
    runtime.shutdown_background();
    match done {
        Ok(()) => Exit::Done,
        Err(error @ RunError::Signals(_)) => report::failure(&error, "", Exit::Unexpected),
        Err(error @ RunError::StateGone { .. }) => report::failure(
            &error,
            "start the agent again, which takes the directory that is there",
            Exit::LocalState,
        ),
    }
}
