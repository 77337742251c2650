//! Limits on how often a source may try to enroll or to sign in.
//!
//! A fleet behind one address must not be punished for a guesser beside it. So an attempt with a pending token costs
//! nothing but a place in the source's wide bucket; the narrow ones are for tokens that nobody made, which cost the
//! source, and for tokens that are spent, which cost the pair of source and token. A guesser therefore only ever locks
//! guesses out.
//!
//! Invariant: memory is bounded. Each limiter tracks so many keys; when they are taken, the rest share one bucket until
//! some have filled up again. The counters live in this process: several instances count each for itself.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as Ticks;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use telovix_contract::states::TokenStatus;
use telovix_contract::{ErrorCode, TokenHash};

use crate::clock::Clock;
use crate::config::Rates;
use crate::domain::Refusal;

/// Where a call comes from: an IPv4 address, or the /64 that one subscriber has of IPv6 (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(six) => {
                let [a, b, c, d, ..] = six.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            four @ IpAddr::V4(_) => four,
        })
    }
}

/// All limiters of one server.
#[derive(Debug)]
pub struct Guard {
    attempts: Limiter<Source>,
    guesses: Limiter<Source>,
    spent: Limiter<(Source, [u8; 32])>,
    logins: Limiter<Source>,
    notes: Limiter<Source>,
}

impl Guard {
    /// Limiters of these rates, on this clock.
    pub fn new(rates: &Rates, clock: &Clock) -> Self {
        Self {
            attempts: Limiter::new(rates.enroll, rates.tracked, clock),
            guesses: Limiter::new(rates.guess, rates.tracked, clock),
            spent: Limiter::new(rates.token, rates.tracked, clock),
            logins: Limiter::new(rates.login, rates.tracked, clock),
            notes: Limiter::new(1, rates.tracked, clock),
        }
    }

    /// An attempt to enroll, whatever it holds.
    pub(super) fn attempt(&self, source: Source) -> Result<(), Refusal> {
        self.attempts.take(source)
    }

    /// An attempt without a readable token.
    pub(super) fn unreadable(&self, source: Source) -> Result<(), Refusal> {
        self.guesses.take(source)
    }

    /// An attempt with a token that stands so.
    pub(super) fn token(
        &self,
        source: Source,
        hash: &TokenHash,
        status: Option<TokenStatus>,
    ) -> Result<(), Refusal> {
        match status {
            Some(TokenStatus::Pending) => Ok(()),
            Some(TokenStatus::Used | TokenStatus::Expired | TokenStatus::Revoked) => {
                self.spent.take((source, *hash.as_bytes()))
            }
            None => {
                self.spent.take((source, *hash.as_bytes()))?;
                self.guesses.take(source)
            }
        }
    }

    pub(super) fn login(&self, source: Source) -> Result<(), Refusal> {
        self.logins.take(source)
    }

    /// Whether a refusal for the rate is to stand in the audit trail: one a minute, or a flood would fill it.
    pub(super) fn is_noted(&self, source: Source) -> bool {
        self.notes.take(source).is_ok()
    }
}

type Keyed<K> = RateLimiter<Option<K>, HashMapStateStore<Option<K>>, Seconds, NoOpMiddleware<Duration>>;

/// So many a minute for each key, all of them at once if need be. `None` is the key of those that are not tracked.
#[derive(Debug)]
struct Limiter<K: Hash + Eq + Clone> {
    keyed: Option<Keyed<K>>,
    tracked: usize,
    clock: Seconds,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(per_minute: u32, tracked: usize, clock: &Clock) -> Self {
        let clock = Seconds(clock.clone());
        let quota = NonZeroU32::new(per_minute).map(Quota::per_minute);
        Self {
            keyed: quota.map(|quota| RateLimiter::hashmap_with_clock(quota, clock.clone())),
            tracked,
            clock,
        }
    }

    fn take(&self, key: K) -> Result<(), Refusal> {
        let Some(keyed) = &self.keyed else { return Ok(()) };
        if keyed.len() >= self.tracked {
            keyed.retain_recent();
        }
        let key = (keyed.len() < self.tracked).then_some(key);
        keyed.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            // Rounded up: whoever comes at that second is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            too_many(i64::try_from(seconds).unwrap_or(i64::MAX))
        })
    }
}

/// The Console's clock as the limiters want it: the one that nobody sets, because a bucket that was emptied by a wall clock that was
/// ahead would fill no further until that time has come. Seconds are fine enough for rates by the minute.
#[derive(Debug, Clone)]
struct Seconds(Clock);

impl Ticks for Seconds {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_secs(self.0.steady().as_secs())
    }
}

fn too_many(seconds: i64) -> Refusal {
    let message =
        "There were too many attempts from this address; wait as long as Retry-After says, then try again.";
    Refusal::new(ErrorCode::RateLimited, message).after(seconds)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::Monotonic;

    #[derive(Debug)]
    struct Hand(AtomicU64);

    impl Monotonic for Hand {
        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    fn clock() -> (Arc<Hand>, Clock) {
        let hand = Arc::new(Hand(AtomicU64::new(1_000_000)));
        (Arc::clone(&hand), Clock::system().beside(hand))
    }

    fn source(last: u8) -> Source {
        Source::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn buckets_empty_refill_and_say_when() {
        let (hand, clock) = clock();
        let limiter = Limiter::new(6, 100, &clock);
        for _ in 0..6 {
            limiter.take(source(1)).unwrap();
        }
        assert_eq!(limiter.take(source(1)).unwrap_err().retry_after, Some(10));
        limiter.take(source(2)).unwrap();
        hand.0.fetch_add(9, Ordering::SeqCst);
        assert_eq!(limiter.take(source(1)).unwrap_err().retry_after, Some(1));
        hand.0.fetch_add(1, Ordering::SeqCst);
        limiter.take(source(1)).unwrap();
        assert!(limiter.take(source(1)).is_err());
        let off = Limiter::new(0, 100, &clock);
        (0..1000).for_each(|_| off.take(source(1)).unwrap());
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let (hand, clock) = clock();
        let limiter = Limiter::new(2, 10, &clock);
        for key in 0..10_000 {
            let _ = limiter.take(key);
        }
        let tracked = limiter.keyed.as_ref().unwrap().len();
        assert!(tracked <= 11, "{tracked}");
        // The untracked share a bucket, and it is empty.
        assert!(limiter.take(20_000).is_err());
        hand.0.fetch_add(60, Ordering::SeqCst);
        limiter.take(20_000).unwrap();
        assert!(limiter.keyed.as_ref().unwrap().len() <= 2);
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), source(1));
    }
}
