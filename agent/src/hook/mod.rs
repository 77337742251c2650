//! Tells the consumers of the identity that it has changed: runs the configured hook, signals the configured process.
//!
//! Invariants:
//! - a hook never sees a token, nor anything else of our environment, and never outlives its deadline;
//! - a consumer that fails is told again, with growing pauses and not for ever, and what it has come to is a value
//!   ([`HookStatus`]) that `status` shows. It never holds up the identity itself.

mod command;
mod error;
mod family;
mod signal;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telovix_contract::SensorId;
use tokio::sync::watch;

pub use self::error::{HookError, HookOutcome};
pub use self::family::reap;
use crate::config::HookSettings;
use crate::driver::IdentityChange;
use crate::store::layout;

/// Pauses between tries; after the last one a consumer is given up until the next change.
const PAUSES: &[Duration] = &[
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// One change of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// What happened.
    pub event: IdentityChange,
    /// To whose identity.
    pub sensor_id: Option<SensorId>,
}

/// What the telling has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HookStatus {
    /// Nothing has changed since the start, or nobody wants to know.
    #[default]
    Idle,
    /// Everybody was told.
    Told(IdentityChange),
    /// Somebody was not, and is told again.
    Retrying {
        /// How often it was tried.
        tries: u32,
        /// What went wrong the last time.
        problem: String,
        /// How long until the next try, from the last.
        pause: Duration,
    },
    /// Somebody was not, and is not told again before the next change.
    GivenUp {
        /// How often it was tried.
        tries: u32,
        /// What went wrong the last time.
        problem: String,
    },
}

impl HookStatus {
    /// What an operator should know of it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Idle | Self::Told(_) => None,
            Self::Retrying { tries, problem, pause } => Some(format!(
                "a consumer was not told of the new credential ({problem}); tried {tries} times, again after {} s",
                pause.as_secs()
            )),
            Self::GivenUp { tries, problem } => Some(format!(
                "a consumer was not told of the new credential ({problem}); given up after {tries} tries: tell it by \
                 hand"
            )),
        }
    }
}

/// Those who want to know.
#[derive(Debug, Clone)]
pub struct Consumers {
    targets: Vec<Target>,
    state_dir: PathBuf,
    pauses: &'static [Duration],
}

#[derive(Debug, Clone)]
enum Target {
    Command { words: Vec<String>, limit: Duration },
    Process { pid_file: PathBuf, signal: crate::config::ReloadSignal },
}

impl Consumers {
    /// Those of a configuration, for the identity in `state_dir`.
    pub fn new(settings: &HookSettings, state_dir: &Path) -> Self {
        let command = settings
            .command
            .as_ref()
            .map(|command| Target::Command { words: command.value.clone(), limit: settings.timeout.value });
        let process = settings.pid_file.as_ref().map(|pid_file| Target::Process {
            pid_file: pid_file.value.clone(),
            signal: settings.signal.value,
        });
        let targets = command.into_iter().chain(process).collect();
        Self { targets, state_dir: state_dir.to_owned(), pauses: PAUSES }
    }

    /// Whether nobody wants to know.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Tells everybody of one change, those who fail again and again, until all know or the tries are used up. Each
    /// telling is counted; each turn is shown. Dropping the future kills a hook that runs.
    pub async fn deliver(
        &self,
        occasion: Occasion,
        shown: &watch::Sender<HookStatus>,
        count: impl Fn(HookOutcome),
    ) {
        let mut left: Vec<&Target> = self.targets.iter().collect();
        let mut tries = 0;
        while !left.is_empty() {
            tries += 1;
            let mut failed = Vec::new();
            let mut problem = String::new();
            for target in left {
                let told = self.tell(target, occasion).await;
                count(told.as_ref().map_or_else(HookError::outcome, |()| HookOutcome::Success));
                match told {
                    Ok(()) => tracing::info!(consumer = %target, event = occasion.event.as_str(), "told"),
                    Err(error) => {
                        tracing::warn!(consumer = %target, %error, tries, "a consumer was not told");
                        problem = error.to_string();
                        failed.push(target);
                    }
                }
            }
            left = failed;
            if left.is_empty() {
                break;
            }
            let Some(pause) = self.pause_after(tries) else {
                shown.send_replace(HookStatus::GivenUp { tries, problem });
                return;
            };
            shown.send_replace(HookStatus::Retrying { tries, problem, pause });
            tokio::time::sleep(pause).await;
        }
        if !self.is_empty() {
            shown.send_replace(HookStatus::Told(occasion.event));
        }
    }

    async fn tell(&self, target: &Target, occasion: Occasion) -> Result<(), HookError> {
        match target {
            Target::Command { words, limit } => {
                command::run(words, &self.environment(occasion), *limit).await
            }
            Target::Process { pid_file, signal } => signal::send(pid_file, *signal),
        }
    }

    /// How long to wait after so many tries; `None` when there were enough.
    fn pause_after(&self, tries: u32) -> Option<Duration> {
        self.pauses.get(usize::try_from(tries).ok()?.checked_sub(1)?).copied()
    }

    /// All that a hook gets to know.
    fn environment(&self, occasion: Occasion) -> Vec<(&'static str, PathBuf)> {
        let file = |name| self.state_dir.join(name);
        let id = occasion.sensor_id.map(|id| id.to_string()).unwrap_or_default();
        vec![
            ("PATH", command::PATH.into()),
            ("TELOVIX_EVENT", occasion.event.as_str().into()),
            ("TELOVIX_SENSOR_ID", id.into()),
            ("TELOVIX_STATE_DIR", self.state_dir.clone()),
            ("TELOVIX_CERT_FILE", file(layout::CERTIFICATE)),
            ("TELOVIX_KEY_FILE", file(layout::KEY)),
            ("TELOVIX_CA_FILE", file(layout::CA)),
        ]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { words, .. } => {
                write!(f, "command {}", words.first().map_or("", String::as_str))
            }
            Self::Process { pid_file, signal } => write!(f, "{signal} by {}", pid_file.display()),
        }
    }
}

#[cfg(test)]
mod tests;
