//! Keeps a second agent out, and refuses a directory that others can write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::atomic;
use super::error::StoreError;
use super::layout::SECRET_MODE;

/// An advisory lock (flock(2)) that ends with the process, however it ends. It is given up by closing the file: an unlocking that
/// the file system refuses would have nothing to say.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Whether that name leads to what is locked. One that cannot be looked at is taken to: it says nothing.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let Ok(held) = self.file.metadata() else { return true };
        match std::fs::symlink_metadata(path) {
            Ok(there) => (there.dev(), there.ino()) == (held.dev(), held.ino()),
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    pub(super) fn take(path: &Path, dir: &Path) -> Result<Self, StoreError> {
        let io = |error| StoreError::io("open the lock", path)(error);
        let mut file = open(path).map_err(io)?;
        atomic::give_to_owner_of(dir, &file, path)?;
        let mut locked = file.try_lock();
        if matches!(&locked, Err(TryLockError::Error(error)) if error.raw_os_error() == Some(Errno::EBADF as i32))
        {
            // NFS takes an exclusive lock only from one who may write.
            file = options().write(true).open(path).map_err(io)?;
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {
                // Who holds it is a help for people; a full or read-only disk must not keep the agent from starting.
                let note =
                    |mut file: File| file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                let _ = options().write(true).open(path).and_then(note);
                Ok(Self { file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
                let holder = read.ok().and_then(|_| text.trim().parse().ok());
                Err(StoreError::Locked { path: dir.to_owned(), holder })
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }
}

/// For reading, and only made where it is missing: a file system on which something is open for writing cannot be made
/// read-only, and on one that is read-only the identity is still good.
fn open(path: &Path) -> io::Result<File> {
    match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            drop(options().write(true).create(true).truncate(false).mode(SECRET_MODE).open(path)?);
            options().open(path)
        }
        opened => opened,
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits());
    options
}

/// The directory has to be ours and nobody else's to write: who can put files there can put a key there.
pub(super) fn check_directory(dir: &Path) -> Result<(), StoreError> {
    let meta = std::fs::metadata(dir).map_err(StoreError::io("look at", dir))?;
    let unsafe_dir =
        |problem: String, remedy: String| StoreError::Unsafe { path: dir.to_owned(), problem, remedy };
    if !meta.is_dir() {
        return Err(unsafe_dir("is not a directory".into(), "name a directory with --state-dir".into()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(unsafe_dir(
            format!("can be written by others than its owner (mode {:04o})", meta.mode() & 0o7777),
            format!("run `chmod 700 {}`", dir.display()),
        ));
    }
    let me = nix::unistd::geteuid();
    if !me.is_root() && meta.uid() != me.as_raw() {
        return Err(unsafe_dir(
            format!("belongs to user {} and this is user {me}", meta.uid()),
            "run as its owner, or as root".into(),
        ));
    }
    Ok(())
}
