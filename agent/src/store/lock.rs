//! Keeps a second agent out, and refuses a directory that others can write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::error::StoreError;
use super::layout::SECRET_MODE;
use crate::regular::{self, Links};

/// An advisory lock (flock(2)) that ends with the process, however it ends. It is given up by closing the file: an unlocking that
/// the file system refuses would have nothing to say.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Whether its name leads to what is locked. One that cannot be looked at is taken to: it says nothing.
    pub(super) fn is_in_place(&self) -> bool {
        let Ok(held) = self.file.metadata() else { return true };
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) == (held.dev(), held.ino()),
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    pub(super) fn take(path: &Path, dir: &Path) -> Result<Self, StoreError> {
        let (mut file, path) = open(path, dir)?;
        let path = path.as_path();
        let mut locked = file.try_lock();
        if matches!(&locked, Err(TryLockError::Error(error)) if error.raw_os_error() == Some(Errno::EBADF as i32))
        {
            // NFS takes an exclusive lock only from one who may write.
            file = options().write(true).open(path).map_err(StoreError::io("open the lock", path))?;
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {
                // Who holds it is a help for people; a full or read-only disk must not keep the agent from starting.
                let note =
                    |mut file: File| file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                let _ = options().write(true).open(path).and_then(note);
                Ok(Self { file, path: path.to_owned() })
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

/// The directory became somebody else's while it was opened.
pub(super) fn replaced(dir: &Path) -> StoreError {
    StoreError::Unsafe {
        path: dir.to_owned(),
        problem: "was replaced while it was opened".to_owned(),
        remedy: "find out who does that, and run the command again".to_owned(),
    }
}

/// For reading, and only made where it is missing: a file system on which something is open for writing cannot be made
/// read-only. On one that is read-only the identity is still good, and the directory itself can be locked.
fn open(path: &Path, dir: &Path) -> Result<(File, PathBuf), StoreError> {
    let io = |error| StoreError::io("open the lock", path)(error);
    let is = |error: &io::Error, errno: Errno| error.raw_os_error() == Some(errno as i32);
    match regular::open(path, Links::Refuse) {
        Err(error) if is(&error, Errno::ENOENT) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData || is(&error, Errno::ELOOP) => {
            return Err(StoreError::Unsafe {
                path: path.to_owned(),
                problem: "is not a file".to_owned(),
                remedy: format!("remove it: `rm -r {}`", path.display()),
            });
        }
        opened => return Ok((opened.map_err(io)?, path.to_owned())),
    }
    match options().write(true).create_new(true).mode(SECRET_MODE).open(path) {
        Err(error) if is(&error, Errno::EROFS) => {
            let file = File::open(dir).map_err(StoreError::io("open", dir))?;
            Ok((file, dir.to_owned()))
        }
        Err(error) if !is(&error, Errno::EEXIST) => Err(io(error)),
        Ok(_) | Err(_) => Ok((regular::open(path, Links::Refuse).map_err(io)?, path.to_owned())),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    options.read(true).custom_flags(flags.bits());
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
