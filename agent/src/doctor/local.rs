//! What can be checked on this host alone.

use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat};

use super::finding::{CONFIGURATION, Finding, Kind};
use crate::config::{Config, FoundToken, TokenError};
use crate::driver::Look;
use crate::machine::{Code, Report, StateName};
use crate::server::client::ClientError;
use crate::store::{Publication, Store, StoreError};

const STATE_DIRECTORY: &str = "state directory";
const AGENT: &str = "agent";
const CONFINEMENT: &str = "confinement";
const TOKEN: &str = "token";
const CREDENTIAL: &str = "credential";
const RENEWAL: &str = "renewal";

/// Least room for the files of two generations, in bytes.
const ROOM: u64 = 1024 * 1024;
/// Least share of a certificate's life that a host which nothing renews should have left.
const MARGIN: i32 = 10;

/// What to do where there is a token and nobody presents it.
const BEGIN: &str = "run `telovix-agent enroll`, or start the agent: systemctl enable --now telovix-agent";

pub(super) fn configuration(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config
        .warnings
        .iter()
        .map(|warning| Finding::warn(CONFIGURATION, warning, "correct it or take it out"))
        .collect();
    match config.require_console_url() {
        Ok(url) => {
            let node = match &config.nameless {
                None => format!("node {}", config.node_name.value),
                Some(error) => error.to_string(),
            };
            let message = format!("console {} ({}), {node}", url.value, url.origin);
            findings.insert(
                0,
                match config.nameless {
                    None => Finding::ok(CONFIGURATION, message),
                    Some(_) => {
                        Finding::warn(CONFIGURATION, message, "give this host a name, or set node_name")
                    }
                },
            );
        }
        Err(errors) => {
            findings.insert(0, Finding::fail(CONFIGURATION, Kind::Configuration, errors.to_string(), ""));
        }
    }
    findings
}

pub(super) fn state_directory(config: &Config) -> Vec<Finding> {
    let dir = &config.state_dir.value;
    let fail =
        |message: String, remedy: &str| Finding::fail(STATE_DIRECTORY, Kind::LocalState, message, remedy);
    let refused =
        |errno: nix::Error| StoreError::Io { operation: "write to", path: dir.clone(), source: errno.into() };
    if let Err(error) = Store::examine(dir) {
        return vec![fail(error.to_string(), "")];
    }
    let exists = dir.exists();
    // What is missing is made, with its parents, below the nearest one that is there.
    let place = dir.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/"));
    if let Err(errno) =
        faccessat(nix::fcntl::AT_FDCWD, place, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)
    {
        let error = refused(errno).to_string();
        let (message, remedy) = error.split_once("; ").unwrap_or((&error, ""));
        return vec![fail(message.to_owned(), remedy)];
    }
    if let Ok(disk) = statvfs(place) {
        let room = disk.blocks_available().saturating_mul(disk.fragment_size());
        let full = (disk.files() > 0 && disk.files_available() < 16).then_some("inodes");
        if let Some(what) = (room < ROOM).then_some("room").or(full) {
            let message = format!("the file system of {} has no {what} left", place.display());
            return vec![fail(message, "make room on it; a renewal cannot be stored")];
        }
    }
    let mut findings = vec![match exists {
        true => Finding::ok(STATE_DIRECTORY, dir.display().to_string()),
        false => {
            Finding::ok(STATE_DIRECTORY, format!("{} will be made by the first enrollment", dir.display()))
        }
    }];
    let barred = Store::peek(dir).keeps_out(&Publication::from(&config.publish));
    findings.extend(barred.map(|barred| Finding::warn(STATE_DIRECTORY, barred, "")));
    findings
}

pub(super) fn agent(agent: &Result<Report, ClientError>, config: &Config) -> Finding {
    match agent {
        Ok(report) if report.is_of(&config.state_dir.value) => running(report),
        Ok(_) => Finding::warn(
            AGENT,
            "the agent that answers at the control socket keeps another state directory",
            "name the right ones with --state-dir and --control-socket",
        ),
        Err(error @ ClientError::Absent(_)) => {
            Finding::warn(AGENT, error.to_string(), "start it: systemctl enable --now telovix-agent")
        }
        Err(error @ ClientError::Denied { .. }) => {
            Finding::warn(AGENT, error.to_string(), "run as the user of the agent, or as root")
        }
        Err(error @ (ClientError::Broken { .. } | ClientError::Refused(_))) => {
            Finding::warn(AGENT, error.to_string(), "look at its log, and start it again")
        }
    }
}

/// The agent that answers.
pub(super) fn running(report: &Report) -> Finding {
    let message = format!("it runs: {}: {}", report.state.as_str(), report.reason);
    match &report.last_error {
        Some(error) if message.contains(&error.message) => Finding::warn(AGENT, message, &error.action),
        Some(error) => Finding::warn(AGENT, format!("{message} ({})", error.message), &error.action),
        None => Finding::ok(AGENT, message),
    }
}

/// What holds the running agent back, in its own words. Whether that is enough is not ours to judge.
pub(super) fn confinement(report: &Report) -> Option<Finding> {
    report.confinement.as_ref().map(|text| Finding::ok(CONFINEMENT, text))
}

pub(super) fn token(
    config: &Config,
    token: Result<Option<FoundToken>, TokenError>,
    look: Option<&Look>,
    report: Option<&Report>,
) -> Vec<Finding> {
    let paid_by = Store::peek(&config.state_dir.value).paid_by();
    let found = match token {
        Ok(Some(found)) => found,
        Ok(None) if paid_by.is_some() => {
            return vec![Finding::ok(TOKEN, "no token configured; none needed while enrolled")];
        }
        Ok(None) => return vec![Finding::warn(TOKEN, config.token.why_none(), "")],
        Err(error @ TokenError::Unreadable { .. }) => {
            let remedy = "let the agent's user read it (chown, chmod 600), or name another file";
            return vec![Finding::fail(TOKEN, Kind::Configuration, error.to_string(), remedy)];
        }
        Err(error @ TokenError::Invalid { .. }) => {
            let remedy = "copy the whole token from the Console: tse_ and 43 characters";
            return vec![Finding::fail(TOKEN, Kind::Configuration, error.to_string(), remedy)];
        }
    };
    let source = &found.source;
    let has_paid = paid_by.is_some_and(|hash| found.token.matches(&hash));
    let under_way =
        look.and_then(|look| look.under_way.as_ref()).is_some_and(|hash| found.token.matches(hash));
    // A running agent has the Console's latest answer to it.
    let refused = report.filter(|report| report.state == StateName::Refused);
    let first = match (refused.and_then(|report| report.last_error.as_ref()), has_paid, under_way) {
        (Some(error), false, _) => {
            Finding::warn(TOKEN, format!("token of {source}: refused: {}", error.message), &error.action)
        }
        (_, true, _) => Finding::ok(TOKEN, format!("token of {source}: already used to enroll this host")),
        (_, false, true) => {
            Finding::ok(TOKEN, format!("token of {source}: an enrollment with it is under way"))
        }
        (None, false, false) => {
            Finding::ok(TOKEN, format!("token of {source}: well formed, and unused here"))
        }
    };
    let warnings = found.warnings.iter().map(|warning| Finding::warn(TOKEN, warning, ""));
    std::iter::once(first).chain(warnings).collect()
}

/// `agent`: the report of the running agent, which knows what the Console says of the credential.
pub(super) fn credential(look: &Result<Look, StoreError>, agent: Option<&Report>) -> Finding {
    let look = match look {
        Ok(look) => look,
        Err(error) => return Finding::fail(CREDENTIAL, Kind::LocalState, error.to_string(), ""),
    };
    let told = agent.filter(|agent| agent.state != StateName::Starting && !agent.state.holds_identity());
    let report = told.unwrap_or(&look.report);
    let Some(current) = look.current.as_ref().filter(|_| told.is_none()) else {
        let action = match &report.last_error {
            Some(error) => error.action.as_str(),
            None if report.state == StateName::Enrolling && agent.is_none() => BEGIN,
            None if agent.is_some() => "nothing: the agent is at it",
            None => Code::Unenrolled.action(),
        };
        return Finding::fail(CREDENTIAL, Kind::NoIdentity, &report.reason, action);
    };
    let verified = current.verified();
    let message = format!("sensor {}, valid until {:.0}", verified.sensor_id(), verified.not_after());
    if let Some(damage) = report.notes.first() {
        return Finding::warn(CREDENTIAL, format!("{message}; {damage}"), "nothing: the agent mends it");
    }
    if !report.accepted {
        let message = format!("{message}; the Console has not accepted it, as far as this host knows");
        return Finding::warn(CREDENTIAL, message, "see the checks of the Console above");
    }
    Finding::ok(CREDENTIAL, message)
}

pub(super) fn renewal(look: &Look, now: Timestamp, report: Option<&Report>) -> Finding {
    if let Some(error) = report.and_then(|report| report.renewal_error.as_ref()) {
        let message = format!("the last attempt failed: {}", error.message);
        return Finding::warn(RENEWAL, message, &error.action);
    }
    if let Some(at) = report.and_then(|report| report.renew_at) {
        return match now > at {
            false => Finding::ok(RENEWAL, format!("due {at:.0}; the running agent sees to it")),
            true => Finding::warn(
                RENEWAL,
                format!("due since {at:.0}, and not done yet"),
                "`telovix-agent status` says what holds it up",
            ),
        };
    }
    if let Some(report) = report {
        let message = format!("not planned while the state is {}", report.state.as_str());
        return Finding::warn(RENEWAL, message, "see the check of the credential above");
    }
    let text = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
    let (from, until) = (look.report.not_before, look.report.not_after);
    let soon = from
        .zip(until)
        .is_some_and(|(from, until)| until.duration_since(now) < until.duration_since(from) / MARGIN);
    let soon = if soon { ", which is soon" } else { "" };
    let (due, end) = (text(look.report.renew_at), text(until));
    Finding::warn(
        RENEWAL,
        format!("due {due}, but no agent is running to do it; the certificate ends {end}{soon}"),
        "start the agent: systemctl enable --now telovix-agent",
    )
}
