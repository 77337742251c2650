//! `telovix-agent reset --yes`: removes the identity from this host. The Console's record stays; `decommission` is the
//! command that tells the Console.

use super::report::say;
use super::{Exit, report};
use crate::cli::ResetArgs;
use crate::config::Config;
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
    match Store::is_there(dir) {
        Ok(true) => {}
        Ok(false) => {
            say!("nothing to remove: {} does not exist", dir.display());
            return Exit::Done;
        }
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    }
    match Store::open(dir).and_then(|mut store| store.reset()) {
        Ok(()) => {
            say!("removed the identity in {}", dir.display());
            Exit::Done
        }
        Err(error) => report::failure(&error, "", Exit::LocalState),
    }
}
