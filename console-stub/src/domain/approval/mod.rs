//! Whether an operator has a say in an enrollment (docs/contract.md section 4).
//!
//! Ours, where the contract leaves it open: a rule counts only where the *token* is bound to the rule's cluster, because
//! what a host says of its cluster is no proof. A rule that is full covers nobody else, and then the mode decides. A record
//! that comes back as it was is not asked about again; one that comes with another name, cluster or role is.

mod facts;
mod ids;
mod rule;

use telovix_contract::NodeRole;
use telovix_contract::states::TokenType;

pub use facts::{Facts, FactsHash};
pub use ids::{ApprovalId, RuleId};
pub(crate) use rule::check_rule;
pub use rule::{Rule, RuleDraft};

use super::words::words;

/// Most enrollments with one token that wait for an operator at once; further ones are told to come later (ours).
pub(crate) const MOST_WAITING: i64 = 1000;
/// Most conflicts over names with one token on the list at once; further ones are refused all the same (ours).
pub(crate) const MOST_CONFLICTS: i64 = 100;
/// Most bytes of names, tags and host facts in one row of the list (ours).
pub(crate) const LONGEST_ROW: usize = 16 * 1024;

words! {
    /// Which enrollments wait for an operator where no rule covers them.
    pub Mode {
        /// None.
        Nobody = "none",
        /// Those with a cluster token.
        Cluster = "cluster",
        /// Every one.
        All = "all",
    }
}

impl Mode {
    pub(crate) fn asks(self, kind: TokenType) -> bool {
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

words! {
    /// Why an operator has to look at an enrollment.
    pub Reason {
        /// The approval mode asks about new nodes.
        New = "new",
        /// The approval mode asks, and a known sensor comes with another name, cluster or role.
        Changed = "changed",
        /// An operator revoked the node's record; approving makes a new one.
        Revoked = "revoked",
        /// A living sensor has the record that the host asks for; approving gives the record to this host.
        Conflict = "conflict",
        /// The Console was restored from a copy without this sensor; approving makes its record anew.
        Restored = "restored",
    }
}

impl Reason {
    /// Whether the row keeps its token for its key. A conflict does not: nobody has promised the host anything. A sensor that
    /// the Console forgot comes without one.
    pub(crate) fn reserves(self) -> bool {
        match self {
            Self::New | Self::Changed | Self::Revoked => true,
            Self::Conflict | Self::Restored => false,
        }
    }
}

/// The row of a key and a token on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// What an operator made of it.
    pub ruling: Ruling,
    /// Why it is there.
    pub reason: Reason,
    /// What the row was written, or approved, for.
    pub facts: FactsHash,
}

/// Whether somebody waits with the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// Nobody.
    Free,
    /// The key of this request.
    Mine(Pending),
    /// Another key, and the token is for one.
    Taken,
}

impl Reservation {
    /// Whether an operator approved exactly this.
    pub(crate) fn approves(self, facts: FactsHash) -> bool {
        matches!(self, Self::Mine(row) if row.ruling == Ruling::Approved && row.facts == facts)
    }

    /// Whether the key waits with the token, so that a change of mode does not let it in.
    pub(crate) fn is_waiting(self) -> bool {
        matches!(self, Self::Mine(row) if row.reason.reserves())
    }
}

/// Who has to be asked about an enrollment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Review {
    /// Nobody: the record comes back as it was.
    Nobody,
    /// Whoever rules and the mode name.
    ByMode,
    /// An operator, whatever rules and the mode say.
    Always,
}

/// How an enrollment stands with the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approval {
    NotNeeded,
    /// This rule lets it in, and counts it.
    ByRule(RuleId),
    /// An operator has to look first.
    Waiting,
}

#[derive(Debug, Clone)]
pub(crate) struct Case<'a> {
    /// The Console's mode.
    pub mode: Mode,
    pub kind: TokenType,
    pub role: &'a NodeRole,
    /// The rules for the cluster that the token is bound to.
    pub rules: &'a [Rule],
    pub review: Review,
    /// Whether the host waits already: then a rule can let it in, and a change of mode cannot.
    pub waits: bool,
}

/// A rule lets in and never refuses: what none covers follows the mode.
pub(crate) fn judge(case: &Case<'_>) -> Approval {
    match case.review {
        Review::Nobody => return Approval::NotNeeded,
        Review::Always => return Approval::Waiting,
        Review::ByMode if !case.waits && !case.mode.asks(case.kind) => return Approval::NotNeeded,
        Review::ByMode => {}
    }
    let mut fitting = case.rules.iter().filter(|rule| rule.allows(case.role) && rule.has_room());
    // A rule that knows the node comes first: then it costs no other rule a place.
    let known = fitting.clone().find(|rule| rule.counted);
    known.or_else(|| fitting.next()).map_or(Approval::Waiting, |rule| Approval::ByRule(rule.id))
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
        judge(&Case { mode, kind, role: &role, rules, review: Review::ByMode, waits: false })
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

    #[test]
    fn section_4_a_rule_lets_in_and_never_refuses() {
        let some = [rule(&["o_du"], None, 0)];
        assert_eq!(judged(Mode::Nobody, TokenType::Cluster, &some, "amf"), Approval::NotNeeded);
        assert_eq!(judged(Mode::Cluster, TokenType::Once, &some, "amf"), Approval::NotNeeded);
        assert_eq!(judged(Mode::All, TokenType::Cluster, &some, "amf"), Approval::Waiting);
    }

    #[test]
    fn section_4_a_change_of_mode_admits_nobody_who_waits_and_a_rule_does() {
        let role = NodeRole::default();
        let rules = [rule(&[], None, 0)];
        let case = |rules, review| {
            judge(&Case {
                mode: Mode::Nobody,
                kind: TokenType::Cluster,
                role: &role,
                rules,
                review,
                waits: true,
            })
        };
        assert_eq!(case(&[], Review::ByMode), Approval::Waiting);
        assert_eq!(case(&rules, Review::ByMode), Approval::ByRule(rules[0].id));
        assert_eq!(case(&rules, Review::Always), Approval::Waiting);
        assert_eq!(case(&[], Review::Nobody), Approval::NotNeeded);
    }
}
