//! The command line: reads arguments, opens the data directory, calls the service, prints.
//!
//! Exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.

mod args;
mod audit;
mod backup;
mod binary;
mod ca;
mod operators;
mod output;
mod serve;
mod setup;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use crate::app::{App, AppError, Options};
use crate::config::DataDir;
use crate::db::{DbError, InvalidUrl, Location, ServerUrl};
use crate::fault::chaos::ChaosError;
use crate::fault::{Faults, InvalidFault};
use crate::files::FileError;
use crate::service::ServiceError;
use args::{Args, Command, LogFormat};
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
    /// The rules of what is to go wrong.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
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
    /// The audit trail is not as it was written.
    #[error("the audit trail is not as it was written: {0}")]
    AuditBroken(String),
    /// The address of the database.
    #[error(transparent)]
    DatabaseUrl(#[from] InvalidUrl),
    /// A backup by a program that is not ours.
    #[error(
        "the database is PostgreSQL's, at {0}; copy it with its own tool: pg_dump --format=custom --file=FILE URL"
    )]
    UsePgDump(String),
    /// The copy of the database.
    #[error(transparent)]
    Db(#[from] DbError),
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
    let place = Place::new(&args)?;
    let print = Printer::new(args.output);
    match args.command {
        Command::Serve(serve) => serve::run(place, serve).await,
        Command::Setup(setup) => setup::run(place, setup, &print).await,
        Command::License(command) => setup::license(place, command, &print).await,
        Command::Openapi => {
            std::io::stdout().lock().write_all(crate::api::DOCUMENT.as_bytes())?;
            Ok(())
        }
        Command::Binary(command) => binary::run(&place.data, command, &print),
        Command::Token(command) => operators::tokens(&open(place).await?, command, &print).await,
        Command::Rule(command) => operators::rules(&open(place).await?, command, &print).await,
        Command::Approval(command) => operators::approvals(&open(place).await?, command, &print).await,
        Command::Settings(command) => operators::settings(&open(place).await?, command, &print).await,
        Command::User(command) => operators::users(&open(place).await?, command, &print).await,
        Command::Apikey(command) => operators::api_keys(&open(place).await?, command, &print).await,
        Command::Sensor(command) => operators::sensors(&open(place).await?, command, &print).await,
        Command::Backup { file } => backup::run(&place, &file, &print),
        Command::Ca(command) => ca::run(&open(place).await?, command, &print).await,
        Command::Audit(command) => audit::run(&open(place).await?, command, &print).await,
    }
}

/// Where a Console keeps things.
struct Place {
    data: DataDir,
    database: Location,
}

impl Place {
    fn new(args: &Args) -> Result<Self, CliError> {
        let data = DataDir::new(&args.data_dir);
        let url = match (&args.database_url, &args.database_url_file) {
            (Some(url), _) => Some(Zeroizing::new(url.clone())),
            (None, Some(file)) => Some(Zeroizing::new(setup::text(file)?.trim_end().to_owned())),
            (None, None) => None,
        };
        let database = match url {
            Some(url) => Location::Server(Box::new(url.parse::<ServerUrl>()?)),
            None => Location::File(data.database()),
        };
        Ok(Self { data, database })
    }

    fn options(self) -> Options {
        Options { database: self.database, ..Options::new(self.data) }
    }
}

/// Opens a Console that exists; only `setup` and `serve` make one.
async fn open(place: Place) -> Result<App, CliError> {
    if let Location::File(path) = &place.database
        && !path.exists()
    {
        return Err(CliError::NoConsole(place.data.path().display().to_string()));
    }
    Ok(App::open(Options { faults: Faults::from_env()?, ..place.options() }).await?)
}
