//! A bad day on purpose (`serve --chaos FILE`): by route and count, whatever can go wrong between two programs.
//!
//! The file is a JSON list of rules, looked at from the top. A rule is for one path, or all that begin with it where it
//! ends in `*`; it lets `skip` requests pass and then spoils `times` of them:
//! `{"path": "/api/v1/sensors/enroll", "skip": 0, "times": 2, "act": {"kind": "drop_after_commit"}}`.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// What to do to a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    path: String,
    #[serde(default)]
    skip: u64,
    #[serde(default = "once")]
    times: u64,
    act: Act,
}

fn once() -> u64 {
    1
}

/// The rules, with how often each has struck. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Chaos(Arc<Mutex<Vec<Rule>>>);

/// Why a file holds no rules.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// It is not the list that it should be.
    #[error("the chaos file is not a list of rules: {0}")]
    Rules(#[from] serde_json::Error),
}

impl Chaos {
    /// Reads rules.
    ///
    /// # Errors
    /// [`ChaosError::Rules`].
    pub fn parse(json: &[u8]) -> Result<Self, ChaosError> {
        let rules: Vec<Rule> = serde_json::from_slice(json)?;
        Ok(Self(Arc::new(Mutex::new(rules))))
    }

    /// What to do to a request for this path, if anything; counts it.
    #[must_use]
    pub fn strike(&self, path: &str) -> Option<Act> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |rule: &&mut Rule| match rule.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == rule.path,
        };
        let rule = rules.iter_mut().filter(fits).find(|rule| rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.act.clone())
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
        assert!(Chaos::parse(br#"[{"path": "/a", "act": {"kind": "tea"}}]"#).is_err());
    }
}
