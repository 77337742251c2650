//! Looks at everything that an identity needs, from the configuration to the Console, and explains.
//!
//! Invariant: it changes nothing and sends no secret: no lock is taken, no token presented, nothing mended. Every finding
//! that is not fine says why and what to do; the first failure is the root, for later checks hang on earlier ones.

mod finding;
mod local;
mod network;

use self::finding::CONFIGURATION;
pub use self::finding::{Diagnosis, Finding, Kind, Level};
use crate::clock::{self, Clock};
use crate::config::{Config, ConfigError, ConfigErrors, Draft};
use crate::driver::{self, Host};
use crate::facts;
use crate::machine::Report;
use crate::server::client::{Client, ClientError};

/// Looks at everything.
pub async fn examine(Draft { config, errors }: Draft, clock: Clock) -> Diagnosis {
    if !errors.as_slice().is_empty() {
        return unusable(&config, &errors).await;
    }
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
    checks.extend(network::examine(config, clock, current, report).await);
    checks.push(local::credential(&look, report));
    checks
        .extend(current.and(look.as_ref().ok()).map(|look| local::renewal(look, clock::now(clock), report)));
    Diagnosis::of(checks)
}

/// The diagnosis where the configuration cannot be used: nothing else can be checked without one but the agent, which has the one
/// that it began with.
async fn unusable(config: &Config, errors: &ConfigErrors) -> Diagnosis {
    let agent = Client::new(&config.server.control_socket.value).status().await;
    let mistake =
        |error: &ConfigError| Finding::fail(CONFIGURATION, Kind::Configuration, error.to_string(), "");
    let mistakes = errors.as_slice().iter().map(mistake);
    Diagnosis::of(mistakes.chain(agent.ok().map(|report| local::running(&report))).collect())
}

/// The running agent's report, where it works in the same state directory.
fn report_of<'a>(agent: &'a Result<Report, ClientError>, config: &Config) -> Option<&'a Report> {
    agent.as_ref().ok().filter(|report| report.is_of(&config.state_dir.value))
}

#[cfg(test)]
mod tests;
