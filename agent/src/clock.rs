//! The clocks: the one file of the agent that reads them.
//!
//! Invariant: time comes in as a [`Clock`], which is rustls' own trait, so that the object that judges a certificate in
//! a handshake is the object that plans its renewal, and a test moves both with one hand ([`ManualClock`]).

use std::fmt;
use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::UnixTime;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

/// A source of wall time, shared by the TLS configurations and the schedule. It ticks in whole seconds.
pub type Clock = Arc<dyn TimeProvider>;

/// The operating system's clock.
pub fn system() -> Clock {
    #[cfg(feature = "failpoints")]
    if let Some(pace) = Pace::of_environment() {
        return Arc::new(pace);
    }
    Arc::new(DefaultTimeProvider)
}

/// The end of a wait.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A time that is never set and goes on during suspend, from any origin: what a daemon waits by. A test moves it together with the
/// [`Clock`], and so simulates a month.
pub trait Uptime: Send + Sync {
    /// The time.
    fn now(&self) -> Duration;

    /// Waits for so long, within a tokio runtime.
    fn wait(&self, time: Duration) -> Wait<'_>;
}

/// The time since this machine was started.
pub fn uptime() -> Arc<dyn Uptime> {
    #[cfg(feature = "failpoints")]
    if let Some(pace) = Pace::of_environment() {
        return Arc::new(pace);
    }
    Arc::new(SinceBoot)
}

struct SinceBoot;

impl Uptime for SinceBoot {
    fn now(&self) -> Duration {
        // A kernel without this clock does not exist; a daemon only needs that it does not go back.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }

    /// On a timer of the kernel's: tokio's wakes a process more than once in a long wait, to sort it anew, and stands still while
    /// the host is suspended.
    fn wait(&self, time: Duration) -> Wait<'_> {
        Box::pin(async move {
            let until = self.now().saturating_add(time);
            let rung = match Alarm::after(time) {
                Ok(alarm) => alarm.rung().await,
                Err(error) => Err(error),
            };
            if rung.is_err() {
                // Out of descriptors, perhaps; the wait is no shorter for it.
                sleep(until.saturating_sub(self.now())).await;
            }
        })
    }
}

/// A moment for people: exactly, and as seen from `now`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.duration_since(now).as_secs();
    let (count, unit) = match seconds.unsigned_abs() {
        n @ 0..120 => (n, "second"),
        n @ 120..7200 => (n / 60, "minute"),
        n @ 7200..172_800 => (n / 3600, "hour"),
        n => (n / 86_400, "day"),
    };
    let span = format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let relative = if seconds > 0 { format!("in {span}") } else { format!("{span} ago") };
    format!("{at:.0} ({relative})")
}

/// Test-only, with the feature `failpoints`: time that passes so many times as fast, by both clocks.
/// `TELOVIX_PACE=TIMES@SECOND` says how fast, and from which Unix second on. The deadlines of a call are as long as ever.
#[cfg(feature = "failpoints")]
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many times as fast.
    pub times: u32,
    /// Unix seconds at which this time and the system's agree.
    pub from: u64,
}

#[cfg(feature = "failpoints")]
impl Pace {
    #[expect(clippy::disallowed_methods, reason = "a test hook that must not pass through the configuration")]
    fn of_environment() -> Option<Self> {
        let text = std::env::var("TELOVIX_PACE").ok()?;
        let (times, from) = text.split_once('@')?;
        Some(Self { times: times.parse().ok()?, from: from.parse().ok()? })
    }
}

#[cfg(feature = "failpoints")]
impl Uptime for Pace {
    fn now(&self) -> Duration {
        SinceBoot.now().saturating_mul(self.times)
    }

    fn wait(&self, time: Duration) -> Wait<'_> {
        SinceBoot.wait(time / self.times)
    }
}

#[cfg(feature = "failpoints")]
impl TimeProvider for Pace {
    fn current_time(&self) -> Option<UnixTime> {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from).ok()?;
        let from = Duration::from_secs(self.from);
        Some(UnixTime::since_unix_epoch(from + now.saturating_sub(from).saturating_mul(self.times)))
    }
}

/// The time on this clock, in whole seconds.
///
/// A clock that cannot tell the time reads as 1970-01-01T00:00:00Z. In that year no certificate is valid yet, so that
/// a broken clock refuses trust instead of granting it. A time past jiff's last year reads as that last moment, when
/// every certificate has expired, for the same reason.
pub fn now(clock: &Clock) -> Timestamp {
    let seconds = clock.current_time().map_or(0, |time| time.as_secs());
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

/// The Console's clock beside this host's, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// `Date` of the answer (RFC 9110 section 6.6.1), in whole seconds.
    pub console: Timestamp,
    /// This host's clock when the answer came.
    pub host: Timestamp,
}

/// How far the clocks may differ before the difference is a fault: what a certificate's not-before reaches back
/// (docs/contract.md section 3), so that a host which is further behind takes a fresh certificate for one of the future.
pub const TOLERATED_SKEW: SignedDuration = SignedDuration::from_mins(5);

impl Sighting {
    /// How far this host's clock is ahead of the Console's; negative where it is behind.
    pub fn ahead(&self) -> SignedDuration {
        self.host.duration_since(self.console)
    }

    /// Whether the clocks differ by more than [`TOLERATED_SKEW`].
    pub fn is_wrong(&self) -> bool {
        self.ahead().abs() > TOLERATED_SKEW
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&skew_text(self.ahead()))
    }
}

/// How far this host's clock is ahead of the Console's, or behind it, as a sentence.
pub fn skew_text(ahead: SignedDuration) -> String {
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("this host's clock is {} {side} the Console's", length_text(ahead.unsigned_abs()))
}

/// A length of time in its two largest units.
fn length_text(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let (large, small) = match (days, hours, minutes) {
        (1.., _, _) => (format!("{days} d"), (hours, "h")),
        (0, 1.., _) => (format!("{hours} h"), (minutes, "min")),
        (0, 0, 1..) => (format!("{minutes} min"), (seconds % 60, "s")),
        (0, 0, 0) => (format!("{seconds} s"), (0, "")),
    };
    if small.0 == 0 { large } else { format!("{large} {} {}", small.0, small.1) }
}

/// Hears at once of what sleepers miss: that the wall clock was set, and that the host woke from suspend
/// (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`). Costs nothing until then.
#[derive(Debug)]
pub struct Steps(Option<Alarm>);

/// A timer that tokio reads as it would a pipe, for its own way for other descriptors needs `unsafe`.
#[derive(Debug)]
struct Alarm(Receiver);

impl Steps {
    /// Listens, within a tokio runtime. Where the kernel has no timer to give, nothing is heard.
    pub fn watch() -> Self {
        let alarm = Alarm::at_steps().inspect_err(|error| {
            tracing::debug!(%error, "steps of the clock are noticed late");
        });
        Self(alarm.ok())
    }

    /// Waits until the clock is set, or the host wakes.
    pub async fn clock_set(&self) {
        let Some(alarm) = &self.0 else { return pending().await };
        match alarm.rung().await {
            Err(error) if error.raw_os_error() == Some(Errno::ECANCELED as i32) => {}
            // Its time came, two centuries from now; or the kernel took it away.
            Ok(()) | Err(_) => pending().await,
        }
    }
}

impl Alarm {
    /// Rings when somebody sets the clock.
    fn at_steps() -> io::Result<Self> {
        let never = Expiration::OneShot(TimeSpec::new(8_000_000_000, 0));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Self::set(timerfd::ClockId::CLOCK_REALTIME, never, flags)
    }

    /// Rings after this time, of which a suspend of the host is a part.
    fn after(time: Duration) -> io::Result<Self> {
        // None at all would disarm it.
        let time = Expiration::OneShot(time.max(Duration::from_nanos(1)).into());
        Self::set(timerfd::ClockId::CLOCK_BOOTTIME, time, TimerSetTimeFlags::empty())
    }

    fn set(clock: timerfd::ClockId, at: Expiration, flags: TimerSetTimeFlags) -> io::Result<Self> {
        let timer = TimerFd::new(clock, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        timer.set(at, flags)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?))
    }

    /// Waits until it rings. `ECANCELED` where the clock was set and this was to be told.
    async fn rung(&self) -> io::Result<()> {
        let mut expirations = [0; 8];
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut expirations) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                outcome => return outcome.map(|_| ()),
            }
        }
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `at`; parts of a second are dropped.
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_second()))
    }

    /// Moves to `at`, forwards or backwards.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_second(), Ordering::SeqCst);
    }

    /// Moves forwards; parts of a second are dropped.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl TimeProvider for ManualClock {
    fn current_time(&self) -> Option<UnixTime> {
        // Times before 1970 cannot be said in this trait; they read as its first second.
        let seconds = u64::try_from(self.0.load(Ordering::SeqCst)).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Option<u64>);

    impl TimeProvider for Fixed {
        fn current_time(&self) -> Option<UnixTime> {
            self.0.map(|s| UnixTime::since_unix_epoch(Duration::from_secs(s)))
        }
    }

    fn read(seconds: Option<u64>) -> Timestamp {
        let clock: Clock = Arc::new(Fixed(seconds));
        now(&clock)
    }

    #[test]
    fn a_moment_is_told_exactly_and_as_seen_from_now() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for (at, expected) in [
            ("2026-06-30T12:00:00Z", "2026-06-30T12:00:00Z (in 29 days)"),
            ("2026-06-01T02:00:00Z", "2026-06-01T02:00:00Z (in 2 hours)"),
            ("2026-06-01T00:00:01Z", "2026-06-01T00:00:01Z (in 1 second)"),
            ("2026-06-01T00:00:00Z", "2026-06-01T00:00:00Z (0 seconds ago)"),
            ("2026-05-31T23:50:00Z", "2026-05-31T23:50:00Z (10 minutes ago)"),
        ] {
            assert_eq!(when(at.parse().unwrap(), now), expected);
        }
    }

    #[test]
    fn a_clock_that_cannot_tell_grants_no_trust() {
        assert_eq!(read(None), Timestamp::UNIX_EPOCH);
        assert_eq!(read(Some(u64::MAX)), Timestamp::MAX);
        assert_eq!(read(Some(1 << 60)), Timestamp::MAX);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let start: Timestamp = "2026-11-02T10:00:00Z".parse().unwrap();
        let manual = Arc::new(ManualClock::new(start));
        let clock: Clock = manual.clone();
        assert_eq!(now(&clock), start);
        manual.advance(Duration::from_millis(90_500));
        assert_eq!(now(&clock).to_string(), "2026-11-02T10:01:30Z");
        manual.set("1969-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(now(&clock), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_skew_is_told_with_its_side_and_its_two_largest_units() {
        let console: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (ahead, wrong, text) in [
            (-42, false, "42 s behind the Console's"),
            (300, false, "5 min ahead of"),
            (301, true, "5 min 1 s ahead of"),
            (370, true, "6 min 10 s ahead of"),
            (7200, true, "2 h ahead of"),
            (-10_920, true, "3 h 2 min behind"),
            (-1_767_225_600, true, "20454 d behind"),
            (86_400 * 400 + 3600 * 3, true, "400 d 3 h ahead of"),
        ] {
            let sighting = Sighting { console, host: console + SignedDuration::from_secs(ahead) };
            assert_eq!(sighting.is_wrong(), wrong, "{ahead}");
            assert!(sighting.to_string().contains(text), "{sighting}");
        }
    }

    #[tokio::test]
    async fn a_wait_is_as_long_as_it_has_to_be_and_others_go_on() {
        let uptime = uptime();
        let began = uptime.now();
        uptime.wait(Duration::ZERO).await;
        let long = uptime.wait(Duration::from_secs(3600));
        tokio::select! {
            () = long => panic!("an hour is longer"),
            () = uptime.wait(Duration::from_millis(20)) => {}
        }
        assert!(uptime.now() - began >= Duration::from_millis(20));
    }

    #[tokio::test]
    async fn an_alarm_rings_once() {
        let alarm = Alarm::after(Duration::ZERO).unwrap();
        alarm.rung().await.unwrap();
        let later = uptime();
        tokio::select! {
            again = alarm.rung() => panic!("it rang again: {again:?}"),
            () = later.wait(Duration::from_millis(20)) => {}
        }
    }

    #[test]
    fn the_system_clock_is_past_the_year_of_this_line() {
        assert!(now(&system()) > "2026-01-01T00:00:00Z".parse().unwrap());
    }
}
