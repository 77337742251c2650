//! The command line: what people type, and what they read when they ask for help.
//!
//! Invariant: argv is public (`ps`, `/proc`, shell histories), so no secret is taken from it and none is echoed. Every
//! argument is looked at before clap sees it, because clap quotes what it does not know. Values of settings stay raw
//! here; `config` reads them together with the environment and the files, and reports all mistakes at once.

mod help;
mod secrets;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::help::{ABOUT, AFTER_HELP, AFTER_LONG_HELP};
use self::secrets::gives_a_token;
pub use self::secrets::{looks_like_token, redact_tokens};

/// Exit status of a command line or a configuration that cannot be used (DESIGN.md section 3).
pub const EXIT_USAGE: u8 = 2;

/// Heading of the flags that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// The whole command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "telovix-agent", version, about = ABOUT, after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub struct Cli {
    /// Configuration file to read instead of /etc/telovix/agent.toml; FILE.d/*.toml are read after it
    #[arg(long, value_name = "FILE", global = true, help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// Where the identity is kept [default: /var/lib/telovix-sensor]
    #[arg(long, value_name = "DIR", global = true, help_heading = EVERYWHERE)]
    pub state_dir: Option<PathBuf>,
    /// How much to log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = EVERYWHERE)]
    pub log_level: Option<String>,
    /// How to log: text or json [default: text]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = EVERYWHERE)]
    pub log_format: Option<String>,
    /// Socket of the running agent [default: /run/telovix-agent/control.sock]
    #[arg(long, value_name = "PATH", global = true, help_heading = EVERYWHERE)]
    pub control_socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
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
    /// Whether it may speak to a Console that it does not know yet: for these, trust is decided at once, so that a
    /// mistake in it is reported with the others. The rest works although a bootstrap CA file is long gone.
    pub fn makes_first_contact(&self) -> bool {
        match self {
            Self::Enroll(_) | Self::Run => true,
            // The doctor finds it out by itself, and goes on.
            Self::Doctor(_)
            | Self::Status(_)
            | Self::Reset(_)
            | Self::Prepare(_)
            | Self::Decommission(_)
            | Self::Renew(_)
            | Self::Token(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }

    /// The flags that say where a token comes from.
    pub fn token_flags(&self) -> Option<&TokenFlags> {
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

/// Where a token comes from. There is no flag for its value.
#[derive(Debug, Clone, Default, Args)]
pub struct TokenFlags {
    /// Read the enrollment token from this file; the file of a one-time token is deleted once it is used up
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Read the enrollment token from standard input
    #[arg(long)]
    pub token_stdin: bool,
}

/// Flags of `enroll`. Values of settings are as typed: `config` reads them.
#[derive(Debug, Clone, Default, Args)]
pub struct EnrollArgs {
    /// Address of the Console.
    // Not the doc comment: rustdoc wants angle brackets around a URL, and people should not have to read them.
    #[arg(long, value_name = "URL", help = "Address of the Console, such as https://console.example:15483")]
    pub console_url: Option<String>,
    /// Where the token comes from.
    #[command(flatten)]
    pub token: TokenFlags,
    /// Trust the Console by this CA file (PEM) at first contact
    #[arg(long, value_name = "FILE")]
    pub bootstrap_ca: Option<PathBuf>,
    /// Trust the Console by the fingerprint of its CA at first contact: sha256:<64 hex>
    #[arg(long, value_name = "FINGERPRINT")]
    pub ca_fingerprint: Option<String>,
    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// What this node is for, such as o_du or amf [default: generic_linux]
    #[arg(long, value_name = "ROLE")]
    pub node_role: Option<String>,
    /// Cluster that this node belongs to; has to be the token's where the token is bound to one
    #[arg(long, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Tells installations of one cluster apart
    #[arg(long, value_name = "ID")]
    pub install_id: Option<String>,
    /// Labels for the fleet list, separated by commas
    #[arg(long, value_name = "TAG,…")]
    pub tags: Option<String>,
    /// Edition of the product: standard or telecom [default: standard]
    #[arg(long, value_name = "FLAVOR")]
    pub flavor: Option<String>,
    /// Kind of key to make: p256, rsa2048, rsa3072, rsa4096 or ed25519 [default: p256]
    #[arg(long, value_name = "TYPE")]
    pub key_type: Option<String>,
    /// Make a record of its own although this host holds another identity
    #[arg(long)]
    pub new_sensor: bool,
    /// How long to try, such as 90s, 15m or 24h [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Do not wait for an operator's approval: exit with status 4 instead
    #[arg(long)]
    pub no_wait: bool,
    /// DANGER: send the token to a Console that nothing vouches for; for laboratories only
    #[arg(long)]
    pub danger_accept_unverified_console: bool,
}

/// Flags of `status`.
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
    /// Probe: exit with 0 while this host holds an identity that the Console accepts, with 6 otherwise
    #[arg(long, conflicts_with = "live")]
    pub ready: bool,
    /// Probe: exit with 0 while the running agent answers or, where none runs, the state directory can be read
    #[arg(long)]
    pub live: bool,
}

impl StatusArgs {
    /// The question that a probe asks; `None` for the whole report.
    pub fn probe(&self) -> Option<Probe> {
        match (self.ready, self.live) {
            (true, _) => Some(Probe::Ready),
            (false, true) => Some(Probe::Live),
            (false, false) => None,
        }
    }
}

/// The questions of `status --ready` and `status --live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Does this host hold a valid identity?
    Ready,
    /// Can the state be read at all?
    Live,
}

/// Flags of `reset`.
#[derive(Debug, Clone, Default, Args)]
pub struct ResetArgs {
    /// Yes, remove the key, the certificate and everything else that makes this host a sensor
    #[arg(long)]
    pub yes: bool,
}

/// Flags of `prepare`.
#[derive(Debug, Clone, Args)]
pub struct PrepareArgs {
    /// Whom to give it to, by number
    #[arg(long, value_name = "UID:GID", value_parser = owner)]
    pub owner: (u32, u32),
}

fn owner(text: &str) -> Result<(u32, u32), String> {
    let (uid, gid) =
        text.split_once(':').ok_or("it has to be a user and a group by number, such as 65532:65532")?;
    let number =
        |part: &str| part.parse().map_err(|_| format!("{part:?} is not the number of a user or group"));
    Ok((number(uid)?, number(gid)?))
}

/// Flags of `decommission`.
#[derive(Debug, Clone, Default, Args)]
pub struct DecommissionArgs {
    /// Remove the identity from this host as well
    #[arg(long)]
    pub purge: bool,
}

/// Flags of `renew`.
#[derive(Debug, Clone, Default, Args)]
pub struct RenewArgs {
    /// Renew now, although it is not time yet
    #[arg(long)]
    pub force: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Clone, Default, Args)]
pub struct ManArgs {
    /// The command, such as `enroll` or `token inspect`; the whole program otherwise
    pub command: Vec<String>,
}

/// `token …`
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What to do with the token.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What can be done with a token.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Say whether the token is well formed, where it was found and what its hash is; contacts nobody
    Inspect(InspectArgs),
}

/// Flags of `token inspect`.
#[derive(Debug, Clone, Default, Args)]
pub struct InspectArgs {
    /// Where the token comes from.
    #[command(flatten)]
    pub token: TokenFlags,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Human,
    /// For programs: one JSON object
    Json,
}

/// A command line that asks for nothing that can be done: a mistake, or a request for help or the version.
#[derive(Debug)]
pub enum Usage {
    /// A secret stood on the command line. Neither it nor the argument around it is kept.
    Secret,
    /// What clap has to say: an error, the help or the version.
    Clap(clap::Error),
}

impl Usage {
    /// Prints it where it belongs (help and version on standard output, mistakes on standard error) and gives the exit
    /// status: 0 for help and version, 2 otherwise.
    pub fn print(&self) -> ExitCode {
        match self {
            Self::Secret => {
                eprintln!("{self}");
                ExitCode::from(EXIT_USAGE)
            }
            Self::Clap(error) => {
                // A closed pipe is no reason to fail: there is nobody left to tell.
                let _ = error.print();
                ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 })
            }
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str(
                "error: an enrollment token cannot be given on the command line, which every user of this host can \
                 read\n\nUse --token-file FILE or --token-stdin instead. If the token was typed here, it now stands \
                 in the shell's history: revoke it in the Console and make another.",
            ),
            Self::Clap(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Usage {}

/// Reads a command line, the program's name first.
///
/// # Errors
/// [`Usage`] for anything but a command to carry out, requests for help included. Its text never holds a token.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Usage> {
    // `--decommission` alone is the vendor's spelling of the command (CONTRACT.md section 8).
    let command =
        |argument: OsString| if argument == "--decommission" { "decommission".into() } else { argument };
    let arguments: Vec<OsString> = arguments.into_iter().map(command).collect();
    if arguments.iter().skip(1).any(|argument| gives_a_token(&argument.to_string_lossy())) {
        return Err(Usage::Secret);
    }
    Cli::try_parse_from(arguments).map_err(Usage::Clap)
}

#[cfg(test)]
mod tests;
