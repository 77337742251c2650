//! What can go wrong with the state directory. Each variant names the file, the cause and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use telovix_contract::clean;

use crate::machine::Code;

/// Longest account of damage that is shown, in characters.
const LONGEST_PROBLEM: usize = 300;

/// The state directory, or something in it, is not as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation.
    #[error("cannot {operation} {}: {source}{}", path.display(), hint(operation, source))]
    Io {
        /// `create`, `write`, `sync`, …
        operation: &'static str,
        /// What on.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Others could put a key there, or take it.
    #[error("{} {problem}; {remedy}", path.display())]
    Unsafe {
        /// The state directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The command that mends it.
        remedy: String,
    },
    /// Another agent is at work here.
    #[error(
        "another telovix-agent{} works in {}; stop it first, or use another --state-dir",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.display()
    )]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The other agent's process, where it said so.
        holder: Option<u32>,
    },
    /// A newer version of this program wrote it. It is not damage: nothing is touched (docs/contract.md section 7).
    #[error(
        "{} was written by {} (format {format}), and this version, {}, reads formats up to {known}; install {} again, or a later version",
        path.display(), newer(written_by), env!("CARGO_PKG_VERSION"), newer(written_by)
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format that this build reads.
        known: u32,
        /// The version of the program that wrote it, where the file says so.
        written_by: Option<String>,
    },
    /// A file is there and is not what it should be. It is never taken for an empty one.
    #[error("{} is damaged: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl StoreError {
    /// For `map_err`: an operation on a path that the system refused.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// For a file that cannot be what it should be.
    pub(super) fn corrupt(path: &Path, problem: impl std::fmt::Display) -> Self {
        // A parser's complaint quotes what it met.
        Self::Corrupt { path: path.to_owned(), problem: clean(&problem.to_string(), LONGEST_PROBLEM) }
    }

    /// Whether only a new process can go on: another one holds the place, or what this one was confined to is gone.
    pub(crate) fn needs_another_process(&self) -> bool {
        match self {
            Self::Locked { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Newer { .. } => true,
            Self::Unsafe { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// The failure as one of the agent's codes.
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } => Code::StateIoError,
            Self::Unsafe { .. } => Code::StateDirUnsafe,
            Self::Locked { .. } => Code::StateDirLocked,
            Self::Newer { .. } => Code::StateNewer,
            Self::Corrupt { .. } => Code::StateDamaged,
        }
    }
}

fn newer(written_by: &Option<String>) -> String {
    match written_by {
        Some(version) => format!("telovix-agent {}", clean(version, 64)),
        None => "the newer telovix-agent".to_owned(),
    }
}

fn hint(operation: &str, error: &io::Error) -> &'static str {
    let errno = error.raw_os_error().map(Errno::from_raw);
    match (operation, errno) {
        ("lock", Some(Errno::ENOLCK)) => {
            "; mount NFS with local_lock=flock, or name a state directory on a local disk with --state-dir"
        }
        ("lock", Some(Errno::ENOSYS | Errno::EOPNOTSUPP)) => {
            "; that file system has no locks: name a state directory on a local disk with --state-dir"
        }
        ("make the link", Some(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS)) => {
            "; that file system has no symbolic links, which the state directory needs: mount CIFS with mfsymlinks, or \
             name a state directory on another file system with --state-dir"
        }
        ("sync", Some(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP)) => {
            "; that file system cannot promise that a file stays: name a state directory on another one with --state-dir"
        }
        (_, Some(Errno::ENOSPC | Errno::EDQUOT)) => "; make room on that file system and try again",
        (_, Some(Errno::EROFS)) => "; remount that file system for writing and try again",
        (_, Some(Errno::EACCES)) => "; run as the user that owns the state directory, or as root",
        (_, Some(Errno::EPERM)) => {
            "; run as the user that owns the state directory, or as root, and see whether the file system, an attribute \
             (lsattr) or a security module forbids it"
        }
        (_, Some(Errno::EIO)) => {
            "; the disk fails, see the kernel's log (dmesg): mend or replace it and try again"
        }
        (_, Some(Errno::EMFILE | Errno::ENFILE)) => {
            "; raise the limit of open files (ulimit -n, LimitNOFILE in the unit)"
        }
        (_, Some(Errno::EFBIG)) => "; raise the limit of file sizes (ulimit -f, LimitFSIZE in the unit)",
        (_, Some(Errno::ENOTDIR | Errno::ELOOP)) => {
            "; something else is in its place: find out what it is, and move it away"
        }
        (_, Some(Errno::ESTALE)) => "; that file system went away under the agent: mount it again",
        (_, _) => "",
    }
}
