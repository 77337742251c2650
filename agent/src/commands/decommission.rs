//! `telovix-agent decommission`: tells the Console that this node retires (CONTRACT.md section 3).
//!
//! Invariant: a failure never blocks a shutdown: whatever the Console says, this ends within seconds and with status 0,
//! unless the local state refuses. The credential stays, so that the node can come back, unless `--purge` is given. A
//! copied identity is not used for it: that would retire the machine that it was copied from.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::report::say;
use super::{Exit, report, reset};
use crate::cli::DecommissionArgs;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::console::Console;
use crate::machine::CommandResult;
use crate::server::client::Client;
use crate::store::{Generation, Loaded, Store, StoreError};

/// How long the Console has to take note.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(config: &Config, args: &DecommissionArgs, clock: &Clock) -> Exit {
    let dir = &config.state_dir.value;
    if let Some(end) = reset::missing(dir, "retire") {
        return end;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failure(&error, "", Exit::Unexpected),
    };
    let told = match runtime.block_on(ask_daemon(config)) {
        Some(answer) => Ok(answer),
        None => alone(config, clock, &runtime),
    };
    runtime.shutdown_background();
    match told {
        Ok(sentence) => say!("{sentence}"),
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    }
    if args.purge { reset::remove(dir, "stop the agent and run it again") } else { Exit::Done }
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
fn alone(config: &Config, clock: &Clock, runtime: &Runtime) -> Result<String, StoreError> {
    let dir = &config.state_dir.value;
    let (mut store, held_by) = match Store::open(dir) {
        // An agent that does not answer holds the directory: looking is enough to tell the Console.
        Err(error @ StoreError::Locked { .. }) => (Store::peek(dir), Some(error)),
        opened => (opened?, None),
    };
    let generation = match store.load(clock::now(clock))? {
        Loaded::Intact { generation, .. } => generation,
        Loaded::Nothing => return Ok("this host holds no identity that could be retired".to_owned()),
        Loaded::Lost(loss) => return Ok(format!("the Console cannot be told: {}", loss.reason)),
    };
    if generation.state().is_copied_here() {
        return Ok("the identity here was made on another machine, which is not retired by this".to_owned());
    }
    let sensor = generation.verified().sensor_id();
    Ok(match (tell(config, &generation, clock, runtime), held_by) {
        (Ok(()), None) => {
            store.set_ready(None)?;
            format!("retired: sensor {sensor}; its next heartbeat or enrollment brings it back")
        }
        (Ok(()), Some(holder)) => {
            format!(
                "retired: sensor {sensor}; but {holder}: it did not answer, and its next heartbeat brings the node back"
            )
        }
        (Err(error), _) => format!("the Console was not told that sensor {sensor} retires: {error}"),
    })
}

fn tell(config: &Config, generation: &Generation, clock: &Clock, runtime: &Runtime) -> Result<(), String> {
    // Where nobody configured a Console, the one that issued the identity is meant.
    let configured = config.console_url.as_ref().map(|setting| setting.value.clone());
    let issued_by = || generation.state().console_url.parse().ok();
    let url = configured.or_else(issued_by).ok_or("its address is not known")?;
    let console = Console::new(url, &config.proxy, clock.clone());
    let identity = generation.identity().map_err(|error| error.to_string())?;
    let trust = generation.trust();
    let told = runtime.block_on(async { timeout(LIMIT, console.decommission(&trust, identity)).await });
    match told {
        Ok(told) => told.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}
