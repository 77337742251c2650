//! Where the log goes: standard error, as text or one JSON object a line.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Starts the log. Only our own crates speak below INFO: the libraries' own traces show buffers, and a buffer can hold
/// a token.
pub(super) fn start(settings: &LogSettings) {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::prelude::*;

    let level = match settings.level.value {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter =
        Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("telovix_agent", level);
    let registry = tracing_subscriber::registry().with(filter);
    let to_stderr = std::io::stderr;
    match settings.format.value {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(to_stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false);
            registry.with(layer).init();
        }
        LogFormat::Json => {
            registry
                .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(to_stderr))
                .init();
        }
    }
}
