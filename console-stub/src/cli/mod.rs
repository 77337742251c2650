//! The command line: reads arguments, opens the data directory, calls the service, prints.
//!
//! Exit status: 0 done, 1 refused or failed (one sentence on standard error), 2 wrong usage.

mod args;
mod audit;
mod backup;
mod binary;
mod ca;
mod error;
mod operators;
mod output;
mod place;
mod serve;
mod setup;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use args::{Args, Command, LogFormat};
use error::CliError;
use output::Printer;
use place::{Place, open};

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
    let level = args.log_level.parse::<LevelFilter>().expect("clap takes the words of levels alone");
    let filter =
        Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_target("rustls", LevelFilter::WARN);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).init(),
        LogFormat::Json => registry.with(layer.json()).init(),
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
