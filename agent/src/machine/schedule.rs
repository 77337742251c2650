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
/// Wait between attempts that only an operator can make succeed (docs/contract.md section 6, "minutes").
pub const SLOWLY: Duration = Duration::from_secs(300);

/// Share of a certificate's life after which it is renewed, in the middle of the spread (docs/contract.md section 3).
const RENEW_AT: f64 = 2.0 / 3.0;
/// Width of the spread, as a share of the life, so that a fleet enrolled in one minute does not renew in one.
const RENEW_SPREAD: f64 = 0.12;

/// How long to wait before attempt number `failures + 1`: exponential with full jitter, from 0 to the step's length.
///
/// `random` is drawn anew for each wait, evenly over all of `u64`. `asked` is the Console's `Retry-After`: never less
/// than that, and up to a tenth more, so that those who were turned away together do not come back together.
pub fn backoff(failures: u32, random: u64, asked: Option<Duration>) -> Duration {
    let share = share_of(random);
    match asked {
        Some(asked) => asked + asked.mul_f64(0.1 * share) + BACKOFF_FIRST.mul_f64(share),
        None => {
            let step =
                BACKOFF_FIRST.saturating_mul(1u32 << failures.saturating_sub(1).min(20)).min(BACKOFF_LAST);
            step.mul_f64(share)
        }
    }
}

/// How long to wait before a waiting enrollment is repeated: what the Console asked for, and up to a tenth more.
pub fn repeat(asked: Duration, random: u64) -> Duration {
    asked + asked.mul_f64(0.1 * share_of(random))
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
            assert!((60..=67).contains(&wait.as_secs()), "{wait:?}");
        }
        // A tenth more, and up to a second, so that those who are asked to come back at once are spread too.
        for (asked, most) in [(0, 1_000), (1, 2_100), (60, 67_000)] {
            let asked = Duration::from_secs(asked);
            assert_eq!(backoff(3, 0, Some(asked)), asked);
            assert_eq!(backoff(3, u64::MAX, Some(asked)), Duration::from_millis(most));
        }
        assert_eq!(repeat(Duration::from_secs(60), 0), Duration::from_secs(60));
        assert_eq!(repeat(Duration::from_secs(60), u64::MAX), Duration::from_secs(66));
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
                    prop_assert!(wait >= Duration::from_secs(asked));
                    prop_assert!(wait <= Duration::from_secs(asked + asked / 10 + 2));
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
