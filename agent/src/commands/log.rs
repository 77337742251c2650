//! Where the log goes: standard error, as text or one JSON object a line. Where that leads to the journal, each event
//! begins with its priority (sd-daemon(3)), so that `journalctl -p warning` shows what it should.

use std::io::{self, IsTerminal as _, Stderr, Write};

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::config::{LogFormat, LogLevel, LogSettings, ServiceSettings};

/// Starts the log. Only our own crates speak below INFO: the libraries' own traces show buffers, and a buffer can hold
/// a token.
pub(super) fn start(settings: &LogSettings, service: &ServiceSettings) {
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
    let sink = if leads_to(service.journal) { Sink::Journal } else { Sink::Plain };
    match settings.format.value {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(sink)
                .with_ansi(io::stderr().is_terminal())
                .with_target(false)
                .log_internal_errors(false);
            registry.with(layer).init();
        }
        LogFormat::Json => {
            registry
                .with(
                    tracing_subscriber::fmt::layer()
                        .json()
                        .flatten_event(true)
                        .with_writer(sink)
                        .log_internal_errors(false),
                )
                .init();
        }
    }
}

/// Whether standard error is the stream that the manager made to the journal; it may have been led elsewhere since.
fn leads_to(journal: Option<(u64, u64)>) -> bool {
    fstat(io::stderr()).is_ok_and(|found| journal == Some((found.st_dev, found.st_ino)))
}

/// Where events go.
#[derive(Debug, Clone, Copy)]
enum Sink {
    /// Standard error as it is.
    Plain,
    /// Standard error that leads to the journal.
    Journal,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event { prefix: "", to: io::stderr() }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Event {
        match self {
            Self::Plain => self.make_writer(),
            Self::Journal => Event { prefix: priority(*event.level()), to: io::stderr() },
        }
    }
}

/// The priority of syslog(3) as sd-daemon(3) spells it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// One event on its way; it comes in one piece.
struct Event {
    prefix: &'static str,
    to: Stderr,
}

impl Write for Event {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let prefix = std::mem::take(&mut self.prefix);
        if !prefix.is_empty() {
            // Together, so that another thread's event does not come in between.
            self.to.write_all(&[prefix.as_bytes(), bytes].concat())?;
            return Ok(bytes.len());
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_syslog() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        assert_eq!(levels.map(priority), ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }

    #[test]
    fn only_the_stream_that_the_manager_made_is_the_journal() {
        let here = fstat(io::stderr()).unwrap();
        assert!(leads_to(Some((here.st_dev, here.st_ino))));
        assert!(!leads_to(Some((here.st_dev, here.st_ino + 1))) && !leads_to(None));
    }
}
