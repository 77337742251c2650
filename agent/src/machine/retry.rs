//! Attempts at one kind of call: how often it failed, why, and when it may be tried again.

use std::time::Duration;

use telovix_contract::problem::Advice;

use super::code::Actor;
use super::input::{Failure, Fault, Now};
use super::schedule;

/// The shortest wait, so that no draw of the jitter makes a busy loop. Contacts of a fleet are spread already by then.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// Attempts at one kind of call.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct RetryState {
    failures: u32,
    next: Option<Duration>,
    fault: Option<Fault>,
    /// The Console asked for this wait.
    is_asked: bool,
}

impl RetryState {
    /// When the next attempt may be made, on the monotonic clock.
    pub(super) fn due(&self) -> Duration {
        self.next.unwrap_or(Duration::ZERO)
    }

    /// Whether the last attempt succeeded and the next one is not due yet.
    pub(super) fn rests(&self, now: Now) -> bool {
        self.fault.is_none() && self.due() > now.mono
    }

    /// Why the last attempt failed.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether the last attempt failed on something that passes without anybody's doing.
    pub(super) fn may_pass(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.code.actor() == Actor::Agent)
    }

    /// Whether the wait can be cut short: what failed may have passed, and the Console did not ask for the wait.
    pub(super) fn may_hurry(&self) -> bool {
        self.may_pass() && !self.is_asked
    }

    /// The last attempt succeeded; the next one may be made at once.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// The last attempt succeeded; the next one is due after `wait`.
    pub(super) fn again_after(&mut self, now: Now, wait: Duration) {
        *self = Self { next: Some(now.mono.saturating_add(wait.max(SHORTEST))), ..Self::default() };
    }

    /// The last attempt failed on something that passes: exponential, full jitter.
    pub(super) fn back_off(&mut self, now: Now, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        let wait = schedule::backoff(self.failures, now.random, failure.retry_after);
        self.fail(now, failure, wait);
    }

    /// The last attempt failed on something that a person may change: minutes, jittered.
    pub(super) fn retry_in_minutes(&mut self, now: Now, failure: &Failure) {
        self.fail(now, failure, schedule::minutes(now.random, failure.retry_after));
    }

    /// The next attempt waits as after this many failures in a row, though none has failed.
    pub(super) fn slow_down(&mut self, now: Now, failures: u32) {
        if failures > 0 {
            let wait = schedule::backoff(failures, now.random, None).max(SHORTEST);
            self.next = self.next.max(Some(now.mono.saturating_add(wait)));
        }
    }

    /// The next attempt is at most this far away.
    pub(super) fn wait_at_most(&mut self, now: Now, most: Duration) {
        self.next = self.next.min(Some(now.mono.saturating_add(most)));
    }

    /// No wait any more; what failed last is still shown.
    pub(super) fn retry_now(&mut self) {
        self.next = None;
    }

    /// The clock is right now: what failed on dates need not wait.
    pub(super) fn clock_mended(&mut self) {
        if self.met(Advice::AskTime) {
            self.succeed();
        }
    }

    /// The last attempt was refused: another token or configuration may be tried at once, the same after this long.
    pub(super) fn refuse(&mut self, now: Now, failure: &Failure, most: Duration) {
        self.failures = 0;
        self.fail(now, failure, schedule::within(most, now.random));
    }

    /// Whether the last attempt failed with what asks for this.
    pub(super) fn met(&self, advice: Advice) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.code.advice() == advice)
    }

    /// Token or configuration changed: what was refused need not wait.
    pub(super) fn reconsider(&mut self) {
        if self.met(Advice::Refused) {
            self.succeed();
        }
    }

    /// This disk refused: exponential, full jitter.
    pub(super) fn disk_failed(&mut self, now: Now, fault: Fault) {
        self.back_off(now, &Failure { fault, retry_after: None });
    }

    /// The last attempt failed; the next one is due after `wait`.
    pub(super) fn fail(&mut self, now: Now, failure: &Failure, wait: Duration) {
        self.next = Some(now.mono.saturating_add(wait.max(SHORTEST)));
        self.fault = Some(failure.fault.clone());
        self.is_asked = failure.retry_after.is_some();
    }
}
