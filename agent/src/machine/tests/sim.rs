//! Many machines in virtual time: an event queue, hosts with a disk each, and a Console that a test supplies. It carries
//! effects out as the supervisor does, and checks on the way that a host has one connection at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// A small generator (SplitMix64), so that a run repeats.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(super) fn within(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(most.as_millis()).unwrap().max(1)))
    }
}

/// What a host asks.
pub(super) struct Ask<'a> {
    pub(super) call: &'a Call,
    /// The certificate of the connection.
    pub(super) serial: Option<u64>,
    /// The key that an enrollment or a renewal is for.
    pub(super) key: u64,
    pub(super) token: Option<TokenFacts>,
}

/// What comes back, and when.
pub(super) struct Reply {
    pub(super) after: Duration,
    pub(super) said: Said,
}

pub(super) enum Said {
    Issued(Certificate),
    Outcome(Outcome),
}

/// A certificate as a Console issues it.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) sensor: u32,
    pub(super) serial: u64,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) token_type: TokenType,
}

pub(super) trait World {
    fn call(&mut self, at: Timestamp, host: usize, ask: &Ask<'_>) -> Reply;
}

/// What a state directory holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) current: Option<Identity>,
    pub(super) committed: Option<Identity>,
    /// The key of the enrollment or renewal under way, and the token of the former.
    pending: Option<(u64, Option<telovix_contract::TokenHash>)>,
    ready_since: Option<Timestamp>,
    generation: u32,
}

pub(super) struct Host {
    pub(super) machine: Machine,
    pub(super) disk: Disk,
    pub(super) token: Option<TokenFacts>,
    pub(super) ready: bool,
    /// Counts calls and processes: the answer of an earlier one is not delivered.
    call: u64,
    in_flight: bool,
    wake: u64,
}

enum Event {
    Wake(u64),
    Answer(u64, Box<Said>),
    /// The process is killed and starts again.
    Restart,
    /// Somebody deletes the files.
    Wipe,
}

struct Entry {
    at: Duration,
    sequence: u64,
    host: usize,
    event: Event,
}

impl Entry {
    fn order(&self) -> (Duration, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

pub(super) struct Sim<W> {
    pub(super) world: W,
    pub(super) hosts: Vec<Host>,
    pub(super) random: Random,
    pub(super) steps: u64,
    at: Duration,
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry>>,
}

impl<W: World> Sim<W> {
    pub(super) fn new(world: W, seed: u64) -> Self {
        Self {
            world,
            hosts: Vec::new(),
            random: Random(seed),
            steps: 0,
            at: Duration::ZERO,
            sequence: 0,
            queue: BinaryHeap::new(),
        }
    }

    /// A host whose process starts at `at`.
    pub(super) fn add(&mut self, at: Duration, token: Option<TokenFacts>, current: Option<Identity>) {
        let disk = Disk { generation: u32::from(current.is_some()), current, ..Disk::default() };
        self.hosts.push(Host {
            machine: Machine::new(Settings::default()),
            disk,
            token,
            ready: false,
            call: 0,
            in_flight: false,
            wake: 0,
        });
        self.schedule(at, self.hosts.len() - 1, Event::Restart);
    }

    pub(super) fn restart(&mut self, at: Duration, host: usize) {
        self.schedule(at, host, Event::Restart);
    }

    /// Empties the state directory of a running agent.
    pub(super) fn wipe(&mut self, at: Duration, host: usize) {
        self.schedule(at, host, Event::Wipe);
    }

    fn schedule(&mut self, at: Duration, host: usize, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry { at, sequence: self.sequence, host, event }));
    }

    pub(super) fn wall(&self) -> Timestamp {
        start() + self.at
    }

    pub(super) fn now(&mut self) -> Now {
        Now { wall: self.wall(), mono: Duration::from_secs(1000) + self.at, random: self.random.next() }
    }

    pub(super) fn run_until(&mut self, until: Duration) {
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= until) {
            let Some(Reverse(Entry { at, host, event, .. })) = self.queue.pop() else { break };
            self.at = at;
            match event {
                Event::Wake(stamp) if stamp == self.hosts[host].wake => self.give(host, Input::Tick),
                Event::Answer(stamp, said) if stamp == self.hosts[host].call => self.deliver(host, *said),
                Event::Wake(_) | Event::Answer(..) => {}
                Event::Wipe => {
                    let disk = &mut self.hosts[host].disk;
                    *disk = Disk { generation: disk.generation, ..Disk::default() };
                    self.give(host, Input::FilesChanged);
                }
                Event::Restart => {
                    let it = &mut self.hosts[host];
                    it.machine = Machine::new(Settings::default());
                    it.call += 1;
                    it.in_flight = false;
                    let token = it.token;
                    self.give(host, Input::Started(token));
                }
            }
        }
        self.at = until;
    }

    fn deliver(&mut self, host: usize, said: Said) {
        let server_date = match &said {
            Said::Outcome(Outcome::Failed(failure)) if failure.fault.code == Code::ConsoleUnreachable => None,
            Said::Outcome(_) | Said::Issued(_) => Some(self.wall()),
        };
        let it = &mut self.hosts[host];
        assert!(std::mem::take(&mut it.in_flight));
        let outcome = match said {
            Said::Outcome(outcome) => outcome,
            Said::Issued(certificate) => it.commit(&certificate).unwrap_or(Outcome::Failed(unreachable())),
        };
        self.give(host, Input::Answered(Box::new(Answer { server_date, outcome })));
    }

    pub(super) fn give(&mut self, host: usize, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.steps += 1;
            let now = self.now();
            for effect in self.hosts[host].machine.step(now, input) {
                inputs.extend(self.carry_out(now, host, effect));
            }
        }
        let now = self.now();
        let it = &mut self.hosts[host];
        it.wake += 1;
        let wake = it.wake;
        if let Some(wait) = it.machine.next_deadline(now) {
            assert!(wait > Duration::ZERO, "what is due is done at once");
            let at = self.at + wait;
            self.schedule(at, host, Event::Wake(wake));
        }
    }

    fn carry_out(&mut self, now: Now, host: usize, effect: Effect) -> Option<Input> {
        let it = &mut self.hosts[host];
        match effect {
            Effect::Load => return Some(Input::Loaded(Box::new(it.disk.load()))),
            Effect::Publish { generation } => {
                let Some(identity) = it.disk.committed.take() else {
                    return Some(Input::PublishFailed(fault(Code::StateIoError)));
                };
                assert_eq!(identity.generation, generation);
                it.disk.current = Some(identity);
                it.disk.pending = None;
                return Some(Input::Published);
            }
            Effect::Discard { .. } | Effect::DiscardCopied => {
                it.disk.committed = None;
                it.disk.pending = None;
            }
            Effect::SetReady(ready) => {
                it.ready = ready;
                it.disk.ready_since = ready.then_some(now.wall);
            }
            Effect::Call(call) => self.start(now, host, &call),
            Effect::CancelCall => {
                it.call += 1;
                it.in_flight = false;
            }
            Effect::NotifyConsumers { .. }
            | Effect::TokenSpent { .. }
            | Effect::StateChanged { .. }
            | Effect::CommandDone(_) => {}
        }
        None
    }

    fn start(&mut self, now: Now, host: usize, call: &Call) {
        let it = &mut self.hosts[host];
        assert!(!std::mem::replace(&mut it.in_flight, true), "one connection at a time");
        it.call += 1;
        let stamp = it.call;
        // The key is durable before the first byte leaves, and a repeat is the same.
        let fresh = now.random | 1;
        let key = match call {
            Call::Enroll { .. } => it.disk.key_for(it.token.map(|token| token.hash()), fresh),
            Call::Renew => it.disk.key_for(None, fresh),
            Call::Prove { .. } | Call::Heartbeat | Call::ProbeClock | Call::Decommission => 0,
        };
        let identity = match call {
            Call::Prove { .. } => it.disk.committed.as_ref(),
            Call::Renew | Call::Heartbeat | Call::Decommission => it.disk.current.as_ref(),
            Call::Enroll { .. } | Call::ProbeClock => None,
        };
        let serial = identity.map(serial_of);
        let ask = Ask { call, serial, key, token: it.token };
        let reply = self.world.call(now.wall, host, &ask);
        self.schedule(
            self.at + reply.after.max(Duration::from_millis(1)),
            host,
            Event::Answer(stamp, Box::new(reply.said)),
        );
    }
}

impl Host {
    /// `None` where the key that the certificate is for has been deleted.
    fn commit(&mut self, certificate: &Certificate) -> Option<Outcome> {
        let renewal = self.disk.pending?.1.is_none();
        self.disk.generation += 1;
        let paid_by = match (&self.disk.current, renewal, self.token) {
            (Some(identity), true, _) => identity.token_sha256,
            (_, _, Some(token)) => token.hash(),
            (None, _, None) | (_, false, None) => panic!("an enrollment without a token"),
        };
        let identity = Identity {
            generation: self.disk.generation,
            sensor_id: sensor(certificate.sensor),
            serial: certificate.serial.to_be_bytes().to_vec(),
            not_before: certificate.from,
            not_after: certificate.until,
            token_sha256: paid_by,
            token_type: Some(certificate.token_type),
            ..identity(1, certificate.from, token(0))
        };
        self.disk.committed = Some(identity.clone());
        Some(if renewal { Outcome::Renewed(identity) } else { Outcome::Enrolled(identity) })
    }
}

impl Disk {
    fn load(&self) -> Loaded {
        Loaded {
            enrollment_begun: false,
            current: self.current.clone().map_or(Current::Nothing, Current::Intact),
            committed: self.committed.clone(),
            renewal_begun: self.committed.is_none() && matches!(self.pending, Some((_, None))),
            told: true,
            ready_since: self.ready_since,
            notes: Vec::new(),
        }
    }

    fn key_for(&mut self, token: Option<telovix_contract::TokenHash>, fresh: u64) -> u64 {
        match self.pending {
            Some((key, of)) if of == token => key,
            Some(_) | None => {
                self.pending = Some((fresh, token));
                fresh
            }
        }
    }
}

pub(super) fn serial_of(identity: &Identity) -> u64 {
    u64::from_be_bytes(identity.serial.as_slice().try_into().unwrap())
}

/// An answer that comes quickly.
pub(super) fn quickly(outcome: Outcome) -> Reply {
    Reply { after: Duration::from_millis(20), said: Said::Outcome(outcome) }
}
