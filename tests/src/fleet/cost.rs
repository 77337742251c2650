//! What the load tool itself costs, so that nobody takes its limits for the Console's.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// Time of processors, and memory at its peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds in the program.
    pub user_seconds: f64,
    /// Seconds in the kernel on its behalf.
    pub system_seconds: f64,
    /// Most memory that was resident at once, bytes.
    pub peak_resident_bytes: u64,
}

impl Cost {
    /// Of this process so far.
    pub fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for itself");
        // Kilobytes on Linux, whatever POSIX leaves open.
        let peak = u64::try_from(usage.max_rss()).unwrap_or(0) * 1024;
        Self {
            user_seconds: seconds(usage.user_time()),
            system_seconds: seconds(usage.system_time()),
            peak_resident_bytes: peak,
        }
    }

    /// What was spent after `earlier`; the peak is that of the whole life.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            ..self
        }
    }

    /// Both kinds of time.
    pub fn cpu_seconds(self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
