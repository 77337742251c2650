//! A host and a Console in one process whose time a test moves: the agent's real daemon, the real Console, real
//! sockets, TLS and files, and a wire between them that can be harmed at any byte.
//!
//! Both sides measure their waits on tokio's paused clock and read the wall time from the same [`SimClock`]. Time stands
//! while anything is under way on the wire and moves when all is quiet, so that a month takes minutes, a deadline takes
//! nothing, and how fast this machine is decides nothing.

mod clock;
mod console;
mod harm;
mod host;
mod pump;
mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::{LocalSet, yield_now};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

pub use clock::SimClock;
pub use console::SimConsole;
pub use harm::{Blow, Harm, Record, Tape, Way};
pub use host::{By, Pair, SimHost};
pub use wire::Wire;

/// Looks at the wire without anything new after which all that was to happen has happened: a timer that has come due is a
/// connection long before that.
const QUIET: u32 = 24;
/// The same while a connection is open, so that a slow machine is not taken for a side that waits.
const HELD_BACK: u32 = 160;
/// Real time without a byte after which the two sides are taken to wait for the time.
const STUCK: Duration = Duration::from_millis(40);
/// How far the time moves then.
const NUDGE: Duration = Duration::from_secs(1);

/// The time, and what is under way.
#[derive(Clone)]
pub struct Sim {
    clock: std::sync::Arc<SimClock>,
    wire: Wire,
}

/// Runs a test in a world whose time stands still.
pub fn simulate<F: Future<Output = ()>>(test: impl FnOnce(Sim) -> F) {
    if let Ok(filter) = std::env::var("TELOVIX_SIM_LOG") {
        let filter: Targets = filter.parse().expect("TELOVIX_SIM_LOG holds levels of targets");
        let layer = tracing_subscriber::fmt::layer().with_test_writer();
        // Another test of this process may have been first.
        let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    LocalSet::new().block_on(&runtime, async {
        // While this runs, tokio does not move the time by itself when it has nothing to do.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let clock = std::sync::Arc::new(SimClock::new());
        let wire = Wire::start().await;
        test(Sim { clock, wire }).await;
        drop(hold);
    });
    runtime.shutdown_background();
}

/// What the wire looks like when nothing moves.
#[derive(PartialEq, Eq)]
enum Calm {
    /// Nobody speaks.
    Quiet,
    /// Somebody waits.
    Stuck,
}

impl Sim {
    /// The wall clock of both sides.
    pub fn clock(&self) -> &std::sync::Arc<SimClock> {
        &self.clock
    }

    /// The wire between them.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Lets happen what happens without time, and what is under way come to its end; moves the time for what waits for it.
    pub async fn settle(&self) {
        while self.calm().await == Calm::Stuck {
            self.step(NUDGE).await;
        }
    }

    /// Moves the time, a second at a time or in longer steps, and lets happen what happens.
    pub async fn pass(&self, time: Duration, step: Duration) {
        let until = self.clock.elapsed() + time;
        self.settle().await;
        while self.clock.elapsed() < until {
            self.step(step.min(until - self.clock.elapsed())).await;
            self.settle().await;
        }
    }

    /// Moves the time a second at a time until `done`, for at most `limit`; gives how long it took, if it came.
    pub async fn until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> Option<Duration> {
        let began = self.clock.elapsed();
        self.settle().await;
        while !done() {
            if self.clock.elapsed() - began >= limit {
                return None;
            }
            self.step(NUDGE).await;
            self.settle().await;
        }
        Some(self.clock.elapsed() - began)
    }

    async fn step(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    async fn calm(&self) -> Calm {
        let (mut seen, mut since, mut still) = (self.wire.activity(), Instant::now(), 0);
        loop {
            yield_now().await;
            let now = self.wire.activity();
            if now != seen {
                (seen, since, still) = (now, Instant::now(), 0);
                continue;
            }
            still += 1;
            if self.wire.open() == 0 {
                if still >= QUIET {
                    return Calm::Quiet;
                }
            } else if still >= HELD_BACK && (self.wire.holds_back() || since.elapsed() > STUCK) {
                return Calm::Stuck;
            } else if still > QUIET {
                // The Console's database works on threads of its own.
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }
}
