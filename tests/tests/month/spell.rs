//! A spell of bad weather: what goes wrong, for how long, and what else happens in the middle of it.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::acts::{Kind, Rule, pick, rules};

/// Life of a certificate here, in hours.
pub(crate) const LIFE_HOURS: u64 = 6;
/// Longest ordinary spell: what is left of a certificate that is due for renewal, less the longest wait.
const LONGEST: u64 = 80 * 60;
/// An outage comes once in so many spells.
const OUTAGE_EVERY: usize = 25;

/// What happens in the middle of a spell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    ConsoleDies,
    ConsoleComesBack,
    DaemonDies(usize),
    Retires(usize),
    RenewalIsAskedFor(usize),
    TokenComes(usize),
    FilesGo(usize),
}

/// A spell.
#[derive(Debug)]
pub(crate) struct Spell {
    pub(crate) number: usize,
    pub(crate) length: Duration,
    pub(crate) rules: Vec<Rule>,
    /// What happens when, in order.
    pub(crate) happenings: Vec<(Duration, Happening)>,
    /// Whether it outlives certificates.
    pub(crate) outage: bool,
    seed: u64,
}

/// Draws spells so that every kind comes as often as every other.
pub(crate) struct Weather {
    dice: Rng,
    deck: Vec<Kind>,
    spells: usize,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Rng::with_seed(seed), deck: Vec::new(), spells: 0 }
    }

    pub(crate) fn next(&mut self, hosts: usize) -> Spell {
        self.spells += 1;
        let outage = self.spells.is_multiple_of(OUTAGE_EVERY);
        let mut found = Vec::new();
        if outage {
            let dark = [Kind::DropBeforeCommit, Kind::Html, Kind::OtherCa, Kind::Expired];
            found.extend(rules(*pick(&mut self.dice, &dark), 1.0, &mut self.dice));
        } else {
            for _ in 0..2 {
                let kind = self.kind();
                // Long waits take long here, too.
                let shares: &[f64] = if kind == Kind::Delay { &[0.3, 0.6] } else { &[0.15, 0.4, 0.7, 1.0] };
                let share = *pick(&mut self.dice, shares);
                found.extend(rules(kind, share, &mut self.dice));
            }
        }
        let length = if outage { (LIFE_HOURS + 1) * 3600 } else { self.dice.u64(10 * 60..=LONGEST) };
        let happenings = self.happenings(length, hosts);
        Spell {
            number: self.spells,
            length: Duration::from_secs(length),
            rules: found,
            happenings,
            outage,
            seed: self.dice.u64(..),
        }
    }

    /// The seconds until the next spell, once all is well.
    pub(crate) fn lull(&mut self) -> Duration {
        Duration::from_secs(self.dice.u64(0..=5 * 3600))
    }

    fn kind(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = Kind::ALL.to_vec();
            self.dice.shuffle(&mut self.deck);
        }
        self.deck.pop().expect("it was filled")
    }

    fn happenings(&mut self, length: u64, hosts: usize) -> Vec<(Duration, Happening)> {
        let dice = &mut self.dice;
        let mut happenings = Vec::new();
        if dice.u8(..).is_multiple_of(5) {
            let at = dice.u64(..length);
            happenings.push((at, Happening::ConsoleDies));
            happenings.push((dice.u64(at..=length.min(at + 900)), Happening::ConsoleComesBack));
        }
        for (one_in, happening) in [
            (3, Happening::DaemonDies as fn(usize) -> Happening),
            (4, Happening::Retires),
            (2, Happening::RenewalIsAskedFor),
            (2, Happening::RenewalIsAskedFor),
            (2, Happening::TokenComes),
            (3, Happening::FilesGo),
        ] {
            if dice.u8(..).is_multiple_of(one_in) {
                happenings.push((dice.u64(..length), happening(dice.usize(..hosts))));
            }
        }
        happenings.sort_by_key(|(at, _)| *at);
        happenings.into_iter().map(|(at, what)| (Duration::from_secs(at), what)).collect()
    }
}

impl Spell {
    /// The rules as the Console takes them.
    pub(crate) fn json(&self) -> String {
        let rules: Vec<&Value> = self.rules.iter().map(|rule| &rule.json).collect();
        json!({"seed": self.seed, "rules": rules}).to_string()
    }

    /// How often each rule has struck, by what is left of them.
    pub(crate) fn strikes(&self, left: &str) -> Vec<(Kind, &'static str, u64)> {
        let left: Value = serde_json::from_str(left).expect("JSON");
        let rules = left["rules"].as_array().expect("a list");
        assert_eq!(rules.len(), self.rules.len());
        let of = |(rule, left): (&Rule, &Value)| {
            (rule.kind, rule.exchange, rule.times - left["times"].as_u64().expect("a number"))
        };
        self.rules.iter().zip(rules).map(of).collect()
    }

    /// In a few words.
    pub(crate) fn shown(&self) -> String {
        let (number, length, rules) = (self.number, self.length, self.json());
        format!("spell {number}, {length:?}, {rules}, {:?}", self.happenings)
    }
}
