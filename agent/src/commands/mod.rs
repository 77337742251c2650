//! What people type, carried out. Each command gives an [`Exit`]; the table of DESIGN.md section 3 stands here once.

mod decommission;
mod doctor;
mod enroll;
mod log;
mod manual;
mod prepare;
mod renew;
mod report;
mod reset;
mod run;
mod status;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{self, Cli, Command, TokenCommand};
use crate::clock;
use crate::config::{self, Environment};
use crate::enrollment::EnrollError;

/// Exit status (DESIGN.md section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Unexpected failure.
    Unexpected = 1,
    /// The command line or the configuration is wrong.
    Usage = cli::EXIT_USAGE,
    /// Refused by the Console until an operator acts.
    Refused = 3,
    /// Still waiting for an operator's approval.
    Waiting = 4,
    /// The Console was not reached in time.
    NotReached = 5,
    /// No valid identity.
    NoIdentity = 6,
    /// The Console's certificate is not trusted.
    NotTrusted = 7,
    /// Local state: permissions, disk, lock, clock.
    LocalState = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

impl From<&EnrollError> for Exit {
    fn from(error: &EnrollError) -> Self {
        match error {
            EnrollError::NoToken { .. } | EnrollError::Config(_) => Self::Usage,
            EnrollError::NotReached(_) | EnrollError::OutOfTime(_) => Self::NotReached,
            EnrollError::WrongClock { cause: Some(cause), .. } => Self::from(&**cause),
            EnrollError::WrongClock { cause: None, .. } => Self::LocalState,
            EnrollError::Waiting => Self::Waiting,
            EnrollError::Refused(_) | EnrollError::NotAccepted { .. } => Self::Refused,
            EnrollError::NotTrusted(_) => Self::NotTrusted,
            EnrollError::Store(_) => Self::LocalState,
            EnrollError::Unexpected(_)
            | EnrollError::BadAnswer(_)
            | EnrollError::OtherSensor { .. }
            | EnrollError::Key(_)
            | EnrollError::Csr(_) => Self::Unexpected,
        }
    }
}

/// Carries out one command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    harden();
    let cli = match cli::parse(arguments) {
        Ok(cli) => cli,
        Err(usage) => return usage.print(),
    };
    dispatch(cli).into()
}

fn dispatch(cli: Cli) -> Exit {
    match &cli.command {
        Command::Completions(args) => return manual::completions(args),
        Command::Man(args) => return manual::man(args),
        Command::Doctor(args) => return doctor::run(&cli, args, &clock::system()),
        Command::Enroll(_)
        | Command::Status(_)
        | Command::Run
        | Command::Decommission(_)
        | Command::Reset(_)
        | Command::Prepare(_)
        | Command::Renew(_)
        | Command::Token(_) => {}
    }
    let env = Environment::from_process();
    let config = match config::load(&cli, &env) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return Exit::Usage;
        }
    };
    log::start(&config.log, &config.service);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match &cli.command {
        Command::Enroll(args) => enroll::run(&config, args, clock::system()),
        Command::Status(args) => status::run(&config, args, &clock::system()),
        Command::Run => run::run(cli, env, config, clock::system()),
        Command::Decommission(args) => decommission::run(&config, args, &clock::system()),
        Command::Reset(args) => reset::run(&config, args),
        Command::Prepare(args) => prepare::run(&config, args),
        Command::Renew(args) => renew::run(&config, args),
        Command::Token(args) => match &args.command {
            TokenCommand::Inspect(args) => token::inspect(&config, args),
        },
        Command::Completions(_) | Command::Man(_) | Command::Doctor(_) => {
            unreachable!("these do without a configuration")
        }
    }
}

/// Keeps keys and tokens out of core dumps and of other processes' reach (ptrace(2), /proc/PID/mem), and makes the modes
/// that files are opened with the modes that they get. A kernel that refuses is no reason not to work.
fn harden() {
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
}
