//! `telovix-agent doctor`: checks everything from the configuration to the Console, and explains.

use super::report;
use super::report::{runtime, say};
use crate::cli::{DoctorArgs, Output, redact_tokens};
use crate::clock::Clock;
use crate::config::Draft;
use crate::doctor::{self, Diagnosis, Kind, Level};
use crate::machine::Exit;

pub(super) fn run(draft: Draft, args: &DoctorArgs, clock: Clock) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let diagnosis = runtime.block_on(doctor::examine(draft, clock));
    // A resolver that hangs must not keep a finished command from ending.
    runtime.shutdown_background();
    match args.output {
        Output::Human => print(&diagnosis),
        Output::Json => match serde_json::to_string_pretty(&diagnosis) {
            Ok(json) => say!("{}", redact_tokens(&json)),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
    }
    match (diagnosis.root(), diagnosis.result) {
        (Some(kind), _) => kind.into(),
        (None, Level::Warn) => Exit::Warnings,
        (None, Level::Ok | Level::Fail) => Exit::Done,
    }
}

fn print(diagnosis: &Diagnosis) {
    for finding in &diagnosis.checks {
        say!("{:<5} {:<16} {}", finding.level.as_str(), finding.check, redact_tokens(&finding.message));
        if !finding.remedy.is_empty() {
            say!("{:<22} do: {}", "", redact_tokens(&finding.remedy));
        }
    }
    say!("{}", redact_tokens(&diagnosis.verdict()));
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Configuration => Self::Usage,
            Kind::NotReached => Self::NotReached,
            Kind::NoIdentity => Self::NoIdentity,
            Kind::NotTrusted => Self::NotTrusted,
            Kind::LocalState => Self::LocalState,
        }
    }
}
