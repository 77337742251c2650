//! A host's state directory: what is durable, and the steps in which it becomes so.
//!
//! One [`Write`] is what `agent/src/store` makes durable at once: everything before its last rename, unlink or directory sync
//! is invisible after a crash, which `crash-anywhere` shows with the real store. A crash in the model falls between two of them.

use super::console::{Certificate, Key, Sensor, Token};

/// `store::generation::MOST_KEPT`.
const MOST_KEPT: usize = 8;

/// What is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// `pending/`.
    pub(crate) pending: Option<Pending>,
    /// `renewal/`.
    pub(crate) renewal: Option<Renewal>,
    /// `generations/NNNNNN/`, ascending.
    pub(crate) generations: Vec<Generation>,
    /// Where `current` points.
    pub(crate) current: Option<u8>,
    /// `.sensor-ready`.
    pub(crate) ready: bool,
}

/// `store::Pending` of an enrollment: key and request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) key: Key,
    pub(crate) token: Token,
    /// `sensor_id` of the request.
    pub(crate) replaces: Option<Sensor>,
    /// Whatever else the request says of the host.
    pub(crate) says: u8,
    /// `machine_id_sha256` of the request.
    pub(crate) begun_on: u8,
}

/// `store::Pending` of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Renewal {
    pub(crate) key: Key,
    /// The generation that it renews.
    pub(crate) of: u8,
}

/// `store::Generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Generation {
    pub(crate) number: u8,
    pub(crate) key: Key,
    pub(crate) certificate: Certificate,
    pub(crate) sensor: Sensor,
    pub(crate) token: Token,
    pub(crate) made_on: u8,
    pub(crate) issued_at: i64,
}

/// One durable step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// `Pending::save`, where nothing or another key is in its place: the rename of `pending.new`.
    PlacePending(Pending),
    /// `Pending::save`, where the key stays: the rename of the new `request.json`.
    ReplaceRequest(Pending),
    /// `Pending::save` before that rename; `settle`; `discard`.
    RemovePending,
    /// `Pending::save_renewal`.
    PlaceRenewal(Renewal),
    /// `settle`; `discard`.
    RemoveRenewal,
    /// `Generation::write`: the rename of `generations/new`.
    PlaceGeneration(Generation),
    /// `point_current`.
    PointCurrent(u8),
    /// `settle`: all but the newest eight.
    Trim,
    /// `driver::spent_token::forget`: the file of the one-time token.
    ForgetToken,
}

impl Disk {
    /// `store::load::load`, for a directory that holds together.
    pub(crate) fn current(&self) -> Option<&Generation> {
        self.current.and_then(|number| self.generation(number))
    }

    pub(crate) fn generation(&self, number: u8) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// The newest generation for this key, where that is newer than the current one.
    pub(crate) fn committed(&self, key: Key) -> Option<&Generation> {
        let newer = |kept: &&Generation| kept.number > self.current.unwrap_or(0) && kept.key == key;
        self.generations.iter().rev().find(newer)
    }

    /// `Supervisor::committed_before`.
    pub(crate) fn committed_before(&self) -> Option<&Generation> {
        let keys = [self.pending.map(|pending| pending.key), self.renewal.map(|renewal| renewal.key)];
        keys.into_iter().flatten().find_map(|key| self.committed(key))
    }

    /// The number that the next generation gets.
    pub(crate) fn next_number(&self) -> u8 {
        self.generations.last().map_or(1, |newest| newest.number + 1)
    }

    /// `generation::settle`: what is swept up once `current` stands.
    pub(crate) fn settling(&self, current: &Generation) -> Vec<Write> {
        let mut writes = Vec::new();
        if self.pending.is_some_and(|pending| pending.key == current.key) {
            writes.push(Write::RemovePending);
        }
        if self.renewal.is_some_and(|renewal| renewal.of < current.number || renewal.key == current.key) {
            writes.push(Write::RemoveRenewal);
        }
        if self.generations.len() > MOST_KEPT {
            writes.push(Write::Trim);
        }
        writes
    }

    /// Makes one step durable. The token's file is the host's own business.
    pub(crate) fn apply(&mut self, write: &Write) {
        match *write {
            Write::PlacePending(pending) | Write::ReplaceRequest(pending) => self.pending = Some(pending),
            Write::RemovePending => self.pending = None,
            Write::PlaceRenewal(renewal) => self.renewal = Some(renewal),
            Write::RemoveRenewal => self.renewal = None,
            Write::PlaceGeneration(generation) => self.generations.push(generation),
            Write::PointCurrent(number) => self.current = Some(number),
            Write::Trim => {
                let others = self.generations.iter().rev().filter(|kept| Some(kept.number) != self.current);
                let swept: Vec<u8> = others.skip(MOST_KEPT - 1).map(|kept| kept.number).collect();
                self.generations.retain(|kept| !swept.contains(&kept.number));
            }
            Write::ForgetToken => {}
        }
    }
}
