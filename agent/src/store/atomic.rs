//! The one file that writes files.
//!
//! Invariant: a file gets its mode when it is opened, never afterwards; it is new (`O_EXCL`) and no link
//! (`O_NOFOLLOW`); its bytes and then its directory are on the disk before anyone is told so; what replaces something
//! does it by one rename. Every system call that changes the disk is one [`fault::step`], so that tests can stop or
//! fail it.
#![expect(clippy::disallowed_methods, reason = "this is the one file that writes files")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use super::acting::{self, Acting};
use super::error::StoreError;
use super::fault;
use super::permissions::Access;

/// Makes a directory, and waits until it is on the disk; missing parents too, which are not given away.
pub(super) fn create_dir_all(path: &Path, access: impl Into<Access>) -> Result<(), StoreError> {
    let access = access.into();
    let missing: Vec<&Path> = path.ancestors().take_while(|place| !place.exists()).collect();
    fault::step(|| DirBuilder::new().recursive(true).mode(access.mode).create(path))
        .map_err(StoreError::io("create", path))?;
    give_directory(path, access)?;
    // A parent that may not be read cannot be synced; then it is as the file system does it by itself.
    missing.into_iter().map(|made| sync_dir(parent(made))).filter(|synced| !is_denied(synced)).collect()
}

/// Makes a directory that must not be there yet.
pub(super) fn create_dir(path: &Path, access: impl Into<Access>) -> Result<(), StoreError> {
    let access = access.into();
    fault::step(|| DirBuilder::new().mode(access.mode).create(path))
        .map_err(StoreError::io("create", path))?;
    give_directory(path, access)
}

fn give_directory(path: &Path, access: Access) -> Result<(), StoreError> {
    if access.owner.is_none() && access.group.is_none() {
        return Ok(());
    }
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_DIRECTORY;
    let open = || OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    give(&open().map_err(StoreError::io("open", path))?, path, access)
}

/// Gives something new to its owner and group. Root that acts as another user does this as root, and only with what is
/// that user's.
fn give(file: &File, path: &Path, access: Access) -> Result<(), StoreError> {
    if access.owner.is_none() && access.group.is_none() {
        return Ok(());
    }
    let user = acting::current();
    let _as_root = Acting::as_root();
    let give = || match user {
        Some(user) if file.metadata()?.uid() != user.uid => Err(Errno::EPERM.into()),
        Some(_) | None => fchown(file, access.owner, access.group),
    };
    fault::step(give).map_err(StoreError::io("change the owner or group of", path))
}

/// Writes a new file and waits until its bytes are on the disk. It has its owner before it has bytes. Its directory is
/// the caller's to sync.
pub(super) fn write_new(path: &Path, bytes: &[u8], access: impl Into<Access>) -> Result<(), StoreError> {
    let access = access.into();
    let open = || {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(access.mode).custom_flags(flags.bits()).open(path)
    };
    let mut file = fault::step(open).map_err(StoreError::io("create", path))?;
    give(&file, path, access)?;
    fault::step(|| file.write_all(bytes)).map_err(StoreError::io("write", path))?;
    fault::step(|| file.sync_all()).map_err(StoreError::io("sync", path))
}

/// Gives a file its mode back that somebody changed. The one exception to the rule that a mode is given when a file is
/// opened: it has its content already. A link in its place is not followed.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), StoreError> {
    let mode = Mode::from_bits_truncate(mode);
    fault::step(|| Ok(fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?))
        .map_err(StoreError::io("change the mode of", path))
}

/// Gives what stands here to another user and group; a link itself, not what it leads to.
pub(super) fn give_away(path: &Path, uid: u32, gid: u32) -> Result<(), StoreError> {
    fault::step(|| lchown(path, Some(uid), Some(gid))).map_err(StoreError::io("give away", path))
}

/// Whether there is anything. What cannot be looked at is not taken for missing.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(StoreError::io("look at", path))
}

/// Waits until the entries of a directory are on the disk. A file system that cannot do that for a directory (CIFS, 9p)
/// says so by EINVAL, and does what it does.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    match fault::step(|| File::open(path)?.sync_all()) {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
        done => done.map_err(StoreError::io("sync", path)),
    }
}

/// Puts `from` in the place of `to`, at once, and waits until that is on the disk. Both in one directory.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fault::step(|| fs::rename(from, to)).map_err(StoreError::io("rename to", to))?;
    sync_dir(parent(to))
}

/// Replaces or makes a small file: whoever opens it finds the old bytes or the new ones.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let new = beside(path);
    remove_file(&new)?;
    write_new(&new, bytes, mode)?;
    rename(&new, path)
}

/// Replaces or makes a symbolic link: whoever follows it arrives at the old place or the new one.
pub(super) fn link(target: &Path, path: &Path) -> Result<(), StoreError> {
    let new = beside(path);
    if fs::read_link(&new).ok().as_deref() != Some(target) {
        prepare_link(target, path)?;
    }
    rename(&new, path)
}

/// Does of [`link`] what needs room on the disk: afterwards it is one rename.
pub(super) fn prepare_link(target: &Path, path: &Path) -> Result<(), StoreError> {
    let new = beside(path);
    remove_file(&new)?;
    fault::step(|| symlink(target, &new)).map_err(StoreError::io("make the link", &new))
}

/// Gives a file another name as well, or, where that cannot be, instead. Directories and their sync are the caller's.
pub(super) fn keep(from: &Path, to: &Path) -> Result<(), StoreError> {
    fault::step(|| fs::hard_link(from, to).or_else(|_| fs::rename(from, to)))
        .map_err(StoreError::io("keep", from))
}

/// Removes a file or link; its absence is fine. The directory is not synced: a leftover is harmless.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    absent_is_fine(fault::step(|| fs::remove_file(path)), path)
}

/// Removes a link and what was prepared in its place; their absence is fine.
pub(super) fn remove_link(path: &Path) -> Result<(), StoreError> {
    remove_file(path)?;
    remove_file(&beside(path))
}

/// Removes a directory and all in it; its absence is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    absent_is_fine(fault::step(|| fs::remove_dir_all(path)), path)
}

fn is_denied(done: &Result<(), StoreError>) -> bool {
    matches!(done, Err(StoreError::Io { source, .. }) if source.raw_os_error() == Some(Errno::EACCES as i32))
}

fn absent_is_fine(done: io::Result<()>, path: &Path) -> Result<(), StoreError> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(StoreError::io("remove", path)),
    }
}

/// Removes a token's file after the token was used up. Its place may be a read-only volume, so
/// the caller decides what a failure means. Only a regular file is one that somebody put there for us: a device
/// (`/dev/stdin`), a pipe or a link of a Secret volume stays.
///
/// # Errors
/// [`StoreError::Io`] as the system says; [`StoreError::Unsafe`] for what is not a regular file.
pub fn remove_consumed_token(path: &Path) -> Result<(), StoreError> {
    let is_file = fs::symlink_metadata(path).map_err(StoreError::io("look at", path))?.is_file();
    if !is_file {
        return Err(StoreError::Unsafe {
            path: path.to_owned(),
            problem: "is not a regular file, so it is left alone".to_owned(),
            remedy: "remove the token there yourself".to_owned(),
        });
    }
    fs::remove_file(path).map_err(StoreError::io("remove", path))
}

/// Makes the directory of the control socket where it is missing; its parent has to be there.
pub fn make_runtime_dir(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(StoreError::io("create", path)),
    }
}

/// Lets the group of a socket use it. It is made for its owner alone, so that it is never more open than it should be.
pub fn open_socket_to_group(path: &Path) -> Result<(), StoreError> {
    set_mode(path, 0o660)
}

/// Removes a socket that nobody listens to any more; its absence is fine.
pub fn remove_socket(path: &Path) -> Result<(), StoreError> {
    absent_is_fine(fs::remove_file(path), path)
}

/// The name under which a replacement is prepared. One agent works in a state directory, so one name is enough, and a
/// leftover of a crash is found again.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{}.new", name.trim_start_matches('.')))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
