//! Whether an operator has a say in an enrollment (docs/contract.md section 4).
//!
//! Ours, where the contract leaves it open: a rule counts only where the *token* is bound to the rule's cluster, because
//! what a host says of its cluster is no proof. The roles of a cluster's rules bind in every mode. A rule that is full
//! covers nobody else, and then the mode decides. A record that stands was let in before, and is not asked about again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use telovix_contract::states::TokenType;
use telovix_contract::text::is_plain;
use telovix_contract::{ClusterName, ErrorCode, NodeRole};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Refusal;
use super::words::words;

/// Longest label of a rule in characters (docs/contract.md section 4).
pub(crate) const MAX_RULE_LABEL: usize = 128;
/// Most roles in one rule (ours).
const MAX_ROLES: usize = 64;

macro_rules! uuid_names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random one.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

uuid_names! {
    /// Names an auto-approve rule.
    RuleId;
    /// Names an enrollment that an operator has to look at.
    ApprovalId;
}

words! {
    /// Which enrollments wait for an operator where no rule covers them.
    pub(crate) Mode {
        /// None.
        Nobody = "none",
        /// Those with a cluster token.
        Cluster = "cluster",
        All = "all",
    }
}

impl Mode {
    fn asks(self, kind: TokenType) -> bool {
        match self {
            Self::Nobody => false,
            Self::Cluster => kind == TokenType::Cluster,
            Self::All => true,
        }
    }
}

words! {
    /// What an operator made of a waiting enrollment.
    pub Ruling {
        /// Nothing yet.
        Waiting = "waiting",
        /// It may come in.
        Approved = "approved",
        /// It may not.
        Denied = "denied",
    }
}

/// Whether somebody waits with the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// Nobody.
    Free,
    /// The key of this request.
    Mine(Ruling),
    /// Another key, and the token is for one.
    Taken,
}

/// An auto-approve rule, and whether it has counted the node in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// Roles that it lets in; empty for all.
    pub allowed_roles: Vec<NodeRole>,
    /// Most distinct nodes.
    pub max_nodes: Option<i64>,
    /// Distinct nodes so far.
    pub node_count: i64,
    /// Whether this node is among them.
    pub counted: bool,
}

impl Rule {
    fn allows(&self, role: &NodeRole) -> bool {
        self.allowed_roles.is_empty() || self.allowed_roles.contains(role)
    }

    fn has_room(&self) -> bool {
        self.counted || self.max_nodes.is_none_or(|most| self.node_count < most)
    }
}

/// How an enrollment stands with the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// The mode asks for none, or the node was let in before.
    NotNeeded,
    /// This rule lets it in, and counts it.
    ByRule(RuleId),
    /// An operator let it in.
    Approved,
    /// An operator has to look first.
    Waiting,
    /// An operator said no.
    Denied,
    /// The cluster's rules do not let this role in.
    RoleNotAllowed,
}

#[derive(Debug, Clone)]
pub(crate) struct Case<'a> {
    /// The Console's mode.
    pub mode: Mode,
    pub kind: TokenType,
    pub role: &'a NodeRole,
    /// The rules for the cluster that the token is bound to.
    pub rules: &'a [Rule],
    /// Whether somebody waits with the token.
    pub reservation: Reservation,
    /// Whether the enrollment leads to a record that stands.
    pub has_record: bool,
}

pub(crate) fn judge(case: &Case<'_>) -> Approval {
    match case.reservation {
        Reservation::Mine(Ruling::Denied) => return Approval::Denied,
        Reservation::Mine(Ruling::Approved) => return Approval::Approved,
        Reservation::Free | Reservation::Taken | Reservation::Mine(Ruling::Waiting) => {}
    }
    if !case.rules.is_empty() && !case.rules.iter().any(|rule| rule.allows(case.role)) {
        return Approval::RoleNotAllowed;
    }
    if case.has_record || !case.mode.asks(case.kind) {
        return Approval::NotNeeded;
    }
    let mut fitting = case.rules.iter().filter(|rule| rule.allows(case.role) && rule.has_room());
    // A rule that knows the node comes first: then it costs no other rule a place.
    let known = fitting.clone().find(|rule| rule.counted);
    known.or_else(|| fitting.next()).map_or(Approval::Waiting, |rule| Approval::ByRule(rule.id))
}

/// What someone asks for, unchecked: the body of `POST rules`, or the command line's flags.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct RuleDraft {
    /// The cluster.
    pub cluster_id: ClusterName,
    /// A name for people.
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub label: String,
    /// Roles to let in; empty for all.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub allowed_roles: Vec<NodeRole>,
    /// Most distinct nodes.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_nodes: Option<i64>,
}

pub(crate) fn check_rule(draft: &RuleDraft) -> Result<(), Refusal> {
    let label = &draft.label;
    if label.is_empty() || label.chars().count() > MAX_RULE_LABEL || !label.chars().all(is_plain) {
        return Err(Refusal::field(
            "label",
            format!("1 to {MAX_RULE_LABEL} printable characters are allowed"),
        ));
    }
    if draft.allowed_roles.len() > MAX_ROLES {
        return Err(Refusal::field("allowed_roles", format!("at most {MAX_ROLES} roles are allowed")));
    }
    if draft.max_nodes.is_some_and(|most| !(1..=1_000_000).contains(&most)) {
        return Err(Refusal::field("max_nodes", "1 to 1000000 nodes are allowed"));
    }
    Ok(())
}

/// The refusal for a role that the cluster's rules do not let in.
pub(crate) fn role_not_allowed() -> Refusal {
    let message = "The rules of this cluster do not allow the node's role; declare another role, or ask for a rule that allows it.";
    Refusal::new(ErrorCode::RoleNotAllowed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(roles: &[&str], max_nodes: Option<i64>, node_count: i64) -> Rule {
        let allowed_roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        Rule { id: RuleId::random(), allowed_roles, max_nodes, node_count, counted: false }
    }

    fn judged(mode: Mode, kind: TokenType, rules: &[Rule], role: &str) -> Approval {
        let role: NodeRole = role.parse().unwrap();
        judge(&Case { mode, kind, role: &role, rules, reservation: Reservation::Free, has_record: false })
    }

    /// docs/contract.md section 4: `none` (default) | `cluster` | `all`.
    #[test]
    fn section_4_the_mode_says_who_waits_where_no_rule_covers() {
        for (mode, once, cluster) in [
            (Mode::Nobody, Approval::NotNeeded, Approval::NotNeeded),
            (Mode::Cluster, Approval::NotNeeded, Approval::Waiting),
            (Mode::All, Approval::Waiting, Approval::Waiting),
        ] {
            assert_eq!(judged(mode, TokenType::Once, &[], "o_du"), once);
            assert_eq!(judged(mode, TokenType::Cluster, &[], "o_du"), cluster);
            assert_eq!(Mode::from_word(mode.as_str()), Some(mode));
        }
    }

    #[test]
    fn section_4_a_rule_lets_its_roles_in_up_to_its_cap() {
        let all = rule(&[], None, 1000);
        let by = |rule: &Rule| Approval::ByRule(rule.id);
        assert_eq!(judged(Mode::All, TokenType::Cluster, std::slice::from_ref(&all), "gnb"), by(&all));
        let some = rule(&["o_du", "o_cu"], Some(2), 1);
        assert_eq!(judged(Mode::Cluster, TokenType::Cluster, std::slice::from_ref(&some), "o_cu"), by(&some));
        let full = Rule { node_count: 2, ..some.clone() };
        assert_eq!(
            judged(Mode::Cluster, TokenType::Cluster, std::slice::from_ref(&full), "o_cu"),
            Approval::Waiting
        );
        let knows = Rule { counted: true, ..full.clone() };
        assert_eq!(
            judged(Mode::Cluster, TokenType::Cluster, &[all.clone(), knows.clone()], "o_cu"),
            by(&knows)
        );
        assert_eq!(judged(Mode::Cluster, TokenType::Cluster, &[full, all.clone()], "o_cu"), by(&all));
    }

    /// docs/contract.md section 6: `role_not_allowed`.
    #[test]
    fn section_6_a_role_that_no_rule_of_the_cluster_allows() {
        let some = rule(&["o_du"], None, 0);
        for mode in Mode::ALL {
            let refused = judged(mode, TokenType::Cluster, std::slice::from_ref(&some), "amf");
            assert_eq!(refused, Approval::RoleNotAllowed);
        }
        let either = [some, rule(&["amf"], None, 0)];
        assert_eq!(judged(Mode::All, TokenType::Cluster, &either, "amf"), Approval::ByRule(either[1].id));
    }

    #[test]
    fn section_3_an_operators_word_counts_and_a_record_is_not_asked_about_again() {
        let role = NodeRole::default();
        let case = |reservation, has_record| {
            judge(&Case {
                mode: Mode::All,
                kind: TokenType::Once,
                role: &role,
                rules: &[],
                reservation,
                has_record,
            })
        };
        assert_eq!(case(Reservation::Mine(Ruling::Denied), true), Approval::Denied);
        assert_eq!(case(Reservation::Mine(Ruling::Approved), false), Approval::Approved);
        assert_eq!(case(Reservation::Mine(Ruling::Waiting), false), Approval::Waiting);
        assert_eq!(case(Reservation::Free, true), Approval::NotNeeded);
    }

    /// docs/contract.md section 4: `label` required, at most 128 characters.
    #[test]
    fn section_4_what_a_rule_may_be() {
        let draft = |label: String, max_nodes| RuleDraft {
            cluster_id: "c".parse().unwrap(),
            label,
            allowed_roles: Vec::new(),
            max_nodes,
        };
        check_rule(&draft("é".repeat(128), Some(1))).unwrap();
        for (bad, field) in [
            (draft(String::new(), None), "label"),
            (draft("x".repeat(129), None), "label"),
            (draft("a\nb".to_owned(), None), "label"),
            (draft("x".to_owned(), Some(0)), "max_nodes"),
        ] {
            assert!(check_rule(&bad).unwrap_err().message.contains(&format!("`{field}`")));
        }
    }
}
