//! How one telling of a consumer ended, and why it was not told.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// How one telling of one consumer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookOutcome {
    /// It was told.
    Success,
    /// It failed, or there is nobody.
    Failed,
    /// It took too long and was killed.
    TimedOut,
}

impl HookOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failed, Self::TimedOut];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Why a consumer was not told. The texts are for people: what happened and, where it helps, what the hook said last.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The program did not start.
    #[error("{program} cannot be run: {cause}")]
    Start {
        /// Its path.
        program: String,
        /// The system's word.
        cause: io::Error,
    },
    /// The program failed.
    #[error("{program} ended with {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Ended {
        /// Its path.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line that it wrote, cleaned.
        said: String,
    },
    /// The program took too long and was killed with all that it had started.
    #[error("{program} was still running after {} s and was killed", limit.as_secs())]
    TimedOut {
        /// Its path.
        program: String,
        /// What it was given.
        limit: Duration,
    },
    /// The pid file names no process that could be signalled.
    #[error("the pid file {} {problem}", path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system refused the signal.
    #[error("process {pid} cannot be signalled: {cause}")]
    Signal {
        /// The process.
        pid: i32,
        /// The system's word.
        cause: io::Error,
    },
}

impl HookError {
    /// For the metrics.
    pub fn outcome(&self) -> HookOutcome {
        match self {
            Self::TimedOut { .. } => HookOutcome::TimedOut,
            Self::Start { .. } | Self::Ended { .. } | Self::PidFile { .. } | Self::Signal { .. } => {
                HookOutcome::Failed
            }
        }
    }
}
