//! `telovix-agent status`: what this host holds, and what it needs. Looks and changes nothing, beside a running agent.
//!
//! Invariant: it never says more than is known now. What comes from the disk is said to; and where an agent kept this
//! identity before and does not answer, no probe says yes.

use jiff::Timestamp;

use super::report;
use super::report::{mistakes, runtime, say};
use crate::cli::{Output, Probe, StatusArgs};
use crate::clock::{self, Clock, when};
use crate::config::{Config, ConfigErrors, Draft};
use crate::driver::{self, Host};
use crate::facts;
use crate::machine::{Code, Exit, LastError, Report, StateName};
use crate::server::client::{Client, ClientError};
use crate::store::{Store, StoreError};

pub(super) fn run(Draft { config, errors }: Draft, args: &StatusArgs, clock: Clock) -> Exit {
    let now = clock::now(&clock);
    let is_kept = Store::peek(&config.state_dir.value).is_kept();
    let asked = match ask(&config, &errors, args.probe()) {
        Ok(asked) => asked,
        Err(exit) => return exit,
    };
    let status = match (asked, args.probe()) {
        (Ok(_), Some(Probe::Live)) => return Exit::Done,
        (Ok(mut report), _) => {
            report.notes.extend(errors.as_slice().iter().map(ToString::to_string));
            report
        }
        (Err(_), _) if !errors.as_slice().is_empty() => return mistakes(&errors),
        (Err(error), Some(Probe::Live)) if is_kept || !is_absent(&error) => {
            return report::failure(&error, "", Exit::from(&error));
        }
        (Err(error), Some(Probe::Ready)) if is_kept || matches!(error, ClientError::Broken { .. }) => {
            let what = format!("{error}: nothing renews this identity");
            return report::failure(&what, "", Exit::NoIdentity);
        }
        (Err(error), probe) => match look(config, clock) {
            Ok(_) if probe == Some(Probe::Live) => return Exit::Done,
            Ok(report) => of_disk(report, &error, now),
            Err(error) => return report::failure(&error, "", Exit::LocalState),
        },
    };
    if args.probe() == Some(Probe::Ready) {
        return match status.readiness(now) {
            Ok(()) => Exit::Done,
            Err(why) => report::failure(&why, "", Exit::NoIdentity),
        };
    }
    match args.output {
        Output::Human => print(&status, now),
        Output::Json => match serde_json::to_string_pretty(&status) {
            Ok(json) => say!("{json}"),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
    }
    if status.state.holds_identity() { Exit::Done } else { Exit::NoIdentity }
}

fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Absent(_))
}

/// The running agent's own report, which knows more than the disk. Where the files are no configuration, the agent behind the
/// socket is taken at its word: which directory is meant cannot be known.
fn ask(
    config: &Config,
    errors: &ConfigErrors,
    probe: Option<Probe>,
) -> Result<Result<Report, ClientError>, Exit> {
    let socket = &config.server.control_socket.value;
    let client = Client::new(socket);
    Ok(runtime()?.block_on(async {
        let report = client.status().await?;
        if errors.as_slice().is_empty() && !report.is_of(&config.state_dir.value) {
            return Err(ClientError::Absent(socket.clone()));
        }
        if probe == Some(Probe::Live) {
            client.live().await?;
        }
        Ok(report)
    }))
}

/// What this host holds, without a running agent.
fn look(config: Config, clock: Clock) -> Result<Report, StoreError> {
    let token = config.token.resolve(&mut std::io::empty());
    let host = Host { facts: facts::gather(&config), config, clock };
    let mut report = driver::look(&host, token.as_ref().ok().and_then(Option::as_ref))?.report;
    if let Err(error) = token {
        report.add_problem(Code::TokenUnusable, &error.to_string());
    }
    Ok(report)
}

fn of_disk(report: Report, error: &ClientError, now: Timestamp) -> Report {
    let report = Report { version: Some(env!("CARGO_PKG_VERSION").to_owned()), as_of: Some(now), ..report };
    match error {
        ClientError::Absent(_) => report.without_agent(),
        ClientError::Denied { .. } => {
            Report { notes: [report.notes, vec![error.to_string()]].concat(), ..report }
        }
        ClientError::Broken { .. } | ClientError::Refused(_) => {
            // It may run, and hang.
            let report = Report { agent_running: None, ..report.without_agent() };
            Report { notes: [report.notes, vec![error.to_string()]].concat(), ..report }
        }
    }
}

fn print(status: &Report, now: Timestamp) {
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            say!("{name:<13}{value}");
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| when(at, now));
    line("state", Some(status.state.as_str().to_owned()));
    line("reason", Some(status.reason.clone()));
    line("waiting for", status.waiting_for.name().map(ToOwned::to_owned));
    line("agent", Some(agent(status)));
    line("sensor", status.sensor_id.map(|id| id.to_string()));
    line("node", status.node_name.clone());
    line("role", status.node_role.clone());
    line("cluster", status.cluster_name.clone());
    line("console", status.console_url.clone());
    line("proxy", status.proxy.clone());
    line("trust", status.trust_state.clone());
    line("valid until", time(status.not_after));
    line("renewal due", time(status.renew_at));
    if let Some(LastError { message, next_attempt, .. }) = &status.renewal_error {
        let next = next_attempt.map(|at| format!("; next attempt {}", when(at, now))).unwrap_or_default();
        line("renewal", Some(format!("failing: {}{next}", message.trim_end_matches('.'))));
    }
    line("last contact", time(status.last_contact));
    line("as of", time(status.as_of));
    let said = status.last_error.as_ref().map(|error| &error.message);
    for note in status.notes.iter().filter(|note| Some(*note) != said) {
        line("note", Some(note.clone()));
    }
    if let Some(error) = &status.last_error {
        // What the reason says already is not said twice.
        line("problem", (error.message != status.reason).then(|| error.message.clone()));
        line("action", (!error.action.is_empty()).then(|| error.action.clone()));
        line("next attempt", time(error.next_attempt));
    }
}

fn agent(status: &Report) -> String {
    let own = env!("CARGO_PKG_VERSION");
    match (status.agent_running, status.version.as_deref()) {
        (Some(true), Some(version)) if version != own => {
            format!("running, version {version} (this command: {own})")
        }
        (Some(true), _) => format!("running, version {own}"),
        (Some(false), _) if status.state.holds_identity() => {
            "not running: nothing renews this identity (start it: systemctl enable --now telovix-agent)"
                .to_owned()
        }
        (Some(false), _) if status.state == StateName::Enrolling => {
            "not running (run `telovix-agent enroll`, or start it: systemctl enable --now telovix-agent)"
                .to_owned()
        }
        (Some(false), _) => "not running".to_owned(),
        (None, _) => "unknown: the control socket is there, and no answer came".to_owned(),
    }
}
