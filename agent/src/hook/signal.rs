//! Signals the process that a pid file names.
//!
//! Invariant: a file that anybody may write cannot direct a signal of ours, and neither process 1, nor a group, nor we
//! ourselves are ever signalled.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::HookError;
use crate::config::ReloadSignal;

/// Longest pid file that is one.
const LONGEST: u64 = 64;

pub(super) fn send(pid_file: &Path, signal: ReloadSignal) -> Result<(), HookError> {
    let broken = |problem: String| HookError::PidFile { path: pid_file.to_owned(), problem };
    let text = read(pid_file).map_err(|error| broken(format!("cannot be used: {error}")))?;
    let number = text.split_whitespace().next().and_then(|word| word.parse::<i32>().ok());
    let pid = number.ok_or_else(|| broken("holds no process number".to_owned()))?;
    if pid <= 1 {
        return Err(broken(format!("names process {pid}, which is never signalled")));
    }
    if u32::try_from(pid) == Ok(std::process::id()) {
        return Err(broken("names this agent itself".to_owned()));
    }
    let signal = match signal {
        ReloadSignal::Hup => Signal::SIGHUP,
        ReloadSignal::Usr1 => Signal::SIGUSR1,
        ReloadSignal::Usr2 => Signal::SIGUSR2,
        ReloadSignal::Term => Signal::SIGTERM,
    };
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => Ok(()),
        Err(Errno::ESRCH) => Err(broken(format!("names process {pid}, which is not there"))),
        Err(errno) => Err(HookError::Signal { pid, cause: errno.into() }),
    }
}

fn read(path: &Path) -> io::Result<String> {
    // A pipe in its place must not hold us up.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(io::Error::other(format!(
            "every user of this host can write it, and so choose whom to signal (mode {:04o})",
            meta.mode() & 0o7777
        )));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}
