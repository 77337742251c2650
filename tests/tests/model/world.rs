//! The whole: two hosts, a Console, a wire between them, time and trouble; and what can happen next.
//!
//! Time moves only when nothing is under way: calls and disks take seconds, and the shortest wait here is ten minutes. What can
//! go wrong has a budget, so that the search ends; how long it goes right has none but the end of the history: when [`CALM`]
//! waits have passed since the last trouble, everything has to be well.

use super::console::{Console, Reply, Sensor};
use super::disk::Disk;
use super::host::{Ask, Host};
use super::words::BEGIN;

/// Waits without trouble after which everything is well: a quarter of an hour (docs/contract.md section 6, self-stabilization). The
/// search takes this way out of every state that it reaches.
pub(crate) const CALM: u8 = 3;

/// How often each thing may happen in one history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// An agent is killed.
    pub(crate) crashes: u8,
    /// A request or an answer is lost, or a request comes late, after its call was given up.
    pub(crate) losses: u8,
    /// An answer says something else than the Console did.
    pub(crate) lies: u8,
    /// The Console is killed, with all that is on the wire.
    pub(crate) console_crashes: u8,
    /// Two hours pass.
    pub(crate) outages: u8,
    /// A day passes.
    pub(crate) days: u8,
    /// It is time to renew.
    pub(crate) weeks: u8,
    /// `telovix-agent renew --force`.
    pub(crate) forced_renewals: u8,
    /// An operator makes a re-enrollment token for a host and puts it there.
    pub(crate) re_enrollments: u8,
    /// Somebody deletes the state directory.
    pub(crate) wipes: u8,
    /// The agent is replaced by another version.
    pub(crate) upgrades: u8,
    /// The first host's disk is copied to the second.
    pub(crate) clones: u8,
    /// An operator raises the licence by one.
    pub(crate) licences: u8,
}

/// A request or an answer under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) host: u8,
    /// Whether the host waits for the answer.
    pub(crate) awaited: bool,
    pub(crate) leg: Leg,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Leg {
    Up(Ask),
    /// Only with [`Flaw::SpendsBeforeIssuing`]: between two transactions.
    Between(Ask),
    Down(Reply),
}

/// What a host's history has to answer for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Past {
    /// The identity that it was first accepted with.
    pub(crate) sensor: Option<Sensor>,
    /// Its state directory was deleted, and it was not accepted since: the number of its last key before that.
    pub(crate) wiped: Option<u8>,
    /// `current` moved from an identity to one that the Console had not accepted.
    pub(crate) unproven: bool,
    /// It sent a token with another key than the one that the token had paid for, while that certificate was believed.
    pub(crate) paid_twice: bool,
}

/// Things that have happened at least once, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen(u8);

impl Seen {
    pub(crate) const REPEATED: Self = Self(1);
    pub(crate) const TOLD_USED: Self = Self(4);
    pub(crate) const TOLD_EXPIRED: Self = Self(8);
    pub(crate) const RENEWED: Self = Self(16);
    pub(crate) const RE_ENROLLED: Self = Self(32);
    pub(crate) const TOLD_FULL: Self = Self(64);
    pub(crate) const LATE_REQUEST: Self = Self(128);

    pub(crate) fn note(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) at: i64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) past: Vec<Past>,
    pub(crate) console: Console,
    /// Sorted: no order on the wire.
    pub(crate) wire: Vec<Message>,
    pub(crate) left: Budget,
    pub(crate) calm: u8,
    /// Answers that were lies.
    pub(crate) lied: u8,
    pub(crate) seen: Seen,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A process starts.
    Start(usize),
    /// A host's next durable step.
    Disk(usize),
    /// A request reaches the Console, which commits; or an answer reaches its host.
    Arrive(usize),
    Lose(usize),
    /// An answer is replaced by a refusal that ends an identity or a token, where it is believed.
    Lie(usize, Lie),
    /// The host gives up, and the request comes later.
    Delay(usize),
    Kill(usize),
    KillConsole,
    Upgrade(usize),
    Wait,
    Outage,
    Day,
    Weeks,
    ForceRenewal(usize),
    ReEnroll(usize),
    Wipe(usize),
    Clone,
    RaiseLicence,
}

/// What an answer says in place of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The worst that the Console can say of a certificate or a token, short of revoking the sensor.
    Refusal,
    /// That there is no such path, as from a proxy that lost its way.
    NoSuchPath,
}

impl World {
    /// Hosts with the same one-time token, none of them running.
    pub(crate) fn new(machine_ids: &[u8], licence: u8, left: Budget) -> Self {
        let mut console = Console::new(licence);
        let token = console.make_token(None, BEGIN);
        let host = |(number, id): (usize, &u8)| Host::new(number.try_into().expect("few"), *id, Some(token));
        Self {
            at: BEGIN,
            hosts: machine_ids.iter().enumerate().map(host).collect(),
            past: vec![Past::default(); machine_ids.len()],
            console,
            wire: Vec::new(),
            left,
            calm: 0,
            lied: 0,
            seen: Seen::default(),
        }
    }

    /// Whether nothing is under way that a host waits for.
    pub(crate) fn is_quiet(&self) -> bool {
        self.hosts.iter().all(Host::is_idle)
    }

    /// Whether the history is at an end where all has to be well.
    pub(crate) fn is_over(&self) -> bool {
        self.calm == CALM && self.is_quiet()
    }

    pub(crate) fn acts(&self, acts: &mut Vec<Act>) {
        let left = self.left;
        for (host, it) in self.hosts.iter().enumerate() {
            let Some(process) = &it.process else {
                acts.push(Act::Start(host));
                continue;
            };
            let idle = process.work.is_empty();
            let may = [
                (it.next_write().is_some(), Act::Disk(host)),
                (left.crashes > 0, Act::Kill(host)),
                (left.upgrades > 0, Act::Upgrade(host)),
                (left.forced_renewals > 0 && idle && it.disk.current.is_some(), Act::ForceRenewal(host)),
                (left.re_enrollments > 0 && idle && self.past[host].sensor.is_some(), Act::ReEnroll(host)),
                (left.wipes > 0 && idle && it.disk.current.is_some(), Act::Wipe(host)),
            ];
            acts.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, act)| act));
        }
        for (place, message) in self.wire.iter().enumerate() {
            acts.push(Act::Arrive(place));
            if left.lies > 0 && matches!(message.leg, Leg::Down(_)) {
                acts.extend([Lie::Refusal, Lie::NoSuchPath].map(|lie| Act::Lie(place, lie)));
            }
            if left.losses > 0 && message.awaited {
                acts.push(Act::Lose(place));
                if matches!(message.leg, Leg::Up(_)) {
                    acts.push(Act::Delay(place));
                }
            }
        }
        // Who is down may be down for long; but not in the middle of anything.
        let still = self.hosts.iter().all(|host| host.process.is_none() || host.is_idle());
        let copies =
            self.hosts.len() > 1 && self.hosts[1].process.is_none() && self.hosts[1].disk == Disk::default();
        let may = [
            (left.console_crashes > 0 && !self.wire.is_empty(), Act::KillConsole),
            (left.clones > 0 && copies && self.hosts[0].disk != Disk::default(), Act::Clone),
            (left.licences > 0, Act::RaiseLicence),
            (self.is_quiet() && self.calm < CALM, Act::Wait),
            (still && left.outages > 0, Act::Outage),
            (still && left.days > 0, Act::Day),
            (still && left.weeks > 0, Act::Weeks),
        ];
        acts.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, act)| act));
    }
}
