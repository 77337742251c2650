//! The machine's effects, carried out.

use telovix_contract::SensorId;
use telovix_contract::session::RenewRequest;

use super::calls::{self, Voice};
use super::{Supervisor, summary};
use crate::clock;
use crate::console::ConsoleError;
use crate::csr::Csr;
use crate::enrollment::obtain::{self, Application, FirstContact};
use crate::enrollment::{EnrollError, NewSensor, spent};
use crate::hook;
use crate::key::KeyPair;
use crate::machine::{Answer, Call, Current, Effect, Input, Loaded, Outcome};
use crate::server::ControlRequest;
use crate::store::{self, Generation, HoldOutcome, PendingKind, Publication, StoreError};

impl Supervisor {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load => {
                let input = match self.load() {
                    Ok(loaded) => Input::Loaded(Box::new(loaded)),
                    Err(error) => Input::LoadFailed(summary::disk(&error)),
                };
                self.inputs.push_back(input);
            }
            Effect::Call(call) => {
                // What an earlier call saw of the Console's clock is not this one's.
                let _ = self.console.take_sighting();
                match self.take_off(call) {
                    Ok(None) => {}
                    Ok(Some(outcome)) => self.answer(outcome),
                    Err(error) => self.answer(Outcome::Failed(summary::enrollment(&error))),
                }
            }
            Effect::CancelCall => self.flight = None,
            Effect::Publish { generation } => {
                let input = match self.publish(generation) {
                    Ok(()) => Input::Published,
                    Err(error) => Input::PublishFailed(summary::disk(&error)),
                };
                self.inputs.push_back(input);
            }
            Effect::Discard { generation } => self.discard(generation),
            Effect::DiscardCopied => {
                // A renewal is of the copied identity. An enrollment may be this machine's own, with a token spent on it.
                complain(self.store.discard(PendingKind::Renewal));
                let pending = self.store.pending().ok().flatten();
                if !pending.is_some_and(|pending| obtain::is_ours(&pending, &self.here.host())) {
                    complain(self.store.discard(PendingKind::Enrollment));
                    self.committed = None;
                }
            }
            Effect::SetReady(ready) => {
                self.owed = Some(ready);
                if let Err(error) = self.set_ready() {
                    tracing::warn!(%error, "the state directory refuses; it is asked again with the next contact");
                }
            }
            Effect::NotifyConsumers { .. } => self.tell_consumers(),
            Effect::TokenSpent { token, token_type } => {
                let spent_one = self.token.as_ref().filter(|found| found.token.hash() == token);
                let mut notes = Vec::new();
                spent::forget(spent_one, token_type, &self.here.config, &mut notes);
                for note in notes {
                    tracing::warn!("{note}");
                }
            }
            Effect::StateChanged { from, to, reason } => {
                self.log_change(from, to, &reason);
            }
            Effect::CommandDone(result) => {
                let asked = std::mem::take(&mut self.asked);
                let (done, waiting): (Vec<_>, _) =
                    asked.into_iter().partition(|request| request.ends_with(&result));
                self.asked = waiting;
                for request in done {
                    request.done(result.clone());
                }
            }
        }
    }

    /// The machine says once what `.sensor-ready` is to say. A disk that did not take it is asked again whenever
    /// something happens, which is at every heartbeat.
    pub(super) fn make_up(&mut self) {
        if self.set_ready().is_ok_and(|made_up| made_up) {
            tracing::info!("the state directory takes what it refused before");
        }
    }

    /// Whether anything was owed; it is not any more.
    fn set_ready(&mut self) -> Result<bool, StoreError> {
        let Some(ready) = self.owed else { return Ok(false) };
        if ready != self.store.ready_since().is_some() {
            let at = ready.then(|| clock::now(&self.here.clock));
            self.store.set_ready(at)?;
        }
        self.owed = None;
        Ok(true)
    }

    /// What people ask for. Who asks for what somebody else waits for already gets the same answer.
    pub(super) fn ask(&mut self, request: ControlRequest) {
        match request.input() {
            None => request.alive(),
            Some(input) => {
                self.asked.push(request);
                self.tell(input);
            }
        }
    }

    pub(super) fn answer(&mut self, outcome: Outcome) {
        // The Console's time as it would stand in an answer of this moment.
        let now = clock::now(&self.here.clock);
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
                    "the state directory, or the lock in it, was removed or replaced; it was taken anew";
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
        let now = clock::now(&self.here.clock);
        let mut notes = Vec::new();
        notes.extend(self.hold()?);
        let found = self.store.load(now)?;
        let current = match found {
            store::Loaded::Nothing => {
                self.current = None;
                Current::Nothing
            }
            store::Loaded::Intact { generation, mended } => {
                for note in &mended {
                    tracing::warn!(note, "mended the state directory");
                }
                notes.extend(mended);
                self.store.settle(&generation)?;
                let identity = summary::identity(&self.here.host(), &generation);
                self.current = Some(*generation);
                Current::Intact(identity)
            }
            store::Loaded::Lost(loss) => {
                // One that only its dates speak against may be good by the Console's clock: the machine may use it yet.
                let lost = summary::lost(&self.here.host(), &loss);
                if !matches!(&lost, Current::Lost(loss) if loss.about_time.is_some()) {
                    self.current = None;
                }
                lost
            }
        };
        self.barred = self.store.keeps_out(&Publication::from(&self.here.config.publish));
        self.committed = self.committed_before(now)?;
        let committed =
            self.committed.as_ref().map(|generation| summary::identity(&self.here.host(), generation));
        let renewal_begun = committed.is_none() && self.is_renewing()?;
        let told = self.current.as_ref().is_some_and(|current| self.store.was_told(current));
        Ok(Loaded { current, committed, renewal_begun, ready_since: self.store.ready_since(), told, notes })
    }

    /// Whether a renewal of the current identity is under way. One that cannot be read is begun anew when it is time.
    fn is_renewing(&self) -> Result<bool, StoreError> {
        let current = self.current.as_ref().map(Generation::number);
        match self.store.pending_renewal() {
            Ok(pending) => Ok(pending.is_some_and(|pending| pending.renews == current)),
            Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What an earlier process committed and did not live to publish.
    fn committed_before(&self, now: jiff::Timestamp) -> Result<Option<Generation>, StoreError> {
        for pending in [self.store.pending(), self.store.pending_renewal()] {
            let pending = match pending {
                Ok(Some(pending)) => pending,
                Ok(None) => continue,
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::warn!(%error, "what was under way cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(generation) = self.store.committed(&pending, now)? {
                return Ok(Some(generation));
            }
        }
        Ok(None)
    }

    /// Starts a call, or answers it at once where that can be done without the Console.
    fn take_off(&mut self, call: Call) -> Result<Option<Outcome>, EnrollError> {
        match call {
            Call::Enroll { replaces, reason } => {
                tracing::debug!(%reason, console = %self.here.console_url, "enrolling");
                return self.take_off_to_enroll(replaces);
            }
            Call::Renew => return self.take_off_to_renew(),
            Call::Prove { generation } => {
                let committed = self.committed.as_ref().filter(|found| found.number() == generation);
                let of = committed.ok_or_else(|| gone("the committed generation"))?;
                let (voice, sensor) = (voice(of)?, of.verified().sensor_id());
                self.flight = Some(calls::heartbeat(self.console.clone(), voice, sensor));
            }
            Call::Heartbeat => {
                let of = self.current.as_ref().ok_or_else(|| gone("the current generation"))?;
                let (voice, sensor) = (voice(of)?, of.verified().sensor_id());
                self.flight = Some(calls::heartbeat(self.console.clone(), voice, sensor));
            }
            Call::ProbeClock => self.flight = Some(calls::clock(self.console.clone())),
            Call::Decommission => {
                let of = self.current.as_ref().ok_or_else(|| gone("the current generation"))?;
                let target = self.here.console_url.authority();
                self.flight = Some(calls::decommission(self.console.clone(), voice(of)?, target));
            }
        }
        Ok(None)
    }

    fn take_off_to_enroll(&mut self, replaces: Option<SensorId>) -> Result<Option<Outcome>, EnrollError> {
        let token = self.token.as_ref().map(|found| found.token.clone());
        let token = token.ok_or_else(|| gone("the token"))?;
        let host = self.here.host();
        let new_sensor = obtain::new_sensor(NewSensor::Refuse, &token, &self.store);
        let application = Application { host: &host, token: &token, replaces, new_sensor };
        let pending = obtain::begin_or_resume(&application, &mut self.store)?;
        if let Some(generation) = self.store.committed(&pending, clock::now(&self.here.clock))? {
            let identity = summary::identity(&self.here.host(), &generation);
            self.committed = Some(generation);
            return Ok(Some(Outcome::Enrolled(identity)));
        }
        let contact = FirstContact {
            configured: self.here.config.trust.resolve()?,
            stored: self.current.as_ref().map(Generation::trust),
        };
        let body = obtain::body(&pending, &token)?;
        self.flight =
            Some(calls::enroll(self.console.clone(), contact, body, pending, self.here.console_url.clone()));
        Ok(None)
    }

    /// A renewal goes on with its key after a crash, so that a lost answer costs nothing but a repeat. Also where another type
    /// of key is configured by now: the Console may have made the successor for this one, and no other key gets it.
    fn take_off_to_renew(&mut self) -> Result<Option<Outcome>, EnrollError> {
        let current = self.current.as_ref().ok_or_else(|| gone("the current generation"))?;
        let pending = match self.store.pending_renewal() {
            Ok(Some(pending)) if pending.renews == Some(current.number()) => pending,
            Ok(Some(_) | None) | Err(StoreError::Corrupt { .. }) => {
                let key = KeyPair::generate(self.here.config.key_type.value)?;
                let csr = Csr::build(&key, &current.state().node_name)?;
                let request = RenewRequest { csr_pem: csr.pem().to_owned() };
                self.store.begin_renewal(key, &request, current)?
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(generation) = self.store.committed(&pending, clock::now(&self.here.clock))? {
            let identity = summary::identity(&self.here.host(), &generation);
            self.committed = Some(generation);
            return Ok(Some(Outcome::Renewed(identity)));
        }
        let csr_pem = pending.renewal()?.csr_pem;
        self.flight = Some(calls::renew(self.console.clone(), voice(current)?, csr_pem, pending));
        Ok(None)
    }

    fn publish(&mut self, generation: u32) -> Result<(), StoreError> {
        let Some(committed) = self.committed.take().filter(|found| found.number() == generation) else {
            return Err(StoreError::Corrupt {
                path: self.store.dir().join(format!("generations/{generation:06}")),
                problem: "it is not there any more".to_owned(),
            });
        };
        let done = self.store.publish(&committed);
        if done.is_ok() {
            tracing::info!(
                sensor_id = %committed.verified().sensor_id(),
                generation,
                not_after = %committed.verified().not_after(),
                "the identity is published"
            );
            let same = |old: &Generation| old.verified().sensor_id() == committed.verified().sensor_id();
            let renewed = self.current.as_ref().is_some_and(same);
            self.event = if renewed { hook::Event::Renewed } else { hook::Event::Enrolled };
            self.current = Some(committed);
        } else {
            self.committed = Some(committed);
        }
        done
    }

    fn discard(&mut self, generation: u32) {
        let Some(committed) = self.committed.take_if(|found| found.number() == generation) else { return };
        let public = committed.verified().key().public_der();
        let renewal = self.store.pending_renewal().ok().flatten();
        let is_renewal = renewal.is_some_and(|pending| pending.key.public_der() == public);
        complain(self.store.discard(if is_renewal { PendingKind::Renewal } else { PendingKind::Enrollment }));
    }
}

fn voice(generation: &Generation) -> Result<Voice, EnrollError> {
    Ok(Voice { trust: generation.trust(), identity: generation.identity()? })
}

/// Something that the machine counts on went away between its decision and now; the next look at the disk says so.
pub(super) fn gone(what: &str) -> EnrollError {
    EnrollError::from(ConsoleError::Setup { cause: format!("{what} is not there any more") })
}

/// A disk that refuses what can be done again later is worth a line, not a change of plan.
pub(super) fn complain(done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "the state directory refuses");
    }
}
