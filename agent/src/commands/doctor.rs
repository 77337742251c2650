//! `telovix-agent doctor`: checks everything from the configuration to the Console, and explains.

use super::report::{runtime, say};
use super::{log, report};
use crate::cli::{Cli, DoctorArgs, Output, redact_tokens};
use crate::clock::Clock;
use crate::config::{self, Environment};
use crate::doctor::{self, Diagnosis, Kind};
use crate::machine::Exit;

pub(super) fn run(cli: &Cli, args: &DoctorArgs, clock: Clock) -> Exit {
    let diagnosis = match config::load(cli, &Environment::from_process()) {
        Err(errors) => Diagnosis::unusable(&errors),
        Ok(config) => {
            log::start(&config.log, &config.service);
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(exit) => return exit,
            };
            let diagnosis = runtime.block_on(doctor::examine(config, clock));
            // A resolver that hangs must not keep a finished command from ending.
            runtime.shutdown_background();
            diagnosis
        }
    };
    match args.output {
        Output::Human => print(&diagnosis),
        Output::Json => match serde_json::to_string_pretty(&diagnosis) {
            Ok(json) => say!("{}", redact_tokens(&json)),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
    }
    diagnosis.root().map_or(Exit::Done, Exit::from)
}

fn print(diagnosis: &Diagnosis) {
    for finding in &diagnosis.checks {
        say!("{:<5} {:<16} {}", finding.level.as_str(), finding.check, redact_tokens(&finding.message));
        if !finding.remedy.is_empty() {
            say!("{:<22} do: {}", "", redact_tokens(&finding.remedy));
        }
    }
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
