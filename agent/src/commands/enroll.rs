//! `telovix-agent enroll`: makes sure that this host holds a working identity, then exits.

use super::report;
use super::report::{runtime, say};
use crate::cli::EnrollArgs;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::console::Console;
use crate::driver::{Approval, Driver, Event, Host, IdentityChange, NewSensor, Patience};
use crate::facts;
use crate::machine::{Code, Exit, Fault, Report};
use crate::store::{Publication, Store};

pub(super) fn run(config: Config, args: &EnrollArgs, clock: Clock) -> Exit {
    let console_url = match config.require_console_url() {
        Ok(setting) => setting.value.clone(),
        Err(errors) => return report::failure(&errors, "", Exit::Usage),
    };
    let token = match config.token.resolve(&mut report::TokenInput::default()) {
        Ok(token) => token,
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
    let how_to_give_a_token = token.is_none().then(|| config.token.why_none());
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
        Ok(()) => say(&driver, change, &notes),
        Err(fault) => fail(&fault, how_to_give_a_token.as_deref()),
    }
}

fn say(driver: &Driver, change: Option<IdentityChange>, notes: &[String]) -> Exit {
    match (change, driver.enroll_reason()) {
        (Some(IdentityChange::Enrolled), Some(reason)) => say!("enrolled ({reason})"),
        (Some(IdentityChange::Enrolled), None) => {
            say!("enrolled (an enrollment that was cut short is complete)");
        }
        (Some(IdentityChange::Renewed), Some(reason)) => say!("enrolled ({reason})"),
        (Some(IdentityChange::Renewed), None) => say!("renewed"),
        (Some(IdentityChange::Restored) | None, _) => say!("already enrolled, nothing to do"),
    }
    let report = driver.report();
    describe(&report);
    for note in report.notes.iter().chain(driver.problems()).chain(notes) {
        say!("  note        {note}");
    }
    Exit::Done
}

fn describe(report: &Report) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    say!("  sensor      {}", report.sensor_id.map(|id| id.to_string()).unwrap_or_default());
    say!("  node        {} ({})", text(&report.node_name), text(&report.node_role));
    say!("  console     {} ({})", text(&report.console_url), report.reason);
    if let (Some(not_after), Some(renew_at)) = (report.not_after, report.renew_at) {
        say!("  valid until {not_after:.0}, renewal due {renew_at:.0}");
    }
}

fn fail(fault: &Fault, how_to_give_a_token: Option<&str>) -> Exit {
    let needs_token = matches!(fault.code, Code::Unenrolled | Code::IdentityLost | Code::IdentityCopied);
    let action = how_to_give_a_token.filter(|_| needs_token).unwrap_or_else(|| fault.code.action());
    report::failure(&fault.message, action, fault.code.exit())
}
