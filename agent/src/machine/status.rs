//! What can be said of the agent at one moment: the report that `status` prints, the control socket serves, and the
//! metrics are made from.
//!
//! Invariant: one type, so that what an operator reads, what a probe decides and what a graph shows cannot differ. The
//! names of its keys are fixed, because scripts of others read them. No secret fits in it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::SensorId;

use super::code::{Actor, Code};

/// Where the agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Just started; the state directory has not been read yet.
    Starting,
    /// No identity, and nothing to get one with.
    Unenrolled,
    /// Presenting a token.
    Enrolling,
    /// An operator has to approve.
    AwaitingApproval,
    /// Enrolled and, as far as known, accepted.
    Active,
    /// Enrolled; a successor is being obtained.
    Renewing,
    /// There was an identity, and it cannot be used.
    Lost,
    /// The Console refuses until an operator acts or another token comes.
    Refused,
    /// Retired by request.
    Decommissioned,
}

impl StateName {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Starting,
        Self::Unenrolled,
        Self::Enrolling,
        Self::AwaitingApproval,
        Self::Active,
        Self::Renewing,
        Self::Lost,
        Self::Refused,
        Self::Decommissioned,
    ];

    /// The word in JSON, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unenrolled => "unenrolled",
            Self::Enrolling => "enrolling",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Active => "active",
            Self::Renewing => "renewing",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Whether an identity stands in this state.
    pub fn holds_identity(self) -> bool {
        match self {
            Self::Active | Self::Renewing => true,
            Self::Starting
            | Self::Unenrolled
            | Self::Enrolling
            | Self::AwaitingApproval
            | Self::Lost
            | Self::Refused
            | Self::Decommissioned => false,
        }
    }
}

/// The report. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where the agent stands.
    pub state: StateName,
    /// Why, one sentence.
    pub reason: String,
    /// Who has to act.
    pub waiting_for: Actor,
    /// Whose identity this host holds or held.
    pub sensor_id: Option<SensorId>,
    /// The name that it enrolled under, or would.
    pub node_name: Option<String>,
    /// Its role.
    pub node_role: Option<String>,
    /// Its cluster.
    pub cluster_name: Option<String>,
    /// The Console.
    pub console_url: Option<String>,
    /// What the Console thinks of the identity.
    pub trust_state: Option<String>,
    /// Start of the certificate's life.
    pub not_before: Option<Timestamp>,
    /// End of the certificate's life.
    pub not_after: Option<Timestamp>,
    /// When it will be renewed.
    pub renew_at: Option<Timestamp>,
    /// The certificate's serial number, hex.
    pub serial: Option<String>,
    /// The generation in the state directory.
    pub generation: Option<u32>,
    /// When the Console last accepted the identity, as far as known.
    pub last_contact: Option<Timestamp>,
    /// Whether the Console's latest word on this identity, since it is the current one, was that it accepts it.
    #[serde(default)]
    pub accepted: bool,
    /// Seconds that this host's clock is ahead of the Console's; negative where it is behind.
    #[serde(default)]
    pub clock_skew_seconds: Option<i64>,
    /// Where the identity is kept.
    #[serde(default)]
    pub state_dir: Option<PathBuf>,
    /// What holds the running agent back, one line; `None` where none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<String>,
    /// Whether an agent runs that keeps this identity; absent where that cannot be known.
    #[serde(default)]
    pub agent_running: Option<bool>,
    /// Version of the program that says this.
    #[serde(default)]
    pub version: Option<String>,
    /// When it was said; where no agent runs, when the files were read.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
    /// The proxy by which the running agent reaches the Console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Why the certificate is not renewed yet, where the last attempt failed.
    #[serde(default)]
    pub renewal_error: Option<LastError>,
    /// The last failure that still matters.
    pub last_error: Option<LastError>,
    /// What was mended, and what an operator should know.
    pub notes: Vec<String>,
}

/// A failure, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// What is wrong.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do about it; empty where the message says it.
    pub action: String,
    /// When the agent tries again by itself; absent when it does not.
    pub next_attempt: Option<Timestamp>,
}

impl Report {
    /// A report that knows only where the agent stands and why.
    pub fn new(state: StateName, reason: impl Into<String>, waiting_for: Actor) -> Self {
        Self {
            state,
            reason: reason.into(),
            waiting_for,
            sensor_id: None,
            node_name: None,
            node_role: None,
            cluster_name: None,
            console_url: None,
            trust_state: None,
            not_before: None,
            not_after: None,
            renew_at: None,
            serial: None,
            generation: None,
            last_contact: None,
            accepted: false,
            clock_skew_seconds: None,
            state_dir: None,
            confinement: None,
            agent_running: None,
            version: None,
            as_of: None,
            proxy: None,
            renewal_error: None,
            last_error: None,
            notes: Vec::new(),
        }
    }

    /// Whether this host is enrolled and accepted, so that consumers can count on its identity; if not, why, in one
    /// line.
    pub fn readiness(&self, now: Timestamp) -> Result<(), String> {
        if !self.state.holds_identity() {
            return Err(format!("{}: {}", self.state.as_str(), self.reason));
        }
        if let Some(not_after) = self.not_after.filter(|not_after| *not_after < now) {
            return Err(format!("the certificate expired at {not_after:.0}"));
        }
        if !self.accepted {
            let why = self.last_error.as_ref().map_or(self.reason.as_str(), |error| error.message.as_str());
            return Err(format!("the Console has not accepted the identity: {why}"));
        }
        Ok(())
    }

    /// Adds what is wrong beside the identity itself. It is the last error where there is none, or one that it explains.
    pub fn add_problem(&mut self, code: Code, message: &str) {
        let explained = match &self.last_error {
            None => true,
            Some(error) => {
                matches!(error.code, Code::Unenrolled | Code::IdentityLost) && code == Code::TokenUnusable
            }
        };
        if explained {
            let (message, action) = (message.to_owned(), code.action().to_owned());
            self.last_error = Some(LastError { code, message, action, next_attempt: None });
            if self.state == StateName::Unenrolled {
                self.reason = "this host has no identity, and its token cannot be used".to_owned();
            }
        }
        self.notes.push(message.to_owned());
    }

    /// What can be said of what the disk holds where no agent answers: nothing goes on by itself.
    pub fn without_agent(mut self) -> Self {
        self.agent_running = Some(false);
        if self.state.holds_identity() {
            self.waiting_for = Actor::HostOperator;
            let said = if self.accepted {
                "the Console accepted the identity when it was last asked"
            } else {
                "the Console has not accepted the identity, as far as this host knows"
            };
            self.reason = format!("no agent answers; {said}");
        }
        if self.state == StateName::Enrolling {
            self.waiting_for = Actor::HostOperator;
            self.reason = format!("{}; no agent answers, and nothing enrolls it", self.reason);
        }
        if let Some(error) = &mut self.last_error {
            error.next_attempt = None;
        }
        self
    }

    /// The state, who has to act, when the next attempt is, and why, in one line. What may be cut off stands last.
    pub fn line(&self) -> String {
        let next = self.last_error.as_ref().and_then(|error| error.next_attempt);
        let aside: Vec<String> = [
            self.waiting_for.name().map(|who| format!("waits for {who}")),
            next.map(|at| format!("next attempt {at:.0}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let aside = if aside.is_empty() { String::new() } else { format!(" ({})", aside.join("; ")) };
        format!("{}{aside}: {}", self.state.as_str(), self.reason)
    }

    /// Whether it is of the agent that keeps this state directory, by whatever name.
    pub fn is_of(&self, state_dir: &Path) -> bool {
        let real = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        self.state_dir.as_deref().is_some_and(|own| real(own) == real(state_dir))
    }

    /// [`Report::readiness`] as a choice.
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.readiness(now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_enrolled_accepted_and_in_force() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for state in StateName::ALL {
            let report = Report { accepted: true, ..Report::new(state, "because", Actor::Agent) };
            assert_eq!(report.is_ready(now), state.holds_identity(), "{state:?}");
            let waiting = Report { accepted: false, ..report.clone() };
            assert!(!waiting.is_ready(now) && waiting.readiness(now).unwrap_err().contains("because"));
            let until = |at: &str| Report { not_after: Some(at.parse().unwrap()), ..report.clone() };
            assert_eq!(until("2026-06-01T00:00:01Z").is_ready(now), state.holds_identity());
            assert!(!until("2026-05-31T23:59:59Z").is_ready(now), "a healthy probe after the end");
        }
    }

    #[test]
    fn one_line_says_who_has_to_act_and_when_it_goes_on() {
        let active = Report::new(StateName::Active, "the Console accepts the identity", Actor::Agent);
        assert_eq!(active.line(), "active: the Console accepts the identity");
        let error = |next_attempt| LastError {
            code: Code::Internal,
            message: "m".into(),
            action: String::new(),
            next_attempt,
        };
        let away = Report { last_error: Some(error("2026-06-01T00:00:07.5Z".parse().ok())), ..active };
        assert_eq!(
            away.line(),
            "active (next attempt 2026-06-01T00:00:07Z): the Console accepts the identity"
        );
        for (who, said) in
            Actor::ALL.into_iter().zip(["lost: gone", "of this host): gone", "of the Console): gone"])
        {
            assert!(Report::new(StateName::Lost, "gone", who).line().ends_with(said), "{who:?}");
            assert_eq!(serde_json::to_value(who).unwrap(), who.as_str());
        }
    }

    #[test]
    fn a_report_of_an_older_agent_is_read() {
        let text = r#"{"state":"active","reason":"","waiting_for":"agent","sensor_id":null,"node_name":null,
            "node_role":null,"cluster_name":null,"console_url":null,"trust_state":null,"not_before":null,
            "not_after":null,"renew_at":null,"serial":null,"generation":null,"last_contact":null,
            "last_error":null,"notes":[]}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report, Report::new(StateName::Active, "", Actor::Agent));
    }
}
