//! A bad day on purpose (`serve --chaos FILE`, and `/chaos` on loopback while that runs): whatever can go wrong between
//! two programs, by route and by count or probability.
//!
//! The file is `{"seed": 7, "rules": [RULE, …]}`, or the list alone. Rules are looked at from the top. A rule is for one
//! path, for all that begin with it where it ends in `*`, or for TLS handshakes where it is `tls`; it lets `skip`
//! requests pass and then spoils `times` of them (1; without end where there is a `probability`), each with `probability`
//! (1): `{"path": "/api/v1/sensors/enroll", "times": 2, "act": {"kind": "drop_after_commit"}}`. The same seed draws the
//! same days.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

const HANDSHAKE: &str = "tls";

/// What to do to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Close the connection; nothing was done.
    DropBeforeCommit,
    /// Do what was asked, and close the connection without an answer.
    DropAfterCommit,
    /// Wait before anything is done.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Answer with this status instead.
    Status {
        /// The status.
        status: u16,
        /// Seconds for `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Answer 200 with a page, as a captive portal does.
    Html,
    /// Do what was asked, and break the answer off in the middle of its body.
    Truncate,
    /// Answer as if our clock were this far off (`Date`).
    Clock {
        /// Seconds; positive is ahead.
        offset_seconds: i64,
    },
    /// Revoke the sensor that asks, before it is answered.
    Revoke,
    /// Forget the sensor that asks, before it is answered.
    Forget,
    /// Forget every sensor, before the request is answered.
    ForgetAll,
    /// Forget every sensor, token, waiting host and rule, before the request is answered: a Console whose database was lost
    /// and whose CA was not.
    ForgetEverything,
    /// Show another certificate in the handshake; only for the path `tls`.
    Certificate {
        /// Which.
        which: Wrong,
    },
}

/// A server certificate that no host may accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// From a CA of the moment.
    OtherCa,
    /// For another name.
    OtherName,
    /// Ours, and its time is over.
    Expired,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    path: String,
    #[serde(default)]
    skip: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    act: Act,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Day {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Rules(Vec<Rule>),
    Day(Day),
}

#[derive(Debug)]
struct Plan {
    day: Day,
    dice: fastrand::Rng,
}

/// The rules, with how often each has struck. Clones share them. The default has none and takes none.
#[derive(Debug, Clone, Default)]
pub struct Chaos(Option<Arc<Mutex<Plan>>>);

/// Why a text holds no rules.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// It is not the JSON that it should be.
    #[error("the chaos rules cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A rule cannot be followed.
    #[error("chaos rule {number}: {problem}")]
    Rule {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Chaos {
    /// Reads rules.
    pub fn parse(json: &[u8]) -> Result<Self, ChaosError> {
        Ok(Self(Some(Arc::new(Mutex::new(Plan::parse(json)?)))))
    }

    /// Whether this server was started to have bad days, and takes other rules.
    pub fn is_armed(&self) -> bool {
        self.0.is_some()
    }

    /// Takes other rules. What cannot be read changes nothing.
    pub fn replace(&self, json: &[u8]) -> Result<(), ChaosError> {
        let fresh = Plan::parse(json)?;
        if let Some(plan) = &self.0 {
            *plan.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }

    /// The rules as they stand, with what is left of `skip` and `times`, JSON.
    pub fn left(&self) -> String {
        let day = self.0.as_ref().map(|plan| plan.lock().unwrap_or_else(PoisonError::into_inner).day.clone());
        serde_json::to_string(&day.unwrap_or_default()).unwrap_or_default()
    }

    /// What to do to a request for this path, if anything; counts it.
    pub fn strike(&self, path: &str) -> Option<Act> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).strike(path)
    }

    /// What to do to a handshake, if anything; counts it.
    pub fn strike_handshake(&self) -> Option<Wrong> {
        // No rule about handshakes says anything else.
        if let Act::Certificate { which } = self.strike(HANDSHAKE)? { Some(which) } else { None }
    }
}

impl Plan {
    fn parse(json: &[u8]) -> Result<Self, ChaosError> {
        // Twice, because the error of an untagged enum names no line.
        let day = match serde_json::from_slice(json) {
            Ok(Text::Rules(rules)) => Day { seed: None, rules },
            Ok(Text::Day(day)) => day,
            Err(_) if json.trim_ascii_start().first() == Some(&b'[') => {
                Day { seed: None, rules: serde_json::from_slice(json)? }
            }
            Err(_) => serde_json::from_slice(json)?,
        };
        for (at, rule) in day.rules.iter().enumerate() {
            if let Some(problem) = rule.problem() {
                return Err(ChaosError::Rule { number: at + 1, problem });
            }
        }
        let dice = day.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Ok(Self { day, dice })
    }

    fn strike(&mut self, path: &str) -> Option<Act> {
        let Self { day, dice } = self;
        for rule in day.rules.iter_mut().filter(|rule| rule.fits(path)) {
            if rule.left() == Some(0) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            if rule.probability.is_some_and(|share| dice.f64() >= share) {
                continue;
            }
            if let Some(left) = rule.left() {
                rule.times = Some(left - 1);
            }
            return Some(rule.act.clone());
        }
        None
    }
}

impl Rule {
    fn fits(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == self.path,
        }
    }

    /// How often it still strikes; `None`: without end.
    fn left(&self) -> Option<u64> {
        self.times.or_else(|| self.probability.is_none().then_some(1))
    }

    fn problem(&self) -> Option<&'static str> {
        let about_handshakes = matches!(self.act, Act::Certificate { .. });
        if self.probability.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Some("a probability is from 0 to 1");
        }
        if about_handshakes != (self.path == HANDSHAKE) {
            return Some("`certificate` is for the path `tls`, and nothing else is");
        }
        if self.path != HANDSHAKE && !self.path.starts_with('/') && self.path != "*" {
            return Some("a path begins with `/`, or is `*` or `tls`");
        }
        if let Act::Status { status, .. } = self.act
            && !(200..=599).contains(&status)
        {
            return Some("a status is from 200 to 599");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_strike_by_path_and_count() {
        let json = br#"[{"path": "/a", "skip": 1, "times": 2, "act": {"kind": "html"}},
                        {"path": "/b*", "act": {"kind": "status", "status": 503, "retry_after": 7}}]"#;
        let chaos = Chaos::parse(json).unwrap();
        let struck: Vec<bool> = (0..4).map(|_| chaos.strike("/a") == Some(Act::Html)).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert_eq!(chaos.strike("/bc"), Some(Act::Status { status: 503, retry_after: Some(7) }));
        assert_eq!((chaos.strike("/bc"), chaos.strike("/c")), (None, None));
        assert!(chaos.left().contains(r#""times":0"#), "{}", chaos.left());
    }

    #[test]
    fn a_probability_strikes_that_often_and_the_same_seed_the_same_requests() {
        let json = br#"{"seed": 7, "rules": [{"path": "*", "probability": 0.25, "act": {"kind": "html"}}]}"#;
        let day = |chaos: &Chaos| (0..4000).map(|_| chaos.strike("/a").is_some()).collect::<Vec<bool>>();
        let first = day(&Chaos::parse(json).unwrap());
        let struck = first.iter().filter(|struck| **struck).count();
        assert!((900..1100).contains(&struck), "{struck}");
        assert_eq!(day(&Chaos::parse(json).unwrap()), first);
        let some = br#"[{"path": "*", "probability": 0.5, "times": 3, "act": {"kind": "html"}}]"#;
        assert_eq!(day(&Chaos::parse(some).unwrap()).iter().filter(|struck| **struck).count(), 3);
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_number_and_changes_nothing() {
        let chaos = Chaos::parse(br#"[{"path": "/a", "times": 5, "act": {"kind": "html"}}]"#).unwrap();
        for (bad, named) in [
            (r#"[{"path": "/a", "act": {"kind": "tea"}}]"#, "unknown variant"),
            (r#"[{"path": "/a", "probability": 1.5, "act": {"kind": "html"}}]"#, "rule 1: a probability"),
            (r#"[{"path": "tls", "act": {"kind": "html"}}]"#, "rule 1: `certificate`"),
            (r#"[{"path": "/a", "act": {"kind": "certificate", "which": "expired"}}]"#, "`certificate`"),
            (r#"[{"path": "/a", "act": {"kind": "status", "status": 99}}]"#, "a status"),
            (r#"{"rules": [], "sed": 1}"#, "sed"),
            (r#"{"rules": [{"path": "a", "act": {"kind": "html"}}]}"#, "rule 1: a path"),
        ] {
            let error = chaos.replace(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{bad}: {error}");
        }
        assert_eq!(chaos.strike("/a"), Some(Act::Html));
        // The page about it names every act that there is, and its example can be followed.
        let page = include_str!("../../../docs/chaos.md");
        let example = page.split("```").nth(1).unwrap().strip_prefix("json").unwrap();
        assert!(Chaos::parse(example.as_bytes()).is_ok());
        let known = Chaos::parse(br#"[{"path": "/a", "act": {"kind": "tea"}}]"#).unwrap_err().to_string();
        let known: Vec<&str> = known.split('`').skip(3).step_by(2).collect();
        assert!(known.len() > 10 && known.iter().all(|act| page.contains(&format!("`{act}`"))), "{known:?}");
        let none = Chaos::default();
        assert!(!none.is_armed() && none.replace(b"[]").is_ok() && none.strike("/a").is_none());
    }
}
