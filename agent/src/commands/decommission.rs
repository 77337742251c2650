//! `telovix-agent decommission`: tells the Console that this node retires (CONTRACT.md section 3).
//!
//! Invariant: a failure never blocks a shutdown: whatever the Console says, this ends within seconds and with status 0,
//! unless the local state refuses. The credential stays, so that the node can come back, unless `--purge` is given.

use std::time::Duration;

use tokio::time::timeout;

use super::{Exit, report};
use crate::cli::DecommissionArgs;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::console::Console;
use crate::store::{Generation, Loaded, Store, StoreError};

/// How long the Console has to take note.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(config: &Config, args: &DecommissionArgs, clock: &Clock) -> Exit {
    let dir = &config.state_dir.value;
    if !dir.exists() {
        println!("nothing to retire: {} does not exist", dir.display());
        return Exit::Done;
    }
    // The daemon may be at work: the identity is read beside it, and only a purge needs the lock.
    let generation = match Store::peek(dir).load(clock::now(clock)) {
        Ok(Loaded::Intact { generation, .. }) => Some(generation),
        Ok(Loaded::Nothing) => None,
        Ok(Loaded::Lost(loss)) => {
            println!("the Console cannot be told: {}", loss.reason);
            None
        }
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    };
    match generation {
        Some(generation) => tell(config, &generation, clock),
        None => println!("this host holds no identity that could be retired"),
    }
    if !args.purge {
        return Exit::Done;
    }
    match purge(config) {
        Ok(()) => {
            println!("removed the identity in {}", dir.display());
            Exit::Done
        }
        Err(error) => report::failure(&error, "stop the agent and run it again", Exit::LocalState),
    }
}

fn tell(config: &Config, generation: &Generation, clock: &Clock) {
    let sensor = generation.verified().sensor_id();
    // Where nobody configured a Console, the one that issued the identity is meant.
    let configured = config.console_url.as_ref().map(|setting| setting.value.clone());
    let Some(url) = configured.or_else(|| generation.state().console_url.parse().ok()) else {
        println!("the Console was not told: its address is not known");
        return;
    };
    let console = Console::new(url, &config.proxy, clock.clone());
    let told =
        match (generation.identity(), tokio::runtime::Builder::new_current_thread().enable_all().build()) {
            (Ok(identity), Ok(runtime)) => {
                let told = runtime.block_on(async {
                    timeout(LIMIT, console.decommission(&generation.trust(), identity)).await
                });
                runtime.shutdown_background();
                match told {
                    Ok(told) => told.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
                }
            }
            (Err(error), _) => Err(error.to_string()),
            (_, Err(error)) => Err(error.to_string()),
        };
    match told {
        Ok(()) => println!("retired: sensor {sensor}; its next heartbeat or enrollment brings it back"),
        Err(error) => println!("the Console was not told that sensor {sensor} retires: {error}"),
    }
}

fn purge(config: &Config) -> Result<(), StoreError> {
    Store::open(&config.state_dir.value)?.reset()
}
