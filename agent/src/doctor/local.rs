//! What can be checked on this host alone.

use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, faccessat};

use super::{Finding, Kind};
use crate::config::{Config, TokenError};
use crate::schedule;
use crate::server::client::ClientError;
use crate::status::{Report, StateName};
use crate::store::{Generation, Loaded, Publication, Store, StoreError};

/// Name of the first check, the one that can fail before there is anything else to look at.
pub(super) const CONFIGURATION: &str = "configuration";
const STATE_DIRECTORY: &str = "state directory";
const AGENT: &str = "agent";
const CONFINEMENT: &str = "confinement";
const TOKEN: &str = "token";
const CREDENTIAL: &str = "credential";
const RENEWAL: &str = "renewal";

/// Least room for the files of two generations, in bytes.
const ROOM: u64 = 1024 * 1024;
/// Least share of a certificate's life that a host which nothing renews should have left.
const MARGIN: i64 = 10;

pub(super) fn configuration(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config
        .warnings
        .iter()
        .map(|warning| Finding::warn(CONFIGURATION, warning, "correct it or take it out"))
        .collect();
    match config.require_console_url() {
        Ok(url) => {
            let message = format!("console {} ({}), node {}", url.value, url.origin, config.node_name.value);
            findings.insert(0, Finding::ok(CONFIGURATION, message));
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
    if let Err(error) = Store::examine(dir) {
        return vec![fail(error.to_string(), "")];
    }
    let exists = dir.exists();
    // What is missing is made, with its parents, below the nearest one that is there.
    let place = dir.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/"));
    if let Err(errno) =
        faccessat(nix::fcntl::AT_FDCWD, place, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)
    {
        let message = format!("{} cannot be written: {errno}", place.display());
        return vec![fail(
            message,
            "run as the user of the agent (systemd-run, sudo -u telovix), or as root",
        )];
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
        Ok(report) if report.is_of(&config.state_dir.value) => {
            let message = format!("it runs: {}: {}", report.state.as_str(), report.reason);
            match &report.last_error {
                Some(error) if message.contains(&error.message) => {
                    Finding::warn(AGENT, message, &error.action)
                }
                Some(error) => Finding::warn(AGENT, format!("{message} ({})", error.message), &error.action),
                None => Finding::ok(AGENT, message),
            }
        }
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

/// What holds the running agent back, in its own words. Whether that is enough is not ours to judge.
pub(super) fn confinement(report: &Report) -> Option<Finding> {
    report.confinement.as_ref().map(|text| Finding::ok(CONFINEMENT, text))
}

pub(super) fn token(config: &Config, store: &Store, report: Option<&Report>) -> Vec<Finding> {
    // A running agent holds the last word of the Console on it.
    let refused = report.filter(|report| report.state == StateName::Refused);
    // Standard input belongs to the commands that ask for it.
    let found = match config.token.resolve(&mut std::io::empty()) {
        Ok(Some(found)) => found,
        Ok(None) if store.paid_by().is_some() => {
            return vec![Finding::ok(TOKEN, "none at hand, and none is needed while the identity stands")];
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
    let paid = store.paid_by().is_some_and(|hash| found.token.matches(&hash));
    let under_way =
        matches!(store.pending(), Ok(Some(pending)) if found.token.matches(&pending.token_sha256));
    let source = &found.source;
    let first = match (refused.and_then(|report| report.last_error.as_ref()), paid, under_way) {
        (Some(error), false, _) => {
            let message = format!("the one of {source} was refused: {}", error.message);
            Finding::warn(TOKEN, message, &error.action)
        }
        (_, true, _) => Finding::ok(TOKEN, format!("the one of {source} paid for the identity of this host")),
        (_, false, true) => {
            Finding::ok(TOKEN, format!("an enrollment with the one of {source} is under way"))
        }
        (None, false, false) => {
            Finding::ok(TOKEN, format!("the one of {source} is well formed, and unused here"))
        }
    };
    let warnings = found.warnings.iter().map(|warning| Finding::warn(TOKEN, warning, ""));
    std::iter::once(first).chain(warnings).collect()
}

pub(super) fn credential(loaded: &Result<Loaded, StoreError>, store: &Store) -> Finding {
    match loaded {
        Err(error) => Finding::fail(CREDENTIAL, Kind::LocalState, error.to_string(), ""),
        Ok(Loaded::Nothing) => Finding::fail(
            CREDENTIAL,
            Kind::NoIdentity,
            "this host holds no identity yet",
            "make a token in the Console and run `telovix-agent enroll`, or give it to the running agent",
        ),
        Ok(Loaded::Lost(loss)) => Finding::fail(
            CREDENTIAL,
            Kind::NoIdentity,
            format!("the identity is lost: {}", loss.reason),
            "make a re-enrollment token for this sensor in the Console and give it to the agent",
        ),
        Ok(Loaded::Intact { generation, mended }) => held(generation, mended, store),
    }
}

fn held(generation: &Generation, mended: &[String], store: &Store) -> Finding {
    let verified = generation.verified();
    if generation.state().is_copied_here() {
        return Finding::fail(
            CREDENTIAL,
            Kind::NoIdentity,
            "the identity was made on another machine: this host is a copy of it",
            "run `telovix-agent reset --yes` and enroll this host with a token of its own",
        );
    }
    let message = format!("sensor {}, valid until {:.0}", verified.sensor_id(), verified.not_after());
    if let Some(damage) = mended.first() {
        return Finding::warn(CREDENTIAL, format!("{message}; {damage}"), "nothing: the agent mends it");
    }
    if store.ready_since().is_none() {
        let message = format!("{message}; the Console has not accepted it, as far as this host knows");
        return Finding::warn(CREDENTIAL, message, "see the checks of the Console above");
    }
    Finding::ok(CREDENTIAL, message)
}

pub(super) fn renewal(held: &Generation, now: Timestamp, report: Option<&Report>) -> Finding {
    let verified = held.verified();
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
    let at = schedule::renew_at(verified.not_before(), verified.not_after(), verified.serial());
    let left = verified.not_after().duration_since(now).as_secs();
    let life = verified.not_after().duration_since(verified.not_before()).as_secs();
    let soon = if left < life / MARGIN { ", which is soon" } else { "" };
    Finding::warn(
        RENEWAL,
        format!("due {at:.0}, and no agent runs that would do it; it ends {:.0}{soon}", verified.not_after()),
        "start the agent: systemctl enable --now telovix-agent",
    )
}
