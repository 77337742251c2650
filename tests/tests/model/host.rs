//! A host of the model: the agent's real machine, and the driver's work around it step by step.
//!
//! `Machine::step` is the real one. What `agent/src/driver` does for its effects is here as a queue of work, taken from the
//! front; before each [`Write`] the queue stops, so that the search can kill the process between any two durable steps.

use std::collections::VecDeque;

use telovix_agent::machine::{Call, Effect, Machine, Settings};

use super::console::{Application, Certificate, Key, Reply, Sensor, Token};
use super::disk::{Disk, Generation, Pending, Renewal, Write};
use super::flaw::Flaw;
use super::words::now;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    pub(crate) number: u8,
    /// The machine id; hosts that have none are taken for each other.
    pub(crate) machine_id: u8,
    /// What the token's file holds.
    pub(crate) token: Option<Token>,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Keys drawn so far.
    pub(crate) keys: u8,
    /// Version and configuration, as far as the request tells.
    pub(crate) says: u8,
}

/// What dies with the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) machine: Machine,
    pub(crate) work: VecDeque<Work>,
    /// The call in flight, and what the answer will be for.
    pub(crate) flight: Option<Flight>,
    /// `Driver::current`, by its number.
    pub(crate) current: Option<u8>,
    /// Only with [`Flaw::BelievesForEver`]: it asks no more.
    pub(crate) is_done: bool,
}

/// What an answer brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issued {
    pub(crate) certificate: Certificate,
    pub(crate) key: Key,
    pub(crate) sensor: Sensor,
    pub(crate) issued_at: i64,
}

/// `driver::calls::Answered`, before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Flight {
    Enroll(Pending),
    Renew(Renewal),
    /// Of this generation.
    Heartbeat(u8),
}

/// A request on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Ask {
    Enroll(Application),
    Renew(Certificate, Key),
    Heartbeat(Certificate),
}

/// Something that the driver does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    Disk(Write),
    Effect(Doing),
    /// The request is on the disk: send it.
    Depart(Flight),
    Tell(Heard),
}

/// The machine's effects, as far as they do anything here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Load,
    Call(Call),
    Publish(u8),
    ForgetRenewal,
    DiscardCopied,
    SetReady(bool),
    TokenSpent,
}

/// What the machine is told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Heard {
    Started,
    Loaded,
    Token,
    Tick,
    FilesChanged,
    Renew,
    Published,
    PublishFailed,
    Enrolled(u8),
    Renewed(u8),
    Believed,
    ClockRead,
    Refused(u8),
    /// The answer is not one for this host's key or sensor.
    BadAnswer,
    Unreached,
}

impl Host {
    /// A host where nothing runs yet.
    pub(crate) fn new(number: u8, machine_id: u8, token: Option<Token>) -> Self {
        Self { number, machine_id, token, disk: Disk::default(), process: None, keys: 0, says: 0 }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.work.is_empty() && process.flight.is_none())
    }

    /// Whether the next thing is a durable step.
    pub(crate) fn next_write(&self) -> Option<&Write> {
        match self.process.as_ref()?.work.front()? {
            Work::Disk(write) => Some(write),
            Work::Effect(_) | Work::Depart(_) | Work::Tell(_) => None,
        }
    }

    /// The process starts. Gives what it sends; likewise below.
    pub(crate) fn start(&mut self, at: i64, flaw: Flaw) -> Option<Ask> {
        let machine = Machine::new(Settings::default());
        let work = VecDeque::from([Work::Tell(Heard::Started)]);
        self.process = Some(Process { machine, work, flight: None, current: None, is_done: false });
        self.go_on(at, flaw)
    }

    /// The machine is told something from outside.
    pub(crate) fn hear(&mut self, at: i64, heard: Heard, flaw: Flaw) -> Option<Ask> {
        self.process.as_mut().filter(|process| !process.is_done)?.work.push_back(Work::Tell(heard));
        self.go_on(at, flaw)
    }

    /// The durable step at the front is done.
    pub(crate) fn write(&mut self, at: i64, flaw: Flaw) -> Option<Ask> {
        let Some(Work::Disk(write)) = self.process.as_mut()?.work.pop_front() else { return None };
        self.disk.apply(&write);
        if write == Write::ForgetToken {
            self.token = None;
            self.process.as_mut()?.work.push_back(Work::Tell(Heard::Token));
        }
        self.go_on(at, flaw)
    }

    /// `driver/replies.rs`: looks at what a call brought.
    pub(crate) fn land(
        &mut self,
        at: i64,
        reply: Option<Reply>,
        issued: Option<Issued>,
        flaw: Flaw,
    ) -> Option<Ask> {
        let flight = self.process.as_mut()?.flight.take()?;
        if flaw == Flaw::BelievesForEver && matches!(reply, Some(Reply::Refused(_))) {
            self.process.as_mut()?.is_done = true;
        }
        let work = match (reply, flight) {
            (None, _) => vec![Work::Tell(Heard::Unreached)],
            (Some(Reply::Refused(code)), _) => vec![Work::Tell(Heard::Refused(code))],
            (Some(Reply::Believed(sensor)), Flight::Heartbeat(number)) => {
                let is_ours = self.disk.generation(number).is_some_and(|spoke| spoke.sensor == sensor);
                vec![Work::Tell(if is_ours { Heard::Believed } else { Heard::BadAnswer })]
            }
            (Some(Reply::Issued(..)), Flight::Enroll(pending)) => {
                self.commit(issued?, pending.key, pending.token, Heard::Enrolled)
            }
            (Some(Reply::Issued(..)), Flight::Renew(renewal)) => {
                let token = self.disk.current()?.token;
                let mut work = self.commit(issued?, renewal.key, token, Heard::Renewed);
                if flaw == Flaw::PublishesUnproven
                    && let [Work::Disk(Write::PlaceGeneration(new)), ..] = work[..]
                {
                    work.insert(1, Work::Disk(Write::PointCurrent(new.number)));
                }
                work
            }
            (Some(Reply::Believed(_) | Reply::Issued(..)), _) => vec![Work::Tell(Heard::BadAnswer)],
        };
        self.process.as_mut()?.work.extend(work);
        self.go_on(at, flaw)
    }

    /// `verify::check` and `Store::commit`.
    fn commit(&self, issued: Issued, key: Key, token: Token, told: fn(u8) -> Heard) -> Vec<Work> {
        if issued.key != key {
            return vec![Work::Tell(Heard::BadAnswer)];
        }
        // A repeated request brings the same again.
        if let Some(same) = self.disk.generations.iter().find(|kept| kept.certificate == issued.certificate) {
            return vec![Work::Tell(told(same.number))];
        }
        let number = self.disk.next_number();
        let Issued { certificate, sensor, issued_at, .. } = issued;
        let made_on = self.machine_id;
        let new = Generation { number, key, certificate, sensor, token, made_on, issued_at };
        vec![Work::Disk(Write::PlaceGeneration(new)), Work::Tell(told(number))]
    }

    /// Works on until a durable step or nothing is next.
    fn go_on(&mut self, at: i64, flaw: Flaw) -> Option<Ask> {
        let mut sent = None;
        while let Some(process) = &mut self.process
            && process.work.front().is_some_and(|work| !matches!(work, Work::Disk(_)))
        {
            let first = match process.work.pop_front()? {
                Work::Disk(_) => unreachable!("it was looked at"),
                Work::Tell(heard) => {
                    self.tell(at, heard);
                    continue;
                }
                Work::Effect(doing) => self.carry_out(&doing, flaw),
                Work::Depart(flight) => match self.depart(&flight) {
                    Ok(ask) => {
                        assert!(sent.replace(ask).is_none(), "one connection at a time");
                        self.process.as_mut()?.flight = Some(flight);
                        continue;
                    }
                    Err(heard) => vec![Work::Tell(heard)],
                },
            };
            let work = &mut self.process.as_mut()?.work;
            first.into_iter().rev().for_each(|next| work.push_front(next));
        }
        sent
    }

    fn tell(&mut self, at: i64, heard: Heard) {
        let input = self.input(at, heard);
        let Some(process) = &mut self.process else { return };
        for effect in process.machine.step(now(at), input) {
            let doing = match effect {
                Effect::Load => Doing::Load,
                Effect::Call(call) => Doing::Call(call),
                Effect::Publish { generation } => Doing::Publish(number_of(generation)),
                Effect::ForgetRenewal => Doing::ForgetRenewal,
                Effect::DiscardCopied => Doing::DiscardCopied,
                Effect::SetReady(ready) => Doing::SetReady(ready),
                Effect::TokenSpent { .. } => Doing::TokenSpent,
                Effect::CancelCall => unreachable!("nothing here cancels a call"),
                Effect::NotifyConsumers { .. } | Effect::StateChanged { .. } | Effect::CommandDone(_) => {
                    continue;
                }
            };
            process.work.push_back(Work::Effect(doing));
        }
    }
}

pub(crate) fn number_of(generation: u32) -> u8 {
    u8::try_from(generation).expect("a model is small")
}
