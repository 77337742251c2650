//! What a host does for each effect of the machine: `agent/src/driver/effects.rs` and `enroll.rs`.

use telovix_agent::machine::Call;
use telovix_contract::SensorId;

use super::console::{Application, Key};
use super::disk::{Pending, Renewal, Write};
use super::flaw::Flaw;
use super::host::{Ask, Doing, Flight, Heard, Host, Work, number_of};
use super::words::sensor_of;

impl Host {
    /// `driver/effects.rs`, `carry_out`: what is to be done first, in this order.
    pub(crate) fn carry_out(&mut self, doing: &Doing, flaw: Flaw) -> Vec<Work> {
        let disks = |writes: Vec<Write>| writes.into_iter().map(Work::Disk);
        match *doing {
            Doing::Load => {
                let settling = self.disk.current().filter(|current| current.made_on == self.machine_id);
                let settling = settling.map(|current| self.disk.settling(current)).unwrap_or_default();
                disks(settling).chain([Work::Tell(Heard::Loaded)]).collect()
            }
            Doing::Call(Call::Enroll { replaces, .. }) => self.begin_or_resume(replaces, flaw),
            Doing::Call(Call::Renew) => self.begin_renewal(),
            Doing::Call(Call::Prove { generation }) => {
                vec![Work::Depart(Flight::Heartbeat(number_of(generation)))]
            }
            Doing::Call(Call::Heartbeat) => match self.process.as_ref().and_then(|process| process.current) {
                Some(number) => vec![Work::Depart(Flight::Heartbeat(number))],
                None => vec![Work::Tell(Heard::BadAnswer)],
            },
            Doing::Call(Call::ProbeClock) => vec![Work::Tell(Heard::ClockRead)],
            Doing::Call(Call::Decommission) => unreachable!("nobody retires here"),
            Doing::Publish(number) => {
                let found = self.disk.generation(number);
                let Some(generation) = found else { return vec![Work::Tell(Heard::PublishFailed)] };
                let mut writes = vec![Write::PointCurrent(number)];
                writes.extend(self.disk.settling(generation));
                if let Some(process) = &mut self.process {
                    process.current = Some(number);
                }
                disks(writes).chain([Work::Tell(Heard::Published)]).collect()
            }
            Doing::ForgetRenewal => disks(vec![Write::RemoveRenewal]).collect(),
            Doing::DiscardCopied => {
                let mut writes = vec![Write::RemoveRenewal];
                if self.disk.pending.is_some_and(|pending| !self.is_ours(&pending, flaw)) {
                    writes.push(Write::RemovePending);
                }
                disks(writes).collect()
            }
            Doing::SetReady(ready) => {
                self.disk.ready = ready;
                Vec::new()
            }
            Doing::TokenSpent => vec![Work::Disk(Write::ForgetToken)],
        }
    }

    /// `driver::enroll::begin_or_resume`.
    fn begin_or_resume(&mut self, replaces: Option<SensorId>, flaw: Flaw) -> Vec<Work> {
        let Some(token) = self.token else { return vec![Work::Tell(Heard::BadAnswer)] };
        let earlier = self.disk.pending.filter(|pending| pending.token == token);
        let earlier = earlier.filter(|pending| self.is_ours(pending, flaw) && flaw != Flaw::NewKeyEachTime);
        let key = earlier.map_or_else(|| self.draw(), |pending| pending.key);
        let replaces = replaces.map(sensor_of);
        let wanted = Pending { key, token, replaces, says: self.says, begun_on: self.machine_id };
        let depart = Work::Depart(Flight::Enroll(wanted));
        let mut work: Vec<Work> = match (earlier, self.disk.pending) {
            (Some(same), _) if same == wanted => Vec::new(),
            (Some(_), _) if flaw != Flaw::RemovesBeforeReplacing => {
                vec![Work::Disk(Write::ReplaceRequest(wanted))]
            }
            (_, Some(_)) => [Write::RemovePending, Write::PlacePending(wanted)].map(Work::Disk).into(),
            (_, None) => vec![Work::Disk(Write::PlacePending(wanted))],
        };
        if flaw == Flaw::SendsBeforeSaving {
            work.insert(0, depart);
        } else {
            work.push(depart);
        }
        if flaw == Flaw::DeletesTokenEarly {
            work.push(Work::Disk(Write::ForgetToken));
        }
        work
    }

    /// `obtain::is_ours`.
    fn is_ours(&self, pending: &Pending, flaw: Flaw) -> bool {
        pending.begun_on == self.machine_id || flaw == Flaw::TakesCopiedKey
    }

    /// `KeyPair::generate`.
    fn draw(&mut self) -> Key {
        self.keys += 1;
        (self.number, self.keys)
    }

    /// `take_off_to_renew`.
    fn begin_renewal(&mut self) -> Vec<Work> {
        let Some(of) = self.process.as_ref().and_then(|process| process.current) else {
            return vec![Work::Tell(Heard::BadAnswer)];
        };
        match self.disk.renewal {
            Some(renewal) => vec![Work::Depart(Flight::Renew(renewal))],
            None => {
                let renewal = Renewal { key: self.draw(), of };
                vec![Work::Disk(Write::PlaceRenewal(renewal)), Work::Depart(Flight::Renew(renewal))]
            }
        }
    }

    pub(crate) fn depart(&self, flight: &Flight) -> Result<Ask, Heard> {
        let process = self.process.as_ref().expect("it works");
        let spoken = |number: Option<u8>| {
            let generation = number.and_then(|number| self.disk.generation(number));
            generation.map(|generation| generation.certificate).ok_or(Heard::BadAnswer)
        };
        match *flight {
            Flight::Enroll(Pending { key, token, replaces, .. }) => {
                Ok(Ask::Enroll(Application { token, key, replaces }))
            }
            Flight::Renew(Renewal { key, .. }) => Ok(Ask::Renew(spoken(process.current)?, key)),
            Flight::Heartbeat(number) => Ok(Ask::Heartbeat(spoken(Some(number))?)),
        }
    }
}
