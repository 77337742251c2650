//! Auto-approve rules and the waiting list, for operators (docs/contract.md section 4).

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use telovix_contract::facts::HostFacts;
use telovix_contract::states::TokenType;
use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, SensorId};
use utoipa::ToSchema;

use super::console::require_setup;
use super::shown::Shown;
use super::{Console, ServiceError, licence, restore};
use crate::ca::Authority;
use crate::clock::timestamp;
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::rules::{self, RuleRecord};
use crate::db::{DbError, Tx, audit, settings, tokens};
use crate::domain::Refusal;
use crate::domain::approval::{
    ApprovalId, FactsHash, MOST_WAITING, Mode, Reason, RuleDraft, RuleId, Ruling, check_rule,
};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::page::{Cursor, Page, Piece};
use crate::domain::sensor::Standing;

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
    /// In the answer to whoever made it: what to know about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// In the answer to whoever made it: the waiting nodes that come in by it on their next attempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admits: Vec<String>,
}

/// What whoever makes a rule hears while the mode asks about no host.
pub(crate) const RULE_WITHOUT_MODE: &str = "The setting approval_mode is none: every host with a valid token enrolls, and the rule decides nothing until the mode is cluster or all.";
/// What whoever approves hears at a full licence.
pub(crate) const APPROVED_WITHOUT_SLOT: &str =
    "The licence is full: the host is approved, and cannot enroll until a slot is free.";

/// A waiting enrollment in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApprovalView {
    /// Its name.
    pub id: ApprovalId,
    /// `waiting`, `approved` or `denied`.
    pub status: &'static str,
    /// `new`, `changed` (a known sensor with another name, cluster or role), `revoked` (approving makes a new record),
    /// `conflict` (approving takes the record of a living sensor) or `restored` (the Console was restored from a copy without this
    /// sensor; approving makes its record again, with the certificate that it shows).
    pub reason: &'static str,
    /// The sensor whose record it is about; null for a new node.
    pub record_id: Option<SensorId>,
    /// The hash of what an approval holds for; name it when approving.
    #[schema(value_type = String)]
    pub(crate) facts_sha256: FactsHash,
    /// What an approval holds for: node and cluster name, install id, role, `sensor_id`, machine id, tags, flavor; of a sensor
    /// that shows its certificate, what that says.
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
    /// The node's name.
    pub node_name: String,
    /// What the node says it is for.
    pub role: String,
    /// The cluster that the node names.
    pub cluster_id: Option<String>,
    /// The installation that the node names.
    pub install_id: Option<String>,
    /// The token that it came with; null for a sensor that shows its certificate.
    pub token_id: Option<String>,
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
    /// In the answer to whoever decided: what to know about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl ApprovalView {
    /// Why it is on the list, for people.
    pub(crate) fn why(&self) -> &'static str {
        match Reason::from_word(self.reason) {
            Some(Reason::New) | None => "new node",
            Some(Reason::Changed) => "known sensor with another name, cluster or role",
            Some(Reason::Revoked) => "its sensor was revoked; approving makes a new sensor",
            Some(Reason::Conflict) => "another host is alive under this name; approving replaces it",
            Some(Reason::Restored) => {
                "the restored Console does not have this sensor; approving makes its record again"
            }
        }
    }

    /// The sensor's record to look at, where there is one.
    pub(crate) fn link(&self) -> Option<SensorId> {
        let is_forgotten =
            self.reason == Reason::Restored.as_str() && self.status == Ruling::Waiting.as_str();
        self.record_id.filter(|_| !is_forgotten)
    }

    /// The other facts that an approval holds for, for people.
    pub(crate) fn details(&self) -> Vec<String> {
        let names = [
            ("install_id", "Install id"),
            ("sensor_id", "Held sensor"),
            ("machine_id", "Machine id"),
            ("flavor", "Flavor"),
            ("subject", "Subject"),
            ("certificate_serial", "Certificate"),
            ("not_before", "Valid from"),
            ("not_after", "Valid until"),
        ];
        let text = |(key, name): (&str, &str)| Some(format!("{name}: {}", self.facts.get(key)?.as_str()?));
        let tags = self.facts.get("tags").and_then(|tags| tags.as_array());
        let tags: Vec<&str> = tags.into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
        let tags = (!tags.is_empty()).then(|| format!("Tags: {}", tags.join(", ")));
        names.into_iter().filter_map(text).chain(tags).collect()
    }
}

/// Most waiting nodes that a new rule names.
const MOST_NAMED: i64 = 100;

/// What an operator says to a waiting enrollment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Come in, as whatever the row says now.
    Approve,
    /// Come in, if the row still says what the operator saw.
    ApproveSeen(FactsHash),
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
            let mut warnings = Vec::new();
            if settings::approval_mode(tx)? == Mode::Nobody {
                warnings.push(RULE_WITHOUT_MODE.to_owned());
            }
            let view = RuleView {
                id,
                cluster_id: draft.cluster_id.to_string(),
                label: draft.label,
                allowed_roles: draft.allowed_roles.iter().map(ToString::to_string).collect(),
                max_nodes: draft.max_nodes,
                node_count: 0,
                created_at: timestamp(now),
                warnings,
                admits: admitted(tx, id)?,
            };
            let detail = rule_detail(&view).with("admits", view.admits.len());
            let entry = AuditEntry::success(Action::RuleCreated, None, detail);
            audit::append(tx, &entry, &origin, now)?;
            Ok::<_, ServiceError>(view)
        };
        self.db().write(made).await
    }

    /// Whether the approval mode asks about no host, so that rules decide nothing.
    pub(crate) async fn asks_nobody(&self) -> Result<bool, ServiceError> {
        Ok(self.db().read(|tx| settings::approval_mode(tx)).await? == Mode::Nobody)
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
    /// Errors: `not_found`; `conflict` when it has been decided otherwise, or is not what the operator saw.
    pub async fn decide_approval(
        &self,
        id: ApprovalId,
        say: Say,
        origin: Origin,
    ) -> Result<ApprovalView, ServiceError> {
        let (now, authority) = (self.now(), self.authority()?);
        let decided = self.db().write(move |tx| decide(tx, id, say, authority, &origin, now)).await?;
        tracing::info!(approval_id = %id, ?say, "an operator decided about an enrollment");
        Ok(decided)
    }
}

fn decide(
    tx: &mut dyn Tx,
    id: ApprovalId,
    say: Say,
    authority: Arc<Authority>,
    origin: &Origin,
    now: i64,
) -> Result<ApprovalView, ServiceError> {
    let none = || {
        let message = "No enrollment of this id waits; it may have been let in, or forgotten.";
        Refusal::new(ErrorCode::NotFound, message)
    };
    let mut found = approvals::by_id(tx, id)?.ok_or_else(none)?;
    if let Say::ApproveSeen(seen) = say
        && seen != found.facts_hash
    {
        let message = "The request changed since it was shown; look at it again before you approve it.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    }
    let (ruling, action) = match say {
        Say::Approve | Say::ApproveSeen(_) => (Ruling::Approved, Action::EnrollmentApproved),
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
    let restored = match &found.certificate {
        Some(der) => Some(restore::recreate(tx, &Shown::new(der, authority, origin), ruling, now)?),
        None => None,
    };
    let by = origin.actor_email.as_ref().or(origin.api_key.as_ref());
    approvals::decide(tx, id, ruling, by.map(String::as_str), now)?;
    if say == Say::Deny {
        spend_denied(tx, &found, now)?;
    }
    let detail = Detail::new()
        .with("approval_id", id)
        .maybe("token_id", found.token_id)
        .with("node_name", &found.node_name)
        .with("role", &found.role)
        .with("reason", found.reason.as_str())
        .with("facts_sha256", found.facts_hash)
        .with("public_key_sha256", hex(&found.spki));
    audit::append(tx, &AuditEntry::success(action, found.record_id, detail), origin, now)?;
    (found.ruling, found.decided_at) = (ruling, Some(now));
    found.decided_by = by.cloned();
    let takes_slot = matches!(found.reason, Reason::New | Reason::Revoked) && ruling == Ruling::Approved;
    let full =
        restored == Some(Standing::Decommissioned) || (takes_slot && !licence::slots(tx, now)?.one_left());
    let mut view = approval_view(found);
    if full {
        view.warnings.push(APPROVED_WITHOUT_SLOT.to_owned());
    }
    Ok(view)
}

/// The waiting nodes that a new rule lets in, as far as its cap goes.
fn admitted(tx: &mut dyn Tx, id: RuleId) -> Result<Vec<String>, DbError> {
    let made = rules::by_id(tx, id)?.ok_or(DbError::Missing("rule of this id"))?;
    let most = made.rule.max_nodes.unwrap_or(MOST_NAMED).min(MOST_NAMED);
    let waiting = approvals::for_rules(tx, &made.cluster_id, MOST_WAITING)?;
    let admitted = waiting.into_iter().filter(|(_, role)| made.rule.allows(role));
    Ok(admitted.take(usize::try_from(most).unwrap_or(0)).map(|(node, _)| node.to_string()).collect())
}

/// A one-time token whose enrollment was denied is good for nothing any more.
fn spend_denied(tx: &mut dyn Tx, denied: &ApprovalRecord, now: i64) -> Result<(), ServiceError> {
    let token = denied.token_id.map(|id| tokens::by_id(tx, id)).transpose()?.flatten();
    if let Some(token) = token.filter(|token| token.kind == TokenType::Once) {
        tokens::revoke(tx, token.id, now)?;
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
        warnings: Vec::new(),
        admits: Vec::new(),
    }
}

fn approval_view(found: ApprovalRecord) -> ApprovalView {
    ApprovalView {
        id: found.id,
        status: found.ruling.as_str(),
        reason: found.reason.as_str(),
        record_id: found.record_id,
        facts_sha256: found.facts_hash,
        facts: serde_json::from_str(&found.facts).unwrap_or(serde_json::Value::Null),
        node_name: found.node_name,
        role: found.role,
        cluster_id: found.cluster_id,
        install_id: found.install_id,
        token_id: found.token_id.map(|id| id.to_string()),
        public_key_sha256: hex(&found.spki),
        host: serde_json::from_str(&found.host).unwrap_or(serde_json::Value::Null),
        client_ip: found.client_ip,
        asked_at: timestamp(found.asked_at),
        last_asked_at: timestamp(found.last_asked_at),
        decided_at: found.decided_at.map(timestamp),
        decided_by: found.decided_by,
        warnings: Vec::new(),
    }
}
