//! Looks at everything that an identity needs, from the configuration to the Console, and explains.
//!
//! Invariant: it changes nothing and sends no secret: no lock is taken, no token presented, nothing mended. Every finding
//! that is not fine says why and what to do; the first failure is the root, for later checks hang on earlier ones.

mod local;
mod network;

use serde::Serialize;

use crate::clock::{self, Clock};
use crate::config::{Config, ConfigErrors};
use crate::driver::{self, Host};
use crate::facts;
use crate::machine::Report;
use crate::server::client::{Client, ClientError};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and is worth a look.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What kind of failure it is; each has an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The configuration, the token's file among it.
    Configuration,
    /// The Console is not reached, or not ready.
    NotReached,
    /// This host holds no valid identity.
    NoIdentity,
    /// The Console's certificate is not trusted.
    NotTrusted,
    /// Permissions, disk, clock.
    LocalState,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How it came out.
    pub level: Level,
    /// What is so, one sentence or clause.
    pub message: String,
    /// What to do about it; empty where nothing has to be done.
    pub remedy: String,
    /// Of a failure, its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), remedy: String::new(), kind: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, message: message.into(), remedy: remedy.into(), kind: None }
    }

    fn fail(check: &'static str, kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let level = Level::Fail;
        Self { check, level, message: message.into(), remedy: remedy.into(), kind: Some(kind) }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The gravest level.
    pub result: Level,
    /// The findings.
    pub checks: Vec<Finding>,
}

impl Diagnosis {
    fn of(checks: Vec<Finding>) -> Self {
        let result = checks.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        Self { result, checks }
    }

    /// A configuration that cannot be used; nothing else can be checked without one.
    pub fn unusable(errors: &ConfigErrors) -> Self {
        let finding = |error: &crate::config::ConfigError| {
            Finding::fail(local::CONFIGURATION, Kind::Configuration, error.to_string(), "")
        };
        Self::of(errors.as_slice().iter().map(finding).collect())
    }

    /// The kind of the root failure.
    pub fn root(&self) -> Option<Kind> {
        self.checks.iter().find_map(|finding| finding.kind)
    }
}

/// Looks at everything.
pub async fn examine(config: Config, clock: Clock) -> Diagnosis {
    let agent = Client::new(&config.server.control_socket.value).status().await;
    // Standard input belongs to the commands that ask for it.
    let token = config.token.resolve(&mut std::io::empty());
    let host = Host { facts: facts::gather(&config), config, clock };
    let look = driver::look(&host, token.as_ref().ok().and_then(Option::as_ref));
    let (config, clock) = (&host.config, &host.clock);
    let report = report_of(&agent, config);
    let current = look.as_ref().ok().and_then(|look| look.current.as_ref());
    let mut checks = local::configuration(config);
    checks.extend(local::state_directory(config));
    checks.push(local::agent(&agent, config));
    checks.extend(report.and_then(local::confinement));
    checks.extend(local::token(config, token, look.as_ref().ok(), report));
    checks.extend(network::examine(config, clock, current).await);
    checks.push(local::credential(&look));
    checks
        .extend(current.and(look.as_ref().ok()).map(|look| local::renewal(look, clock::now(clock), report)));
    Diagnosis::of(checks)
}

/// The running agent's report, where it works in the same state directory.
fn report_of<'a>(agent: &'a Result<Report, ClientError>, config: &Config) -> Option<&'a Report> {
    agent.as_ref().ok().filter(|report| report.is_of(&config.state_dir.value))
}

#[cfg(test)]
mod tests;
