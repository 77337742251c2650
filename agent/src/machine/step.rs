//! One step: an input taken, the next job started, what changed announced.

use std::time::Duration;

use super::agenda::Todo;
use super::effect::Effect;
use super::identity::{Validity, Verdict};
use super::input::{Heard, Input, Now, Settings, TokenFacts};
use super::skew::Observed;
use super::state::{Job, Life, Machine, Presented, Retirement};

impl Machine {
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
        self.try_others_alone(now);
        if let Some(current) = &mut self.current {
            current.look_at_the_clock(now, &self.skew);
        }
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
            Input::RetryNow => self.retry_everything_now(),
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
                Todo::SetAside => {
                    self.candidate = None;
                    self.try_next(now);
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
        let Some(current) = &self.current else {
            let judged = self.loss.as_ref().is_none_or(|loss| !self.may_be_the_clock(now, loss));
            return judged.then_some(false);
        };
        if current.validity(now, &self.skew) != Validity::Good {
            return Some(false);
        }
        match current.verdict {
            Verdict::Unknown => None,
            Verdict::Accepted => Some(true),
            Verdict::Refused(_) | Verdict::Lost(_) | Verdict::Revoked(_) => Some(false),
        }
    }

    fn say_spent(&mut self, effects: &mut Vec<Effect>) {
        let (Some(current), Some(token)) = (&self.current, &self.token) else { return };
        let (hash, token_type) = (token.hash(), current.identity.token_type);
        if current.verdict == Verdict::Accepted
            && token.matches(&current.identity.token_sha256)
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
            let paid =
                self.current.as_ref().is_some_and(|current| token.matches(&current.identity.token_sha256));
            if *known != Some(token.hash()) && !paid {
                self.retirement = Retirement::No;
                self.reload = true;
            }
        }
    }

    /// What a call made now would be made with.
    pub(super) fn at_hand(&self) -> Presented {
        let token = self.token.as_ref().map(TokenFacts::hash);
        Presented { token, configuration: self.configuration }
    }

    fn configuration_is(&mut self, settings: Settings) {
        if self.settings.console_url != settings.console_url {
            self.heard = Heard::default();
        }
        self.settings = settings;
        self.configuration += 1;
        self.reload = true;
        self.load.retry_now();
        self.enrolling.configuration_changed();
        self.reconsider();
        // Perhaps this is the Console that knows the identity.
        if let Some(current) = &mut self.current
            && matches!(current.verdict, Verdict::Lost(_))
        {
            current.verdict = Verdict::Unknown;
            current.heartbeat.succeed();
        }
    }

    /// Token or configuration changed: what was refused is asked again at once.
    fn reconsider(&mut self) {
        if let Some(current) = &mut self.current {
            current.reconsider();
        }
        if let Some(candidate) = &mut self.candidate {
            candidate.prove.reconsider();
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
    pub(super) fn clock_is_right(&mut self) {
        self.reload |= self.loss.as_ref().is_some_and(|loss| loss.about_time.is_some());
        self.probe.succeed();
        self.enrolling.tries.clock_mended();
        if let Some(current) = &mut self.current {
            current.heartbeat.clock_mended();
            current.renew.clock_mended();
        }
        if let Some(candidate) = &mut self.candidate {
            candidate.prove.clock_mended();
        }
    }

    pub(super) fn cancel_call(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.job, Some(Job::Call(_))) {
            self.job = None;
            effects.push(Effect::CancelCall);
        }
    }
}
