//! The decision about an enrollment (docs/contract.md sections 3, 4 and 6).
//!
//! Invariant: [`decide`] is the only place where the rules stand. It is given everything that the database knows and
//! changes nothing; whoever carries the decision out does so in the transaction that the facts were read in.

use telovix_contract::enroll::REPEAT_WINDOW_SECONDS;
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::{ClusterName, ErrorCode, InstallId, NodeName, SensorId};

use super::Refusal;
use super::approval::{Approval, Reservation, RuleId, Ruling, role_not_allowed};
use super::licence::Slots;
use super::sensor::Standing;
use super::token::TokenRecord;

/// What the host asks for, as far as rules hang on it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Unix seconds.
    pub now: i64,
    /// The cluster that the node says it belongs to.
    pub cluster_name: Option<ClusterName>,
    /// The identity that it holds or held.
    pub sensor_id: Option<SensorId>,
    /// Whether a second record is welcome to a host that holds an identity.
    pub second_record: SecondRecord,
}

/// `new_sensor` of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondRecord {
    /// Absent or `true`.
    Welcome,
    /// `false`.
    Unwanted,
}

/// A record that the token leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its identity.
    pub id: SensorId,
    /// How it stands.
    pub standing: Standing,
}

/// An enrollment by the same token with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// The record that it made or updated.
    pub sensor: Own,
    /// Unix seconds.
    pub used_at: i64,
}

/// Whether a cluster token has counted this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeCount {
    /// It has: the node costs nothing more.
    Counted,
    /// It has not.
    New,
}

/// What the database knows about the request.
#[derive(Debug, Clone)]
pub struct Known {
    /// The token, if there is one with this hash.
    pub token: Option<TokenRecord>,
    /// An earlier enrollment by the same token with the same key.
    pub earlier: Option<Earlier>,
    /// The bound sensor of a re-enrollment token, or the cluster node's own record.
    pub own: Option<Own>,
    /// How the record stands that the host says it holds, if there is one.
    pub held: Option<Standing>,
    /// Whether the cluster token has counted this node.
    pub node: NodeCount,
    /// How the licence stands.
    pub slots: Slots,
    /// How the operators stand to it.
    pub approval: Approval,
    /// Whether somebody waits with the token.
    pub reservation: Reservation,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No; nothing is used up.
    Refuse(Refusal),
    /// The answer that this key got before, again; nothing is used up.
    Repeat(SensorId, SlotPlan),
    /// An operator has to approve first.
    Wait,
    /// An identity.
    Enroll(Plan),
}

/// How to enroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which record.
    pub record: RecordPlan,
    /// What it costs of the licence.
    pub slot: SlotPlan,
    /// What it costs of the token.
    pub token: TokenPlan,
    /// The auto-approve rule that lets the node in, and counts it.
    pub rule: Option<RuleId>,
    /// What the host's operator should know.
    pub warnings: Vec<String>,
}

/// Which record an enrollment goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPlan {
    /// A new one.
    New,
    /// This one.
    Update(SensorId),
}

/// Whether a licence slot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotPlan {
    /// One more.
    Take,
    /// The record has one.
    Keep,
}

/// What happens to the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPlan {
    /// It becomes `used`.
    UseUp,
    /// One more use; one more node.
    CountNode,
    /// One more use by a node that it knows.
    CountUse,
}

/// The node key of docs/contract.md section 4: the same three names are the same node. None of the names can hold a slash.
pub fn node_key(cluster: &ClusterName, install: Option<&InstallId>, node: &NodeName) -> String {
    format!("{cluster}/{}/{node}", install.map_or("", InstallId::as_str))
}

/// Decides.
pub fn decide(attempt: &Attempt, known: &Known) -> Decision {
    let outcome = match &known.token {
        None => Err(unknown_token()),
        Some(token) => decide_for(attempt, known, token),
    };
    outcome.unwrap_or_else(Decision::Refuse)
}

/// The refusal for unknown and malformed tokens alike.
pub(crate) fn unknown_token() -> Refusal {
    let message = "This Console does not know the token; copy the whole token again, or make a new one.";
    Refusal::new(ErrorCode::InvalidEnrollmentToken, message)
}

fn decide_for(attempt: &Attempt, known: &Known, token: &TokenRecord) -> Result<Decision, Refusal> {
    if let Some(earlier) = &known.earlier
        && attempt.now - earlier.used_at < REPEAT_WINDOW_SECONDS
    {
        return repeat(earlier, known.slots);
    }
    check_reservation(attempt, known.reservation, token)?;
    check_bindings(attempt, known, token)?;
    if known.approval == Approval::RoleNotAllowed {
        return Err(role_not_allowed());
    }
    if let Some(own) = &known.own {
        check_standing(own)?;
    }
    let new_node = token.kind == TokenType::Cluster && known.node == NodeCount::New;
    if new_node && token.max_nodes.is_some_and(|most| token.node_count >= most) {
        return Err(too_many_nodes());
    }
    let slot = slot_for(known.own.as_ref(), known.slots)?;
    let rule = match known.approval {
        Approval::NotNeeded | Approval::Approved => None,
        Approval::ByRule(rule) => Some(rule),
        Approval::Waiting => return Ok(Decision::Wait),
        Approval::Denied => return Err(denied()),
        Approval::RoleNotAllowed => return Err(role_not_allowed()),
    };
    Ok(Decision::Enroll(Plan {
        record: known.own.map_or(RecordPlan::New, |own| RecordPlan::Update(own.id)),
        slot,
        token: match token.kind {
            TokenType::Once => TokenPlan::UseUp,
            TokenType::Cluster if new_node => TokenPlan::CountNode,
            TokenType::Cluster => TokenPlan::CountUse,
        },
        rule,
        warnings: warnings(attempt, known),
    }))
}

/// The repeat rule: the same answer, even to a token that has expired, been used or been revoked since. A sensor that an
/// operator switched off stays off, and one that retired comes back as a node of its own.
fn repeat(earlier: &Earlier, slots: Slots) -> Result<Decision, Refusal> {
    check_standing(&earlier.sensor)?;
    let slot = slot_for(Some(&earlier.sensor), slots)?;
    Ok(Decision::Repeat(earlier.sensor.id, slot))
}

/// A waiting enrollment keeps its token for its key: the expiry no longer matters, a denial ends it, and any other key is
/// told that the token is used. What an operator takes back is taken back all the same.
fn check_reservation(
    attempt: &Attempt,
    reservation: Reservation,
    token: &TokenRecord,
) -> Result<(), Refusal> {
    match reservation {
        Reservation::Free => check_status(attempt, token),
        Reservation::Taken => Err(used()),
        Reservation::Mine(Ruling::Denied) => Err(denied()),
        Reservation::Mine(Ruling::Waiting | Ruling::Approved)
            if token.status_at(attempt.now) == TokenStatus::Expired =>
        {
            Ok(())
        }
        Reservation::Mine(Ruling::Waiting | Ruling::Approved) => check_status(attempt, token),
    }
}

fn used() -> Refusal {
    let message = "The token has enrolled another host or another key; make a new token for this host.";
    Refusal::new(ErrorCode::EnrollmentTokenUsed, message)
}

fn check_status(attempt: &Attempt, token: &TokenRecord) -> Result<(), Refusal> {
    let (code, message) = match token.status_at(attempt.now) {
        TokenStatus::Pending => return Ok(()),
        TokenStatus::Used => return Err(used()),
        TokenStatus::Expired => {
            (ErrorCode::EnrollmentTokenExpired, "The token has expired; make a new one and use it in time.")
        }
        TokenStatus::Revoked => {
            (ErrorCode::EnrollmentTokenRevoked, "An operator revoked the token; ask for a new one.")
        }
    };
    Err(Refusal::new(code, message))
}

fn check_bindings(attempt: &Attempt, known: &Known, token: &TokenRecord) -> Result<(), Refusal> {
    if let Some(cluster) = &token.cluster_id
        && attempt.cluster_name.as_ref() != Some(cluster)
    {
        let message = "The token belongs to another cluster; set this node's cluster name to the token's, or use a token of its cluster.";
        return Err(Refusal::new(ErrorCode::ClusterMismatch, message));
    }
    let mismatch = |message: &str| Err(Refusal::new(ErrorCode::SensorBindingMismatch, message));
    match (token.kind, token.sensor_id, attempt.sensor_id) {
        (_, Some(bound), Some(held)) if bound != held => mismatch(
            "The token re-enrolls another sensor than the one this host holds; make one for this sensor.",
        ),
        (_, Some(_), _) if known.own.is_none() => {
            mismatch("The sensor that the token re-enrolls has been deleted; use a plain token.")
        }
        // Where the first is deleted or revoked there is no token that renews it, and the new one is not a second.
        (TokenType::Once, None, Some(_))
            if attempt.second_record == SecondRecord::Unwanted && known.held.is_some_and(can_speak) =>
        {
            mismatch(
                "A plain token would make a second record of this host; use a re-enrollment token for its sensor, or allow a new sensor.",
            )
        }
        _ => Ok(()),
    }
}

/// Whether a host can speak as this sensor, or will again.
fn can_speak(standing: Standing) -> bool {
    match standing {
        Standing::Active | Standing::Disabled | Standing::Decommissioned => true,
        Standing::Revoked => false,
    }
}

fn check_standing(own: &Own) -> Result<(), Refusal> {
    match own.standing {
        Standing::Active | Standing::Decommissioned => Ok(()),
        Standing::Revoked => Err(revoked()),
        Standing::Disabled => Err(disabled()),
    }
}

/// The refusal for a sensor that is switched off for good.
pub(crate) fn revoked() -> Refusal {
    let message = "An operator revoked this sensor; ask for a token that enrolls the host anew.";
    Refusal::new(ErrorCode::SensorRevoked, message)
}

/// The refusal for a sensor that is switched off for a time.
pub(crate) fn disabled() -> Refusal {
    Refusal::new(ErrorCode::SensorDisabled, "An operator disabled this sensor; ask to have it enabled again.")
}

pub(crate) fn licence_full() -> Refusal {
    let message = "The licence is full; raise it, or decommission nodes that are no longer needed.";
    Refusal::new(ErrorCode::NodeLimitExceeded, message)
}

fn too_many_nodes() -> Refusal {
    let message = "The token has enrolled as many nodes as it may; make a new token for this cluster.";
    Refusal::new(ErrorCode::MaxNodesExceeded, message)
}

fn denied() -> Refusal {
    Refusal::new(
        ErrorCode::EnrollmentDenied,
        "An operator denied this enrollment; ask why before you try again.",
    )
}

fn slot_for(own: Option<&Own>, slots: Slots) -> Result<SlotPlan, Refusal> {
    if own.is_some_and(|own| own.standing.takes_a_slot()) {
        Ok(SlotPlan::Keep)
    } else if let (None, Some(refusal)) = (own, slots.term.refusal()) {
        Err(refusal)
    } else if slots.one_left() {
        Ok(SlotPlan::Take)
    } else {
        Err(licence_full())
    }
}

fn warnings(attempt: &Attempt, known: &Known) -> Vec<String> {
    match (attempt.sensor_id, known.own) {
        (Some(held), None) if known.held.is_none() => vec![format!(
            "The host held the identity {held}, which this Console does not know; the token made a new record."
        )],
        (Some(held), None) => vec![format!(
            "The host held the identity {held}, and the token made a new record beside it; delete the old one if it is this host."
        )],
        (Some(held), Some(own)) if held != own.id => vec![format!(
            "The host held the identity {held}, and the token led it to its cluster node's record {}; delete the old one if it is this host.",
            own.id
        )],
        (Some(_) | None, Some(_) | None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
