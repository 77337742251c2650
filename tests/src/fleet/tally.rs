//! What happened to the calls: how long they took, and how they failed.
//!
//! Invariant: a call counts where it was meant to begin. One that was meant to begin in the warm-up counts nowhere, and
//! in the open loop a call that had to wait for its turn has waited from the moment that the plan names, so that a
//! Console that stands still for a second cannot hide the calls that should have been made in it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use telovix_contract::SensorId;

use super::cost::Cost;
use super::wire::Fault;

/// Longest time that the histogram tells apart from longer ones, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When the plan wanted it to begin.
    pub(super) intended: Instant,
    /// When it began.
    pub(super) begun: Instant,
    /// When its answer was whole.
    pub(super) ended: Instant,
}

/// All calls so far. Shared by those who make them.
pub(super) struct Tally(Mutex<Counts>);

/// The numbers.
#[derive(Clone)]
pub(super) struct Counts {
    /// Where measuring begins.
    pub(super) from: Instant,
    /// Own cost at that moment, once it is known.
    pub(super) cost_before: Option<Cost>,
    /// When the last measured call ended.
    pub(super) last: Option<Instant>,
    /// Calls in the warm-up.
    pub(super) warm_up: u64,
    /// Measured calls that succeeded.
    pub(super) succeeded: u64,
    /// Measured calls that failed, by kind.
    pub(super) errors: BTreeMap<String, u64>,
    /// From the planned beginning to the answer, microseconds; of calls that succeeded.
    pub(super) latency: Histogram<u64>,
    /// From the beginning to the answer.
    pub(super) service: Histogram<u64>,
    /// Different sensors that were enrolled, the warm-up's among them.
    pub(super) sensors: HashSet<SensorId>,
}

impl Tally {
    /// Measures calls that are meant to begin at `from` or later.
    pub(super) fn new(from: Instant) -> Self {
        let empty = || Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
        Self(Mutex::new(Counts {
            from,
            cost_before: None,
            last: None,
            warm_up: 0,
            succeeded: 0,
            errors: BTreeMap::new(),
            latency: empty(),
            service: empty(),
            sensors: HashSet::new(),
        }))
    }

    /// Counts a call.
    pub(super) fn note(&self, times: Times, result: &Result<Option<SensorId>, Fault>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Some(sensor)) = result {
            counts.sensors.insert(*sensor);
        }
        if times.intended < counts.from {
            counts.warm_up += 1;
            return;
        }
        if counts.cost_before.is_none() {
            counts.cost_before = Some(Cost::now());
        }
        counts.last = counts.last.max(Some(times.ended));
        match result {
            Ok(_) => {
                counts.succeeded += 1;
                counts.latency.saturating_record(micros(times.ended - times.intended));
                counts.service.saturating_record(micros(times.ended - times.begun));
            }
            Err(fault) => *counts.errors.entry(fault.to_string()).or_default() += 1,
        }
    }

    /// As it is now.
    pub(super) fn now(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Succeeded, failed, and in the warm-up: for the progress line.
    pub(super) fn brief(&self) -> (u64, u64, u64) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.succeeded, counts.failed(), counts.warm_up)
    }
}

impl Counts {
    /// Measured calls that failed.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Length of the measured time.
    pub(super) fn measured(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(self.from))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_had_to_wait_has_waited_since_the_plan() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let tally = Tally::new(at(100));
        let ok = Ok(None);
        tally.note(Times { intended: at(99), begun: at(150), ended: at(160) }, &ok);
        tally.note(Times { intended: at(100), begun: at(1100), ended: at(1110) }, &ok);
        tally.note(
            Times { intended: at(200), begun: at(200), ended: at(210) },
            &Err(Fault("503 x".to_owned())),
        );
        let counts = tally.now();
        assert_eq!((counts.warm_up, counts.succeeded, counts.failed()), (1, 1, 1));
        assert_eq!(counts.errors["503 x"], 1);
        assert_eq!(counts.measured(), Duration::from_millis(1010));
        assert!(counts.latency.max() >= 1_009_000 && counts.service.max() < 11_000, "the plan counts");
    }
}
