//! `telovix-agent prepare`: gives the state directory to the user that the agent will run as, so that the agent itself
//! needs no rights. For init containers, whose volumes are root's, and for hosts without systemd.

use super::report;
use super::report::say;
use crate::cli::PrepareArgs;
use crate::config::Config;
use crate::machine::Exit;
use crate::store::{Handover, Owner, hand_over};

pub(super) fn run(config: &Config, args: &PrepareArgs) -> Exit {
    let dir = &config.state_dir.value;
    let (uid, gid) = args.owner;
    let owner = Owner { uid, gid };
    match hand_over(dir, owner) {
        Ok(Handover::Theirs) => say!("{} belongs to user {}, nothing to do", dir.display(), owner.uid),
        Ok(Handover::Given) => {
            say!("{} now belongs to user {} and group {}", dir.display(), owner.uid, owner.gid);
        }
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    }
    Exit::Done
}
