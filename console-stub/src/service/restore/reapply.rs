//! Does again what a trail that went on after the copy says was taken away (docs/contract.md section 4).
//!
//! Invariant: only what takes away is done again: revocations, denials, deletions, uses of tokens; nothing that lets anybody in.
//! All of a file in one transaction, and each act once, however often the file is given: the trail knows it by its hash.

use telovix_contract::states::{TokenStatus, TokenType, TrustState};
use telovix_contract::token::hex;
use telovix_contract::{ErrorCode, Flavor, NodeName, NodeRole, SensorId, Tags};

use super::export::{Act, Kind, Trail};
use crate::clock::timestamp;
use crate::db::approvals::{self, ApprovalRecord};
use crate::db::{DbError, Tx, api_keys, audit, authority, rules, sensors, settings, tokens, users};
use crate::domain::Refusal;
use crate::domain::approval::{Reason, Ruling};
use crate::domain::audit::{Action, AuditEntry, Detail, Origin};
use crate::domain::enroll::node_key;
use crate::domain::restore::AfterRestore;
use crate::domain::sensor::{SensorRecord, Standing};
use crate::domain::token::{TokenId, TokenRecord};
use crate::service::ServiceError;
use crate::service::users::require_another_admin;

/// Longest detail of an act in the record of its being done again.
const MOST_DETAIL: usize = 1024;
/// What came of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Acts done again.
    pub again: usize,
    /// Acts after the copy that an operator has to do again.
    pub by_hand: usize,
    /// Unix seconds of the file's last record.
    pub until: i64,
}

/// Does again what happened after the copy.
/// Errors: `conflict` for the trail of another Console.
pub(super) fn apply(tx: &mut dyn Tx, trail: &Trail, now: i64) -> Result<Applied, ServiceError> {
    let Some(held) = settings::after_restore(tx)? else {
        return Err(DbError::Missing("time after a restore").into());
    };
    let Some(copied) = fork(tx, trail)? else {
        let message = "The file is not from the trail that this database is a copy of; nothing was changed.";
        return Err(Refusal::new(ErrorCode::Conflict, message).into());
    };
    let done = audit::reapplied(tx)?;
    let mut applied = Applied { again: 0, by_hand: 0, until: trail.until };
    for act in trail.acts.iter().filter(|act| act.seq > copied) {
        applied.by_hand += usize::from(is_by_hand(act.kind));
        let hash = hex(&act.hash);
        if done.contains(&hash) || !again(tx, trail, act, now)? {
            continue;
        }
        applied.again += 1;
        let detail = Detail::new()
            .with("act", act.kind.as_str())
            .with("record", hash)
            .with("acted_at", timestamp(act.at))
            .maybe("by", act.actor.as_ref())
            .and(&act.detail, MOST_DETAIL);
        append(tx, Action::ActReapplied, act.sensor_id, detail, now)?;
    }
    if applied.again > 0 || trail.until > held.known_until {
        let known_until = held.known_until.max(trail.until);
        settings::set_after_restore(tx, &AfterRestore { known_until, ..held })?;
        let detail = Detail::new()
            .with("copied_at_record", copied)
            .with("last_record", trail.first + trail.hashes.len() as i64 - 1)
            .with("until", timestamp(trail.until))
            .with("acts", applied.again)
            .with("by_hand", applied.by_hand);
        append(tx, Action::ExportApplied, None, detail, now)?;
    }
    Ok(applied)
}

fn append(
    tx: &mut dyn Tx,
    action: Action,
    sensor_id: Option<SensorId>,
    detail: Detail,
    now: i64,
) -> Result<(), DbError> {
    audit::append(tx, &AuditEntry::success(action, sensor_id, detail), &Origin::default(), now)
}

/// The place of the last record that the file and this database have in common: the copy was made behind it. As every record holds the
/// hash of the one before, what comes before a common one is common too.
fn fork(tx: &mut dyn Tx, trail: &Trail) -> Result<Option<i64>, DbError> {
    let mut is_common = |at: i64| -> Result<bool, DbError> {
        let hash = match usize::try_from(at - trail.first) {
            Ok(index) => trail.hashes.get(index).copied(),
            Err(_) => Some(trail.prev_hash),
        };
        let ours = audit::after(tx, at - 1, 1)?.into_iter().find(|linked| linked.record.seq == at);
        Ok(ours.is_some_and(|ours| Some(ours.hash) == hash))
    };
    // Before the first record of all, nothing tells one trail from another.
    let mut known = if trail.first == 1 { 1 } else { trail.first - 1 };
    if !is_common(known)? {
        return Ok(None);
    }
    let mut beyond = trail.first + trail.hashes.len() as i64;
    while beyond - known > 1 {
        let middle = known + (beyond - known) / 2;
        if is_common(middle)? { known = middle } else { beyond = middle }
    }
    Ok(Some(known))
}

/// What cannot be done again from its record, and has to be by hand.
fn is_by_hand(kind: Kind) -> bool {
    match kind {
        Kind::UserRoleChanged
        | Kind::UserPasswordChanged
        | Kind::SettingChanged
        | Kind::IssuerRotated
        | Kind::LicenceImported => true,
        Kind::SensorRevoked
        | Kind::SensorDisabled
        | Kind::SensorEnabled
        | Kind::SensorDeleted
        | Kind::SensorEnrolled
        | Kind::EnrollmentDenied
        | Kind::TokenRevoked
        | Kind::TokensForgotten
        | Kind::RuleDeleted
        | Kind::ApiKeyRevoked
        | Kind::UserDisabled
        | Kind::UserEnabled
        | Kind::IssuerRetired => false,
    }
}

/// Does one act again; says whether that changed anything.
fn again(tx: &mut dyn Tx, trail: &Trail, act: &Act, now: i64) -> Result<bool, ServiceError> {
    let value = |key: &str| Detail::value(&act.detail, key);
    let is_undone = |by: Kind| {
        let same = |later: &Act| {
            later.sensor_id == act.sensor_id && value("user") == Detail::value(&later.detail, "user")
        };
        trail.acts.iter().any(|later| later.seq > act.seq && later.kind == by && same(later))
    };
    match act.kind {
        Kind::SensorRevoked => revoke(tx, trail, act, now),
        Kind::SensorDisabled if is_undone(Kind::SensorEnabled) => Ok(false),
        Kind::SensorDisabled => stand(tx, act, Standing::Disabled, now),
        Kind::SensorDeleted => delete(tx, act),
        Kind::EnrollmentDenied if value("reason") == Some(Reason::Restored.as_str()) => {
            revoke(tx, trail, act, now)
        }
        Kind::EnrollmentDenied => deny(tx, act, now),
        Kind::SensorEnrolled => use_again(tx, act),
        Kind::TokenRevoked => match value("token_id").and_then(|id| id.parse().ok()) {
            Some(id) => Ok(tokens::revoke(tx, id, now)?),
            None => Ok(false),
        },
        Kind::TokensForgotten => Ok(tokens::revoke_all(tx, act.at, now)? > 0),
        Kind::RuleDeleted => match value("rule_id").and_then(|id| id.parse().ok()) {
            Some(id) => Ok(rules::delete(tx, id)?.is_some()),
            None => Ok(false),
        },
        Kind::ApiKeyRevoked => match value("key_id") {
            Some(id) => Ok(api_keys::revoke(tx, id, now)?),
            None => Ok(false),
        },
        Kind::UserDisabled if is_undone(Kind::UserEnabled) => Ok(false),
        Kind::UserDisabled => disable_user(tx, value("user"), now),
        Kind::IssuerRetired => retire(tx, value("issuer_id"), now),
        Kind::SensorEnabled
        | Kind::UserEnabled
        | Kind::UserRoleChanged
        | Kind::UserPasswordChanged
        | Kind::SettingChanged
        | Kind::IssuerRotated
        | Kind::LicenceImported => Ok(false),
    }
}

fn token(tx: &mut dyn Tx, act: &Act) -> Result<Option<TokenRecord>, DbError> {
    let id: Option<TokenId> = Detail::value(&act.detail, "token_id").and_then(|id| id.parse().ok());
    Ok(id.map(|id| tokens::by_id(tx, id)).transpose()?.flatten())
}

/// A sensor that the copy does not have gets a record that is revoked: its certificates are refused as such, and its names are taken.
fn revoke(tx: &mut dyn Tx, trail: &Trail, act: &Act, now: i64) -> Result<bool, ServiceError> {
    let Some(id) = act.sensor_id else { return Ok(false) };
    if sensors::by_id(tx, id)?.is_some() {
        return stand(tx, act, Standing::Revoked, now);
    }
    let enrolled = trail.acts.iter().rev().find(|earlier| {
        earlier.seq < act.seq && earlier.kind == Kind::SensorEnrolled && earlier.sensor_id == Some(id)
    });
    let value = |key: &str| {
        let detail = enrolled.map_or(act.detail.as_str(), |enrolled| enrolled.detail.as_str());
        Detail::value(detail, key)
    };
    let Some(node_name) = value("node_name").and_then(|name| name.parse::<NodeName>().ok()) else {
        return Ok(false);
    };
    let sensor = SensorRecord {
        id,
        node_name,
        cluster_id: value("cluster_name").and_then(|name| name.parse().ok()),
        install_id: value("install_id").and_then(|id| id.parse().ok()),
        role: value("role").map_or_else(|| NodeRole::default().to_string(), str::to_owned),
        flavor: Flavor::default().to_string(),
        tags: serde_json::to_string(&Tags::default()).expect("tags are a list of texts"),
        sensor_version: String::new(),
        host: "{}".to_owned(),
        trust_state: TrustState::Trusted,
        generation: 0,
        created_at: now,
        enrolled_at: enrolled.map_or(act.at, |enrolled| enrolled.at),
        last_seen_at: None,
        renew_between: None,
        presence: String::new(),
        shared_at: None,
        standing: Standing::Revoked,
    };
    let key = sensor
        .cluster_id
        .as_ref()
        .map(|cluster| node_key(cluster, sensor.install_id.as_ref(), &sensor.node_name));
    let key = match key {
        Some(key) if sensors::has_node(tx, &key)? => None,
        key => key,
    };
    sensors::insert(tx, &sensor, key.as_deref(), None)?;
    sensors::set_standing(tx, id, Standing::Revoked, now)?;
    Ok(true)
}

fn stand(tx: &mut dyn Tx, act: &Act, to: Standing, now: i64) -> Result<bool, ServiceError> {
    let sensor = act.sensor_id.map(|id| sensors::by_id(tx, id)).transpose()?.flatten();
    let Some(sensor) = sensor.filter(|sensor| sensor.standing != to && sensor.standing != Standing::Revoked)
    else {
        return Ok(false);
    };
    if to == Standing::Disabled && sensor.standing == Standing::Decommissioned {
        return Ok(false);
    }
    if sensor.standing.takes_a_slot() && !to.takes_a_slot() {
        settings::free_slot(tx)?;
    }
    sensors::set_standing(tx, sensor.id, to, now)?;
    Ok(true)
}

/// That a sensor was deleted which the copy does not have is worth a record too: its certificate is not adopted.
fn delete(tx: &mut dyn Tx, act: &Act) -> Result<bool, ServiceError> {
    let Some(id) = act.sensor_id else { return Ok(false) };
    if let Some(sensor) = sensors::by_id(tx, id)? {
        if sensor.standing.takes_a_slot() {
            settings::free_slot(tx)?;
        }
        sensors::delete(tx, id)?;
    }
    Ok(true)
}

fn use_again(tx: &mut dyn Tx, act: &Act) -> Result<bool, ServiceError> {
    let Some(token) = token(tx, act)? else { return Ok(false) };
    let value = |key: &str| Detail::value(&act.detail, key);
    match token.kind {
        TokenType::Once if token.status == TokenStatus::Pending => tokens::use_up(tx, token.id, act.at)?,
        TokenType::Once => return Ok(false),
        TokenType::Cluster => {
            let node: Option<NodeName> = value("node_name").and_then(|name| name.parse().ok());
            let (Some(cluster), Some(node)) = (&token.cluster_id, node) else { return Ok(false) };
            let install = value("install_id").and_then(|id| id.parse().ok());
            tokens::count_again(tx, token.id, &node_key(cluster, install.as_ref(), &node), act.at)?;
        }
    }
    Ok(true)
}

/// A waiting enrollment is denied as it was; one that the copy does not have is put on the list as denied, for its token and key.
fn deny(tx: &mut dyn Tx, act: &Act, now: i64) -> Result<bool, ServiceError> {
    let value = |key: &str| Detail::value(&act.detail, key);
    let (Some(token), Some(id)) = (token(tx, act)?, value("approval_id").and_then(|id| id.parse().ok()))
    else {
        return Ok(false);
    };
    match approvals::by_id(tx, id)? {
        Some(row) if row.ruling == Ruling::Denied => return Ok(false),
        Some(_) => approvals::decide(tx, id, Ruling::Denied, act.actor.as_deref(), now)?,
        None => {
            let spki = value("public_key_sha256").and_then(|key| telovix_contract::token::unhex(key).ok());
            let facts = value("facts_sha256").and_then(|hash| hash.parse().ok());
            let (Some(spki), Some(facts_hash)) = (spki, facts) else { return Ok(false) };
            let text = |key| value(key).unwrap_or_default().to_owned();
            approvals::put(
                tx,
                &ApprovalRecord {
                    id,
                    token_id: Some(token.id),
                    spki,
                    ruling: Ruling::Denied,
                    reason: value("reason").and_then(Reason::from_word).unwrap_or(Reason::New),
                    record_id: act.sensor_id,
                    node_name: text("node_name"),
                    cluster_id: token.cluster_id.map(String::from),
                    install_id: None,
                    role: text("role"),
                    facts: "{}".to_owned(),
                    facts_hash,
                    host: "{}".to_owned(),
                    client_ip: None,
                    certificate: None,
                    asked_at: act.at,
                    last_asked_at: act.at,
                    decided_at: Some(act.at),
                    decided_by: act.actor.clone(),
                },
            )?;
        }
    }
    if token.kind == TokenType::Once {
        tokens::revoke(tx, token.id, now)?;
    }
    Ok(true)
}

/// Never the last administrator: whom the trail knows besides may be one that the copy does not have.
fn disable_user(tx: &mut dyn Tx, email: Option<&str>, now: i64) -> Result<bool, ServiceError> {
    let user = email.map(|email| users::by_email(tx, email)).transpose()?.flatten();
    let Some(user) = user.filter(|user| user.disabled_at.is_none()) else { return Ok(false) };
    match require_another_admin(tx, &user) {
        Ok(()) => users::disable(tx, &user.id, now)?,
        Err(ServiceError::Refused(_)) => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Not the one that signs: the issuer that took over from it is not in the copy.
fn retire(tx: &mut dyn Tx, id: Option<&str>, now: i64) -> Result<bool, ServiceError> {
    let uses = authority::issuer_uses(tx, now)?;
    let signing = uses.iter().find(|found| found.retired_at.is_none()).map(|found| found.id.as_str());
    let in_force = |found: &&authority::IssuerUse| {
        Some(found.id.as_str()) == id && found.retired_at.is_none() && signing != id
    };
    let Some(found) = uses.iter().find(in_force) else { return Ok(false) };
    authority::retire_issuer(tx, &found.id, now)?;
    Ok(true)
}
