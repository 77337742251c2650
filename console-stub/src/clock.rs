//! The one file that knows where the time comes from.
//!
//! Invariant: everything in this crate that asks for the time asks the [`Clock`] that it was handed, which is the same
//! object that the TLS configuration verifies certificates with. A test moves both with one hand.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

/// The start of the year 9999, close to the end of certificate time (RFC 5280 section 4.1.2.5) and of what timestamps
/// hold. Taken where a clock has no answer: then every token and certificate has expired, which is the safe side.
const END_OF_TIME: i64 = 253_370_764_800;

/// Wall time in whole seconds since 1970, from an injected source.
#[derive(Debug, Clone)]
pub struct Clock(Arc<dyn TimeProvider>);

impl Clock {
    /// Reads the machine's wall clock.
    pub fn system() -> Self {
        Self(Arc::new(DefaultTimeProvider))
    }

    /// Reads this source instead.
    pub fn new(source: Arc<dyn TimeProvider>) -> Self {
        Self(source)
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        let seconds = self.0.current_time().and_then(|time| i64::try_from(time.as_secs()).ok());
        seconds.unwrap_or(END_OF_TIME).min(END_OF_TIME)
    }

    /// The source itself, for a TLS configuration.
    pub(crate) fn provider(&self) -> Arc<dyn TimeProvider> {
        Arc::clone(&self.0)
    }
}

/// These unix seconds as a timestamp, which prints as RFC 3339. Out of range becomes the nearest end.
pub(crate) fn timestamp(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Stopped;

    impl TimeProvider for Stopped {
        fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
            None
        }
    }

    #[test]
    fn a_clock_without_an_answer_lets_everything_expire() {
        assert_eq!(Clock::new(Arc::new(Stopped)).now(), END_OF_TIME);
        assert_eq!(timestamp(END_OF_TIME).to_string(), "9999-01-01T00:00:00Z");
    }
}
