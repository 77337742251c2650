//! What follows from what the state directory holds.
//!
//! Invariant: the disk is the truth about which identity there is, and this process about what the Console said of it;
//! reading the same identity again forgets nothing that the Console said.

use super::effect::{CommandResult, Effect};
use super::identity::{Candidate, CurrentIdentity, ObtainedBy, Proof, Verdict};
use super::input::{Current, Fault, Identity, Loaded, Loss, MadeOn, Now};
use super::schedule;
use super::state::{Job, Machine};

/// Most notes of mended things that are remembered.
const MOST_NOTES: usize = 8;

impl Machine {
    pub(super) fn loaded(&mut self, now: Now, loaded: Loaded, effects: &mut Vec<Effect>) {
        self.job.take_if(|job| *job == Job::Load);
        self.load.succeed();
        let first = !std::mem::replace(&mut self.loaded, true);
        let Loaded {
            current,
            committed,
            others,
            renewal_begun,
            enrollment_begun,
            heard,
            ready_since,
            told,
            notes,
        } = loaded;
        self.heard.heartbeat |= heard.heartbeat;
        self.heard.renewal |= heard.renewal;
        self.enrollment_begun = enrollment_begun;
        self.ready = Some(ready_since.is_some());
        let mended = !notes.is_empty();
        for note in notes {
            self.note(note);
        }
        match current {
            Current::Nothing => self.nothing_there(now),
            Current::Intact(identity) if identity.made_on == MadeOn::ThisHost => {
                let changed = self.stands(now, identity);
                if let Some(current) = &mut self.current {
                    current.renew_begun |= renewal_begun;
                    current.last_contact = current.last_contact.or(ready_since);
                    if if first { mended || !told } else { changed } {
                        effects.push(Effect::NotifyConsumers { generation: current.identity.generation });
                    }
                }
            }
            Current::Intact(identity) => self.lost(now, copied(&identity), effects),
            Current::Lost(loss) => self.lost(now, loss, effects),
        }
        self.spares = others.into_iter().filter(|other| other.made_on == MadeOn::ThisHost).collect();
        // What is not there any more cannot be asked for.
        let spares = &self.spares;
        let is_there = |it: &Candidate| spares.iter().any(|spare| spare.generation == it.identity.generation);
        self.candidate.take_if(|it| it.obtained_by == ObtainedBy::Spare && !is_there(it));
        self.found_committed(committed);
    }

    pub(super) fn load_failed(&mut self, now: Now, fault: Fault) {
        self.job.take_if(|job| *job == Job::Load);
        self.reload = true;
        self.load.disk_failed(now, fault);
    }

    pub(super) fn published(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.job.take_if(|job| *job == Job::Publish).is_none() {
            return;
        }
        let Some(candidate) = self.candidate.take() else { return };
        let Candidate { identity, proof, obtained_by, .. } = candidate;
        let mut current = CurrentIdentity::new(identity);
        match proof {
            Some(Proof::Accepted(answer)) => current.accept(now, &answer),
            Some(Proof::NoHeartbeat) => current.confirmed_without_heartbeat(now),
            None => {}
        }
        current.enrolled = match obtained_by {
            ObtainedBy::Enrollment | ObtainedBy::Earlier => Some(now.mono),
            ObtainedBy::Renewal => self.current.as_ref().and_then(|old| old.enrolled),
            ObtainedBy::Spare => None,
        };
        if obtained_by == ObtainedBy::Renewal && current.verdict == Verdict::Accepted {
            let life = current.identity.not_after.duration_since(current.identity.not_before);
            current.renew.again_after(now, schedule::renewal_floor(life.unsigned_abs()));
        }
        if let Some(old) = self.current.take() {
            self.put_aside(old.identity);
        }
        self.spares.retain(|spare| spare.generation != current.identity.generation);
        self.untried.clear();
        self.set_aside = None;
        if std::mem::take(&mut self.renew_asked) {
            effects.push(Effect::CommandDone(CommandResult::Renewed {
                generation: current.identity.generation,
                not_after: current.identity.not_after,
            }));
        }
        effects.push(Effect::NotifyConsumers { generation: current.identity.generation });
        self.loss = None;
        self.current = Some(current);
    }

    /// What stood before still stands. The directory is looked at again: perhaps the generation is not there any more.
    pub(super) fn publish_failed(&mut self, now: Now, fault: Fault, effects: &mut Vec<Effect>) {
        if self.job.take_if(|job| *job == Job::Publish).is_none() {
            return;
        }
        // Whoever asked hears of it now: a disk may take its time, and this goes on without them.
        self.renewal_command_failed(&fault, effects);
        self.reload = true;
        if let Some(candidate) = &mut self.candidate {
            candidate.publish.disk_failed(now, fault);
        }
    }

    /// An identity of this host is there. Whether it is another one than before.
    fn stands(&mut self, now: Now, identity: Identity) -> bool {
        self.loss = None;
        if let Some(current) = &mut self.current
            && current.identity.serial == identity.serial
            && current.identity.sensor_id == identity.sensor_id
        {
            current.identity = identity;
            return false;
        }
        // The candidate became current without our doing, or a predecessor came back: the disk is the truth.
        if self.candidate.as_ref().is_some_and(|candidate| candidate.identity.serial == identity.serial) {
            self.candidate = None;
        }
        if let Some(current) = self.current.replace(CurrentIdentity::new(identity)) {
            self.gone(now, &current);
        }
        true
    }

    fn nothing_there(&mut self, now: Now) {
        if let Some(current) = self.current.take() {
            self.gone(now, &current);
        } else if self.loss.is_none() {
            return;
        }
        // Whose it was is not carried over: a wiped directory is a clean start, as it would be after a restart.
        self.loss = Some(Loss {
            reason: "its files are gone".to_owned(),
            about_time: None,
            sensor_id: None,
            token_sha256: None,
            token_type: None,
            made_on: MadeOn::ThisHost,
        });
    }

    fn lost(&mut self, now: Now, loss: Loss, effects: &mut Vec<Effect>) {
        if loss.made_on == MadeOn::AnotherHost && !self.copied_discarded {
            self.copied_discarded = true;
            effects.push(Effect::DiscardCopied);
        }
        // An identity that this process holds is judged by its dates here, where the Console's clock is known.
        let only_time = loss.about_time.is_some() && loss.made_on == MadeOn::ThisHost;
        if only_time
            && self.current.as_ref().is_some_and(|current| Some(current.identity.sensor_id) == loss.sensor_id)
        {
            return;
        }
        if let Some(current) = self.current.take() {
            self.gone(now, &current);
        }
        self.loss = Some(loss);
    }

    fn found_committed(&mut self, committed: Option<Identity>) {
        let Some(identity) = committed else {
            // What cannot be published and is not there has to be obtained anew.
            self.candidate.take_if(|candidate| candidate.publish.fault().is_some());
            return;
        };
        let known = self.candidate.as_ref().map(|candidate| candidate.identity.generation);
        let current = self.current.as_ref().map(|current| current.identity.generation);
        let was_set_aside =
            self.set_aside.as_ref().is_some_and(|before| before.generation == identity.generation);
        let is_ours = identity.made_on == MadeOn::ThisHost && !was_set_aside;
        if is_ours && known != Some(identity.generation) && current != Some(identity.generation) {
            self.candidate = Some(Candidate::new(identity, ObtainedBy::Earlier));
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.contains(&note) {
            return;
        }
        if self.notes.len() == MOST_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }
}

impl CurrentIdentity {
    fn confirmed_without_heartbeat(&mut self, now: Now) {
        self.no_heartbeat_endpoint();
        self.heartbeat.again_after(now, schedule::within(schedule::REFUSED, now.random));
        debug_assert!(self.verdict == Verdict::Accepted);
    }
}

/// Somebody else's identity: neither used nor named.
fn copied(identity: &Identity) -> Loss {
    Loss {
        reason: "it was made on another machine".to_owned(),
        about_time: None,
        sensor_id: None,
        token_sha256: Some(identity.token_sha256),
        token_type: identity.token_type,
        made_on: MadeOn::AnotherHost,
    }
}
