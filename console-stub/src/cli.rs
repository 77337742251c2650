//! The command line: reads arguments, opens the data directory, calls the service, prints.
//!
//! Exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.

mod args;
mod binary;
mod output;
mod serve;
mod setup;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::app::{App, AppError, Options};
use crate::config::DataDir;
use crate::domain::audit::Origin;
use crate::fault::{Faults, InvalidFault};
use crate::files::FileError;
use crate::service::ServiceError;
use crate::service::sensors::{Listing, Verdict};
use args::{ApiKeyCommand, Args, AuditCommand, Command, LogFormat, SensorCommand, TokenCommand};
use output::Printer;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The application did not open or run.
    #[error(transparent)]
    App(#[from] AppError),
    /// The Console refused.
    #[error("{}", service_message(.0))]
    Service(#[from] ServiceError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The fault under test.
    #[error(transparent)]
    Fault(#[from] InvalidFault),
    /// The command before `setup`.
    #[error("there is no Console in {0}; run `setup --data-dir {0}` first")]
    NoConsole(String),
    /// The listener.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Standard output, or the runtime.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Something given on the command line is not what it should be.
    #[error("{0}")]
    Usage(String),
}

/// The sentence alone; the code is for programs.
fn service_message(error: &ServiceError) -> String {
    match error {
        ServiceError::Refused(refusal) => refusal.message.clone(),
        ServiceError::Db(_) | ServiceError::Ca(_) | ServiceError::Cut(_) => error.to_string(),
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    start_logging(&args);
    match execute(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to complain when standard error is closed.
            let _ = writeln!(std::io::stderr(), "telovix-console-stub: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(args: &Args) {
    let filter = EnvFilter::new(format!("{}={},rustls=warn", env!("CARGO_CRATE_NAME"), args.log_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn execute(args: Args) -> Result<(), CliError> {
    let mut builder = if matches!(args.command, Command::Serve(_)) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build()?.block_on(dispatch(args))
}

async fn dispatch(args: Args) -> Result<(), CliError> {
    let data = DataDir::new(&args.data_dir);
    let print = Printer::new(args.output);
    match args.command {
        Command::Serve(serve) => serve::run(data, serve).await,
        Command::Setup(setup) => setup::run(data, setup, &print).await,
        Command::License(command) => setup::license(data, command, &print).await,
        Command::Binary(command) => binary::run(&data, command, &print),
        Command::Token(command) => tokens(&open(data).await?, command, &print).await,
        Command::Apikey(command) => api_keys(&open(data).await?, command, &print).await,
        Command::Sensor(command) => sensors(&open(data).await?, command, &print).await,
        Command::Audit(AuditCommand::List { limit }) => {
            let rows = open(data).await?.console().list_audit(limit).await?;
            let columns = ["created_at", "action_type", "outcome", "sensor_id", "client_ip", "detail"];
            Ok(print.rows(&rows, &columns)?)
        }
    }
}

/// Opens a Console that exists; only `setup` and `serve` make one.
async fn open(data: DataDir) -> Result<App, CliError> {
    if !data.database().exists() {
        return Err(CliError::NoConsole(data.path().display().to_string()));
    }
    let options = Options { faults: Faults::from_env()?, ..Options::new(data) };
    Ok(App::open(options).await?)
}

async fn tokens(app: &App, command: TokenCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        TokenCommand::Create(create) => {
            let created = console.create_token(create.draft(), Origin::default()).await?;
            Ok(print.one(&created.view())?)
        }
        TokenCommand::List => {
            let columns = ["id", "type", "status", "label", "cluster_id", "use_count", "expires_at"];
            Ok(print.rows(&console.list_tokens().await?, &columns)?)
        }
        TokenCommand::Revoke { id } => Ok(print.one(&console.revoke_token(id, Origin::default()).await?)?),
    }
}

async fn api_keys(app: &App, command: ApiKeyCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        ApiKeyCommand::Create { scopes, label } => {
            let made = console.create_api_key(label, scopes, Origin::default()).await?;
            let scopes: Vec<&str> = made.scopes.iter().map(|scope| scope.as_str()).collect();
            let view = serde_json::json!({"key_id": made.key_id, "secret": *made.secret, "scopes": scopes});
            Ok(print.one(&view)?)
        }
        ApiKeyCommand::List => {
            let columns = ["key_id", "label", "scopes", "created_at", "revoked_at"];
            Ok(print.rows(&console.list_api_keys().await?, &columns)?)
        }
        ApiKeyCommand::Revoke { key_id } => {
            console.revoke_api_key(key_id.clone(), Origin::default()).await?;
            Ok(print.one(&serde_json::json!({"key_id": key_id, "status": "revoked"}))?)
        }
    }
}

async fn sensors(app: &App, command: SensorCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    let (id, verdict) = match command {
        SensorCommand::List { all } => {
            let listing = if all { Listing::Everything } else { Listing::Present };
            let columns =
                ["sensor_id", "node_name", "role", "cluster_id", "status", "trust_state", "last_seen_at"];
            return Ok(print.rows(&console.list_sensors(listing).await?, &columns)?);
        }
        SensorCommand::Disable { id } => (id, Verdict::Disable),
        SensorCommand::Enable { id } => (id, Verdict::Enable),
        SensorCommand::Revoke { id } => (id, Verdict::Revoke),
        SensorCommand::Delete { id } => (id, Verdict::Delete),
    };
    console.judge_sensor(id, verdict, Origin::default()).await?;
    let done = match verdict {
        Verdict::Disable => "disabled",
        Verdict::Enable => "enabled",
        Verdict::Revoke => "revoked",
        Verdict::Delete => "deleted",
    };
    Ok(print.one(&serde_json::json!({"sensor_id": id, "status": done}))?)
}
