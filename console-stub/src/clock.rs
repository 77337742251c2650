//! The one file that knows where the time comes from.
//!
//! Invariant: everything in this crate that asks for the time asks the [`Clock`] that it was handed, which is the same
//! object that the TLS configuration verifies certificates with. A test moves both with one hand.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

/// The start of the year 9999, close to the end of certificate time (RFC 5280 section 4.1.2.5) and of what timestamps
/// hold. Taken where a clock has no answer: then every token and certificate has expired, which is the safe side.
const END_OF_TIME: i64 = 253_370_764_800;

/// Seconds by which the wall clock may drift from the other one until it counts as set: what a time service makes up for in a
/// day without a step is less.
const IN_STEP: i64 = 60;
/// Seconds for which both clocks have to run in step before anything is destroyed by what the wall clock says: a day.
const TRUSTED_AFTER: i64 = 24 * 3600;

/// A clock that nobody sets.
pub trait Monotonic: Debug + Send + Sync {
    /// Time since a moment of its own.
    fn elapsed(&self) -> Duration;
}

impl Monotonic for Instant {
    fn elapsed(&self) -> Duration {
        Self::elapsed(self)
    }
}

/// Wall time in whole seconds since 1970, from an injected source; and a clock that nobody sets, to tell when that one was.
#[derive(Debug, Clone)]
pub struct Clock {
    wall: Arc<dyn TimeProvider>,
    steady: Arc<dyn Monotonic>,
}

impl Clock {
    /// Reads the machine's clocks.
    pub fn system() -> Self {
        Self::new(Arc::new(DefaultTimeProvider))
    }

    /// Reads this wall clock instead.
    pub fn new(wall: Arc<dyn TimeProvider>) -> Self {
        Self { wall, steady: Arc::new(Instant::now()) }
    }

    /// The same, with this clock beside it.
    pub fn beside(self, steady: Arc<dyn Monotonic>) -> Self {
        Self { steady, ..self }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        let seconds = self.wall.current_time().and_then(|time| i64::try_from(time.as_secs()).ok());
        seconds.unwrap_or(END_OF_TIME).min(END_OF_TIME)
    }

    /// Time since a moment of its own, by the clock that nobody sets: for waits, which no correction is to shorten or draw out.
    pub fn steady(&self) -> Duration {
        self.steady.elapsed()
    }

    /// The source itself, for a TLS configuration.
    pub(crate) fn provider(&self) -> Arc<dyn TimeProvider> {
        Arc::clone(&self.wall)
    }

    /// Both clocks at one moment, in seconds; none where the process was held up between the two.
    fn both(&self) -> Option<(i64, i64)> {
        let before = self.steady.elapsed();
        let wall = self.now();
        let after = self.steady.elapsed();
        let steady = i64::try_from(after.as_secs()).ok()?;
        (after.saturating_sub(before) < Duration::from_secs(1)).then_some((wall, steady))
    }
}

/// Whether the wall clock is to be trusted with what cannot be undone (docs/contract.md section 4).
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// How far the wall clock was ahead of the other when they were first in step, and what the other said.
    in_step: Option<(i64, i64)>,
}

impl Trusted {
    /// The wall time of this moment, if both clocks have run in step for a day, since the start or the last jump.
    pub(crate) fn now(&mut self, clock: &Clock) -> Option<i64> {
        let (wall, steady) = clock.both()?;
        let ahead = wall - steady;
        match self.in_step {
            Some((held, since)) if (ahead - held).abs() <= IN_STEP => {
                (steady - since >= TRUSTED_AFTER).then_some(wall)
            }
            Some(_) | None => {
                self.in_step = Some((ahead, steady));
                None
            }
        }
    }
}

/// These unix seconds as a timestamp, which prints as RFC 3339. Out of range becomes the nearest end.
pub(crate) fn timestamp(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use rustls::pki_types::UnixTime;

    use super::*;

    #[derive(Debug)]
    struct Stopped;

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<UnixTime> {
            None
        }
    }

    /// A wall clock and a steady one, both in seconds.
    #[derive(Debug, Default)]
    struct Hands(AtomicI64, AtomicI64);

    impl TimeProvider for Hands {
        fn current_time(&self) -> Option<UnixTime> {
            let seconds = self.0.load(Ordering::SeqCst).unsigned_abs();
            Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        }
    }

    impl Monotonic for Hands {
        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.1.load(Ordering::SeqCst).unsigned_abs())
        }
    }

    #[test]
    fn section_4_a_wall_clock_is_trusted_after_a_day_in_step() {
        const DAY: i64 = 24 * 3600;
        let hands = Arc::new(Hands::default());
        let clock = Clock::new(hands.clone()).beside(hands.clone());
        let mut trusted = Trusted::default();
        let mut passes = |wall, steady| {
            hands.0.fetch_add(wall, Ordering::SeqCst);
            hands.1.fetch_add(steady, Ordering::SeqCst);
            trusted.now(&clock).is_some()
        };
        assert!(!passes(400 * DAY, 0), "the start, however wrong its clock");
        assert!(!passes(DAY - 1, DAY - 1) && passes(1, 1));
        assert!(passes(DAY + 40, DAY), "a time service corrects the clock");
        assert!(!passes(400 * DAY + 4, 4) && !passes(-400 * DAY, 0), "four seconds far ahead");
        assert!(!passes(DAY - 1, DAY - 1) && passes(1, 1), "a day later");
        assert!(!passes(30 * DAY, 60), "a suspend counts as a jump");
    }

    #[test]
    fn a_clock_without_an_answer_lets_everything_expire() {
        assert_eq!(Clock::new(Arc::new(Stopped)).now(), END_OF_TIME);
        assert_eq!(timestamp(END_OF_TIME).to_string(), "9999-01-01T00:00:00Z");
    }
}
