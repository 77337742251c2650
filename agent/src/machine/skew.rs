//! How far this host's clock is from the Console's, and what that means.
//!
//! Invariant: a certificate is called expired only when this host's clock says so *and* the Console's `Date`, read while
//! the clock stood as it stands, does not contradict it. A false `Date` can delay, and can never condemn.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::code::Code;
use super::input::{Fault, Now};
use crate::clock::{TOLERATED_SKEW, skew_text};

/// How far wall and monotonic clock may drift apart before the wall clock counts as set. More than the whole seconds
/// that the clock ticks in and a leap second, less than [`TOLERATED_SKEW`].
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// What is known of the difference.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Skew {
    /// Wall minus monotonic time when the reading was taken.
    base: Option<SignedDuration>,
    reading: Reading,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
enum Reading {
    /// Not told since the clock was set last: not asked, or nobody answered.
    #[default]
    None,
    /// Asked, and the answer had no date.
    Dateless,
    /// The Console's time minus ours.
    Measured(SignedDuration),
}

/// What can be said of this host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Nothing; the Console has to be asked.
    Unknown,
    /// It is right, or there is no better one.
    Right,
    /// It is wrong by the Console's time minus ours.
    Wrong(SignedDuration),
}

/// Whether the wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    Steady,
    Stepped,
}

impl Skew {
    /// Compares the two clocks of this host. A step forgets the reading: it was of another clock, so to say.
    pub(super) fn observe(&mut self, now: Now) -> Observed {
        let offset = offset(now);
        match self.base {
            None => {
                self.base = Some(offset);
                Observed::Steady
            }
            Some(base) if offset.saturating_sub(base).abs() <= STEP => Observed::Steady,
            Some(_) => {
                *self = Self { base: Some(offset), reading: Reading::None };
                Observed::Stepped
            }
        }
    }

    /// The Console's `Date`, just read.
    pub(super) fn measure(&mut self, now: Now, server: Timestamp) {
        *self = Self { base: Some(offset(now)), reading: Reading::Measured(server.duration_since(now.wall)) };
    }

    /// An answer came without a date: there is no better clock than ours.
    pub(super) fn dateless(&mut self) {
        if !matches!(self.reading, Reading::Measured(_)) {
            self.reading = Reading::Dateless;
        }
    }

    pub(super) fn clock(&self) -> Clock {
        match self.reading {
            Reading::None => Clock::Unknown,
            Reading::Dateless => Clock::Right,
            Reading::Measured(skew) if skew.abs() > TOLERATED_SKEW => Clock::Wrong(skew),
            Reading::Measured(_) => Clock::Right,
        }
    }

    /// Seconds that this host's clock is ahead, where that was measured.
    pub(super) fn seconds_ahead(&self) -> Option<i64> {
        match self.reading {
            Reading::Measured(skew) => Some(skew.as_secs().saturating_neg()),
            Reading::None | Reading::Dateless => None,
        }
    }

    /// Whether the Console has told its time, or shown that it tells none, since the clock was set last.
    pub(super) fn was_told(&self) -> bool {
        self.reading != Reading::None
    }

    /// Whether a certificate issued now would not be valid yet by this host's clock: a token must not pay for it.
    pub(super) fn is_behind(&self) -> bool {
        match self.clock() {
            Clock::Wrong(skew) => skew.is_positive(),
            Clock::Unknown | Clock::Right => false,
        }
    }

    /// The best guess of the true time: ours, or the Console's where ours is wrong.
    pub(super) fn corrected(&self, now: Now) -> Timestamp {
        match self.clock() {
            Clock::Wrong(skew) => now.wall.checked_add(skew).unwrap_or(now.wall),
            Clock::Unknown | Clock::Right => now.wall,
        }
    }

    /// When that moment comes, on the monotonic clock; zero where it has come.
    pub(super) fn mono_of(&self, now: Now, moment: Timestamp) -> Duration {
        let left = moment.duration_since(self.corrected(now));
        if left.is_positive() { now.mono.saturating_add(left.unsigned_abs()) } else { Duration::ZERO }
    }

    /// The fault to report, with its size.
    pub(super) fn fault(&self) -> Option<Fault> {
        let Clock::Wrong(skew) = self.clock() else { return None };
        Some(Fault::new(Code::ClockWrong, skew_text(SignedDuration::ZERO.saturating_sub(skew))))
    }
}

/// Wall minus monotonic time: constant, but for steps of the wall clock.
fn offset(now: Now) -> SignedDuration {
    let mono = SignedDuration::try_from(now.mono).unwrap_or(SignedDuration::MAX);
    now.wall.duration_since(Timestamp::UNIX_EPOCH).saturating_sub(mono)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: &str, mono: u64) -> Now {
        Now { wall: wall.parse().unwrap(), mono: Duration::from_secs(mono), random: 0 }
    }

    #[test]
    fn the_fault_says_how_far_off_the_clock_is() {
        let mut skew = Skew::default();
        skew.measure(at("2026-11-02T10:00:00Z", 5), "2026-11-02T13:02:00Z".parse().unwrap());
        assert_eq!(skew.fault().unwrap().message, "this host's clock is 3 h 2 min behind the Console's");
        skew.measure(at("2026-11-02T10:00:00Z", 5), "2026-11-02T09:54:00Z".parse().unwrap());
        assert_eq!(skew.fault().unwrap().message, "this host's clock is 6 min ahead of the Console's");
        assert!(!skew.is_behind());
    }

    #[test]
    fn suspend_is_no_step_and_setting_the_clock_is() {
        let mut skew = Skew::default();
        assert_eq!(skew.observe(at("2026-11-02T10:00:00Z", 5)), Observed::Steady);
        skew.measure(at("2026-11-02T10:00:00Z", 5), "2026-11-02T10:00:01Z".parse().unwrap());
        assert_eq!(skew.observe(at("2026-11-02T18:00:00Z", 5 + 8 * 3600)), Observed::Steady);
        assert_eq!(skew.clock(), Clock::Right);
        assert_eq!(skew.observe(at("2026-11-02T17:00:00Z", 5 + 8 * 3600)), Observed::Stepped);
        assert_eq!(skew.clock(), Clock::Unknown);
    }

    #[test]
    fn five_minutes_are_tolerated_and_an_answer_without_a_date_forgets_no_reading() {
        let now = at("2026-11-02T10:00:00Z", 5);
        let mut skew = Skew::default();
        for (server, clock) in [
            ("2026-11-02T10:05:00Z", Clock::Right),
            ("2026-11-02T09:55:00Z", Clock::Right),
            ("2026-11-02T10:05:01Z", Clock::Wrong(SignedDuration::from_secs(301))),
        ] {
            skew.measure(now, server.parse().unwrap());
            skew.dateless();
            assert_eq!(skew.clock(), clock, "{server}");
        }
    }

    #[test]
    fn clocks_at_their_ends_do_not_overflow() {
        let mut skew = Skew::default();
        let far = Now { wall: Timestamp::MAX, mono: Duration::MAX, random: 0 };
        let _ = skew.observe(at("1970-01-01T00:00:00Z", 0));
        assert_eq!(skew.observe(far), Observed::Stepped);
        skew.measure(far, Timestamp::MIN);
        assert_eq!(skew.corrected(far), Timestamp::MIN);
        assert!(skew.mono_of(far, Timestamp::MAX) > Duration::ZERO);
    }
}
