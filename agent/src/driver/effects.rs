//! The machine's effects, carried out.

use std::time::Duration;

use jiff::SignedDuration;

use super::drive::{Driver, Event, IdentityChange};
use super::error::DriverError;
use super::{enroll, found, spent_token, summary};
use crate::clock;
use crate::machine::{Answer, Current, Effect, Identity, Input, Loaded, Outcome};
use crate::store::{Generation, HoldOutcome, PendingKind, Publication, SensorState, StoreError};
use crate::verify::Verified;

/// How long an enrollment that nobody goes on with is kept: longer than a Console repeats its answer, and than people wait
/// for an approval.
const UNUSED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often a disk that refused is asked again.
const MEND_AGAIN: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load => {
                let input = match self.load() {
                    Ok(loaded) => Input::Loaded(Box::new(loaded)),
                    Err(error) => Input::LoadFailed(self.disk_failed(&error)),
                };
                self.inputs.push_back(input);
            }
            Effect::Call(call) => {
                // What an earlier call saw of the Console's clock is not this one's.
                let _ = self.console.take_sighting();
                if let Err(error) = self.start_call(call) {
                    self.answer(failed(&error));
                }
            }
            Effect::CancelCall => self.in_flight = None,
            Effect::Publish { generation } => {
                let input = match self.publish(generation) {
                    Ok(()) => Input::Published,
                    Err(error) => Input::PublishFailed(self.disk_failed(&error)),
                };
                self.inputs.push_back(input);
            }
            Effect::ForgetRenewal => complain(self.store.discard(PendingKind::Renewal)),
            Effect::DiscardCopied => self.discard_copied(),
            Effect::SetReady(ready) => {
                self.ready_owed = Some(ready);
                if let Err(error) = self.set_ready() {
                    tracing::warn!(%error, "cannot update .sensor-ready; it is tried again with the next contact");
                }
            }
            Effect::NotifyConsumers { .. } => {
                let change = std::mem::replace(&mut self.change, IdentityChange::Restored);
                self.events.push(Event::IdentityChanged(change));
            }
            Effect::TokenSpent { token, token_type } => {
                let spent = self.token.as_ref().filter(|found| found.token.hash() == token);
                let mut notes = Vec::new();
                spent_token::forget(spent, token_type, &self.host.config, &mut notes);
                self.events.extend(notes.into_iter().map(Event::Warning));
            }
            Effect::StateChanged { from, to, reason } => self.log_change(from, to, &reason),
            Effect::CommandDone(result) => self.events.push(Event::CommandDone(result)),
        }
    }

    /// The machine says once what `.sensor-ready` is to say. A disk that did not take it is asked again whenever
    /// something happens, which is at every heartbeat.
    pub(super) fn catch_up(&mut self) {
        if !self.unmended.is_empty() && self.uptime.now().saturating_sub(self.looked) >= MEND_AGAIN {
            self.looked = self.uptime.now();
            self.inputs.push_back(Input::FilesChanged);
        }
        if self.set_ready().is_ok_and(|done| done) {
            tracing::info!("the state directory can be written again");
        }
    }

    /// Whether anything was owed; it is not any more.
    fn set_ready(&mut self) -> Result<bool, StoreError> {
        if self.store.is_read_only() {
            return Ok(false);
        }
        let Some(ready) = self.ready_owed else { return Ok(false) };
        if ready != self.store.ready_since().is_some() {
            let at = ready.then(|| clock::now(&self.host.clock));
            self.store.set_ready(at)?;
        }
        self.ready_owed = None;
        Ok(true)
    }

    pub(super) fn answer(&mut self, outcome: Outcome) {
        // The Console's time as it would stand in an answer of this moment.
        let now = clock::now(&self.host.clock);
        let server_date = self
            .console
            .take_sighting()
            .map(|seen| seen.console.saturating_add(now.duration_since(seen.host)).unwrap_or(seen.console));
        self.inputs.push_back(Input::Answered(Box::new(Answer { server_date, outcome })));
    }

    /// Makes sure that the state directory is the one that this agent holds, and says what it did for that. Where it
    /// is another one that this process cannot have, only another process can.
    fn hold(&mut self) -> Result<Option<String>, StoreError> {
        match self.store.hold() {
            Ok(HoldOutcome::Unchanged) => Ok(None),
            Ok(HoldOutcome::Reopened) => {
                let note =
                    "the state directory, or the lock in it, was removed or replaced; it was opened again";
                tracing::warn!("{note}");
                Ok(Some(note.to_owned()))
            }
            Err(error) => {
                self.ended = error.needs_another_process().then(|| error.to_string());
                Err(error)
            }
        }
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let note = self.hold()?;
        let found = found::read(&mut self.store, &self.host);
        if let Err(error @ StoreError::Newer { .. }) = &found {
            self.ended = Some(error.to_string());
        }
        let mut found = found?;
        for note in &found.mended {
            tracing::warn!(note, "mended the state directory");
        }
        found.told.notes.splice(0..0, note);
        self.heard = found::heard(&self.store, &self.console_url);
        found.told.heard = self.heard;
        // One that only its dates speak against may be good by the Console's clock: the machine may use it yet.
        if !matches!(&found.told.current, Current::Lost(loss) if loss.about_time.is_some()) {
            self.current = found.current;
        }
        self.others = found.others;
        for note in found.unmended.iter().filter(|note| !self.unmended.contains(note)) {
            tracing::warn!(note, "the state directory cannot be mended");
        }
        (self.unmended, self.met, self.looked) = (found.unmended, found.met, self.uptime.now());
        self.forget_unused(&found.told);
        self.keeps_out = self.store.keeps_out(&Publication::from(&self.host.config.publish));
        Ok(found.told)
    }

    /// Nobody goes on with an enrollment whose token is not here any more, and a key does not lie about for ever.
    fn forget_unused(&mut self, told: &Loaded) {
        let stands = matches!(told.current, Current::Intact(_)) && told.ready_since.is_some();
        let now = clock::now(&self.host.clock);
        let is_old = |since| now.duration_since(since) > UNUSED;
        if stands
            && told.committed.is_none()
            && self.store.pending_since().is_some_and(is_old)
            && let Ok(Some(pending)) = self.store.pending()
            && !self.token.as_ref().is_some_and(|found| found.token.matches(&pending.token_sha256))
        {
            complain(self.store.discard(PendingKind::Enrollment));
        }
    }

    fn publish(&mut self, generation: u32) -> Result<(), StoreError> {
        let Some(place) = self.others.iter().position(|found| found.number() == generation) else {
            return Err(StoreError::Corrupt {
                path: self.store.dir().join(format!("generations/{generation:06}")),
                problem: "it is not there any more".to_owned(),
            });
        };
        if let Some(kept) = self.store.publish(&self.others[place])? {
            let note = format!("files that this agent did not make are kept in {}", kept.display());
            self.events.push(Event::Warning(note));
        }
        let published = self.others.remove(place);
        let sensor_id = published.verified().sensor_id();
        tracing::info!(
            %sensor_id,
            generation,
            not_after = %published.verified().not_after(),
            "the identity is published"
        );
        let before = self.current.replace(published);
        self.change = match &before {
            Some(old) if old.number() > generation => IdentityChange::Restored,
            Some(old) if old.verified().sensor_id() == sensor_id => IdentityChange::Renewed,
            Some(_) | None => IdentityChange::Enrolled,
        };
        self.others.extend(before);
        self.others.sort_by_key(|other| std::cmp::Reverse(other.number()));
        Ok(())
    }

    /// Remembers what was issued, committed where it is not there yet: a repeated request brings the same again.
    pub(super) fn commit(&mut self, verified: Verified, state: SensorState) -> Result<Identity, StoreError> {
        let is_same = |other: &&Generation| {
            let known = other.verified();
            known.chain() == verified.chain() && known.ca() == verified.ca()
        };
        if let Some(same) = self.others.iter().chain(&self.current).find(is_same) {
            return Ok(summary::identity(&self.host, same));
        }
        let generation = self.store.commit(verified, state)?;
        let identity = summary::identity(&self.host, &generation);
        self.others.insert(0, generation);
        match self.store.sweep(self.current.as_ref().map(Generation::number)) {
            Ok(swept) => self.others.retain(|other| !swept.contains(&other.number())),
            refused => complain(refused.map(drop)),
        }
        Ok(identity)
    }

    /// A renewal is of the copied identity. An enrollment may be this machine's own, with a token spent on it.
    fn discard_copied(&mut self) {
        complain(self.store.discard(PendingKind::Renewal));
        let pending = self.store.pending().ok().flatten();
        if !pending.is_some_and(|pending| enroll::is_ours(&pending, &self.host)) {
            complain(self.store.discard(PendingKind::Enrollment));
        }
    }
}

pub(super) fn failed(error: &DriverError) -> Outcome {
    Outcome::Failed(error.failure())
}

/// A disk that refuses what can be done again later is worth a line, not a change of plan.
pub(super) fn complain(done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "the state directory refuses");
    }
}
