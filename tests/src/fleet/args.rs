//! What an operator asks the load tool for, on its command line. Secrets come by file or by standard input alone.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use telovix_contract::{CaFingerprint, ClusterName};

/// Simulated agents that enroll at a Console, send heartbeats and renew their certificates, and how fast that went.
///
/// The result is JSON on standard output, the progress text on standard error. Exit status: 0 when all went well, 1 when
/// more than --max-error-share failed or nothing could be measured, 2 for a wrong command line, 130 after Ctrl-C (the
/// result so far is printed then too).
#[derive(Debug, Parser)]
#[command(name = "fleet", version, after_help = EXAMPLES)]
pub struct Fleet {
    /// What the agents do.
    #[command(subcommand)]
    pub work: Work,
}

const EXAMPLES: &str = "\
Examples:
  How many hosts can enroll in a second, each with a connection of its own?
    fleet enroll --console-url https://console:15483 --ca-file ca.pem \\
      --cluster lab --cluster-token-file token --concurrency 32 --count 5000
  Do 15,000 sensors that send a heartbeat every 15 s keep within their time?
    fleet heartbeat --console-url https://console:15483 --ca-file ca.pem \\
      --cluster lab --cluster-token-file token --agents 500 --rate 1000 --duration 60

Sensors that a run enrolls stay at the Console: use a Console, or a cluster, that is made for it.";

/// The kinds of work.
#[derive(Debug, Subcommand)]
pub enum Work {
    /// Hosts enroll, each once, with a new key.
    Enroll(EnrollArgs),
    /// Enrolled hosts send heartbeats.
    Heartbeat(AgentArgs),
    /// Enrolled hosts renew their certificates, each time with a new key and over the certificate of the time before.
    Renew(AgentArgs),
    /// Reads one path again and again: a list of the API, a page, /healthz.
    Get(GetArgs),
}

/// Arguments of `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) tokens: TokenArgs,
    /// File to write the new identities to, private keys included, for a later `heartbeat` or `renew`.
    #[arg(long, value_name = "FILE")]
    pub(super) keep: Option<PathBuf>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

/// Arguments of `heartbeat` and `renew`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) tokens: TokenArgs,
    /// Identities that `enroll --keep` wrote, instead of enrolling agents before the clock starts.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tokens_file", "cluster_token_file", "api_key_file"])]
    pub(super) identities: Option<PathBuf>,
    /// Agents to enroll before the clock starts; also the most that are at work at once.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) agents: usize,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// The path with its query.
    #[arg(long)]
    pub(super) path: String,
    /// API key to sign each call with, as `apikey create --output json` prints it.
    #[arg(long, value_name = "FILE")]
    pub(super) api_key_file: Option<PathBuf>,
    /// Headers to send, one `Name: value` a line; a session's cookie, for instance.
    #[arg(long, value_name = "FILE")]
    pub(super) headers_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
}

/// The Console, and why it is believed to be it.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The Console: https://HOST[:PORT].
    #[arg(long, value_name = "URL")]
    pub(super) console_url: String,
    /// The CA to trust, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "ca_fingerprint")]
    pub(super) ca_file: Option<PathBuf>,
    /// The Console CA's fingerprint; the CA is fetched and compared before any token is sent.
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "ca_file")]
    pub(super) ca_fingerprint: Option<CaFingerprint>,
}

/// Where enrollment tokens come from.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// One-time tokens, one a line; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens_file: Option<PathBuf>,
    /// A cluster token, for all; `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "cluster", conflicts_with = "tokens_file")]
    pub(super) cluster_token_file: Option<PathBuf>,
    /// Makes one-time tokens with this API key, as `apikey create --output json` prints it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tokens_file", "cluster_token_file"])]
    pub(super) api_key_file: Option<PathBuf>,
    /// Cluster that the agents say they belong to.
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<ClusterName>,
    /// Beginning of the nodes' names; a number follows. Random where absent, so that two runs do not meet.
    #[arg(long, value_name = "TEXT")]
    pub(super) node_prefix: Option<String>,
}

/// How much, how long, and over which connections.
#[derive(Debug, Clone, Args)]
pub(super) struct LoadArgs {
    /// Open loop: calls begun a second, whether or not earlier ones were answered. Times count from the planned beginning.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate, conflicts_with = "concurrency")]
    pub(super) rate: Option<f64>,
    /// Closed loop: callers, each of which waits for its answer before it calls again.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub(super) concurrency: usize,
    /// Ends after so many calls.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) count: Option<usize>,
    /// Ends after so many seconds; 10 where --count is not given either. Both: whichever comes first.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) duration: Option<Duration>,
    /// Seconds at the beginning that are not measured, within --duration and --count.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    pub(super) warm_up: Duration,
    /// Whether each call makes a connection and a full TLS handshake, as the agent does, or agents keep theirs.
    #[arg(long, default_value = "new")]
    pub(super) connections: Connections,
    /// Most calls under way at once in the open loop; more wait, and their waiting counts.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = at_least_one)]
    pub(super) most_under_way: usize,
    /// Longest that one call may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub(super) timeout: Duration,
    /// Threads that make calls.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(super) threads: usize,
    /// Largest share of failed calls that is still a success.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub(super) max_error_share: f64,
    /// Where the result goes, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// No progress on standard error.
    #[arg(long)]
    pub(super) quiet: bool,
}

/// New connections or kept ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Connections {
    /// One for each call.
    New,
    /// One for each agent, made anew when it breaks.
    Kept,
}

impl Connections {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Kept => "kept",
        }
    }
}

impl Work {
    pub(super) fn load(&self) -> &LoadArgs {
        match self {
            Self::Enroll(args) => &args.load,
            Self::Heartbeat(args) | Self::Renew(args) => &args.load,
            Self::Get(args) => &args.load,
        }
    }

    pub(super) fn target(&self) -> &Target {
        match self {
            Self::Enroll(args) => &args.target,
            Self::Heartbeat(args) | Self::Renew(args) => &args.target,
            Self::Get(args) => &args.target,
        }
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Enroll(_) => "enroll",
            Self::Heartbeat(_) => "heartbeat",
            Self::Renew(_) => "renew",
            Self::Get(_) => "get",
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate > 0.0 && rate <= 1e6 {
        Ok(rate)
    } else {
        Err("it can be up to 1000000, and more than 0".to_owned())
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "it can be 1 and more".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
