//! The way to the Console, one step at a time. What hangs on a step that failed is not tried.

use std::net::IpAddr;
use std::time::Duration;

use super::finding::{Finding, Kind};
use telovix_contract::problem::Advice;

use crate::clock::{Clock, Sighting};
use crate::config::{Config, ConsoleUrl};
use crate::console::http::Deadlines;
use crate::console::{Console, ConsoleError};
use crate::driver::FirstContact;
use crate::machine::{Code, Report};
use crate::store::Generation;
use crate::tls::ServerTrust;

const NAMES: &str = "name resolution";
const CONNECTION: &str = "connection";
const PROXY: &str = "proxy";
const TLS: &str = "tls";
const CLOCK: &str = "clock";
const CONSOLE: &str = "console";

/// How long a step may take: somebody is waiting.
const STEP: Duration = Duration::from_secs(5);

pub(super) async fn examine(
    config: &Config,
    clock: &Clock,
    held: Option<&Generation>,
    agent: Option<&Report>,
) -> Vec<Finding> {
    // Without one the first check has failed already.
    let Some(url) = &config.console_url else { return Vec::new() };
    let deadlines = Deadlines::all(STEP);
    let console = Console::with_deadlines(url.value.clone(), &config.proxy, clock.clone(), deadlines);
    let mut findings: Vec<Finding> = other_way(&console, agent).into_iter().collect();
    findings.push(names(&console, &url.value).await);
    // A name that only the proxy can resolve is not looked up here, so a failure is one of the host that is dialled.
    if findings.iter().any(|finding| finding.kind.is_some()) {
        return findings;
    }
    let reached = reach(&console, &url.value).await;
    let stop = reached.iter().any(|finding| finding.kind.is_some());
    findings.extend(reached);
    if stop {
        return findings;
    }
    findings.extend(speak(config, &console, held).await);
    findings
}

/// Where the running agent goes another way to the Console than this command does: what is found here is not what it meets.
fn other_way(console: &Console, agent: Option<&Report>) -> Option<Finding> {
    let (theirs, ours) = (&agent?.proxy, &console.proxy());
    let shown = |proxy: &Option<String>| proxy.clone().unwrap_or_else(|| "no proxy".to_owned());
    (theirs != ours).then(|| {
        Finding::warn(
            PROXY,
            format!("the running agent uses {}, and this command {}", shown(theirs), shown(ours)),
            "run it with the variables of the service: set -a; . /etc/default/telovix-agent; set +a",
        )
    })
}

async fn names(console: &Console, url: &ConsoleUrl) -> Finding {
    let proxy = console.proxy();
    let host = proxy.as_deref().unwrap_or(url.host());
    if proxy.is_none() && url.host().parse::<IpAddr>().is_ok() {
        return Finding::ok(NAMES, format!("{host} is an address"));
    }
    let remedy = "check the name, /etc/resolv.conf and /etc/hosts";
    match console.resolve().await {
        Ok(found) => {
            let mut shown: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
            shown.dedup();
            shown.truncate(4);
            Finding::ok(NAMES, format!("{host} is {}", shown.join(", ")))
        }
        Err(error) => {
            let own = error.code() != Code::ConsoleUnreachable;
            let remedy = if own { error.code().action() } else { remedy };
            Finding::fail(NAMES, Kind::NotReached, error.to_string(), remedy)
        }
    }
}

async fn reach(console: &Console, url: &ConsoleUrl) -> Vec<Finding> {
    let none = || Finding::ok(PROXY, "none is used");
    match (console.dial().await, console.proxy()) {
        (Ok(()), None) => vec![Finding::ok(CONNECTION, format!("{} answers", url.authority())), none()],
        (Ok(()), Some(proxy)) => vec![
            Finding::ok(CONNECTION, format!("the proxy {proxy} answers")),
            Finding::ok(PROXY, format!("{proxy} makes a tunnel to {}", url.authority())),
        ],
        (Err(error @ ConsoleError::Proxy { .. }), _) => {
            vec![Finding::fail(PROXY, Kind::NotReached, error.to_string(), error.code().action())]
        }
        (Err(error), _) => {
            vec![Finding::fail(CONNECTION, Kind::NotReached, error.to_string(), error.code().action())]
        }
    }
}

/// TLS, the clocks and the Console's own word, of one call.
async fn speak(config: &Config, console: &Console, held: Option<&Generation>) -> Vec<Finding> {
    let (trust, asked) = match trust(config, console, held).await {
        Ok(trust) => {
            // The certificate is no secret, and a Console's second listener asks for it.
            let identity = held.and_then(|held| held.identity().ok());
            let asked = console.readiness(&trust, identity).await;
            (trust.describe(), asked)
        }
        Err(Untrusted::Config(finding)) => return vec![finding],
        Err(Untrusted::Console(error)) => (String::new(), Err(error)),
    };
    // A server that is not trusted can still be asked for the time, which may be why it is not.
    let sighting = match &asked {
        Err(error) if error_of_tls(error) => console.ask_time().await.unwrap_or_default(),
        Ok(()) | Err(_) => console.sighting(),
    };
    let tls = tls(&asked, &trust, sighting);
    let stop = tls.kind.is_some();
    let mut findings = vec![tls];
    findings.extend(sighting.map(|sighting| clocks(&sighting)));
    if !stop {
        findings.push(readiness(&asked));
    }
    findings
}

enum Untrusted {
    Config(Finding),
    Console(ConsoleError),
}

/// Whom to trust: the CA of the identity that stands, else as for a first contact.
async fn trust(
    config: &Config,
    console: &Console,
    held: Option<&Generation>,
) -> Result<ServerTrust, Untrusted> {
    if let Some(held) = held {
        return Ok(held.trust());
    }
    match config.trust.resolve() {
        Ok(configured) => {
            let contact = FirstContact { configured, stored: Vec::new() };
            contact.trust(console).await.map_err(Untrusted::Console)
        }
        Err(errors) => {
            Err(Untrusted::Config(Finding::fail(TLS, Kind::Configuration, errors.to_string(), "")))
        }
    }
}

fn error_of_tls(error: &ConsoleError) -> bool {
    match error {
        ConsoleError::NotTrusted { .. }
        | ConsoleError::PinMismatch { .. }
        | ConsoleError::PinMistaken { .. }
        | ConsoleError::NoSystemRoots { .. }
        | ConsoleError::Handshake { .. }
        | ConsoleError::CertificateRefused { .. }
        | ConsoleError::CertificateRefusedEarly { .. }
        | ConsoleError::NotRequested { .. }
        | ConsoleError::Setup { .. } => true,
        ConsoleError::Unreachable { .. }
        | ConsoleError::OutOfResources { .. }
        | ConsoleError::Forbidden { .. }
        | ConsoleError::Proxy { .. }
        | ConsoleError::Deadline { .. }
        | ConsoleError::Broken { .. }
        | ConsoleError::TooLarge { .. }
        | ConsoleError::Redirect { .. }
        | ConsoleError::NotAConsole { .. }
        | ConsoleError::Refused { .. } => false,
    }
}

fn tls(asked: &Result<(), ConsoleError>, trust: &str, sighting: Option<Sighting>) -> Finding {
    let Err(error) = asked else { return Finding::ok(TLS, format!("the Console is trusted, {trust}")) };
    if !error_of_tls(error) {
        return match error {
            // The tunnel or the server hung up before anybody could judge.
            ConsoleError::Deadline { phase, .. } if phase.is_beyond_handshake() => {
                Finding::ok(TLS, format!("the Console is trusted, {trust}"))
            }
            ConsoleError::Unreachable { .. }
            | ConsoleError::OutOfResources { .. }
            | ConsoleError::Forbidden { .. }
            | ConsoleError::Proxy { .. }
            | ConsoleError::Broken { .. }
            | ConsoleError::Deadline { .. } => {
                Finding::fail(TLS, Kind::NotReached, error.to_string(), error.code().action())
            }
            ConsoleError::NotTrusted { .. }
            | ConsoleError::PinMismatch { .. }
            | ConsoleError::PinMistaken { .. }
            | ConsoleError::NoSystemRoots { .. }
            | ConsoleError::Handshake { .. }
            | ConsoleError::CertificateRefused { .. }
            | ConsoleError::CertificateRefusedEarly { .. }
            | ConsoleError::NotRequested { .. }
            | ConsoleError::Setup { .. }
            | ConsoleError::TooLarge { .. }
            | ConsoleError::Redirect { .. }
            | ConsoleError::NotAConsole { .. }
            | ConsoleError::Refused { .. } => Finding::ok(TLS, format!("the Console is trusted, {trust}")),
        };
    }
    let wrong_clock = sighting.filter(Sighting::is_wrong);
    match (error, wrong_clock) {
        (ConsoleError::NotTrusted { about_time: true, .. }, Some(sighting)) => {
            let message = format!("{error}; {sighting}");
            Finding::fail(TLS, Kind::LocalState, message, "set this host's clock right (timedatectl)")
        }
        (ConsoleError::Handshake { .. } | ConsoleError::Setup { .. }, _) => {
            Finding::fail(TLS, Kind::NotReached, error.to_string(), error.code().action())
        }
        (ConsoleError::CertificateRefused { .. } | ConsoleError::CertificateRefusedEarly { .. }, _) => {
            Finding::fail(TLS, Kind::NoIdentity, error.to_string(), error.code().action())
        }
        (_, _) => Finding::fail(TLS, Kind::NotTrusted, error.to_string(), error.code().action()),
    }
}

fn clocks(sighting: &Sighting) -> Finding {
    if sighting.is_wrong() {
        let remedy = "set the clock right (timedatectl set-ntp true), on whichever side it is wrong";
        return Finding::fail(CLOCK, Kind::LocalState, sighting.to_string(), remedy);
    }
    Finding::ok(CLOCK, sighting.to_string())
}

fn readiness(asked: &Result<(), ConsoleError>) -> Finding {
    match asked {
        Ok(()) => Finding::ok(CONSOLE, "it is set up and ready"),
        Err(error) if error.code().advice() == Advice::MissingPath => {
            let message = "it does not say whether it is ready (no /readyz)";
            Finding::warn(CONSOLE, message, "nothing, where its version has none; else check console_url")
        }
        Err(error @ ConsoleError::Refused { status: 503, .. }) => Finding::fail(
            CONSOLE,
            Kind::NotReached,
            format!("it is not ready: {error}"),
            "finish its set-up (licence, administrator), or wait until it has started",
        ),
        Err(error) => Finding::fail(CONSOLE, Kind::NotReached, error.to_string(), error.code().action()),
    }
}
