//! `telovix-agent status`: what this host holds, and what it needs. Looks and changes nothing, beside a running agent.

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::SensorId;

use super::{Exit, report};
use crate::cli::{Output, Probe, StatusArgs};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::schedule;
use crate::store::{Generation, Loaded, Loss, SensorState, Store, StoreError};

/// The report, with the names of DESIGN.md section 3. Times are RFC 3339.
#[derive(Debug, Serialize)]
struct Status {
    /// `active`, `unenrolled`, `enrolling` or `lost`.
    state: &'static str,
    sensor_id: Option<SensorId>,
    node_name: Option<String>,
    node_role: Option<String>,
    cluster_name: Option<String>,
    console_url: Option<String>,
    trust_state: Option<String>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    renew_at: Option<Timestamp>,
    serial: Option<String>,
    generation: Option<u32>,
    /// When the Console last accepted the identity, as far as this host has written it down.
    last_contact: Option<Timestamp>,
    last_error: Option<LastError>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LastError {
    code: String,
    message: String,
    action: String,
    next_attempt: Option<Timestamp>,
}

pub(super) fn run(config: &Config, args: &StatusArgs, clock: &Clock) -> Exit {
    let dir = &config.state_dir.value;
    let store = Store::peek(dir);
    let status = match read(&store, config, clock::now(clock)) {
        Ok(status) => status,
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    };
    let exit = if status.state == "active" { Exit::Done } else { Exit::NoIdentity };
    match args.probe() {
        Some(Probe::Live) => return Exit::Done,
        Some(Probe::Ready) => return exit,
        None => {}
    }
    match args.output {
        Output::Human => print(&status),
        Output::Json => match serde_json::to_string_pretty(&status) {
            Ok(json) => println!("{json}"),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
    }
    exit
}

fn read(store: &Store, config: &Config, now: Timestamp) -> Result<Status, StoreError> {
    let configured = config.console_url.as_ref().map(|setting| setting.value.to_string());
    let under_way = matches!(store.pending(), Ok(Some(_)));
    Ok(match store.load(now)? {
        Loaded::Intact { generation, mended } => active(store, &generation, mended),
        Loaded::Nothing => {
            let (state, error) = if under_way {
                (
                    "enrolling",
                    waiting("an enrollment is under way", "run `telovix-agent enroll` again: it goes on"),
                )
            } else {
                let action = "make a token in the Console and run `telovix-agent enroll`";
                ("unenrolled", waiting("this host has not enrolled yet", action))
            };
            let name = Some(config.node_name.value.to_string());
            Status { state, node_name: name, last_error: Some(error), ..Status::empty(configured) }
        }
        Loaded::Lost(loss) => lost(&loss, configured),
    })
}

fn active(store: &Store, generation: &Generation, notes: Vec<String>) -> Status {
    let verified = generation.verified();
    let renew_at = schedule::renew_at(verified.not_before(), verified.not_after(), verified.serial());
    Status {
        state: "active",
        not_before: Some(verified.not_before()),
        not_after: Some(verified.not_after()),
        renew_at: Some(renew_at),
        serial: Some(verified.serial_hex()),
        generation: Some(generation.number()),
        last_contact: store.ready_since(),
        notes,
        ..Status::empty(None).with(generation.state())
    }
}

fn lost(loss: &Loss, configured: Option<String>) -> Status {
    let error = LastError {
        code: "credential_lost".to_owned(),
        message: loss.reason.to_string(),
        action: "make a re-enrollment token for this sensor in the Console and run `telovix-agent enroll`"
            .to_owned(),
        next_attempt: None,
    };
    let status = Status { state: "lost", last_error: Some(error), ..Status::empty(configured) };
    match &loss.state {
        Some(state) => status.with(state),
        None => status,
    }
}

fn waiting(message: &str, action: &str) -> LastError {
    LastError {
        code: "unenrolled".to_owned(),
        message: message.to_owned(),
        action: action.to_owned(),
        next_attempt: None,
    }
}

impl Status {
    fn empty(console_url: Option<String>) -> Self {
        Self {
            state: "unenrolled",
            sensor_id: None,
            node_name: None,
            node_role: None,
            cluster_name: None,
            console_url,
            trust_state: None,
            not_before: None,
            not_after: None,
            renew_at: None,
            serial: None,
            generation: None,
            last_contact: None,
            last_error: None,
            notes: Vec::new(),
        }
    }

    fn with(self, state: &SensorState) -> Self {
        Self {
            sensor_id: Some(state.sensor_id),
            node_name: Some(state.node_name.to_string()),
            node_role: Some(state.node_role.to_string()),
            cluster_name: state.cluster_name.as_ref().map(ToString::to_string),
            console_url: Some(state.console_url.clone()),
            trust_state: Some(state.trust_state.to_string()),
            ..self
        }
    }
}

fn print(status: &Status) {
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            println!("{name:<13}{value}");
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}"));
    line("state", Some(status.state.to_owned()));
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
        line("problem", Some(error.message.clone()));
        line("do", Some(error.action.clone()));
    }
}
