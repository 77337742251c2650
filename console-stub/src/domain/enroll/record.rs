//! Which record an enrollment leads to (docs/contract.md section 4).
//!
//! Invariant: a name is not an identity. The record of a living sensor goes to whoever proves its key, to its own machine, or
//! to whom an operator gives it; to nobody else, whatever the request says.

use telovix_contract::states::TokenType;

use super::known::{Attempt, Known, Own, SecondRecord};
use super::refusals::{binding_mismatch, name_in_use};
use crate::domain::Refusal;
use crate::domain::sensor::Standing;
use crate::domain::token::TokenRecord;

/// Why a record goes to whoever asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The call proves the record's key.
    Key,
    /// It is alive, and its own machine asks.
    Machine,
    /// Nobody is behind it.
    Silent,
    /// An operator approved it.
    Approval,
    /// The token was made for it.
    Token,
}

impl Claim {
    /// The word in the audit trail.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Machine => "machine_id",
            Self::Silent => "not_alive",
            Self::Approval => "approval",
            Self::Token => "token",
        }
    }
}

/// Where an enrollment leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// To a new record.
    New,
    /// To a new record for a node whose own was revoked: an operator has to agree.
    InsteadOf(&'a Own),
    /// To this record.
    Update(&'a Own, Claim),
    /// Nowhere: the record is alive, and another's.
    InUse(&'a Own),
}

pub(super) fn target<'a>(
    attempt: &Attempt,
    known: &'a Known,
    token: &TokenRecord,
) -> Result<Target<'a>, Refusal> {
    let target = match (token.sensor_id, token.kind) {
        (Some(_), _) => return of_bound(attempt, known, token),
        (None, TokenType::Cluster) => of_node(attempt, known, token)?,
        (None, TokenType::Once) => Target::New,
    };
    match target {
        Target::New => {
            check_doubles(attempt, known, token)?;
            let revoked = known.proved.iter().chain(&known.held).find(|own| own.is_revoked());
            Ok(revoked.map_or(Target::New, Target::InsteadOf))
        }
        Target::InsteadOf(_) | Target::Update(..) | Target::InUse(_) => Ok(target),
    }
}

/// A cluster's node: the record whose key the call proves, else the record with its names.
fn of_node<'a>(attempt: &Attempt, known: &'a Known, token: &TokenRecord) -> Result<Target<'a>, Refusal> {
    let proved = known.proved.as_ref().filter(|own| !own.is_revoked() && own.cluster == token.cluster_id);
    Ok(match (proved, &known.own) {
        (Some(mine), Some(named)) if mine.id != named.id => {
            return Err(name_in_use(
                "Another sensor's record has this node name; give the node its earlier name, or delete that record.",
            ));
        }
        (Some(mine), _) => Target::Update(mine, Claim::Key),
        (None, Some(named)) if named.is_revoked() => Target::InsteadOf(named),
        (None, Some(named)) => claim(attempt, known, named),
        (None, None) => Target::New,
    })
}

/// A record that a host asks for by name, and whose key it does not prove.
fn claim<'a>(attempt: &Attempt, known: &Known, own: &'a Own) -> Target<'a> {
    let (now, machine) = (attempt.now, attempt.facts.machine_id);
    let nobody_tells = own.machine.is_none() && machine.is_none();
    if !own.is_alive(now) || (nobody_tells && own.is_silent(now)) {
        Target::Update(own, Claim::Silent)
    } else if own.has_machine(machine) && own.yields_to_its_machine(now) {
        Target::Update(own, Claim::Machine)
    } else if known.reservation.approves(attempt.facts.hash(Some(own.id))) {
        Target::Update(own, Claim::Approval)
    } else {
        Target::InUse(own)
    }
}

/// A re-enrollment token's sensor.
fn of_bound<'a>(attempt: &Attempt, known: &'a Known, token: &TokenRecord) -> Result<Target<'a>, Refusal> {
    let Some(own) = &known.own else {
        return Err(binding_mismatch("The sensor that the token re-enrolls was deleted; use a plain token."));
    };
    let facts = &attempt.facts;
    if known.proved.as_ref().is_some_and(|proved| proved.id == own.id) {
        return Ok(Target::Update(own, Claim::Key));
    }
    if token.replace_host {
        return Ok(Target::Update(own, Claim::Token));
    }
    // What the host says of itself goes before its machine id, which clones share.
    if facts.sensor_id.is_some_and(|held| held != own.id) {
        return Err(binding_mismatch(
            "The token re-enrolls another sensor than the one this host holds; make one for this sensor, or one that replaces the host.",
        ));
    }
    if own.has_machine(facts.machine_id) {
        return Ok(Target::Update(own, Claim::Token));
    }
    if facts.sensor_id != Some(own.id) && facts.node_name != own.node_name {
        return Err(binding_mismatch(
            "The token re-enrolls another host than this one; use it there, or make one that replaces the host.",
        ));
    }
    Ok(claim(attempt, known, own))
}

/// No token makes a second record of a host that is known, unless that is welcome. Where the first is deleted or revoked,
/// another is no second.
fn check_doubles(attempt: &Attempt, known: &Known, token: &TokenRecord) -> Result<(), Refusal> {
    if attempt.second_record == SecondRecord::Welcome {
        return Ok(());
    }
    let proved = known.proved.as_ref().filter(|own| own.can_speak());
    let held = known.held.as_ref().filter(|own| match token.kind {
        TokenType::Once => own.can_speak(),
        // Nobody may be left to say that the record is this host's; then the host comes in, and is told of it.
        TokenType::Cluster => own.standing == Standing::Disabled || own.is_alive(attempt.now),
    });
    let Some(own) = proved.or(held) else { return Ok(()) };
    Err(binding_mismatch(&match token.kind {
        TokenType::Once => "A plain token would make a second record of this host; use a re-enrollment token for its sensor, or allow a new sensor.".to_owned(),
        TokenType::Cluster => format!(
            "The token would make a second record of this host, which is sensor {}; use a token of its cluster or a re-enrollment token, or allow a new sensor.",
            own.id
        ),
    }))
}
