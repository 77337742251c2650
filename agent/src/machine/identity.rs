//! The identity that stands, and the one that is to follow it.

use std::time::Duration;

use jiff::Timestamp;
use telovix_contract::problem::Advice;
use telovix_contract::session::RenewalWindow;
use telovix_contract::states::TrustState;

use super::code::Code;
use super::input::{Accepted, Failure, Fault, Identity, Now};
use super::retry::RetryState;
use super::schedule;
use super::skew::{Clock, Skew};
use crate::clock::TOLERATED_SKEW;

/// Bounds of the interval between heartbeats that a Console may ask for.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The interval between heartbeats where the Console has not said another.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Where a window for renewal has passed already, renewals are spread over this long.
const SOON: Duration = schedule::BACKOFF_LAST;

/// The current identity, made on this machine, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CurrentIdentity {
    pub identity: Identity,
    pub verdict: Verdict,
    pub trust_state: TrustState,
    pub last_contact: Option<Timestamp>,
    pub heartbeat: RetryState,
    pub heartbeat_endpoint: Endpoint,
    pub renew: RetryState,
    pub renewal_endpoint: Endpoint,
    /// A renewal that does not wait for its time.
    pub renew_now: bool,
    /// A renewal was begun, and its successor is not in use yet. It is gone on with, whatever asked for it.
    pub renew_begun: bool,
    /// Renewals that somebody answered, and that came to nothing, since the certificate expired.
    pub late: u32,
    /// The Console does not know it, so it said once; that is believed at the second like answer.
    is_doubted: bool,
    /// Its life is over, as last seen.
    is_over: bool,
    /// When this process enrolled it, on the monotonic clock.
    pub enrolled: Option<Duration>,
    own_renew_at: Timestamp,
    window: Option<(RenewalWindow, Timestamp)>,
}

/// What the Console said of an identity last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Nothing yet, in this process.
    Unknown,
    /// It accepts it, or has no way to say so.
    Accepted,
    /// It refuses it for now.
    Refused(Fault),
    /// It does not know it.
    Lost(Fault),
    /// It has revoked it.
    Revoked(Fault),
}

/// Whether a call can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    /// As far as known.
    Available,
    /// The Console lacks it; it is tried now and then.
    Unsupported,
}

/// How a certificate stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// In force.
    Good,
    /// Over by this host's clock; the Console has to be asked for the time first.
    Suspect,
    /// Over.
    Expired,
}

/// A committed identity that is not current yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub identity: Identity,
    pub obtained_by: ObtainedBy,
    /// What the Console answered to it, once it has.
    pub proof: Option<Proof>,
    pub prove: RetryState,
    pub publish: RetryState,
}

/// How an identity was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ObtainedBy {
    Enrollment,
    Renewal,
    /// By an earlier process.
    Earlier,
    /// It was on the disk already, and is tried because the Console does not know the current one.
    Spare,
}

/// That an identity works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Proof {
    Accepted(Accepted),
    /// The Console has no heartbeat to ask: that the certificate chains has to do.
    NoHeartbeat,
}

impl CurrentIdentity {
    pub(super) fn new(identity: Identity) -> Self {
        let own_renew_at = schedule::renew_at(identity.not_before, identity.not_after, &identity.serial);
        Self {
            verdict: Verdict::Unknown,
            trust_state: identity.trust_state,
            last_contact: None,
            heartbeat: RetryState::default(),
            heartbeat_endpoint: Endpoint::Available,
            renew: RetryState::default(),
            renewal_endpoint: Endpoint::Available,
            renew_now: false,
            renew_begun: false,
            late: 0,
            is_doubted: false,
            is_over: false,
            enrolled: None,
            own_renew_at,
            window: None,
            identity,
        }
    }

    /// The Console accepted it in a heartbeat.
    pub(super) fn accept(&mut self, now: Now, answer: &Accepted) {
        self.verdict = match answer.trust_state {
            TrustState::Trusted | TrustState::Rotated => Verdict::Accepted,
            TrustState::BootstrapPending => Verdict::Refused(distrusted(answer.trust_state)),
            TrustState::TrustRevoked => Verdict::Revoked(distrusted(answer.trust_state)),
        };
        self.is_doubted = false;
        if self.renew.met(Advice::Revoked) {
            self.renew.succeed();
        }
        self.trust_state = answer.trust_state;
        self.last_contact = Some(now.wall);
        self.heartbeat_endpoint = Endpoint::Available;
        let interval = answer.interval.clamp(INTERVAL.0, INTERVAL.1);
        self.heartbeat.again_after(now, jitter(interval, now.random));
        self.ask_within(now, answer.renew_between);
        if let Verdict::Revoked(fault) = &self.verdict {
            let failure = Failure { fault: fault.clone(), retry_after: None };
            self.revoke(now, &failure);
        }
    }

    /// The Console has revoked it: asked again hourly, whichever call can ask.
    pub(super) fn revoke(&mut self, now: Now, failure: &Failure) {
        self.verdict = Verdict::Revoked(failure.fault.clone());
        self.heartbeat.refuse(now, failure, schedule::REVOKED);
        self.renew.refuse(now, failure, schedule::REVOKED);
        (self.renew_now, self.renew_begun, self.is_doubted) = (false, false, false);
    }

    /// The Console refuses it for now.
    pub(super) fn refuse(&mut self, fault: &Fault) {
        self.verdict = Verdict::Refused(fault.clone());
        self.is_doubted = false;
    }

    /// The Console has no heartbeat: that the certificate chains has to do. A refusal is not taken back by that, for what
    /// lost its way answers 404 as well.
    pub(super) fn no_heartbeat_endpoint(&mut self) {
        if self.verdict == Verdict::Unknown {
            self.verdict = Verdict::Accepted;
        }
        self.heartbeat_endpoint = Endpoint::Unsupported;
    }

    /// How long to wait at most before a refused renewal is asked for again.
    pub(super) fn refused_renewal_wait(&self, now: Now) -> Duration {
        let Identity { not_before, not_after, .. } = self.identity;
        let left = not_after.duration_since(now.wall);
        let left = if left.is_positive() { left.unsigned_abs() } else { Duration::ZERO };
        schedule::renewal_refused(not_after.duration_since(not_before).unsigned_abs(), left)
    }

    /// The Console asks for a renewal in a window, as ACME's renewal information does (RFC 9773): a moment in it is drawn
    /// once. A window that closed before this certificate was made is answered by it already.
    fn ask_within(&mut self, now: Now, window: Option<RenewalWindow>) {
        // The not-before of a certificate reaches back by the tolerated skew.
        let made = self.identity.not_before.saturating_add(TOLERATED_SKEW);
        let made = made.unwrap_or(self.identity.not_before);
        let Some(window) = window.filter(|window| window.end.max(window.start) > made) else {
            self.window = None;
            return;
        };
        if self.window.is_some_and(|(known, _)| known == window) {
            return;
        }
        let from = window.start.min(window.end).max(now.wall);
        let until = window.end.max(window.start).max(from);
        let length = until.duration_since(from).unsigned_abs();
        let length = if length.is_zero() { SOON } else { length };
        let moment = from.checked_add(share(length, now.random)).unwrap_or(from);
        self.window = Some((window, moment));
    }

    /// Whether a renewal waits for no moment.
    pub(super) fn renews_at_once(&self, now: Now, skew: &Skew) -> bool {
        self.renew_now || self.renew_begun || self.validity(now, skew) == Validity::Expired
    }

    /// When it will be renewed.
    pub(super) fn renew_at(&self) -> Timestamp {
        self.window.map_or(self.own_renew_at, |(_, moment)| moment.min(self.own_renew_at))
    }

    pub(super) fn validity(&self, now: Now, skew: &Skew) -> Validity {
        validity(&self.identity, now, skew)
    }

    /// The Console does not know it, so it said once. It is asked once more, one heartbeat later, before that is believed.
    pub(super) fn doubt(&mut self, now: Now, skew: &Skew, failure: &Failure) {
        self.verdict = Verdict::Refused(failure.fault.clone());
        self.is_doubted = true;
        // Only one of the two is due: what has expired renews, and does not beat.
        let call = match self.validity(now, skew) {
            Validity::Good | Validity::Suspect => &mut self.heartbeat,
            Validity::Expired => &mut self.renew,
        };
        call.fail(now, failure, jitter(HEARTBEAT, now.random));
    }

    /// Whether the Console's last word on it was that it does not know it.
    pub(super) fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    /// Whether a renewal of it may be asked for. One that has expired is renewed whatever was said of it; one that the Console does
    /// not know only where its successor may have been made already.
    pub(super) fn may_renew(&self, now: Now, skew: &Skew) -> bool {
        match (self.validity(now, skew), &self.verdict) {
            (Validity::Suspect, _) | (Validity::Good, Verdict::Revoked(_)) => false,
            (Validity::Good, Verdict::Lost(_)) => self.renew_begun,
            (Validity::Expired, _)
            | (Validity::Good, Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_)) => true,
        }
    }

    /// Where a clock that was set has ended its life, a renewal does not wait any more as it did in the middle of that life.
    pub(super) fn look_at_the_clock(&mut self, now: Now, skew: &Skew) {
        let is_over = self.validity(now, skew) == Validity::Expired;
        let was_over = std::mem::replace(&mut self.is_over, is_over);
        if is_over && !was_over && !matches!(self.verdict, Verdict::Revoked(_)) {
            self.renew.wait_at_most(now, schedule::within(schedule::REFUSED, now.random));
        }
    }

    /// Whether it may be used for calls.
    pub(super) fn is_usable(&self, now: Now, skew: &Skew) -> bool {
        self.validity(now, skew) == Validity::Good
            && match self.verdict {
                Verdict::Unknown | Verdict::Accepted | Verdict::Refused(_) => true,
                Verdict::Lost(_) | Verdict::Revoked(_) => false,
            }
    }

    /// Something changed that may change the Console's mind.
    pub(super) fn reconsider(&mut self) {
        self.heartbeat.reconsider();
        self.renew.reconsider();
    }
}

impl Candidate {
    pub(super) fn new(identity: Identity, obtained_by: ObtainedBy) -> Self {
        Self {
            identity,
            obtained_by,
            proof: None,
            prove: RetryState::default(),
            publish: RetryState::default(),
        }
    }

    /// Whether its proof has failed, so that nothing waits for it any more.
    pub(super) fn is_stalled(&self) -> bool {
        self.proof.is_none() && self.prove.fault().is_some()
    }

    pub(super) fn validity(&self, now: Now, skew: &Skew) -> Validity {
        validity(&self.identity, now, skew)
    }
}

pub(super) fn validity(identity: &Identity, now: Now, skew: &Skew) -> Validity {
    if now.wall < identity.not_after {
        return Validity::Good;
    }
    match skew.clock() {
        Clock::Unknown => Validity::Suspect,
        Clock::Right => Validity::Expired,
        Clock::Wrong(_) if skew.corrected(now) < identity.not_after => Validity::Good,
        Clock::Wrong(_) => Validity::Expired,
    }
}

/// A heartbeat was answered, with a state that is not trust.
fn distrusted(state: TrustState) -> Fault {
    let code = match state {
        TrustState::BootstrapPending => Code::BootstrapPending,
        TrustState::Trusted | TrustState::Rotated | TrustState::TrustRevoked => Code::TrustRevoked,
    };
    Fault::new(code, format!("the Console's trust in this sensor is `{state}`"))
}

/// A tenth more or less, so that a fleet does not heartbeat in step.
fn jitter(interval: Duration, random: u64) -> Duration {
    interval.mul_f64(0.9) + share(interval.mul_f64(0.2), random)
}

/// A part of `whole`, drawn evenly.
pub(super) fn share(whole: Duration, random: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a share of a wait does not need 64 bits")]
    let share = random as f64 / u64::MAX as f64;
    whole.mul_f64(share)
}
