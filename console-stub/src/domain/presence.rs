//! Whether one identity speaks from two places (docs/contract.md section 4).
//!
//! Invariant: what is remembered of a sensor is one short text in its record, read and written together with the time of its
//! last heartbeat. So noticing costs no statement, and several instances of the Console on one database see the same.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seconds within which two returns, or two steps back, are a sign.
const WINDOW: i64 = 600;
/// Most instances remembered of one sensor: more copies than these are noticed by those among them.
const MOST: usize = 8;
/// Seconds after the last sign for which the identity counts as shared.
pub(crate) const SHARED_FOR: i64 = 3600;

/// What is remembered of a sensor's heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// Who spoke, the last one first.
    #[serde(rename = "i")]
    instances: Vec<Instance>,
    /// When one came back after another had spoken, in unix seconds.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    returned_at: Option<i64>,
    /// When the numbers of one went back.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    stepped_back_at: Option<i64>,
}

/// An instance, its last number, and when that was, in unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Instance(Uuid, u64, i64);

/// What a heartbeat says of the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Nothing.
    None,
    /// It is used in two places.
    Shared,
}

impl Presence {
    /// Reads what is stored; what cannot be read is as nothing.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are JSON")
    }

    /// Takes a heartbeat of this instance with this number. A restart is a new instance; a late packet or a roll-back is one step
    /// back; so neither is a sign. Two instances that take turns are, and so is one whose numbers go back again and again.
    pub(crate) fn hear(&mut self, instance: Uuid, sequence: u64, now: i64) -> Sign {
        let recent = |at: i64| (now - at).abs() < WINDOW;
        let first = self.instances.first().map(|first| first.0);
        self.instances.retain(|known| Some(known.0) == first || recent(known.2));
        let twice = |at: &mut Option<i64>| {
            if at.replace(now).is_some_and(recent) { Sign::Shared } else { Sign::None }
        };
        let known = self.instances.iter().position(|known| known.0 == instance);
        let mut sign = Sign::None;
        if let Some(place) = known {
            let went_back = sequence <= self.instances[place].1;
            if went_back {
                sign = twice(&mut self.stepped_back_at);
            } else if place > 0 {
                sign = twice(&mut self.returned_at);
            }
            if went_back && place > 0 {
                return sign;
            }
            self.instances.remove(place);
        }
        self.instances.insert(0, Instance(instance, sequence, now));
        self.instances.truncate(MOST);
        sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a story of (seconds, instance, number) leads to, through the text each time.
    fn signs(story: &[(i64, u128, u64)]) -> usize {
        let mut text = String::new();
        let mut hear = |&(at, instance, number): &(i64, u128, u64)| {
            let mut presence = Presence::parse(&text);
            let sign = presence.hear(Uuid::from_u128(instance), number, 1_800_000_000 + at);
            text = presence.to_text();
            sign == Sign::Shared
        };
        story.iter().filter(|told| hear(told)).count()
    }

    #[test]
    fn section_4_two_that_take_turns_are_a_sign() {
        assert_eq!(signs(&[(0, 1, 7), (5, 2, 1), (15, 1, 8), (20, 2, 2)]), 1, "A, B, A, B");
        assert_eq!(signs(&[(0, 1, 7), (5, 2, 1), (15, 1, 8), (20, 2, 2), (30, 1, 9), (35, 2, 3)]), 3);
        let three = [(0, 1, 1), (5, 2, 1), (9, 3, 1), (15, 1, 2), (20, 2, 2), (24, 3, 2)];
        assert_eq!(signs(&three), 2, "three copies of one image");
        let slow = [(0, 1, 1), (150, 2, 1), (300, 1, 2), (450, 2, 2)];
        assert_eq!(signs(&slow), 1, "five minutes between heartbeats");
    }

    #[test]
    fn section_4_one_whose_numbers_go_back_twice_is_a_sign() {
        assert_eq!(signs(&[(0, 1, 9), (5, 1, 3), (15, 1, 10), (20, 1, 4)]), 1);
        assert_eq!(
            signs(&[(0, 1, 9), (5, 1, 9), (15, 1, 10), (20, 1, 10)]),
            1,
            "two copies of a running machine"
        );
    }

    #[test]
    fn section_4_what_hosts_do_anyway_is_none() {
        for (what, story) in [
            ("a restart", &[(0, 1, 900), (15, 2, 1), (30, 2, 2), (45, 2, 3)][..]),
            ("restarts again and again", &[(0, 1, 3), (15, 2, 1), (30, 3, 1), (45, 4, 1), (60, 5, 1)]),
            ("a pod's hand-over", &[(0, 1, 9), (1, 2, 1), (2, 1, 9), (16, 2, 2), (31, 2, 3)]),
            ("one roll-back", &[(0, 1, 900), (15, 1, 100), (30, 1, 101), (45, 1, 102)]),
            ("a late packet", &[(0, 1, 5), (15, 1, 7), (16, 1, 6), (30, 1, 8)]),
            ("a late packet of the one before", &[(0, 1, 5), (1, 2, 1), (2, 1, 4), (15, 2, 2), (30, 2, 3)]),
            ("a suspend", &[(0, 1, 5), (90_000, 1, 6), (90_015, 1, 7)]),
            ("one return an hour", &[(0, 1, 1), (5, 2, 1), (3600, 1, 2), (7200, 2, 2), (10_800, 1, 3)]),
        ] {
            assert_eq!(signs(story), 0, "{what}");
        }
    }

    #[test]
    fn what_is_remembered_stays_short() {
        let mut presence = Presence::parse("not JSON");
        for at in 0..1000_u16 {
            presence.hear(Uuid::from_u128(at.into()), u64::MAX, i64::from(at));
        }
        assert_eq!(presence.instances.len(), MOST);
        assert!(presence.to_text().len() < 700, "{}", presence.to_text());
        presence.hear(Uuid::from_u128(1), 1, 400 * 86_400);
        assert_eq!(presence.instances.len(), 2, "only the last one outlives the window");
    }
}
