//! `telovix-agent enroll`: makes sure that this host holds a working identity, then exits.

use jiff::Timestamp;

use super::report;
use super::report::{runtime, say};
use crate::cli::EnrollArgs;
use crate::clock::{self, Clock, when};
use crate::config::Draft;
use crate::console::Console;
use crate::driver::{Approval, Driver, Event, Host, IdentityChange, NewSensor, Patience};
use crate::facts;
use crate::machine::{Code, Exit, Fault};
use crate::store::{Loaded, Publication, Store, layout};

pub(super) fn run(Draft { config, mut errors }: Draft, args: &EnrollArgs, clock: Clock) -> Exit {
    // The inputs of first contact never stop a host that holds an identity (docs/contract.md section 2).
    let store = Store::peek(&config.state_dir.value);
    let is_enrolled = matches!(store.load(clock::now(&clock)), Ok(Loaded::Intact { .. }));
    if !is_enrolled {
        errors.extend(config.first_contact());
    }
    if !errors.as_slice().is_empty() {
        return report::mistakes(&errors);
    }
    let console_url = match config.require_console_url() {
        Ok(setting) => setting.value.clone(),
        Err(errors) => return report::failure(&errors, "", Exit::Usage),
    };
    let (token, unusable) = match config.token.resolve(&mut report::TokenInput::default()) {
        Ok(token) => (token, None),
        Err(error) if is_enrolled => {
            tracing::warn!("{error}; this host is enrolled and goes on without");
            (None, Some(error.to_string()))
        }
        Err(error) => return report::failure(&error, "", Exit::Usage),
    };
    for warning in token.iter().flat_map(|found| &found.warnings) {
        tracing::warn!("{warning}");
    }
    let store = match Store::open_as(&config.state_dir.value, Publication::from(&config.publish)) {
        Ok(store) => store,
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let patience = Patience {
        limit: config.timeout.value,
        approval: if args.no_wait { Approval::DoNotWait } else { Approval::Wait },
    };
    let new_sensor = if args.new_sensor { NewSensor::Allow } else { NewSensor::Refuse };
    let how_to_give_a_token = token.is_none().then(|| unusable.unwrap_or_else(|| config.token.why_none()));
    let console = Console::new(console_url.clone(), &config.proxy, clock.clone());
    let host = Host { facts: facts::gather(&config), config, clock };
    let mut driver = Driver::new(host, console_url, console, clock::uptime(), store, new_sensor);
    let (mut change, mut notes) = (None, Vec::new());
    let result = runtime.block_on(async {
        let mut hear = |event| match event {
            Event::IdentityChanged(identity) => change = Some(identity),
            Event::Warning(warning) => notes.push(warning),
            Event::Enrollment(_) | Event::Renewal(_) | Event::CommandDone(_) => {}
        };
        driver.start(token).into_iter().for_each(&mut hear);
        driver.settle(patience, hear).await
    });
    // A resolver that hangs must not keep a finished command from ending.
    runtime.shutdown_background();
    match result {
        Ok(()) => say(&driver, change, &notes, clock::now(driver.clock())),
        Err(fault) => fail(&fault, how_to_give_a_token.as_deref()),
    }
}

fn say(driver: &Driver, change: Option<IdentityChange>, notes: &[String], now: Timestamp) -> Exit {
    let report = driver.report();
    let sensor = report.sensor_id.map(|id| id.to_string()).unwrap_or_default();
    let done = match (change, driver.enroll_reason()) {
        (Some(IdentityChange::Renewed), None) => "renewed",
        (Some(IdentityChange::Enrolled | IdentityChange::Renewed), _) => "enrolled",
        (Some(IdentityChange::Restored) | None, _) => "already enrolled, nothing to do",
    };
    say!("{done}: this host is sensor {sensor}");
    let line = |name: &str, value: &str| say!("  {name:<12}{value}");
    if let Some(reason) = driver.enroll_reason() {
        line("reason", &reason.to_string());
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let cluster = report.cluster_name.as_ref().map(|name| format!(", cluster {name}")).unwrap_or_default();
    line("node", &format!("{} ({}){cluster}", text(&report.node_name), text(&report.node_role)));
    line("console", &format!("{} ({})", text(&report.console_url), report.reason));
    if let (Some(not_after), Some(renew_at)) = (report.not_after, report.renew_at) {
        line("valid until", &when(not_after, now));
        line("renewal due", &when(renew_at, now));
    }
    let [key, certificate, ca, ..] = layout::names();
    line("files", &format!("{key}, {certificate}, {ca} in {}", driver.state_dir().display()));
    for note in report.notes.iter().chain(driver.problems()).chain(notes) {
        line("note", note);
    }
    line("next", "start the agent, which renews the identity: systemctl enable --now telovix-agent");
    Exit::Done
}

fn fail(fault: &Fault, how_to_give_a_token: Option<&str>) -> Exit {
    let needs_token = matches!(fault.code, Code::Unenrolled | Code::IdentityLost | Code::IdentityCopied);
    let action = how_to_give_a_token.filter(|_| needs_token).unwrap_or_else(|| fault.code.action());
    report::failure(&fault.message, action, fault.code.exit())
}
