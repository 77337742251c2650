//! The decision about an enrollment (docs/contract.md sections 3, 4 and 6).
//!
//! Invariant: [`decide`] is the only place where the rules are. It is given everything that the database knows and
//! changes nothing; whoever carries the decision out does so in the transaction that the facts were read in.

mod known;
mod record;
mod refusals;

use telovix_contract::enroll::REPEAT_WINDOW_SECONDS;
use telovix_contract::states::{TokenStatus, TokenType};
use telovix_contract::{ClusterName, ErrorCode, InstallId, NodeName, SensorId};

use super::Refusal;
use super::approval::{Approval, Case, FactsHash, Reason, Reservation, Review, RuleId, Ruling, judge};
use super::licence::Slots;
use super::sensor::Standing;
use super::token::TokenRecord;
pub use known::{Attempt, Earlier, Known, NodeCount, Own, SecondRecord};
pub use record::Claim;
use record::{Target, target};
pub(crate) use refusals::{alive_elsewhere, disabled, licence_full, list_full, revoked, unknown_token};
use refusals::{cluster_mismatch, denied, too_many_nodes, used};

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No; nothing is used up.
    Refuse(Refusal),
    /// The answer that this key got before, again; nothing is used up.
    Repeat(SensorId, SlotPlan),
    /// An operator has to approve first.
    Wait(Ask),
    /// The record is a living sensor's; an operator can give it to this host all the same.
    InUse(Ask),
    /// An identity.
    Enroll(Plan),
}

/// What an operator is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Why.
    pub reason: Reason,
    /// The record that it is about.
    pub record: Option<SensorId>,
    /// What the approval would hold for.
    pub facts: FactsHash,
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
    /// A new one, which takes the names over from this revoked one.
    InsteadOf(SensorId),
    /// This one.
    Update(SensorId, Claim),
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

/// The node key of docs/contract.md section 4: the same three names are the same node. Of the names only the
/// cluster's can hold a slash, so the last two say where it ends.
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

fn decide_for(attempt: &Attempt, known: &Known, token: &TokenRecord) -> Result<Decision, Refusal> {
    if let Some(earlier) = &known.earlier
        && attempt.now - earlier.used_at < REPEAT_WINDOW_SECONDS
    {
        return repeat(earlier, known.slots);
    }
    check_reservation(attempt, known.reservation, token)?;
    if token.cluster_id.is_some() && attempt.facts.cluster_name != token.cluster_id {
        return Err(cluster_mismatch());
    }
    let target = target(attempt, known, token)?;
    let own = match target {
        Target::New | Target::InsteadOf(_) => None,
        Target::Update(own, _) | Target::InUse(own) => Some(own),
    };
    if let Some(own) = own {
        check_standing(own.standing)?;
    }
    let ask = || ask(attempt, target);
    let record = match target {
        Target::New => RecordPlan::New,
        Target::InsteadOf(own) => RecordPlan::InsteadOf(own.id),
        Target::Update(own, claim) => RecordPlan::Update(own.id, claim),
        Target::InUse(_) => return Ok(Decision::InUse(ask())),
    };
    let new_node = token.kind == TokenType::Cluster && known.node == NodeCount::New;
    if new_node && token.max_nodes.is_some_and(|most| token.node_count >= most) {
        return Err(too_many_nodes());
    }
    let slot = slot_for(own.map(|own| own.standing), known.slots)?;
    let is_approved =
        matches!(known.reservation, Reservation::Mine(_)) && known.reservation.approves(ask().facts);
    let case = Case {
        mode: known.mode,
        kind: token.kind,
        role: &attempt.facts.role,
        rules: &known.rules,
        review: if is_approved { Review::Nobody } else { review(attempt, token, target) },
        waits: known.reservation.is_waiting(),
    };
    let rule = match judge(&case) {
        Approval::NotNeeded => None,
        Approval::ByRule(rule) => Some(rule),
        Approval::Waiting => return Ok(Decision::Wait(ask())),
    };
    Ok(Decision::Enroll(Plan {
        record,
        slot,
        token: match token.kind {
            TokenType::Once => TokenPlan::UseUp,
            TokenType::Cluster if new_node => TokenPlan::CountNode,
            TokenType::Cluster => TokenPlan::CountUse,
        },
        rule,
        warnings: warnings(attempt, known, target),
    }))
}

/// The repeat rule: the same answer, even to a token that has expired, been used or been revoked since. A sensor that an
/// operator switched off stays off, and one that retired comes back as a node of its own.
fn repeat(earlier: &Earlier, slots: Slots) -> Result<Decision, Refusal> {
    check_standing(earlier.standing)?;
    let slot = slot_for(Some(earlier.standing), slots)?;
    Ok(Decision::Repeat(earlier.sensor, slot))
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
        Reservation::Mine(row) => match row.ruling {
            Ruling::Denied => Err(denied()),
            Ruling::Waiting | Ruling::Approved
                if row.reason.reserves() && token.status_at(attempt.now) == TokenStatus::Expired =>
            {
                Ok(())
            }
            Ruling::Waiting | Ruling::Approved => check_status(attempt, token),
        },
    }
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

fn check_standing(standing: Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Active | Standing::Decommissioned => Ok(()),
        Standing::Revoked => Err(revoked()),
        Standing::Disabled => Err(disabled()),
    }
}

/// Who is asked. A record that comes back under another name, cluster or role is looked at as a new one is.
fn review(attempt: &Attempt, token: &TokenRecord, target: Target<'_>) -> Review {
    match target {
        Target::New => Review::ByMode,
        Target::InsteadOf(_) => Review::Always,
        Target::Update(own, _) | Target::InUse(own) => {
            let facts = &attempt.facts;
            let same_name = own.node_name == facts.node_name || token.replace_host;
            let same = same_name && own.cluster == facts.cluster_name && own.role == facts.role.as_str();
            if same { Review::Nobody } else { Review::ByMode }
        }
    }
}

fn ask(attempt: &Attempt, target: Target<'_>) -> Ask {
    let (reason, record) = match target {
        Target::New => (Reason::New, None),
        Target::InsteadOf(own) => (Reason::Revoked, Some(own.id)),
        Target::Update(own, _) => (Reason::Changed, Some(own.id)),
        Target::InUse(own) => (Reason::Conflict, Some(own.id)),
    };
    Ask { reason, record, facts: attempt.facts.hash(record) }
}

fn slot_for(standing: Option<Standing>, slots: Slots) -> Result<SlotPlan, Refusal> {
    if standing.is_some_and(Standing::takes_a_slot) {
        Ok(SlotPlan::Keep)
    } else if let (None, Some(refusal)) = (standing, slots.term.refusal()) {
        Err(refusal)
    } else if slots.one_left() {
        Ok(SlotPlan::Take)
    } else {
        Err(licence_full())
    }
}

fn warnings(attempt: &Attempt, known: &Known, target: Target<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let held = attempt.facts.sensor_id.or(known.proved.as_ref().map(|own| own.id));
    match (held, target) {
        (Some(held), Target::New) if known.held.is_none() && known.proved.is_none() => warnings.push(format!(
            "The host held the identity {held}, which this Console does not know; the token made a new record."
        )),
        (Some(held), Target::New | Target::InsteadOf(_)) => warnings.push(format!(
            "The host held the identity {held}, and the token made a new record beside it; delete the old one if it is this host."
        )),
        (Some(held), Target::Update(own, _)) if held != own.id => warnings.push(format!(
            "The host held the identity {held}, and the token led it to the record {}; delete the old one if it is this host.",
            own.id
        )),
        (Some(_) | None, _) => {}
    }
    let Target::Update(own, claim) = target else { return warnings };
    let machine = attempt.facts.machine_id;
    let moved = own.machine.is_some() && machine.is_some() && own.machine != machine;
    if claim != Claim::Key && own.is_alive(attempt.now) {
        warnings.push(format!(
            "The sensor {} was alive until this enrollment; its earlier certificate ends when the new one is used. If two hosts share the name, rename one.",
            own.id
        ));
    } else if claim != Claim::Key && moved {
        warnings.push(format!(
            "The sensor {} was last another machine; its earlier certificate ends when the new one is used.",
            own.id
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
