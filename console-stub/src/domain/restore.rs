//! The time after a restore from a backup (docs/contract.md section 4): how long certificates that the copy does not know are
//! adopted, and which of two is the newer one.
//!
//! Invariant: that the time is over is worked out when it is read, so that a clock that was wrong for a moment ends nothing; it
//! is written down only by a clock to be trusted (`clock::Trusted`).

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// What an administrator sets.
    pub(crate) Switch {
        Off = "off",
        On = "on",
    }
}

/// What is stored of the last time that it was switched on. Times are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AfterRestore {
    pub since: i64,
    /// When it ends by itself: one certificate lifetime later.
    pub until: i64,
    /// When an administrator, or a trusted clock, ended it.
    pub ended_at: Option<i64>,
    /// The newest audit record when it was switched on, or of an export applied since: what was done later is not known.
    pub known_until: i64,
}

impl AfterRestore {
    /// Switched on at this moment for a certificate's life in seconds.
    pub(crate) fn begin(now: i64, life: i64, known_until: i64) -> Self {
        Self { since: now, until: now + life, ended_at: None, known_until }
    }

    pub(crate) fn is_on(&self, now: i64) -> bool {
        self.ended_at.is_none() && now < self.until
    }

    /// What becomes of it at a moment to be trusted: it ends, or, where the clock that it was switched on by was ahead, its time
    /// begins anew. `None` where nothing does.
    pub(crate) fn at(&self, trusted: i64) -> Option<Self> {
        if self.ended_at.is_some() {
            return None;
        }
        if trusted >= self.until {
            return Some(Self { ended_at: Some(trusted), ..*self });
        }
        let life = self.until - self.since;
        (trusted < self.since).then(|| Self { since: trusted, until: trusted + life, ..*self })
    }
}

/// Whether a certificate is newer than another, each given as when it begins and its serial number in hex: the one that begins
/// later; of two that begin in the same second, the one with the greater number, so that the order of calls decides nothing.
pub(crate) fn is_newer(one: (i64, &str), other: (i64, &str)) -> bool {
    one > other
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: i64 = 1000;

    #[test]
    fn section_4_the_time_after_a_restore_ends_by_itself_and_by_no_wrong_clock() {
        let on = AfterRestore::begin(5000, LIFE, 10);
        assert_eq!([4000, 5999, 6000, 9_000_000].map(|now| on.is_on(now)), [true, true, false, false]);
        assert_eq!([on.at(5000), on.at(5999)], [None, None]);
        let ended = on.at(6000).unwrap();
        assert!(!ended.is_on(5500) && ended.at(9000).is_none());
        // Switched on by a clock that was ahead.
        let anew = on.at(100).unwrap();
        assert_eq!((anew.since, anew.until), (100, 100 + LIFE));
    }

    #[test]
    fn section_4_of_two_certificates_one_is_newer() {
        let ordered = [(1, "ff"), (2, "40"), (2, "41"), (3, "00")];
        for (at, one) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(is_newer(*one, *other), at > other_at);
            }
        }
    }
}
