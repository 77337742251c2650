//! `telovix-agent decommission`: tells the Console that this node retires (docs/contract.md section 3).
//!
//! Invariant: a failure never blocks a shutdown: whatever the Console says, this ends within seconds and with status 0,
//! unless the local state refuses. The credential stays, so that the node can come back, unless `--purge` is given. A
//! copied identity is not used for it: that would retire the machine that it was copied from.

use super::report::{runtime, say};
use super::{report, reset};
use crate::cli::DecommissionArgs;
use crate::clock::{self, Clock};
use crate::config::{Config, Draft};
use crate::console::Console;
use crate::driver::{self, Driver, Host, NewSensor};
use crate::facts;
use crate::machine::{CommandResult, Exit};
use crate::server::client::Client;
use crate::store::{Store, StoreError};

pub(super) fn run(Draft { config, errors }: Draft, args: &DecommissionArgs, clock: Clock) -> Exit {
    let dir = config.state_dir.value.clone();
    if let Some(end) = reset::missing(&dir, "retire") {
        return end;
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let told = runtime.block_on(async {
        match ask_daemon(&config).await {
            Some(answer) => Some(Ok(answer)),
            // Another directory may be meant, and another machine's identity be in this one.
            None if !errors.as_slice().is_empty() => None,
            None => Some(alone(config, clock).await),
        }
    });
    runtime.shutdown_background();
    match told {
        Some(Ok(sentence)) => say!("{sentence}"),
        Some(Err(error)) => return report::failure(&error, "", Exit::LocalState),
        None => return report::mistakes(&errors),
    }
    if args.purge { reset::remove(&dir, "stop the agent and run it again") } else { Exit::Done }
}

/// A daemon at work retires itself: otherwise its next heartbeat would bring the node back. `None` where none is.
async fn ask_daemon(config: &Config) -> Option<String> {
    let client = Client::new(&config.server.control_socket.value);
    let report = client.status().await.ok()?;
    if !report.is_of(&config.state_dir.value) {
        return None;
    }
    Some(match client.decommission().await {
        Ok(CommandResult::Decommissioned { untold: None }) => {
            "retired; the agent's next start or a new token brings the node back".to_owned()
        }
        Ok(CommandResult::Decommissioned { untold: Some(fault) }) => {
            format!("the agent is at rest, but the Console was not told: {}", fault.message)
        }
        Ok(
            CommandResult::Renewed { .. }
            | CommandResult::NotDue { .. }
            | CommandResult::CannotRenew { .. }
            | CommandResult::RenewFailed(_),
        ) => "the agent gave an answer to another question; look at `telovix-agent status`".to_owned(),
        Err(error) => format!("the agent was not asked: {error}"),
    })
}

/// Without a daemon.
async fn alone(config: Config, clock: Clock) -> Result<String, StoreError> {
    let dir = config.state_dir.value.clone();
    let (store, held_by) = match Store::open(&dir) {
        // An agent that does not answer holds the directory: looking is enough to tell the Console.
        Err(error @ StoreError::Locked { .. }) => (Store::peek(&dir), Some(error)),
        opened => (opened?, None),
    };
    let host = Host { facts: facts::gather(&config), config, clock };
    let look = driver::look(&host, None)?;
    let Some(current) = look.current else { return Ok(format!("nothing to retire: {}", look.report.reason)) };
    let sensor = current.verified().sensor_id();
    // Where nobody configured a Console, the one that issued the identity is meant.
    let configured = host.config.console_url.as_ref().map(|setting| setting.value.clone());
    let Some(url) = configured.or_else(|| current.state().console_url.parse().ok()) else {
        return Ok(format!(
            "the Console was not told that sensor {sensor} retires: its address is not known"
        ));
    };
    let console = Console::new(url.clone(), &host.config.proxy, host.clock.clone());
    let mut driver = Driver::new(host, url, console, clock::uptime(), store, NewSensor::Refuse);
    driver.start(None);
    Ok(match (driver.decommission().await, held_by) {
        (None, None) => format!("retired: sensor {sensor}; its next heartbeat or enrollment brings it back"),
        (None, Some(holder)) => format!(
            "retired: sensor {sensor}; but {holder}: it did not answer, and its next heartbeat brings the node back"
        ),
        (Some(untold), _) => {
            format!("the Console was not told that sensor {sensor} retires: {}", untold.message)
        }
    })
}
