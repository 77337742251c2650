//! What a check found, and all of them together.

use serde::Serialize;

/// Name of the first check, the one that can fail before there is anything else to look at.
pub(super) const CONFIGURATION: &str = "configuration";

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and is worth a look.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What kind of failure it is; each has an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The configuration, the token's file among it.
    Configuration,
    /// The Console is not reached, or not ready.
    NotReached,
    /// This host holds no valid identity.
    NoIdentity,
    /// The Console's certificate is not trusted.
    NotTrusted,
    /// Permissions, disk, clock.
    LocalState,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How it came out.
    pub level: Level,
    /// What is so, one sentence or clause.
    pub message: String,
    /// What to do about it; empty where nothing has to be done.
    pub remedy: String,
    /// Of a failure, its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), remedy: String::new(), kind: None }
    }

    pub(super) fn warn(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, message: message.into(), remedy: remedy.into(), kind: None }
    }

    pub(super) fn fail(
        check: &'static str,
        kind: Kind,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let level = Level::Fail;
        Self { check, level, message: message.into(), remedy: remedy.into(), kind: Some(kind) }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The gravest level.
    pub result: Level,
    /// The findings.
    pub checks: Vec<Finding>,
}

impl Diagnosis {
    pub(super) fn of(checks: Vec<Finding>) -> Self {
        let result = checks.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        Self { result, checks }
    }

    /// All of it in one line.
    pub fn verdict(&self) -> String {
        let count = |level| self.checks.iter().filter(|finding| finding.level == level).count();
        let times = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        match (self.checks.iter().find(|finding| finding.level == Level::Fail), count(Level::Warn)) {
            (Some(root), _) => {
                let failures = times(count(Level::Fail), "check");
                format!("verdict: it does not work; {failures} failed, begin with {}", root.check)
            }
            (None, 0) => "verdict: it works".to_owned(),
            (None, warnings) => format!("verdict: it works, with {}", times(warnings, "warning")),
        }
    }

    /// The kind of the root failure.
    pub fn root(&self) -> Option<Kind> {
        self.checks.iter().find_map(|finding| finding.kind)
    }
}
