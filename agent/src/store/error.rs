//! What can go wrong with the state directory. Each variant names the file, the cause and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::machine::Code;

/// The state directory, or something in it, is not as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused an operation.
    #[error("cannot {operation} {}: {source}{}", path.display(), hint(source))]
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
        Self::Corrupt { path: path.to_owned(), problem: problem.to_string() }
    }

    /// Whether only a new process can go on: another one holds the place, or what this one was confined to is gone.
    pub(crate) fn needs_another_process(&self) -> bool {
        match self {
            Self::Locked { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Unsafe { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// The failure as one of the agent's codes.
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } => Code::StateIoError,
            Self::Unsafe { .. } => Code::StateDirUnsafe,
            Self::Locked { .. } => Code::StateDirLocked,
            Self::Corrupt { .. } => Code::StateDamaged,
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
    if is(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]) {
        "; make room on that file system and try again"
    } else if is(&[io::ErrorKind::ReadOnlyFilesystem]) {
        "; remount that file system for writing and try again"
    } else if is(&[io::ErrorKind::PermissionDenied]) {
        "; run as the user that owns the state directory, or as root"
    } else if error.raw_os_error() == Some(nix::errno::Errno::EIO as i32) {
        "; the disk fails, see the kernel's log (dmesg): mend or replace it and try again"
    } else {
        ""
    }
}
