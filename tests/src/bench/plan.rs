//! How much is measured: all of it in about a quarter of an hour, or a little of everything in seconds.

use std::time::{Duration, Instant};

/// How much.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Turns of each contest.
    pub(super) rounds: usize,
    /// Rounds of each point of a curve.
    pub(super) growth_rounds: usize,
    /// Clients of a contest.
    pub(super) clients: usize,
    /// Agents with identities of their own.
    pub(super) agents: usize,
    /// Seconds of a turn at half load.
    pub(super) half_load_seconds: f64,
    /// Numbers of clients of the curve.
    pub(super) client_numbers: Vec<u64>,
    /// Rows of each kind in the databases.
    pub(super) row_numbers: Vec<u64>,
    /// Rounds of those calls.
    pub(super) row_rounds: usize,
    /// Calls of each kind at each number of rows and in each round.
    pub(super) calls_by_rows: usize,
    /// Whole processes.
    pub(super) processes: usize,
    /// Losses.
    pub(super) losses: usize,
    /// How long the idle daemon is watched.
    pub(super) watch: Duration,
    /// Multiplies the numbers of calls.
    share: f64,
    begin: Instant,
}

impl Plan {
    /// Everything.
    pub(super) fn full() -> Self {
        Self {
            rounds: 5,
            growth_rounds: 3,
            clients: 16,
            agents: 128,
            half_load_seconds: 4.0,
            client_numbers: vec![1, 2, 4, 8, 16, 32, 64, 128],
            row_numbers: vec![0, 1_000, 10_000, 100_000, 1_000_000],
            row_rounds: 9,
            calls_by_rows: 500,
            processes: 30,
            losses: 15,
            watch: Duration::from_secs(150),
            share: 1.0,
            begin: Instant::now(),
        }
    }

    /// A little of everything: shows that it works. Its numbers are worth nothing.
    pub(super) fn quick() -> Self {
        Self {
            rounds: 1,
            growth_rounds: 1,
            clients: 4,
            agents: 4,
            half_load_seconds: 0.3,
            client_numbers: vec![1, 4],
            row_numbers: vec![0, 200],
            row_rounds: 1,
            calls_by_rows: 6,
            processes: 2,
            losses: 1,
            watch: Duration::from_secs(2),
            share: 0.01,
            begin: Instant::now(),
        }
    }

    /// Calls of one turn.
    pub(super) fn calls(&self, work: &str) -> usize {
        let full = match work {
            "enroll" => 3_000.0,
            "renew" => 2_400.0,
            "heartbeat" => 4_000.0,
            _ => 1_500.0,
        };
        (full * self.share) as usize
    }

    /// Says what is being measured, and when.
    pub(super) fn say(&self, what: &str) {
        eprintln!("bench: {:4.0} s  {what}", self.begin.elapsed().as_secs_f64());
    }

    /// Seconds since the beginning.
    pub(super) fn elapsed(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }
}
