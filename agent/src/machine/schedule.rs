//! When: how long to wait after a failure, and when to renew.
//!
//! Invariant: nothing here reads a clock or draws a number; both are arguments, so that a plan can be tested and shown.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// First step of the back-off (docs/contract.md section 6).
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Last step of the back-off (docs/contract.md section 6).
pub const BACKOFF_LAST: Duration = Duration::from_secs(300);
/// Wait before what was refused is asked again (docs/contract.md section 6). At most: a tenth less is drawn.
pub const REFUSED: Duration = Duration::from_secs(600);
/// Wait before a revoked identity is asked for again (docs/contract.md section 6). At most, as above.
pub const REVOKED: Duration = Duration::from_secs(3600);
/// Wait before a refused renewal is asked for again (docs/contract.md section 6). At most, as above.
const RENEWAL_REFUSED: Duration = Duration::from_secs(3600);
/// Least time between two renewals by themselves, of certificates that live for ten hours or more (docs/contract.md section 3).
const RENEWAL_FLOOR: Duration = Duration::from_secs(3600);
/// Longest wait that the Console may ask for (docs/contract.md section 6).
pub const LONGEST: Duration = Duration::from_secs(600);
/// Shortest and longest of "minutes apart" (docs/contract.md section 6).
const MINUTES: (Duration, Duration) = (Duration::from_secs(150), Duration::from_secs(300));

/// Share of a certificate's life after which it is renewed, in the middle of the spread (docs/contract.md section 3).
const RENEW_AT: f64 = 2.0 / 3.0;
/// Width of the spread, as a share of the life, so that a fleet enrolled in one minute does not renew in one.
const RENEW_SPREAD: f64 = 0.12;

/// How long to wait before attempt number `failures + 1`: exponential with full jitter, from 0 to the step's length.
///
/// `random` is drawn anew for each wait, evenly over all of `u64`. `asked` is the Console's `Retry-After`, which raises
/// the wait and never lowers it.
pub fn backoff(failures: u32, random: u64, asked: Option<Duration>) -> Duration {
    let step = BACKOFF_FIRST.saturating_mul(1u32 << failures.saturating_sub(1).min(20)).min(BACKOFF_LAST);
    raised(step.mul_f64(share_of(random)), random, asked)
}

/// How long to wait before a waiting enrollment is repeated: what the Console asked for, and up to a tenth more, so that
/// those who were turned away together do not come back together; [`LONGEST`] in all.
pub fn repeat(asked: Duration, random: u64) -> Duration {
    asked.min(LONGEST * 10 / 11).mul_f64(1.0 + 0.1 * share_of(random))
}

/// "Minutes apart", or longer where the Console asked for it.
pub fn minutes(random: u64, asked: Option<Duration>) -> Duration {
    raised(MINUTES.0 + (MINUTES.1 - MINUTES.0).mul_f64(share_of(random)), random, asked)
}

/// `Retry-After` raises a wait, up to [`LONGEST`]; a second or less says nothing.
fn raised(wait: Duration, random: u64, asked: Option<Duration>) -> Duration {
    wait.max(
        asked.filter(|asked| *asked > BACKOFF_FIRST).map_or(Duration::ZERO, |asked| repeat(asked, random)),
    )
}

/// At most this long, and up to a tenth less, so that those who were turned away together do not come back together.
pub fn within(most: Duration, random: u64) -> Duration {
    most.mul_f64(1.0 - 0.1 * share_of(random))
}

/// How long a refused renewal waits: an hour, ten minutes in the last tenth of the life, and never a large part of it.
pub fn renewal_refused(life: Duration, left: Duration) -> Duration {
    let wait = if left < life / 10 { REFUSED } else { RENEWAL_REFUSED };
    wait.min(life / 50)
}

/// The least time between two renewals that the Console accepted, and the least that a successor has to have left where it ends
/// before its predecessor (docs/contract.md section 3).
pub fn renewal_floor(life: Duration) -> Duration {
    RENEWAL_FLOOR.min(life / 10)
}

/// When to renew a certificate of this life: at two thirds, give or take six hundredths, drawn once from its serial
/// number. The same certificate always gives the same moment, so it can be shown and does not drift.
pub fn renew_at(not_before: Timestamp, not_after: Timestamp, serial: &[u8]) -> Timestamp {
    let digest: [u8; 32] = Sha256::digest(serial).into();
    let drawn = u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 has more than eight bytes"));
    let share = RENEW_AT + RENEW_SPREAD * (share_of(drawn) - 0.5);
    let life = not_after.duration_since(not_before);
    let after = SignedDuration::try_from_secs_f64(life.as_secs_f64() * share).unwrap_or(SignedDuration::ZERO);
    not_before.checked_add(after).unwrap_or(not_after).min(not_after)
}

/// A number drawn from all of `u64` as a share from 0 to 1.
fn share_of(random: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of a wait does not need 64 bits")]
    let share = random as f64 / u64::MAX as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_double_up_to_five_minutes() {
        let longest = |failures| backoff(failures, u64::MAX, None).as_secs();
        assert_eq!([1, 2, 3, 4, 9, 10, 1000].map(longest), [1, 2, 4, 8, 256, 300, 300]);
        assert_eq!(backoff(7, 0, None), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_a_floor() {
        for random in [0, u64::MAX / 2, u64::MAX] {
            let wait = backoff(3, random, Some(Duration::from_secs(60)));
            assert!((60..=66).contains(&wait.as_secs()), "{wait:?}");
            // It raises the back-off and never lowers it; nothing, a second and the past change nothing.
            for asked in [0, 1] {
                let asked = Some(Duration::from_secs(asked));
                assert_eq!(backoff(7, random, asked), backoff(7, random, None));
                assert_eq!(minutes(random, asked), minutes(random, None));
            }
            for asked in [Duration::from_secs(600), Duration::MAX] {
                let wait = backoff(1, random, Some(asked));
                assert!((545..=600).contains(&wait.as_secs()) && wait <= LONGEST, "{wait:?}");
                assert_eq!(minutes(random, Some(asked)), wait);
            }
        }
        assert_eq!(backoff(9, u64::MAX, Some(Duration::from_secs(60))), Duration::from_secs(256));
        assert_eq!(repeat(Duration::from_secs(60), 0), Duration::from_secs(60));
        assert_eq!(repeat(Duration::from_secs(60), u64::MAX), Duration::from_secs(66));
    }

    #[test]
    fn waits_that_are_not_asked_for_are_spread_too() {
        let all = [0, u64::MAX / 2, u64::MAX];
        assert_eq!(all.map(|random| minutes(random, None).as_secs()), [150, 225, 300]);
        assert_eq!(all.map(|random| within(REFUSED, random).as_secs()), [600, 570, 540]);
        let (month, hour) = (Duration::from_secs(720 * 3600), Duration::from_secs(3600));
        assert_eq!(renewal_refused(month, month / 3), hour);
        assert_eq!(renewal_refused(month, month / 11), REFUSED);
        assert_eq!(renewal_refused(hour, hour / 3), hour / 50);
    }

    #[test]
    fn a_fleet_enrolled_at_once_renews_over_a_tenth_of_the_life() {
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let until: Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
        let life = until.duration_since(from).as_secs_f64();
        let shares: Vec<f64> = (0u32..2000)
            .map(|n| renew_at(from, until, &n.to_be_bytes()).duration_since(from).as_secs_f64() / life)
            .collect();
        let (least, most) = shares.iter().fold((1.0, 0.0), |(a, b): (f64, f64), s| (a.min(*s), b.max(*s)));
        assert!(least >= 0.6066 && most <= 0.7267 && most - least > 0.118, "{least} {most}");
        let mean = shares.iter().sum::<f64>() / 2000.0;
        assert!((mean - 2.0 / 3.0).abs() < 0.005, "{mean}");
    }

    /// So that a restart or an upgrade moves no renewal. The first eight bytes of SHA-256(1) are 0.29671 of all of `u64`: the
    /// renewal comes 0.2033 of the spread before two thirds of the life.
    #[test]
    fn a_serial_number_has_its_moment_for_ever() {
        let (from, until) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-31T00:00:00Z".parse().unwrap());
        assert_eq!(renew_at(from, until, &[1]).as_second(), from.as_second() + 1_664_768);
    }

    proptest! {
        #[test]
        fn waits_stay_in_their_bounds(failures: u32, random: u64, asked in proptest::option::of(0u64..3600)) {
            let wait = backoff(failures, random, asked.map(Duration::from_secs));
            match asked {
                None => prop_assert!(wait <= BACKOFF_LAST),
                Some(asked) => {
                    prop_assert!(wait >= backoff(failures, random, None));
                    prop_assert!(asked < 2 || wait >= Duration::from_secs(asked.min(545)));
                    prop_assert!(wait <= LONGEST);
                }
            }
        }

        #[test]
        fn renewal_lies_within_the_life(from in 0i64..4_000_000_000, life in 1i64..400_000_000, serial: [u8; 16]) {
            let from = Timestamp::from_second(from).unwrap();
            let until = from + SignedDuration::from_secs(life);
            let at = renew_at(from, until, &serial);
            prop_assert!(at >= from && at <= until);
        }
    }
}
