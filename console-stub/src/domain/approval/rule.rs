//! Auto-approve rules: which nodes of a cluster come in without an operator (docs/contract.md section 4).

use serde::Deserialize;
use telovix_contract::text::is_plain;
use telovix_contract::{ClusterName, NodeRole};
use utoipa::ToSchema;

use super::ids::RuleId;
use crate::domain::Refusal;

/// Longest label of a rule in characters (docs/contract.md section 4).
const MAX_RULE_LABEL: usize = 128;
/// Most roles in one rule (ours).
const MAX_ROLES: usize = 64;

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
    pub(crate) fn allows(&self, role: &NodeRole) -> bool {
        self.allowed_roles.is_empty() || self.allowed_roles.contains(role)
    }

    pub(super) fn has_room(&self) -> bool {
        self.counted || self.max_nodes.is_none_or(|most| self.node_count < most)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
