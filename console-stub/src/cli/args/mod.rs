//! What may stand on the command line.

pub(super) mod ca;
pub(super) mod lists;
pub(super) mod operators;
mod seconds;
mod serve;
pub(super) mod users;

pub(super) use lists::{AuditCommand, SensorCommand};
pub(super) use serve::ServeArgs;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use telovix_contract::states::TokenType;
use telovix_contract::{ClusterName, Flavor, SensorId};

use self::seconds::seconds;
use crate::config::DEFAULT_DATA_DIR;
use crate::domain::api_key::Scope;
use crate::domain::licence::MOST_GRACE_DAYS;
use crate::domain::public_url::PublicUrl;
use crate::domain::setting::Vertical;
use crate::domain::token::{TokenDraft, TokenId};

/// A compatible Console for trying, testing, loading and torturing Telovix agents.
#[derive(Debug, Parser)]
#[command(name = "telovix-console-stub", version)]
pub(super) struct Args {
    /// Directory that everything is kept under.
    #[arg(long, global = true, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub(super) data_dir: PathBuf,
    /// PostgreSQL database in place of the embedded one, for several instances behind one address:
    /// postgres://user@host:5432/name. A password here stands in the process list; better the variable, or a file.
    #[arg(long, global = true, value_name = "URL", env = "TELOVIX_DATABASE_URL", hide_env_values = true)]
    pub(super) database_url: Option<String>,
    /// File with that address.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TELOVIX_DATABASE_URL_FILE",
        conflicts_with = "database_url"
    )]
    pub(super) database_url_file: Option<PathBuf>,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
    /// What to log: error, warn, info, debug, trace.
    #[arg(long, global = true, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub(super) log_level: String,
    /// How to log; logs go to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// One line per event.
    Text,
    /// One JSON object per event.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve; the first line printed is the address bound.
    Serve(ServeArgs),
    /// Make a Console: administrator, licence, CA, server certificate.
    Setup(SetupArgs),
    /// Enrollment tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Rules that let the nodes of a cluster in without an operator.
    #[command(subcommand)]
    Rule(operators::RuleCommand),
    /// Enrollments that wait for an operator.
    #[command(subcommand)]
    Approval(operators::ApprovalCommand),
    /// What an administrator may set.
    #[command(subcommand)]
    Settings(operators::SettingsCommand),
    /// Operators who sign in.
    #[command(subcommand)]
    User(users::UserCommand),
    /// API keys of the v2 interface.
    #[command(subcommand)]
    Apikey(ApiKeyCommand),
    /// Enrolled sensors.
    #[command(subcommand)]
    Sensor(SensorCommand),
    /// The licence.
    #[command(subcommand)]
    License(LicenseCommand),
    /// The issuers of the CA.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Copy the embedded database, while it is in use, to a new file that is a database itself.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Print the OpenAPI document of the interface.
    Openapi,
    /// Agent binaries for the one-line install.
    #[command(subcommand)]
    Binary(BinaryCommand),
}

#[derive(Debug, clap::Args)]
pub(super) struct SetupArgs {
    /// The first administrator's e-mail address.
    #[arg(long, value_name = "EMAIL")]
    pub(super) admin_email: String,
    /// File with the first administrator's password, at least 12 characters.
    #[arg(long, value_name = "FILE")]
    pub(super) admin_password_file: PathBuf,
    /// Name or address for the server certificate, once per name; localhost is always in it.
    #[arg(long = "server-name", value_name = "NAME")]
    pub(super) server_names: Vec<String>,
    /// Nodes that the trial licence allows; 100 where no licence is named.
    #[arg(long, value_name = "N", conflicts_with = "license", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) trial_nodes: Option<u32>,
    /// File with a signed licence; needs --license-trust.
    #[arg(long, value_name = "FILE", requires = "license_trust")]
    pub(super) license: Option<PathBuf>,
    /// File with the public keys (PEM, Ed25519) that may sign licences.
    #[arg(long, value_name = "FILE")]
    pub(super) license_trust: Option<PathBuf>,
    /// Address that hosts will reach the Console under.
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<PublicUrl>,
    /// What the Console is for: standard or telecom.
    #[arg(long, value_name = "WORD", default_value = "standard")]
    pub(super) vertical: Vertical,
    /// Change nothing where the Console is set up already, instead of refusing; for init containers.
    #[arg(long)]
    pub(super) if_needed: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; its secret is shown this once.
    Create(TokenCreate),
    /// List tokens, newest first.
    List(lists::TokenList),
    /// Take a pending token back.
    Revoke {
        /// The token's id.
        id: TokenId,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct TokenCreate {
    /// once: one enrollment; cluster: every node of one cluster.
    #[arg(long = "type", value_parser = token_type, default_value = "once")]
    kind: TokenType,
    /// Life of a one-time token: 90s, 15m, 24h.
    #[arg(long, value_parser = seconds)]
    ttl: Option<i64>,
    /// Life of a cluster token in days.
    #[arg(long, value_name = "N")]
    expires_days: Option<i64>,
    /// Cluster to bind the token to.
    #[arg(long, value_name = "NAME")]
    cluster_id: Option<ClusterName>,
    /// Most distinct nodes of a cluster token.
    #[arg(long, value_name = "N")]
    max_nodes: Option<i64>,
    /// Sensor to re-enroll.
    #[arg(long, value_name = "ID")]
    sensor_id: Option<SensorId>,
    /// Let the re-enrollment token work on any host: new hardware under a new name.
    #[arg(long, requires = "sensor_id")]
    replace_host: bool,
    /// A name for people.
    #[arg(long)]
    label: Option<String>,
}

impl TokenCreate {
    pub(super) fn draft(self) -> TokenDraft {
        TokenDraft {
            kind: Some(self.kind),
            ttl_seconds: self.ttl,
            expires_days: self.expires_days,
            cluster_id: self.cluster_id,
            max_nodes: self.max_nodes,
            sensor_id: self.sensor_id,
            replace_host: self.replace_host,
            label: self.label,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ApiKeyCommand {
    /// Make a key; its secret is shown this once.
    Create {
        /// What it may do: sensors:read, sensors:write, separated by commas.
        #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// A name for people.
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List keys, newest first.
    List,
    /// Take a key back.
    Revoke {
        /// The key's id.
        key_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LicenseCommand {
    /// Make a licence with one's own test key.
    Issue {
        /// File with the private key (PEM, Ed25519); made, with a .pub beside it, where there is none.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Nodes allowed.
        #[arg(long, value_name = "N")]
        nodes: u32,
        /// Life in days.
        #[arg(long, value_name = "N", default_value_t = 365)]
        days: u32,
        /// Days for which hosts are let in after that, with a warning.
        #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_GRACE_DAYS)))]
        grace_days: u32,
        /// Whom it is made out to.
        #[arg(long, default_value = "")]
        customer: String,
        /// File for the licence; standard output where absent.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Import a licence.
    Import {
        /// File with the licence.
        file: PathBuf,
        /// File with the public keys (PEM, Ed25519) that may sign licences from now on, in place of those of set-up.
        #[arg(long, value_name = "FILE")]
        license_trust: Option<PathBuf>,
    },
    /// Show the licence and how much of it is in use.
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum BinaryCommand {
    /// Stage an agent binary for hosts to download.
    Stage {
        /// The binary.
        file: PathBuf,
        /// Its architecture, amd64 or arm64; read from the binary where absent.
        #[arg(long, value_parser = ["amd64", "arm64"])]
        arch: Option<String>,
        /// Its edition.
        #[arg(long, default_value = "standard")]
        flavor: Flavor,
    },
}

fn token_type(word: &str) -> Result<TokenType, String> {
    TokenType::from_word(word).ok_or_else(|| "it can be once or cluster".to_owned())
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::from_word(word).ok_or_else(|| "it can be sensors:read or sensors:write".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
