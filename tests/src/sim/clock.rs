//! The wall clock of a simulation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use telovix_agent::clock::{Uptime, Wait};
use telovix_console_stub::clock::Monotonic;
use tokio::time::sleep;

/// 2027-01-15T08:00:00Z, as good as any.
const BEGIN: u64 = 1_800_000_000;

/// Stands until it is moved. Threads may read it.
#[derive(Debug)]
pub struct SimClock(AtomicU64);

impl SimClock {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Simulated time so far.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Unix seconds.
    pub fn unix(&self) -> i64 {
        i64::try_from(BEGIN + self.elapsed().as_secs()).expect("this century")
    }

    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).expect("not that long"), Ordering::SeqCst);
    }
}

/// The same time as a monotonic one.
impl Uptime for SimClock {
    fn now(&self) -> Duration {
        self.elapsed()
    }

    fn wait(&self, time: Duration) -> Wait<'_> {
        Box::pin(sleep(time))
    }
}

/// And the same for the Console.
impl Monotonic for SimClock {
    fn elapsed(&self) -> Duration {
        self.elapsed()
    }
}

impl TimeProvider for SimClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(BEGIN) + self.elapsed()))
    }
}
