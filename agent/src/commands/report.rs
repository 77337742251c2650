//! How a failure is told on a terminal: what happened, then what to do about it. Never a secret.

use std::fmt::Display;

use super::Exit;

/// Prints a failure on standard error and passes the exit status on.
pub(super) fn failure(what: &dyn Display, action: &str, exit: Exit) -> Exit {
    let what = crate::cli::redact_tokens(&what.to_string());
    eprintln!("error: {what}");
    if !action.is_empty() {
        eprintln!("  do: {action}");
    }
    exit
}
