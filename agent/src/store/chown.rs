//! Gives the state directory to the user that the agent runs as: once, by root, before the agent starts.
//!
//! Invariant: the directory itself changes hands last, so a directory that is the user's is wholly the user's, after a
//! crash too. Only what is root's is given away, and only out of a directory that nobody else can write.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::acting::Owner;
use super::atomic;
use super::error::StoreError;
use super::layout::{DIR_MODE, Layout};
use super::lock::{self, Lock};

/// What had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// Nothing: it is the user's.
    Theirs,
    /// It was root's, or not there.
    Given,
}

/// Makes the state directory where it is missing, and gives it with all in it to `owner`.
///
/// # Errors
/// [`StoreError::Unsafe`] for a directory of a third user, or one that others can write; [`StoreError::Locked`] while an
/// agent works there; [`StoreError::Io`].
pub fn hand_over(dir: &Path, owner: Owner) -> Result<Handover, StoreError> {
    if !atomic::is_there(dir)? {
        atomic::create_dir_all(dir, DIR_MODE)?;
    }
    let dir = &dir.canonicalize().map_err(StoreError::io("look at", dir))?;
    let meta = look_at(dir)?;
    if meta.is_dir() && meta.uid() == owner.uid {
        return Ok(Handover::Theirs);
    }
    if !can_be_given(&meta) {
        return Err(foreign(dir, &meta, owner));
    }
    lock::check_directory(dir)?;
    let _lock = Lock::take(&Layout::new(dir).lock(), dir)?;
    atomic::set_mode(dir, DIR_MODE)?;
    give_content(dir, owner)?;
    atomic::give_away(dir, owner.uid, owner.gid)?;
    Ok(Handover::Given)
}

/// Gives what is in a directory, the deepest first: once a directory is another's, root without special rights cannot
/// enter it any more.
fn give_content(dir: &Path, owner: Owner) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(dir).map_err(StoreError::io("read", dir))? {
        let path = entry.map_err(StoreError::io("read", dir))?.path();
        let meta = look_at(&path)?;
        if meta.uid() == owner.uid {
            continue;
        }
        if !can_be_given(&meta) {
            return Err(foreign(&path, &meta, owner));
        }
        if meta.is_dir() {
            give_content(&path, owner)?;
        }
        atomic::give_away(&path, owner.uid, owner.gid)?;
    }
    Ok(())
}

/// Without following a link: what it leads to is not ours to give.
fn look_at(path: &Path) -> Result<Metadata, StoreError> {
    std::fs::symlink_metadata(path).map_err(StoreError::io("look at", path))
}

/// Root's, or this process's own.
fn can_be_given(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw()
}

fn foreign(path: &Path, meta: &Metadata, owner: Owner) -> StoreError {
    StoreError::Unsafe {
        path: path.to_owned(),
        problem: format!("belongs to user {}, neither to root nor to user {}", meta.uid(), owner.uid),
        remedy:
            "another agent may be installed here: run this one as that user, or name another state directory"
                .to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    /// Somebody whom a test can give things to: only root can give them to another.
    fn somebody() -> Owner {
        let (me, group) = (nix::unistd::geteuid(), nix::unistd::getegid().as_raw());
        if me.is_root() { Owner { uid: 4321, gid: 4322 } } else { Owner { uid: me.as_raw(), gid: group } }
    }

    fn is_of(path: &Path, owner: Owner) -> bool {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.uid(), meta.gid()) == (owner.uid, owner.gid)
    }

    #[test]
    fn a_missing_directory_is_made_for_its_user_alone() {
        let scratch = tempfile::TempDir::new().unwrap();
        let dir = scratch.path().join("state");
        let owner = somebody();
        hand_over(&dir, owner).unwrap();
        assert!(is_of(&dir, owner));
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(hand_over(&dir, owner).unwrap(), Handover::Theirs, "twice is once");
    }

    #[test]
    fn all_in_it_changes_hands_and_nothing_that_a_link_leads_to() {
        let scratch = tempfile::TempDir::new().unwrap();
        let (dir, outside) = (scratch.path().join("state"), scratch.path().join("outside"));
        fs::create_dir_all(dir.join("generations/000001")).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.join("generations/000001/client.key.pem"), "key").unwrap();
        fs::write(&outside, "not ours").unwrap();
        symlink(&outside, dir.join("current")).unwrap();
        let before = fs::metadata(&outside).unwrap().uid();
        let owner = somebody();
        hand_over(&dir, owner).unwrap();
        for name in ["", "generations", "generations/000001", "generations/000001/client.key.pem", "current"]
        {
            assert!(is_of(&dir.join(name), owner), "{name}");
        }
        assert_eq!(fs::metadata(&outside).unwrap().uid(), before);
    }

    #[test]
    fn what_others_can_write_or_own_stays_as_it_is() {
        let scratch = tempfile::TempDir::new().unwrap();
        let dir = scratch.path().join("state");
        fs::create_dir(&dir).unwrap();
        let owner = Owner { uid: somebody().uid + 1, gid: 1 };
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let error = hand_over(&dir, owner).unwrap_err().to_string();
        assert!(error.contains("can be written by others"), "{error}");
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        lchown(&dir, Some(999), Some(999)).unwrap();
        let error = hand_over(&dir, owner).unwrap_err().to_string();
        assert!(error.contains("belongs to user 999"), "{error}");
        lchown(&dir, Some(0), Some(0)).unwrap();
        fs::write(dir.join("client.key.pem"), "key").unwrap();
        lchown(dir.join("client.key.pem"), Some(999), Some(999)).unwrap();
        let error = hand_over(&dir, owner).unwrap_err().to_string();
        assert!(error.contains("client.key.pem belongs to user 999"), "{error}");
        assert_eq!(fs::metadata(&dir).unwrap().uid(), 0, "the directory goes last");
    }

    #[test]
    fn an_agent_at_work_is_not_robbed() {
        let scratch = tempfile::TempDir::new().unwrap();
        let store = super::super::Store::open(&scratch.path().join("state")).unwrap();
        let owner = Owner { uid: somebody().uid + 1, gid: 1 };
        assert!(matches!(hand_over(store.dir(), owner), Err(StoreError::Locked { .. })));
    }
}
