//! The command line: what people type, and what they read when they ask for help.
//!
//! Invariant: argv is public (`ps`, `/proc`, shell histories), so no secret is taken from it and none is echoed. Every
//! argument is looked at before clap sees it, because clap quotes what it does not know. Values of settings stay raw
//! here; `config` reads them together with the environment and the files, and reports all mistakes at once.

mod flags;
mod help;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::flags::{EVERYWHERE, SettingFlags};
use self::help::{ABOUT, EXIT_STATUS, after_long_help};
use crate::config::CommandLine;
pub use crate::config::{looks_like_token, redact_tokens};

/// Exit status of a command line or a configuration that cannot be used (docs/operations.md).
pub const EXIT_USAGE: u8 = 2;

/// The whole command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "telovix-agent", version, about = ABOUT, after_help = EXIT_STATUS, after_long_help = after_long_help())]
pub struct Cli {
    /// Configuration file to read instead of /etc/telovix/agent.toml; FILE.d/*.toml are read after it
    #[arg(long, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Make sure that this host holds a working identity, then exit; repeating it changes nothing
    Enroll(Box<EnrollArgs>),
    /// Show the identity, its validity, the last error and what to do about it
    Status(StatusArgs),
    /// Remove the identity from this host
    Reset(ResetArgs),
    /// As root: make the state directory and give it to the user that the agent will run as
    Prepare(PrepareArgs),
    /// Keep this host enrolled: the daemon. It takes its settings from the configuration file and the environment
    Run,
    /// Tell the Console that this node retires; the identity stays, and its next use brings the node back
    Decommission(DecommissionArgs),
    /// Have the running agent renew the certificate, and wait for it
    Renew(RenewArgs),
    /// Check everything from the configuration to the Console, and explain; changes nothing
    Doctor(DoctorArgs),
    /// Work with an enrollment token without using it up
    Token(TokenArgs),
    /// Print a script that completes these commands in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, of this program or of one of its commands
    Man(ManArgs),
}

impl Command {
    fn token_flags(&self) -> Option<&TokenFlags> {
        match self {
            Self::Enroll(enroll) => Some(&enroll.token),
            Self::Token(TokenArgs { command: TokenCommand::Inspect(inspect) }) => Some(&inspect.token),
            Self::Run
            | Self::Doctor(_)
            | Self::Status(_)
            | Self::Reset(_)
            | Self::Prepare(_)
            | Self::Decommission(_)
            | Self::Renew(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }
}

impl CommandLine for Cli {
    fn config_file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    fn flag(&self, key: &str) -> Option<&OsStr> {
        self.settings.get(key).or_else(|| self.command.token_flags()?.settings.get(key))
    }

    fn reads_token_from_stdin(&self) -> bool {
        self.command.token_flags().is_some_and(|flags| flags.token_stdin)
    }

    fn makes_first_contact(&self) -> bool {
        matches!(self.command, Command::Enroll(_))
    }
}

/// Flags of a command that uses a token: its settings, and where the token comes from. No flag takes the token itself.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TokenFlags {
    #[command(flatten)]
    settings: SettingFlags,
    /// Read the enrollment token from standard input
    #[arg(long)]
    pub(crate) token_stdin: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EnrollArgs {
    #[command(flatten)]
    pub(crate) token: TokenFlags,
    /// Create a new sensor record even though this host already has an identity
    #[arg(long)]
    pub(crate) new_sensor: bool,
    /// Do not wait for an operator's approval: exit with status 4 instead
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,
    /// Probe: exit with 0 while this host holds an identity that the Console accepts, with 6 otherwise, also where the
    /// agent that renewed it does not answer any more
    #[arg(long, conflicts_with = "live")]
    pub(crate) ready: bool,
    /// Probe: exit with 0 while the running agent answers or, where none ever ran, the state directory can be read
    #[arg(long)]
    pub(crate) live: bool,
}

impl StatusArgs {
    /// The question that a probe asks; `None` for the whole report.
    pub(crate) fn probe(&self) -> Option<Probe> {
        match (self.ready, self.live) {
            (true, _) => Some(Probe::Ready),
            (false, true) => Some(Probe::Live),
            (false, false) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Does this host hold a valid identity?
    Ready,
    /// Can the state be read at all?
    Live,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ResetArgs {
    /// Yes, remove the key, the certificate and everything else that makes this host a sensor
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PrepareArgs {
    /// Whom to give it to, by number
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    pub(crate) owner: (u32, u32),
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let (uid, gid) =
        text.split_once(':').ok_or("it has to be a user and a group by number, such as 65532:65532")?;
    let number =
        |part: &str| part.parse().map_err(|_| format!("{part:?} is not the number of a user or group"));
    Ok((number(uid)?, number(gid)?))
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DecommissionArgs {
    /// Remove the identity from this host as well
    #[arg(long)]
    pub(crate) purge: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RenewArgs {
    /// Renew now, although it is not time yet
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DoctorArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ManArgs {
    /// The command, such as `enroll` or `token inspect`; the whole program otherwise
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum TokenCommand {
    /// Say whether the token is well formed, where it was found and what its hash is; contacts nobody
    Inspect(InspectArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) token: TokenFlags,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Human,
    /// For programs: one JSON object
    Json,
}

/// A command line that asks for nothing that can be done: a mistake, or a request for help or the version.
#[derive(Debug, thiserror::Error)]
pub enum Usage {
    /// A secret stood on the command line. Neither it nor the argument around it is kept.
    #[error(
        "error: an enrollment token cannot be given on the command line, which every user of this host can read\n\n\
         Use --token-file FILE or --token-stdin instead. If the token was typed here, it now stands in the shell's \
         history: revoke it in the Console and make another."
    )]
    Secret,
    /// What clap has to say: an error, the help or the version.
    #[error("{0}")]
    Clap(clap::Error),
}

impl Usage {
    /// Prints it where it belongs (help and version on standard output, mistakes on standard error) and gives the exit
    /// status: 0 for help and version, 2 otherwise.
    pub fn print(&self) -> ExitCode {
        let (printed, exit) = match self {
            Self::Secret => (writeln!(io::stderr(), "{self}"), EXIT_USAGE),
            Self::Clap(error) => (error.print(), if error.use_stderr() { EXIT_USAGE } else { 0 }),
        };
        match printed {
            // A closed pipe is no reason to fail: there is nobody left to tell.
            Err(error) if exit == 0 && error.kind() != io::ErrorKind::BrokenPipe => {
                let _ = writeln!(io::stderr(), "error: cannot write to standard output: {error}");
                ExitCode::FAILURE
            }
            Ok(()) | Err(_) => ExitCode::from(exit),
        }
    }
}

/// A command line, the program's name first, in which nothing at all means `run` where `unattended`: the vendor's pod starts
/// its sensor so (docs/contract.md section 8).
pub fn or_run(mut arguments: Vec<OsString>, unattended: bool) -> Vec<OsString> {
    if arguments.len() == 1 && unattended {
        arguments.push("run".into());
    }
    arguments
}

/// Reads a command line, the program's name first. Anything but a command to carry out, requests for help included, is an error, whose text never holds a token.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Usage> {
    // `--decommission` alone is the vendor's spelling of the command (docs/contract.md section 8).
    let command =
        |argument: OsString| if argument == "--decommission" { "decommission".into() } else { argument };
    let arguments: Vec<OsString> = arguments.into_iter().map(command).collect();
    if arguments.iter().skip(1).any(|argument| gives_a_token(&argument.to_string_lossy())) {
        return Err(Usage::Secret);
    }
    Cli::try_parse_from(arguments).map_err(Usage::Clap)
}

/// Whether an argument gives a token, or tries to.
fn gives_a_token(argument: &str) -> bool {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    let value_flag = ["--token", "--enrollment-token", "--enrollment_token"].contains(&name);
    value_flag || argument.starts_with(telovix_contract::token::TOKEN_PREFIX) || looks_like_token(argument)
}

#[cfg(test)]
mod tests;
