//! `telovix-agent reset --yes`: removes the identity from this host. The Console's record stays; `decommission` is the
//! command that tells the Console.

use std::path::Path;

use super::report;
use super::report::say;
use crate::cli::ResetArgs;
use crate::config::Config;
use crate::machine::Exit;
use crate::store::Store;

pub(super) fn run(config: &Config, args: &ResetArgs) -> Exit {
    let dir = &config.state_dir.value;
    if !args.yes {
        let what = format!(
            "reset removes the key and the certificate in {}, and this host then needs a new token",
            dir.display()
        );
        return report::failure(&what, "say it with --yes", Exit::Usage);
    }
    missing(dir, "remove").unwrap_or_else(|| remove(dir, ""))
}

/// The end of a command for which there is nothing to do, because there is no state directory, or that cannot see whether there
/// is one. `None` where there is.
pub(super) fn missing(dir: &Path, to_do: &str) -> Option<Exit> {
    match Store::is_there(dir) {
        Ok(true) => None,
        Ok(false) => {
            say!("nothing to {to_do}: {} does not exist", dir.display());
            Some(Exit::Done)
        }
        Err(error) => Some(report::failure(&error, "", Exit::LocalState)),
    }
}

/// Removes the identity, and says so; `action` is what helps where it cannot.
pub(super) fn remove(dir: &Path, action: &str) -> Exit {
    match Store::open(dir).and_then(|mut store| store.reset()) {
        Ok(()) => {
            say!("removed the identity in {}", dir.display());
            Exit::Done
        }
        Err(error) => report::failure(&error, action, Exit::LocalState),
    }
}
