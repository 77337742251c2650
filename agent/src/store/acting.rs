//! Root works in another user's state directory as that user (docs/contract.md section 7).
//!
//! Invariant: while an [`Acting`] lives, this thread has on file systems the rights of the directory's owner and no others
//! (setfsuid(2) takes root's away), so a link that the owner has put there leads nowhere that the owner could not go, and
//! what is made there is the owner's.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups, setfsgid, setfsuid, setgroups};

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
    back: Option<Option<Owner>>,
}

thread_local! {
    /// Whom this thread acts as, where that is not the process's own user.
    static AS: Cell<Option<Owner>> = const { Cell::new(None) };
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
    let alone = setgroups(&[]).is_ok() || getgroups().is_ok_and(|groups| groups.is_empty());
    let acting = Acting::start(Some(owner));
    // No user has this number: nothing is changed, and what is in force is told.
    let is_owner = setfsgid(Gid::from_raw(u32::MAX)).as_raw() == owner.gid
        && setfsuid(Uid::from_raw(u32::MAX)).as_raw() == owner.uid;
    drop(acting);
    if alone && is_owner {
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
        Self { back: owner.map(|owner| change(Some(owner))) }
    }

    /// Acts as root again, for what only root can do with a file that is open.
    pub(super) fn as_root() -> Self {
        Self { back: current().map(|_| change(None)) }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some(back) = self.back {
            change(back);
        }
    }
}

/// Whom this thread acts as.
pub(super) fn current() -> Option<Owner> {
    AS.get()
}

/// From now on, and what it was.
fn change(owner: Option<Owner>) -> Option<Owner> {
    let own = Owner { uid: geteuid().as_raw(), gid: getegid().as_raw() };
    let Owner { uid, gid } = owner.unwrap_or(own);
    setfsgid(Gid::from_raw(gid));
    setfsuid(Uid::from_raw(uid));
    AS.replace(owner)
}
