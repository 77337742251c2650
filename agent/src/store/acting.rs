//! Root works in another user's state directory as that user (docs/contract.md section 7).
//!
//! Invariant: while an [`Acting`] lives, this thread has on file systems the rights of the directory's owner and no others
//! (setfsuid(2) takes root's away), so a link that the owner has put there leads nowhere that the owner could not go, and
//! what is made there is the owner's.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid, setgroups};

use super::error::StoreError;

/// A user and a group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Rights on file systems that end with this value.
#[derive(Debug)]
pub(super) struct Acting {
    back: Option<Owner>,
}

/// The user to act as in a directory; `None` where this process is itself.
pub(super) fn owner_to_be(dir: &Path) -> Result<Option<Owner>, StoreError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let meta = std::fs::metadata(dir).map_err(StoreError::io("look at", dir))?;
    Ok((meta.uid() != 0).then(|| Owner { uid: meta.uid(), gid: meta.gid() }))
}

/// Makes sure that this process can act as that user.
pub(super) fn prepare(dir: &Path, owner: Owner) -> Result<(), StoreError> {
    // Root's groups would go with the user's rights.
    let left = setgroups(&[]);
    let acting = Acting::start(Some(owner));
    let is_owner = current() == owner;
    drop(acting);
    if left.is_ok() && is_owner {
        return Ok(());
    }
    Err(StoreError::Unsafe {
        path: dir.to_owned(),
        problem: format!("belongs to user {}, and this root may not act as another user", owner.uid),
        remedy: "run as its owner, or with the capabilities CAP_SETUID and CAP_SETGID".to_owned(),
    })
}

impl Acting {
    /// Acts as this user, where there is one.
    pub(super) fn start(owner: Option<Owner>) -> Self {
        let Some(owner) = owner else { return Self { back: None } };
        let back = current();
        set(owner);
        Self { back: Some(back) }
    }

    /// Acts as root again, for what only root can do with a file that is open.
    pub(super) fn as_root() -> Self {
        let root = Owner { uid: 0, gid: 0 };
        Self::start((geteuid().is_root() && current() != root).then_some(root))
    }

    /// Whether this thread has other rights now than before.
    pub(super) fn is_needed(&self) -> bool {
        self.back.is_some()
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(back) = self.back {
            set(back);
        }
    }
}

/// Whom this thread is on file systems.
pub(super) fn current() -> Owner {
    // No user has this number, so nothing is changed, and what was in force is told.
    Owner { uid: setfsuid(Uid::from_raw(u32::MAX)).as_raw(), gid: setfsgid(Gid::from_raw(u32::MAX)).as_raw() }
}

fn set(owner: Owner) {
    setfsgid(Gid::from_raw(owner.gid));
    setfsuid(Uid::from_raw(owner.uid));
}
