//! The agent's whole life as a machine without I/O: it is told what happened, and says what to do.
//!
//! [`Machine::step`] takes one [`Input`] and the time, and returns [`Effect`]s; [`Machine::next_deadline`] says when it
//! wants to be woken; [`Machine::report`] says where it stands. It reads no clock, draws no number, touches no file and
//! waits for nothing, so that its life from first start to revocation is a table of tests.
//!
//! Inside it keeps facts, not a state: what identity stands, what the Console said of it, what token is in hand, what was
//! refused. The next thing to do is read off the facts (`agenda`), and so is the state that people see (`show`): the
//! two cannot disagree. What follows from a failure stands in one place (`policy`).
//!
//! Invariants, each with a property test:
//! - at most one answered effect is under way, so at most one call to the Console;
//! - an identity that stands is replaced only by one that the Console has accepted ([`Call::Prove`]), and is never
//!   thrown away because a renewal failed, a token changed or a clock is wrong;
//! - a token that was refused for good is not presented again before it, or where it may help the configuration, changes;
//! - waits are kept on the monotonic clock, the life of a certificate on the wall clock, and a tick at the deadline
//!   always makes progress;
//! - nothing in it grows with time.

mod agenda;
mod answers;
mod commands;
mod effect;
mod held;
mod input;
mod policy;
mod show;
mod skew;
mod store;
mod wait;
mod wish;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use telovix_contract::TokenHash;

use self::agenda::Todo;
pub use self::effect::{Call, CommandResult, Effect, EnrollReason};
use self::held::{Candidate, Held, Road, Verdict};
pub use self::input::{
    Accepted, Answer, Current, Failure, Fault, Identity, Input, Loaded, Loss, MadeOn, Nature, Outcome,
    Settings, TokenFacts, Urgency,
};
pub use self::skew::TOLERATED as TOLERATED_SKEW;
use self::skew::{Observed, Skew};
use self::wait::Tries;
use self::wish::Enrolling;
use crate::status::StateName;

/// Most notes of mended things that are remembered.
const MOST_NOTES: usize = 8;

/// One moment, and a number drawn for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// A clock that is never set and goes on during suspend (`CLOCK_BOOTTIME`), from any origin.
    pub mono: Duration,
    /// Drawn anew for every step, evenly over all of `u64`; all jitter comes from it.
    pub random: u64,
}

/// The machine. It can be copied and compared, so that a search (`tests/tests/model`) can branch and know a state again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    settings: Settings,
    life: Life,
    /// Whether the state directory was read at least once.
    loaded: bool,
    /// Whether it has to be read again.
    reload: bool,
    load: Tries,
    /// What is under way and will be answered.
    job: Option<Job>,
    /// What held when the call in flight was made: a refusal is of these.
    presented: Presented,
    /// Counts the configurations.
    configuration: u64,
    skew: Skew,
    probe: Tries,
    /// Something failed on dates, and the Console was not asked for the time since.
    doubts_dates: bool,
    token: Option<TokenFacts>,
    /// The last token that was there, which stays when it goes.
    last_token: Option<TokenHash>,
    /// The token that was said to be spent.
    spent: Option<TokenHash>,
    held: Option<Held>,
    loss: Option<Loss>,
    candidate: Option<Candidate>,
    enrolling: Enrolling,
    retirement: Retirement,
    /// A `renew` command waits for its end.
    renew_asked: bool,
    /// Whether `.sensor-ready` stands, as far as known.
    ready: Option<bool>,
    copied_discarded: bool,
    notes: VecDeque<String>,
    announced: StateName,
}

/// What is under way and will be answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Job {
    Load,
    Publish,
    Call(Call),
}

/// The token and the configuration that a call was made with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
struct Presented {
    token: Option<TokenHash>,
    configuration: u64,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Before,
    Running,
    Stopped,
}

/// Whether this node was retired by request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Retirement {
    No,
    Wanted,
    Done { untold: Option<Fault>, token: Option<TokenHash> },
}

impl Machine {
    /// A machine that waits for [`Input::Started`].
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            life: Life::Before,
            loaded: false,
            reload: false,
            load: Tries::default(),
            job: None,
            presented: Presented::default(),
            configuration: 0,
            skew: Skew::default(),
            probe: Tries::default(),
            doubts_dates: false,
            token: None,
            last_token: None,
            spent: None,
            held: None,
            loss: None,
            candidate: None,
            enrolling: Enrolling::default(),
            retirement: Retirement::No,
            renew_asked: false,
            ready: None,
            copied_discarded: false,
            notes: VecDeque::new(),
            announced: StateName::Starting,
        }
    }

    /// Takes one input and says what to do, in this order.
    #[must_use]
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.life == Life::Stopped {
            return effects;
        }
        if self.skew.observe(now) == Observed::Stepped {
            self.clock_was_set();
        }
        self.take(now, input, &mut effects);
        let job = self.proceed(now, &mut effects);
        self.announce(now, &mut effects);
        effects.extend(job);
        effects
    }

    /// How long until [`Input::Tick`] is wanted. `None`: not before something else happens, because the machine waits
    /// for an answer or for a person.
    pub fn next_deadline(&self, now: Now) -> Option<Duration> {
        let agenda = self.agenda(now);
        match agenda.due {
            Some(_) => Some(Duration::ZERO),
            None => agenda.next.map(|at| at.saturating_sub(now.mono)),
        }
    }

    fn take(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Started(token) => {
                self.life = Life::Running;
                self.reload = true;
                self.token_is(token);
            }
            Input::Loaded(loaded) => self.loaded(now, *loaded, effects),
            Input::LoadFailed(fault) => self.load_failed(now, fault),
            Input::Token(token) => self.token_is(token),
            Input::ConfigChanged(settings) => self.configuration_is(settings),
            Input::FilesChanged => self.reload = true,
            Input::Tick => {}
            Input::Answered(answer) => self.answered(now, *answer, effects),
            Input::Published => self.published(now, effects),
            Input::PublishFailed(fault) => self.publish_failed(now, fault, effects),
            Input::Renew(urgency) => self.asked_to_renew(now, urgency, effects),
            Input::Decommission => self.asked_to_retire(effects),
            Input::Stop => {
                self.life = Life::Stopped;
                self.cancel_call(effects);
            }
        }
    }

    /// Does what is due and needs no answer, and starts the first job that does.
    fn proceed(&mut self, now: Now, effects: &mut Vec<Effect>) -> Option<Effect> {
        if matches!(self.retirement, Retirement::Wanted)
            && self.job.is_none()
            && let Some(untold) = self.untold(now)
        {
            self.retire(Some(untold), effects);
        }
        loop {
            let (job, effect) = match self.agenda(now).due? {
                Todo::Discard(generation) => {
                    self.candidate = None;
                    effects.push(Effect::Discard { generation });
                    continue;
                }
                Todo::Load => {
                    self.reload = false;
                    (Job::Load, Effect::Load)
                }
                Todo::Publish(generation) => (Job::Publish, Effect::Publish { generation }),
                Todo::Call(call) => (Job::Call(call.clone()), Effect::Call(call)),
            };
            self.job = Some(job);
            self.presented = self.at_hand();
            return Some(effect);
        }
    }

    /// Says what changed: commands that ended, readiness, a spent token, the state.
    fn announce(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.end_renewal(now, effects);
        if let Some(ready) = self.readiness(now)
            && self.ready != Some(ready)
        {
            self.ready = Some(ready);
            effects.push(Effect::SetReady(ready));
        }
        self.say_spent(effects);
        let line = self.line(now);
        if line.state != self.announced {
            let from = std::mem::replace(&mut self.announced, line.state);
            effects.push(Effect::StateChanged { from, to: line.state, reason: line.reason });
        }
    }

    /// Whether the Console accepts an identity that is in force; `None` while nobody knows, and `.sensor-ready` stays as
    /// it is. A network that fails says nothing about the identity.
    fn readiness(&self, now: Now) -> Option<bool> {
        if !self.loaded {
            return None;
        }
        if matches!(self.retirement, Retirement::Done { .. }) {
            return Some(false);
        }
        let Some(held) = &self.held else {
            let judged = self.loss.as_ref().is_none_or(|loss| !self.may_be_the_clock(now, loss));
            return judged.then_some(false);
        };
        if held.standing(now, &self.skew) != held::Standing::Good {
            return Some(false);
        }
        match held.verdict {
            Verdict::Unknown => None,
            Verdict::Accepted => Some(true),
            Verdict::Refused(_) | Verdict::Lost(_) | Verdict::Revoked(_) => Some(false),
        }
    }

    fn say_spent(&mut self, effects: &mut Vec<Effect>) {
        let (Some(held), Some(token)) = (&self.held, &self.token) else { return };
        let (hash, token_type) = (token.hash(), held.identity.token_type);
        if held.verdict == Verdict::Accepted
            && token.matches(&held.identity.token_sha256)
            && self.spent != Some(hash)
        {
            self.spent = Some(hash);
            effects.push(Effect::TokenSpent { token: hash, token_type });
        }
    }

    fn token_is(&mut self, token: Option<TokenFacts>) {
        self.token = token;
        let Some(token) = token else { return };
        if self.last_token == Some(token.hash()) {
            return;
        }
        self.last_token = Some(token.hash());
        self.enrolling.token_changed();
        self.reconsider();
        if let Retirement::Done { token: known, .. } = &self.retirement {
            let paid = self.held.as_ref().is_some_and(|held| token.matches(&held.identity.token_sha256));
            if *known != Some(token.hash()) && !paid {
                self.retirement = Retirement::No;
                self.reload = true;
            }
        }
    }

    /// What a call made now would be made with.
    fn at_hand(&self) -> Presented {
        let token = self.token.as_ref().map(TokenFacts::hash);
        Presented { token, configuration: self.configuration }
    }

    fn configuration_is(&mut self, settings: Settings) {
        self.settings = settings;
        self.configuration += 1;
        self.reload = true;
        self.load.hurry();
        self.enrolling.configuration_changed();
        self.reconsider();
        // Perhaps this is the Console that knows the identity.
        if let Some(held) = &mut self.held
            && matches!(held.verdict, Verdict::Lost(_))
        {
            held.verdict = Verdict::Unknown;
            held.beat.succeed();
        }
    }

    /// Token or configuration changed: what was refused for good may be asked again.
    fn reconsider(&mut self) {
        if let Some(held) = &mut self.held {
            held.reconsider();
        }
        if let Some(candidate) = &mut self.candidate
            && candidate.road == Road::Barred
        {
            candidate.road = Road::Open;
            candidate.prove.succeed();
        }
    }

    /// The wall clock was set: what was known of it is forgotten, and what failed on dates is tried again.
    fn clock_was_set(&mut self) {
        self.doubts_dates = false;
        self.probe.succeed();
        self.reload |= self.loaded;
        self.clock_is_right();
    }

    /// What failed because of the clock need not wait any more.
    fn clock_is_right(&mut self) {
        self.reload |= self.loss.as_ref().is_some_and(|loss| loss.about_time.is_some());
        self.probe.succeed();
        self.enrolling.tries.clock_mended();
        if let Some(held) = &mut self.held {
            held.beat.clock_mended();
            held.renew.clock_mended();
        }
        if let Some(candidate) = &mut self.candidate {
            candidate.prove.clock_mended();
        }
    }

    fn cancel_call(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.job, Some(Job::Call(_))) {
            self.job = None;
            effects.push(Effect::CancelCall);
        }
    }
}

#[cfg(test)]
mod tests;
