//! What people type, carried out. Each command gives an [`Exit`].

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
use crate::machine::Exit;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
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
        Command::Doctor(args) => return doctor::run(&cli, args, clock::system()),
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
        Command::Enroll(args) => enroll::run(config, args, clock::system()),
        Command::Status(args) => status::run(config, args, clock::system()),
        Command::Run => run::run(cli, env, config, clock::system()),
        Command::Decommission(args) => decommission::run(config, args, clock::system()),
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
