//! Tokens: what may be asked for, and how one stands (docs/contract.md sections 1 and 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::text::is_plain;
use telovix_contract::{ClusterName, SensorId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Refusal;

/// Shortest life of a one-time token in seconds (issue: 1 minute).
pub(crate) const ONCE_SHORTEST: i64 = 60;
/// Longest life of a one-time token in seconds (24 hours).
pub(crate) const ONCE_LONGEST: i64 = 24 * 3600;
/// Life of a one-time token in seconds where nobody chose another (docs/contract.md section 1: 15 minutes).
pub(crate) const ONCE_DEFAULT: i64 = 15 * 60;
/// Longest life of a cluster token in days (docs/contract.md section 1).
pub(crate) const CLUSTER_LONGEST_DAYS: i64 = 730;
/// Life of a cluster token in days where nobody chose another (docs/contract.md section 1).
pub(crate) const CLUSTER_DEFAULT_DAYS: i64 = 365;
/// Longest label in characters.
pub(crate) const MAX_LABEL: usize = 128;
const DAY: i64 = 24 * 3600;

/// Names a token without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = "uuid")]
pub struct TokenId(Uuid);

impl TokenId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TokenId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A token as it is stored, its secret's hash aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its name.
    pub id: TokenId,
    /// One-time or for a cluster.
    pub kind: TokenType,
    /// As stored; see `status_at`.
    pub status: TokenStatus,
    /// What its maker called it.
    pub label: Option<String>,
    /// The only cluster that may use it.
    pub cluster_id: Option<ClusterName>,
    /// The only sensor that may use it: a re-enrollment token.
    pub sensor_id: Option<SensorId>,
    /// Whether that sensor may come from another host.
    pub replace_host: bool,
    /// Most distinct nodes of a cluster token.
    pub max_nodes: Option<i64>,
    /// Distinct nodes that a cluster token enrolled so far.
    pub node_count: i64,
    /// Enrollments that it paid for, repeats not counted.
    pub use_count: i64,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds from which on it is expired.
    pub expires_at: i64,
    /// Unix seconds of its first use.
    pub used_at: Option<i64>,
    /// Unix seconds since which a one-time token is kept for the key of a waiting enrollment.
    pub reserved_at: Option<i64>,
}

impl TokenRecord {
    /// The status at this moment: a pending token whose time has passed is expired, whether or not anyone wrote that down,
    /// unless it is kept for an enrollment that waits for approval.
    pub(crate) fn status_at(&self, now: i64) -> TokenStatus {
        match self.status {
            TokenStatus::Pending if now >= self.expires_at && self.reserved_at.is_none() => {
                TokenStatus::Expired
            }
            TokenStatus::Pending | TokenStatus::Used | TokenStatus::Expired | TokenStatus::Revoked => {
                self.status
            }
        }
    }
}

/// What someone asks for, unchecked: the body of `POST tokens`, or the command line's flags.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct TokenDraft {
    /// `once` or `cluster`; one-time where absent.
    #[serde(default, rename = "type")]
    pub kind: Option<TokenType>,
    /// Life of a one-time token in seconds.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 86_400)]
    pub ttl_seconds: Option<i64>,
    /// Life of a cluster token in days.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 730)]
    pub expires_days: Option<i64>,
    /// The cluster to bind to; required for a cluster token.
    #[serde(default)]
    pub cluster_id: Option<ClusterName>,
    /// Most distinct nodes of a cluster token.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_nodes: Option<i64>,
    /// The sensor to bind to: makes a re-enrollment token.
    #[serde(default)]
    pub sensor_id: Option<SensorId>,
    /// Whether a re-enrollment token works on any host, as new hardware under a new name needs it; `false` where absent.
    #[serde(default)]
    pub replace_host: bool,
    /// A name for people.
    #[serde(default)]
    #[schema(max_length = 128)]
    pub label: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenSpec {
    /// One-time or for a cluster.
    pub kind: TokenType,
    /// Life in seconds.
    pub lifetime: i64,
    /// Binding to a cluster.
    pub cluster_id: Option<ClusterName>,
    /// Binding to a sensor.
    pub sensor_id: Option<SensorId>,
    pub replace_host: bool,
    /// Most distinct nodes.
    pub max_nodes: Option<i64>,
    pub label: Option<String>,
}

/// The lifetimes by the Console's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    /// Seconds of a one-time token where its maker names none.
    pub once: i64,
    /// Fewest seconds of a one-time token.
    pub once_shortest: i64,
    /// Most seconds of a one-time token.
    pub once_longest: i64,
    /// Days of a cluster token where its maker names none.
    pub cluster_days: i64,
    /// Most days of a cluster token.
    pub cluster_longest_days: i64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            once: ONCE_DEFAULT,
            once_shortest: ONCE_SHORTEST,
            once_longest: ONCE_LONGEST,
            cluster_days: CLUSTER_DEFAULT_DAYS,
            cluster_longest_days: CLUSTER_LONGEST_DAYS,
        }
    }
}

pub(crate) fn check(draft: TokenDraft, lifetimes: &Lifetimes) -> Result<TokenSpec, Refusal> {
    let kind = draft.kind.unwrap_or(TokenType::Once);
    let lifetime = match kind {
        TokenType::Once => once_lifetime(&draft, lifetimes)?,
        TokenType::Cluster => cluster_lifetime(&draft, lifetimes)?,
    };
    if let Some(label) = &draft.label
        && (label.is_empty() || label.chars().count() > MAX_LABEL || !label.chars().all(is_plain))
    {
        return Err(Refusal::field("label", format!("1 to {MAX_LABEL} printable characters are allowed")));
    }
    if draft.replace_host && draft.sensor_id.is_none() {
        return Err(Refusal::field(
            "replace_host",
            "it is for re-enrollment tokens; name the sensor in `sensor_id`",
        ));
    }
    Ok(TokenSpec {
        kind,
        lifetime,
        cluster_id: draft.cluster_id,
        sensor_id: draft.sensor_id,
        replace_host: draft.replace_host,
        max_nodes: draft.max_nodes,
        label: draft.label,
    })
}

fn once_lifetime(draft: &TokenDraft, lifetimes: &Lifetimes) -> Result<i64, Refusal> {
    if draft.expires_days.is_some() {
        return Err(Refusal::field("expires_days", "it is for cluster tokens; a one-time token takes a ttl"));
    }
    if draft.max_nodes.is_some() {
        return Err(Refusal::field(
            "max_nodes",
            "it is for cluster tokens; a one-time token enrolls one node",
        ));
    }
    let (shortest, longest) = (lifetimes.once_shortest, lifetimes.once_longest);
    let ttl = draft.ttl_seconds.unwrap_or(lifetimes.once);
    if (shortest..=longest).contains(&ttl) {
        Ok(ttl)
    } else {
        Err(Refusal::field(
            "ttl",
            format!("a one-time token lives between {shortest} s and {longest} s here"),
        ))
    }
}

fn cluster_lifetime(draft: &TokenDraft, lifetimes: &Lifetimes) -> Result<i64, Refusal> {
    if draft.cluster_id.is_none() {
        return Err(Refusal::field("cluster_id", "a cluster token has to name its cluster"));
    }
    if draft.sensor_id.is_some() {
        return Err(Refusal::field("sensor_id", "a re-enrollment token is a one-time token"));
    }
    if draft.ttl_seconds.is_some() {
        return Err(Refusal::field("ttl", "it is for one-time tokens; a cluster token takes expires_days"));
    }
    if draft.max_nodes.is_some_and(|most| !(1..=1_000_000).contains(&most)) {
        return Err(Refusal::field("max_nodes", "1 to 1000000 nodes are allowed"));
    }
    let longest = lifetimes.cluster_longest_days;
    let days = draft.expires_days.unwrap_or(lifetimes.cluster_days.min(longest));
    if (1..=longest).contains(&days) {
        Ok(days * DAY)
    } else {
        Err(Refusal::field("expires_days", format!("1 to {longest} days are allowed here")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once() -> TokenDraft {
        TokenDraft { kind: Some(TokenType::Once), ..TokenDraft::default() }
    }

    fn cluster() -> TokenDraft {
        let cluster_id = Some("ran-east".parse().unwrap());
        TokenDraft { kind: Some(TokenType::Cluster), cluster_id, ..TokenDraft::default() }
    }

    fn refused_field(draft: TokenDraft) -> String {
        let refusal = check(draft, &Lifetimes::default()).unwrap_err();
        refusal.message.split('`').nth(1).unwrap().to_owned()
    }

    /// docs/contract.md section 1: 15 minutes by default for one-time tokens, 365 days and 730 at most for clusters.
    #[test]
    fn section_1_lifetimes_and_their_bounds() {
        assert_eq!(check(once(), &Lifetimes::default()).unwrap().lifetime, 900);
        for good in [60, 86_400] {
            check(TokenDraft { ttl_seconds: Some(good), ..once() }, &Lifetimes::default()).unwrap();
        }
        for bad in [-1, 0, 59, 86_401] {
            assert_eq!(refused_field(TokenDraft { ttl_seconds: Some(bad), ..once() }), "ttl");
        }
        assert_eq!(check(cluster(), &Lifetimes::default()).unwrap().lifetime, 365 * 86_400);
        for good in [1, 730] {
            check(TokenDraft { expires_days: Some(good), ..cluster() }, &Lifetimes::default()).unwrap();
        }
        for bad in [-1, 0, 731] {
            assert_eq!(refused_field(TokenDraft { expires_days: Some(bad), ..cluster() }), "expires_days");
        }
    }

    #[test]
    fn a_token_id_reads_back_as_it_is_written() {
        let text = "0b0f2c5e-9d3a-4a57-8f1e-6c1f6a1d2b3c";
        assert_eq!(text.parse::<TokenId>().unwrap().to_string(), text);
        assert_ne!(TokenId::random(), TokenId::random());
    }

    /// docs/contract.md section 1: what each kind of token is bound to.
    #[test]
    fn section_1_fields_that_do_not_go_together() {
        let sensor_id = Some(SensorId::random());
        assert_eq!(refused_field(TokenDraft { cluster_id: None, ..cluster() }), "cluster_id");
        assert_eq!(refused_field(TokenDraft { sensor_id, ..cluster() }), "sensor_id");
        assert_eq!(refused_field(TokenDraft { ttl_seconds: Some(60), ..cluster() }), "ttl");
        assert_eq!(refused_field(TokenDraft { max_nodes: Some(0), ..cluster() }), "max_nodes");
        assert_eq!(refused_field(TokenDraft { max_nodes: Some(1), ..once() }), "max_nodes");
        assert_eq!(refused_field(TokenDraft { expires_days: Some(1), ..once() }), "expires_days");
        assert_eq!(refused_field(TokenDraft { label: Some("x".repeat(129)), ..once() }), "label");
        assert_eq!(refused_field(TokenDraft { replace_host: true, ..once() }), "replace_host");
        check(TokenDraft { sensor_id, replace_host: true, ..once() }, &Lifetimes::default()).unwrap();
        check(TokenDraft { sensor_id, label: Some("x".repeat(128)), ..once() }, &Lifetimes::default())
            .unwrap();
    }

    /// An administrator may set narrower bounds, and then these count.
    #[test]
    fn section_1_narrower_bounds_count() {
        let narrow = Lifetimes {
            once: 90,
            once_shortest: 90,
            once_longest: 120,
            cluster_days: 30,
            cluster_longest_days: 20,
        };
        let once_for =
            |ttl| check(TokenDraft { ttl_seconds: ttl, ..once() }, &narrow).map(|spec| spec.lifetime);
        assert_eq!([once_for(None), once_for(Some(120))].map(Result::unwrap), [90, 120]);
        assert!(once_for(Some(89)).is_err() && once_for(Some(121)).is_err());
        assert_eq!(check(cluster(), &narrow).unwrap().lifetime, 20 * 86_400);
        assert!(check(TokenDraft { expires_days: Some(21), ..cluster() }, &narrow).is_err());
    }
}
