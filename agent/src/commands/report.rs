//! How a failure is told on a terminal: what happened, then what to do about it. Never a secret. And how a token is asked for.

use std::fmt::{Arguments, Display};
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::config::ConfigErrors;
use crate::machine::{Code, Exit};

/// Why standard output did not take what was said.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Prints a line on standard output; see [`said`].
pub(super) fn say_line(line: Arguments<'_>) {
    say_bytes(format!("{line}\n").as_bytes());
}

/// The same of anything.
pub(super) fn say_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever closed it (`| head`) has read enough: that is no failure of the command.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            UNSAID.get_or_init(|| error.to_string());
        }
        Ok(()) | Err(_) => {}
    }
}

/// The exit status of a command that ends so, which is a failure where its output went nowhere (a full disk).
pub(super) fn said(exit: Exit) -> Exit {
    match UNSAID.get() {
        Some(error) if exit == Exit::Done => {
            failure(&format!("cannot write to standard output: {error}"), "", Exit::Unexpected)
        }
        Some(_) | None => exit,
    }
}

/// `println!` that outlives its reader.
macro_rules! say {
    ($($text:tt)*) => { $crate::commands::report::say_line(format_args!($($text)*)) };
}
pub(super) use say;

/// Standard input, for a token. Somebody at a terminal is asked for it, and ends it with Enter.
#[derive(Debug, Default)]
pub(super) struct TokenInput {
    asked: bool,
}

impl Read for TokenInput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        if input.is_terminal() {
            if self.asked {
                return Ok(0);
            }
            self.asked = true;
            let _ = write!(io::stderr(), "Enrollment token: ");
        }
        input.lock().read(bytes)
    }
}

/// What calls run on.
pub(super) fn runtime() -> Result<Runtime, Exit> {
    // The runtime panics where no descriptors are left for its own pipe of signals: as many as it takes are asked for first.
    let spare = [UnixStream::pair(), UnixStream::pair(), UnixStream::pair()];
    let built = spare.into_iter().collect::<io::Result<Vec<_>>>().map(drop);
    built
        .and_then(|()| Builder::new_current_thread().enable_all().build())
        .map_err(|error| no_runtime(&error))
}

/// The failure to get what calls run on.
pub(super) fn no_runtime(error: &io::Error) -> Exit {
    let message = format!("cannot start: {error}");
    failure(&message, Code::OutOfResources.action(), Code::OutOfResources.exit())
}

/// Prints a failure on standard error and passes the exit status on. A standard error that takes nothing changes neither.
pub(super) fn failure(what: &dyn Display, action: &str, exit: Exit) -> Exit {
    let what = crate::cli::redact_tokens(&what.to_string());
    let remedy = if action.is_empty() { String::new() } else { format!("  do: {action}\n") };
    let _ = write!(io::stderr(), "error: {what}\n{remedy}");
    exit
}

/// Prints the mistakes of a configuration on standard error, one a line.
pub(super) fn mistakes(errors: &ConfigErrors) -> Exit {
    let _ = writeln!(io::stderr(), "{errors}");
    Exit::Usage
}
