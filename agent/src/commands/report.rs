//! How a failure is told on a terminal: what happened, then what to do about it. Never a secret. And how a token is asked for.

use std::fmt::{Arguments, Display};
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

use crate::machine::{Code, Exit};

/// Prints a line on standard output. Whoever closed it (`| head`) has read enough: that is no failure of the command.
pub(super) fn say_line(line: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
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
            eprint!("Enrollment token: ");
        }
        input.lock().read(bytes)
    }
}

/// What calls run on.
pub(super) fn runtime() -> Result<Runtime, Exit> {
    // The runtime panics where no descriptors are left for its own pipe of signals: as many as it takes are asked for first.
    let spare = [UnixStream::pair(), UnixStream::pair(), UnixStream::pair()];
    let built = spare.into_iter().collect::<io::Result<Vec<_>>>().map(drop);
    built.and_then(|()| Builder::new_current_thread().enable_all().build()).map_err(|error| {
        let message = format!("cannot start: {error}");
        failure(&message, Code::OutOfResources.action(), Code::OutOfResources.exit())
    })
}

/// Prints a failure on standard error and passes the exit status on.
pub(super) fn failure(what: &dyn Display, action: &str, exit: Exit) -> Exit {
    let what = crate::cli::redact_tokens(&what.to_string());
    eprintln!("error: {what}");
    if !action.is_empty() {
        eprintln!("  do: {action}");
    }
    exit
}
