//! `telovix-agent status`: what this host holds, and what it needs. Looks and changes nothing, beside a running agent.

use jiff::Timestamp;

use super::report::say;
use super::{Exit, report};
use crate::cli::{Output, Probe, StatusArgs};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::schedule;
use crate::server::client::{Client, ClientError};
use crate::status::{Actor, LastError, Report, StateName};
use crate::store::{Generation, Loaded, Loss, SensorState, Store, StoreError};

const OWN_TOKEN: &str =
    "make a token for this host in the Console, one of its own, and run `telovix-agent enroll`";
const SAME_SENSOR: &str =
    "make a re-enrollment token for this sensor in the Console and run `telovix-agent enroll`";

pub(super) fn run(config: &Config, args: &StatusArgs, clock: &Clock) -> Exit {
    let now = clock::now(clock);
    if args.probe() == Some(Probe::Live) {
        return live(config, now);
    }
    let status = match ask(config) {
        Ok(report) => report,
        Err(asked) => match read(&Store::peek(&config.state_dir.value), config, now) {
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
    let runtime = runtime().map_err(|error| Some(error.to_string()))?;
    match runtime.block_on(client.status()) {
        Ok(report) if report.is_of(&config.state_dir.value) => Ok(report),
        Ok(_) | Err(ClientError::Absent(_)) => Err(None),
        Err(error) => Err(Some(error.to_string())),
    }
}

/// The running agent answers; where none runs, its state can be read.
fn live(config: &Config, now: Timestamp) -> Exit {
    let client = Client::new(&config.server.control_socket.value);
    let asked = match runtime() {
        Ok(runtime) => runtime.block_on(client.live()),
        Err(error) => return report::failure(&error, "", Exit::Unexpected),
    };
    match asked {
        Ok(()) => Exit::Done,
        Err(ClientError::Absent(_)) => match read(&Store::peek(&config.state_dir.value), config, now) {
            Ok(_) => Exit::Done,
            Err(error) => report::failure(&error, "", Exit::LocalState),
        },
        Err(error) => report::failure(&error, "", Exit::from(&error)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn read(store: &Store, config: &Config, now: Timestamp) -> Result<Report, StoreError> {
    let under_way = matches!(store.pending(), Ok(Some(_)));
    let report = match store.load(now)? {
        Loaded::Intact { generation, .. } if generation.state().is_copied_here() => {
            let reason = "the identity here was made on another machine";
            blank(config, StateName::Lost, reason, OWN_TOKEN)
        }
        Loaded::Intact { generation, mended } => active(store, &generation, mended),
        Loaded::Nothing if under_way => {
            let action = "run `telovix-agent enroll` again: it goes on with the same enrollment";
            blank(config, StateName::Enrolling, "an enrollment is under way", action)
        }
        Loaded::Nothing => {
            let action = "make a token in the Console and run `telovix-agent enroll`";
            blank(config, StateName::Unenrolled, "this host has not enrolled yet", action)
        }
        Loaded::Lost(loss) => lost(&loss, config),
    };
    Ok(Report { state_dir: Some(config.state_dir.value.clone()), ..report })
}

fn active(store: &Store, generation: &Generation, notes: Vec<String>) -> Report {
    let verified = generation.verified();
    let renew_at = schedule::renew_at(verified.not_before(), verified.not_after(), verified.serial());
    Report {
        not_before: Some(verified.not_before()),
        not_after: Some(verified.not_after()),
        renew_at: Some(renew_at),
        serial: Some(verified.serial_hex()),
        generation: Some(generation.number()),
        last_contact: store.ready_since(),
        accepted: store.ready_since().is_some(),
        notes,
        ..Report::new(StateName::Active, "this host holds a valid identity", Actor::Agent)
            .remembering(generation.state())
    }
}

fn lost(loss: &Loss, config: &Config) -> Report {
    let copied = loss.state.as_deref().is_some_and(SensorState::is_copied_here);
    let action = if copied { OWN_TOKEN } else { SAME_SENSOR };
    let report = blank(config, StateName::Lost, &loss.reason.to_string(), action);
    match &loss.state {
        Some(state) if !copied => report.remembering(state),
        Some(_) | None => report,
    }
}

/// A host without an identity.
fn blank(config: &Config, state: StateName, reason: &str, action: &str) -> Report {
    let error = LastError {
        code: if state == StateName::Lost { "credential_lost" } else { "unenrolled" }.to_owned(),
        message: reason.to_owned(),
        action: action.to_owned(),
        next_attempt: None,
    };
    Report {
        node_name: Some(config.node_name.value.to_string()),
        console_url: config.console_url.as_ref().map(|setting| setting.value.to_string()),
        last_error: Some(error),
        ..Report::new(state, reason, Actor::HostOperator)
    }
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
