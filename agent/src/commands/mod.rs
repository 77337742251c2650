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
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

use crate::cli::{self, Cli, Command, TokenArgs, TokenCommand};
use crate::clock;
use crate::config::{self, Config, Draft, Environment};
use crate::machine::Exit;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Carries out one command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    harden();
    let env = Environment::from_process();
    let at_terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let arguments = cli::or_run(arguments.into_iter().collect(), env.names_a_console() && !at_terminal);
    match cli::parse(arguments) {
        Ok(cli) => report::said(dispatch(&cli, &env)).into(),
        Err(usage) => usage.print(),
    }
}

fn dispatch(cli: &Cli, env: &Environment) -> Exit {
    match &cli.command {
        Command::Completions(args) => return manual::completions(args),
        Command::Man(args) => return manual::man(args),
        Command::Doctor(_)
        | Command::Enroll(_)
        | Command::Status(_)
        | Command::Run
        | Command::Decommission(_)
        | Command::Reset(_)
        | Command::Prepare(_)
        | Command::Renew(_)
        | Command::Token(_) => {}
    }
    let draft = config::draft(cli, env);
    log::start(&draft.config.log, &draft.config.service);
    for warning in &draft.config.warnings {
        tracing::warn!("{warning}");
    }
    let clock = clock::system();
    match &cli.command {
        Command::Doctor(args) => doctor::run(draft, args, clock),
        Command::Enroll(args) => enroll::run(draft, args, clock),
        Command::Status(args) => status::run(draft, args, clock),
        Command::Run => run::run(cli, env, draft, &clock),
        Command::Decommission(args) => decommission::run(draft, args, clock),
        Command::Reset(args) => whole(draft, |config| reset::run(&config, args)),
        Command::Prepare(args) => whole(draft, |config| prepare::run(&config, args)),
        Command::Renew(args) => renew::run(&draft, args),
        Command::Token(TokenArgs { command: TokenCommand::Inspect(args) }) => {
            whole(draft, |config| token::inspect(&config, args))
        }
        Command::Completions(_) | Command::Man(_) => unreachable!("these do without a configuration"),
    }
}

/// Carries out what a mistake in the configuration may lead to the wrong place.
fn whole(draft: Draft, command: impl FnOnce(Config) -> Exit) -> Exit {
    if draft.errors.as_slice().is_empty() { command(draft.config) } else { report::mistakes(&draft.errors) }
}

/// Keeps keys and tokens out of core dumps and of other processes' reach (ptrace(2), /proc/PID/mem), and makes the modes
/// that files are opened with the modes that they get. A kernel that refuses is no reason not to work.
fn harden() {
    let _ = nix::sys::prctl::set_dumpable(false);
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    // A file past its limit (`ulimit -f`) is then an error that names it, and not the end without a word.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}
