//! Auto-approve rules and the waiting list, for operators (docs/contract.md section 4).

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::ErrorCode;
use telovix_contract::facts::HostFacts;
use telovix_contract::states::TokenType;
use utoipa::ToSchema;

use super::console::require_setup;
use super::{Console, ServiceError};
use crate::clock::timestamp;
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::rules::{self, RuleRecord};
use crate::db::{Tx, audit, tokens};
use crate::domain::Refusal;
use crate::domain::approval::{ApprovalId, RuleDraft, RuleId, Ruling, check_rule};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::page::{Cursor, Page, Piece};

/// A rule in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RuleView {
    /// Its name.
    pub id: RuleId,
    /// The cluster that it is for.
    pub cluster_id: String,
    /// A name for people.
    pub label: String,
    /// Roles that it lets in; empty for all.
    pub allowed_roles: Vec<String>,
    /// Most distinct nodes.
    pub max_nodes: Option<i64>,
    /// Distinct nodes that it has let in.
    pub node_count: i64,
    /// RFC 3339.
    pub created_at: Timestamp,
}

/// A waiting enrollment in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApprovalView {
    /// Its name.
    pub id: ApprovalId,
    /// `waiting`, `approved` or `denied`.
    pub status: &'static str,
    /// The node's name.
    pub node_name: String,
    /// What the node says it is for.
    pub role: String,
    /// The cluster that the node names.
    pub cluster_id: Option<String>,
    /// The installation that the node names.
    pub install_id: Option<String>,
    /// The token that it came with.
    pub token_id: String,
    /// SHA-256 of its public key in hex, to compare with what the host shows.
    pub(crate) public_key_sha256: String,
    /// The host as it describes itself.
    #[schema(value_type = HostFacts)]
    pub host: serde_json::Value,
    /// Where it came from.
    pub client_ip: Option<String>,
    /// RFC 3339.
    pub(crate) asked_at: Timestamp,
    /// RFC 3339.
    pub(crate) last_asked_at: Timestamp,
    /// RFC 3339.
    pub(crate) decided_at: Option<Timestamp>,
    /// Who decided; null for the command line.
    pub(crate) decided_by: Option<String>,
}

/// What an operator says to a waiting enrollment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Come in.
    Approve,
    /// Go away.
    Deny,
}

impl Console {
    /// Makes an auto-approve rule.
    /// Errors: `not_ready` before set-up, `invalid_request` naming the field.
    pub async fn create_rule(&self, draft: RuleDraft, origin: Origin) -> Result<RuleView, ServiceError> {
        check_rule(&draft)?;
        let now = self.now();
        let made = move |tx: &mut dyn Tx| {
            require_setup(tx)?;
            let id = RuleId::random();
            rules::insert(tx, id, &draft, now)?;
            let view = RuleView {
                id,
                cluster_id: draft.cluster_id.to_string(),
                label: draft.label,
                allowed_roles: draft.allowed_roles.iter().map(ToString::to_string).collect(),
                max_nodes: draft.max_nodes,
                node_count: 0,
                created_at: timestamp(now),
            };
            let entry = AuditEntry::success(Action::RuleCreated, None, rule_detail(&view));
            audit::append(tx, &entry, &origin, now)?;
            Ok::<_, ServiceError>(view)
        };
        self.db().write(made).await
    }

    /// All rules, oldest first.
    pub async fn list_rules(&self) -> Result<Vec<RuleView>, ServiceError> {
        let rows = self.db().read(|tx| rules::list(tx)).await?;
        Ok(rows.into_iter().map(rule_view).collect())
    }

    /// Deletes a rule; sensors that it let in stay.
    pub async fn delete_rule(&self, id: RuleId, origin: Origin) -> Result<RuleView, ServiceError> {
        let now = self.now();
        let deleted = move |tx: &mut dyn Tx| {
            let none = || Refusal::new(ErrorCode::NotFound, "There is no such rule.");
            let view = rule_view(rules::delete(tx, id)?.ok_or_else(none)?);
            let entry = AuditEntry::success(Action::RuleDeleted, None, rule_detail(&view));
            audit::append(tx, &entry, &origin, now)?;
            Ok::<_, ServiceError>(view)
        };
        self.db().write(deleted).await
    }

    /// The waiting list, oldest first; with `only`, those of one ruling.
    pub async fn list_approvals(&self, only: Option<Ruling>) -> Result<Vec<ApprovalView>, ServiceError> {
        let rows = self.db().read(move |tx| approvals::list(tx, only)).await?;
        Ok(rows.into_iter().map(approval_view).collect())
    }

    /// A piece of the waiting list of one ruling, oldest first.
    pub(crate) async fn list_approvals_of(
        &self,
        ruling: Ruling,
        piece: Piece,
    ) -> Result<Page<ApprovalView>, ServiceError> {
        let most = piece.rows;
        let look = move |tx: &mut dyn Tx| approvals::piece(tx, ruling, piece.after.as_ref(), most + 1);
        let rows = self.db().read(look).await?;
        let cursor = |row: &ApprovalRecord| Cursor { at: row.asked_at, id: row.id.to_string() };
        Ok(Page::cut(rows, most, cursor).map(approval_view))
    }

    /// One rule.
    pub async fn rule(&self, id: RuleId) -> Result<RuleView, ServiceError> {
        let found = self.db().read(move |tx| rules::by_id(tx, id)).await?;
        let none = || Refusal::new(ErrorCode::NotFound, "There is no such rule.");
        Ok(rule_view(found.ok_or_else(none)?))
    }

    /// Decides about a waiting enrollment. The host hears of it when it asks again.
    /// Errors: `not_found`; `conflict` when it has been decided otherwise.
    pub async fn decide_approval(
        &self,
        id: ApprovalId,
        say: Say,
        origin: Origin,
    ) -> Result<ApprovalView, ServiceError> {
        let now = self.now();
        let decided = self.db().write(move |tx| decide(tx, id, say, &origin, now)).await?;
        tracing::info!(approval_id = %id, ?say, "an operator decided about an enrollment");
        Ok(decided)
    }
}

fn decide(
    tx: &mut dyn Tx,
    id: ApprovalId,
    say: Say,
    origin: &Origin,
    now: i64,
) -> Result<ApprovalView, ServiceError> {
    let none = || {
        let message = "No enrollment of this id waits; it may have been let in, or forgotten.";
        Refusal::new(ErrorCode::NotFound, message)
    };
    let mut found = approvals::by_id(tx, id)?.ok_or_else(none)?;
    let (ruling, action) = match say {
        Say::Approve => (Ruling::Approved, Action::EnrollmentApproved),
        Say::Deny => (Ruling::Denied, Action::EnrollmentDenied),
    };
    if found.ruling == ruling {
        return Ok(approval_view(found));
    }
    // A denial is final, because the host may have heard of it; an approval can be taken back until it is used.
    if found.ruling == Ruling::Denied {
        let message = "The enrollment has been denied; make a new token for the host.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    let by = origin.actor_email.as_ref().or(origin.api_key.as_ref());
    approvals::decide(tx, id, ruling, by.map(String::as_str), now)?;
    if say == Say::Deny {
        spend_denied(tx, &found, now)?;
    }
    let detail = Detail::new()
        .with("approval_id", id)
        .with("token_id", found.token_id)
        .with("node_name", &found.node_name)
        .with("role", &found.role);
    audit::append(tx, &AuditEntry::success(action, None, detail), origin, now)?;
    (found.ruling, found.decided_at) = (ruling, Some(now));
    found.decided_by = by.cloned();
    Ok(approval_view(found))
}

/// A one-time token whose enrollment was denied is good for nothing any more.
fn spend_denied(tx: &mut dyn Tx, denied: &ApprovalRecord, now: i64) -> Result<(), ServiceError> {
    let token = tokens::by_id(tx, denied.token_id)?;
    if token.is_some_and(|token| token.kind == TokenType::Once) {
        tokens::revoke(tx, denied.token_id, now)?;
    }
    Ok(())
}

fn rule_detail(rule: &RuleView) -> Detail {
    Detail::new()
        .with("rule_id", rule.id)
        .with("cluster_id", &rule.cluster_id)
        .with("label", &rule.label)
        .with(
            "allowed_roles",
            if rule.allowed_roles.is_empty() { "all".to_owned() } else { rule.allowed_roles.join(",") },
        )
        .maybe("max_nodes", rule.max_nodes)
}

fn rule_view(found: RuleRecord) -> RuleView {
    RuleView {
        id: found.rule.id,
        cluster_id: found.cluster_id.to_string(),
        label: found.label,
        allowed_roles: found.rule.allowed_roles.iter().map(ToString::to_string).collect(),
        max_nodes: found.rule.max_nodes,
        node_count: found.rule.node_count,
        created_at: timestamp(found.created_at),
    }
}

fn approval_view(found: ApprovalRecord) -> ApprovalView {
    ApprovalView {
        id: found.id,
        status: found.ruling.as_str(),
        node_name: found.node_name,
        role: found.role,
        cluster_id: found.cluster_id,
        install_id: found.install_id,
        token_id: found.token_id.to_string(),
        public_key_sha256: telovix_contract::token::hex(&found.spki),
        host: serde_json::from_str(&found.host).unwrap_or(serde_json::Value::Null),
        client_ip: found.client_ip,
        asked_at: timestamp(found.asked_at),
        last_asked_at: timestamp(found.last_asked_at),
        decided_at: found.decided_at.map(timestamp),
        decided_by: found.decided_by,
    }
}
