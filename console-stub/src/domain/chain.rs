//! The audit trail as a chain of hashes: what a record's hash covers, and how a flaw is found and named.
//!
//! Invariant: a record's hash covers its place, its content and the hash of the record before it. So a record that was
//! changed no longer fits its own hash, one that was replaced no longer fits its successor, and one that is missing
//! leaves a gap; the head, kept apart, shows a missing end. Whoever may write the whole database can make all of it anew,
//! head included; only a head that was noted elsewhere shows that.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The hash before the first record.
pub(crate) const START: [u8; 32] = [0; 32];
/// Most records that are looked at for having been moved; beyond that many flaws nobody asks which went where.
const MOST_MOVED: usize = 1000;

/// A record of the audit trail, without its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the trail, counted from one.
    pub seq: i64,
    /// Unix seconds.
    pub created_at: i64,
    /// What happened.
    pub action_type: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// Who did it; absent for the system.
    pub actor_email: Option<String>,
    /// To which sensor.
    pub sensor_id: Option<String>,
    /// `key=value` pairs.
    pub detail: String,
    /// From which address.
    pub client_ip: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linked {
    pub record: Record,
    /// Hash of the record before it.
    pub prev_hash: [u8; 32],
    pub hash: [u8; 32],
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the last record; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// The hash of a record behind this one. Every field is written with its length, so that no two records read alike.
pub fn link(prev_hash: &[u8; 32], record: &Record) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"telovix-audit-1\n");
    hash.update(prev_hash);
    hash.update(record.seq.to_be_bytes());
    hash.update(record.created_at.to_be_bytes());
    let texts = [
        Some(&record.action_type),
        Some(&record.outcome),
        record.actor_email.as_ref(),
        record.sensor_id.as_ref(),
        Some(&record.detail),
        record.client_ip.as_ref(),
        record.user_agent.as_ref(),
    ];
    for text in texts {
        hash.update([u8::from(text.is_some())]);
        let text = text.map_or("", String::as_str);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The record at this place is not what was written.
    Changed(i64),
    /// The record at `at` was written at `from`.
    Moved {
        /// Where it stands.
        at: i64,
        /// Where it stood.
        from: i64,
    },
    /// The records of these places are gone.
    Removed { from: i64, to: i64 },
    /// Records stand at these places, where the trail has none: before its beginning or behind its head.
    Added { from: i64, to: i64 },
    /// The head that is kept apart is gone, so nothing says where the trail ends.
    Headless,
    /// A head that was noted earlier is the hash of no record.
    Anew,
}

impl Flaw {
    fn place(self) -> i64 {
        match self {
            Self::Changed(at)
            | Self::Moved { at, .. }
            | Self::Removed { from: at, .. }
            | Self::Added { from: at, .. } => at,
            Self::Headless | Self::Anew => i64::MAX,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { from, to } if from == to => {
                write!(f, "record {from} was added outside of the trail")
            }
            Self::Added { from, to } => write!(f, "records {from} to {to} were added outside of the trail"),
            Self::Headless => {
                write!(f, "the head of the trail was removed; records may be missing at its end")
            }
            Self::Anew => {
                write!(
                    f,
                    "the head noted earlier is not in the trail: its end was removed, or it was written anew"
                )
            }
            Self::Changed(at) => write!(f, "record {at} was changed"),
            Self::Moved { at, from } => write!(f, "record {at} was reordered: it stood at {from}"),
            Self::Removed { from, to } if from == to => write!(f, "record {from} was removed"),
            Self::Removed { from, to } => write!(f, "records {from} to {to} were removed"),
        }
    }
}

/// Follows the chain record by record, in the order of their places.
#[derive(Debug)]
pub(crate) struct Verifier {
    last: Head,
    flaws: Vec<Flaw>,
    /// Records that do not fit their own hash: changed or moved.
    misfits: Vec<Linked>,
    /// A head that was noted earlier, until it has been found.
    noted: Option<[u8; 32]>,
}

impl Verifier {
    /// Has seen nothing yet; looks for the head that somebody noted earlier, if one is given.
    pub(crate) fn new(noted: Option<[u8; 32]>) -> Self {
        let noted = noted.filter(|noted| *noted != START);
        Self { last: Head { seq: 0, hash: START }, flaws: Vec::new(), misfits: Vec::new(), noted }
    }

    pub(crate) fn last(&self) -> Head {
        self.last
    }

    /// Writes a flaw down that does not show in the records.
    pub(crate) fn note(&mut self, flaw: Flaw) {
        self.flaws.push(flaw);
    }

    /// The next record cannot even be read.
    pub(crate) fn push_unreadable(&mut self, seq: i64) {
        if seq > self.last.seq + 1 {
            self.flaws.push(Flaw::Removed { from: self.last.seq + 1, to: seq - 1 });
        }
        self.flaws.push(Flaw::Changed(seq));
        self.last = Head { seq, hash: START };
    }

    pub(crate) fn push(&mut self, linked: Linked) {
        if self.noted == Some(linked.hash) {
            self.noted = None;
        }
        let seq = linked.record.seq;
        let expected = self.last.seq + 1;
        if seq > expected {
            self.flaws.push(Flaw::Removed { from: expected, to: seq - 1 });
        } else if linked.prev_hash != self.last.hash && link(&linked.prev_hash, &linked.record) == linked.hash
        {
            // This one is whole, so the one before it is not the one that it was written behind.
            self.flaws.push(Flaw::Changed(self.last.seq));
        }
        self.last = Head { seq, hash: linked.hash };
        if link(&linked.prev_hash, &linked.record) != linked.hash {
            self.misfits.push(linked);
        }
    }

    /// Ends at this head; gives what is wrong, by place.
    pub(crate) fn finish(mut self, head: Head) -> Vec<Flaw> {
        if self.noted.is_some() {
            self.flaws.push(Flaw::Anew);
        }
        if head.seq > self.last.seq {
            self.flaws.push(Flaw::Removed { from: self.last.seq + 1, to: head.seq });
        } else if head.hash != self.last.hash {
            self.flaws.push(Flaw::Changed(self.last.seq));
        }
        let mut places: Vec<i64> = self.misfits.iter().map(|misfit| misfit.record.seq).collect();
        for flaw in &self.flaws {
            if let Flaw::Removed { from, to } = flaw {
                places.extend((*from..=*to).take(MOST_MOVED));
            }
        }
        places.truncate(MOST_MOVED);
        for misfit in self.misfits {
            let at = misfit.record.seq;
            let stood = |from: &&i64| {
                let there = Record { seq: **from, ..misfit.record.clone() };
                link(&misfit.prev_hash, &there) == misfit.hash
            };
            self.flaws.push(match places.iter().find(stood) {
                Some(from) => Flaw::Moved { at, from: *from },
                None => Flaw::Changed(at),
            });
        }
        let moved: Vec<i64> = self
            .flaws
            .iter()
            .filter_map(|flaw| match flaw {
                Flaw::Moved { at, .. } => Some(*at),
                Flaw::Changed(_)
                | Flaw::Removed { .. }
                | Flaw::Added { .. }
                | Flaw::Headless
                | Flaw::Anew => None,
            })
            .collect();
        self.flaws.retain(|flaw| !matches!(flaw, Flaw::Changed(at) if moved.contains(at)));
        self.flaws.sort_by_key(|flaw| flaw.place());
        self.flaws.dedup();
        self.flaws
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: i64, detail: &str) -> Record {
        Record {
            seq,
            created_at: 7,
            action_type: "a".to_owned(),
            outcome: "success".to_owned(),
            actor_email: None,
            sensor_id: None,
            detail: detail.to_owned(),
            client_ip: None,
            user_agent: None,
        }
    }

    fn chain(length: i64) -> Vec<Linked> {
        let mut prev_hash = START;
        let linked = |seq| {
            let record = record(seq, &format!("n={seq}"));
            let hash = link(&prev_hash, &record);
            let made = Linked { record, prev_hash, hash };
            prev_hash = hash;
            made
        };
        (1..=length).map(linked).collect()
    }

    fn flaws(chain: Vec<Linked>, head: Head) -> Vec<String> {
        let mut verifier = Verifier::new(None);
        chain.into_iter().for_each(|linked| verifier.push(linked));
        verifier.finish(head).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn section_5_the_chain_names_what_was_done_to_it() {
        let whole = chain(6);
        let head = Head { seq: 6, hash: whole[5].hash };
        assert!(flaws(whole.clone(), head).is_empty());
        assert!(flaws(Vec::new(), Head { seq: 0, hash: START }).is_empty());

        let mut changed = whole.clone();
        changed[2].record.detail = "n=9".to_owned();
        assert_eq!(flaws(changed, head), ["record 3 was changed"]);

        // Changed with a hash that fits: its successor gives it away, or the head.
        for at in [2, 5] {
            let mut forged = whole.clone();
            forged[at].record.detail = "n=9".to_owned();
            forged[at].hash = link(&forged[at].prev_hash, &forged[at].record);
            assert_eq!(flaws(forged, head), [format!("record {} was changed", at + 1)]);
        }

        let mut removed = whole.clone();
        removed.remove(2);
        assert_eq!(flaws(removed, head), ["record 3 was removed"]);
        assert_eq!(flaws(whole[..4].to_vec(), head), ["records 5 to 6 were removed"]);

        let mut swapped = whole;
        swapped.swap(1, 3);
        (swapped[1].record.seq, swapped[3].record.seq) = (2, 4);
        let said = flaws(swapped, head);
        assert_eq!(said, ["record 2 was reordered: it stood at 4", "record 4 was reordered: it stood at 2"]);
    }

    /// A trail that was cut off or made anew together with its head is whole in itself.
    #[test]
    fn section_5_a_head_that_was_noted_has_to_be_in_the_trail() {
        let whole = chain(6);
        let said = |chain: &[Linked], noted| {
            let mut verifier = Verifier::new(noted);
            chain.iter().cloned().for_each(|linked| verifier.push(linked));
            let head = verifier.last();
            verifier.finish(head)
        };
        for noted in [None, Some(START), Some(whole[0].hash), Some(whole[5].hash)] {
            assert!(said(&whole, noted).is_empty());
        }
        assert!(said(&whole[..4], Some(whole[3].hash)).is_empty());
        assert_eq!(said(&whole[..4], Some(whole[4].hash)), [Flaw::Anew]);
        assert_eq!(said(&[], Some(whole[4].hash)), [Flaw::Anew]);
    }

    #[test]
    fn section_5_a_record_that_cannot_be_read_is_one_that_was_changed() {
        let whole = chain(4);
        for at in 1..=4 {
            let mut verifier = Verifier::new(None);
            for linked in whole.clone() {
                if linked.record.seq == at {
                    verifier.push_unreadable(at);
                } else {
                    verifier.push(linked);
                }
            }
            assert_eq!(verifier.finish(Head { seq: 4, hash: whole[3].hash }), [Flaw::Changed(at)]);
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let (mut a, mut b) = (record(1, "x"), record(1, "x"));
        (a.client_ip, a.user_agent) = (Some("1".to_owned()), None);
        (b.client_ip, b.user_agent) = (None, Some("1".to_owned()));
        assert_ne!(link(&START, &a), link(&START, &b));
    }
}
