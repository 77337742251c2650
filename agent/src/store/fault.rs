//! Test-only: ends the process, or fails a system call, at the n-th durable step.
//!
//! With the feature `failpoints`, `TELOVIX_FAULT` says which: `kill-before:N` and `kill:N` send SIGKILL to this process
//! right before or right after step N; `ENOSPC:N`, `EIO:N` and `EROFS:N` make step N fail, and with a trailing `+`
//! every later one too. Steps are counted from 1. Without the feature all of this compiles to nothing.

use std::io;

/// Runs one durable step.
#[cfg(not(feature = "failpoints"))]
pub(super) fn step<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    work()
}

#[cfg(feature = "failpoints")]
pub(super) use armed::step;

#[cfg(feature = "failpoints")]
mod armed {
    use super::io;
    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Copy)]
    enum Fault {
        Kill { at: usize, before: bool },
        Fail { at: usize, onwards: bool, errno: Errno },
    }

    static PLAN: OnceLock<Option<Fault>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);

    /// Runs one durable step, or does what the plan says instead.
    pub(in crate::store) fn step<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let this = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        match *PLAN.get_or_init(plan) {
            Some(Fault::Kill { at, before: true }) if at == this => end(),
            Some(Fault::Kill { at, before: false }) if at == this => {
                let _ = work();
                end()
            }
            Some(Fault::Fail { at, onwards, errno }) if at == this || (onwards && this > at) => {
                Err(errno.into())
            }
            Some(Fault::Kill { .. } | Fault::Fail { .. }) | None => work(),
        }
    }

    fn end<T>() -> io::Result<T> {
        kill(nix::unistd::getpid(), Signal::SIGKILL)?;
        unreachable!("SIGKILL returned")
    }

    #[expect(clippy::disallowed_methods, reason = "a test hook that must not pass through the configuration")]
    fn plan() -> Option<Fault> {
        let text = std::env::var("TELOVIX_FAULT").ok()?;
        let (what, at) = text.split_once(':')?;
        let (at, onwards) = at.strip_suffix('+').map_or((at, false), |at| (at, true));
        let at = at.parse().ok()?;
        Some(match what {
            "kill" => Fault::Kill { at, before: false },
            "kill-before" => Fault::Kill { at, before: true },
            "ENOSPC" => Fault::Fail { at, onwards, errno: Errno::ENOSPC },
            "EIO" => Fault::Fail { at, onwards, errno: Errno::EIO },
            "EROFS" => Fault::Fail { at, onwards, errno: Errno::EROFS },
            _ => return None,
        })
    }
}
