//! `telovix-agent status`: what this host holds, and what it needs. Looks and changes nothing, beside a running agent.

use jiff::Timestamp;

use super::report;
use super::report::{runtime, say};
use crate::cli::{Output, Probe, StatusArgs};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::driver::{self, Host};
use crate::facts;
use crate::machine::{Exit, Report};
use crate::server::client::{Client, ClientError};
use crate::store::StoreError;

pub(super) fn run(config: Config, args: &StatusArgs, clock: Clock) -> Exit {
    let now = clock::now(&clock);
    if args.probe() == Some(Probe::Live) {
        return live(config, clock);
    }
    let status = match ask(&config) {
        Ok(report) => report,
        Err(asked) => match look(config, clock) {
            Ok(mut report) => {
                report.notes.extend(asked);
                report
            }
            Err(error) => return report::failure(&error, "", Exit::LocalState),
        },
    };
    if args.probe() == Some(Probe::Ready) {
        return if status.is_ready(now) { Exit::Done } else { Exit::NoIdentity };
    }
    match args.output {
        Output::Human => print(&status),
        Output::Json => match serde_json::to_string_pretty(&status) {
            Ok(json) => say!("{json}"),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
    }
    if status.state.holds_identity() { Exit::Done } else { Exit::NoIdentity }
}

/// The running agent's own report, which knows more than the disk. Without one: what an operator should know of that,
/// if anything.
fn ask(config: &Config) -> Result<Report, Option<String>> {
    let client = Client::new(&config.server.control_socket.value);
    let Ok(runtime) = runtime() else { return Err(None) };
    match runtime.block_on(client.status()) {
        Ok(report) if report.is_of(&config.state_dir.value) => Ok(report),
        Ok(_) | Err(ClientError::Absent(_)) => Err(None),
        Err(error) => Err(Some(error.to_string())),
    }
}

/// The running agent answers; where none runs, its state can be read.
fn live(config: Config, clock: Clock) -> Exit {
    let client = Client::new(&config.server.control_socket.value);
    let asked = match runtime() {
        Ok(runtime) => runtime.block_on(client.live()),
        Err(exit) => return exit,
    };
    match asked {
        Ok(()) => Exit::Done,
        Err(ClientError::Absent(_)) => match look(config, clock) {
            Ok(_) => Exit::Done,
            Err(error) => report::failure(&error, "", Exit::LocalState),
        },
        Err(error) => report::failure(&error, "", Exit::from(&error)),
    }
}

/// What this host holds, without a running agent. A token that cannot be read here may be readable for the agent.
fn look(config: Config, clock: Clock) -> Result<Report, StoreError> {
    let token = config.token.resolve(&mut std::io::empty()).ok().flatten();
    let host = Host { facts: facts::gather(&config), config, clock };
    driver::look(&host, token.as_ref()).map(|look| look.report)
}

fn print(status: &Report) {
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            say!("{name:<13}{value}");
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}"));
    line("state", Some(status.state.as_str().to_owned()));
    line("because", Some(status.reason.clone()));
    line("waits for", status.waiting_for.name().map(ToOwned::to_owned));
    line("sensor", status.sensor_id.map(|id| id.to_string()));
    line("node", status.node_name.clone());
    line("role", status.node_role.clone());
    line("cluster", status.cluster_name.clone());
    line("console", status.console_url.clone());
    line("trust", status.trust_state.clone());
    line("valid until", time(status.not_after));
    line("renewal due", time(status.renew_at));
    line("last contact", time(status.last_contact));
    for note in &status.notes {
        line("note", Some(note.clone()));
    }
    if let Some(error) = &status.last_error {
        // What the reason says already is not said twice.
        line("problem", (error.message != status.reason).then(|| error.message.clone()));
        line("do", (!error.action.is_empty()).then(|| error.action.clone()));
        line("next attempt", time(error.next_attempt));
    }
}
