//! What a host is told that does not come in (docs/contract.md section 6).

use telovix_contract::ErrorCode;

use crate::domain::Refusal;

/// Seconds after which a host whose name is in use may ask again: a record that nobody is behind is free after six minutes.
const NAME_RETRY: i64 = 120;

/// The refusal for unknown and malformed tokens alike.
pub(crate) fn unknown_token() -> Refusal {
    let message = "This Console does not know the token; copy the whole token again, or make a new one.";
    Refusal::new(ErrorCode::InvalidEnrollmentToken, message)
}

pub(super) fn used() -> Refusal {
    let message = "The token has enrolled another host or another key; make a new token for this host.";
    Refusal::new(ErrorCode::EnrollmentTokenUsed, message)
}

pub(super) fn cluster_mismatch() -> Refusal {
    let message = "The token belongs to another cluster; set this node's cluster name to the token's, or use a token of its cluster.";
    Refusal::new(ErrorCode::ClusterMismatch, message)
}

pub(super) fn binding_mismatch(message: &str) -> Refusal {
    Refusal::new(ErrorCode::SensorBindingMismatch, message)
}

pub(super) fn name_in_use(message: &str) -> Refusal {
    Refusal::new(ErrorCode::NodeNameInUse, message).after(NAME_RETRY)
}

/// The refusal for a host that asks for the record of a sensor which is alive.
pub(crate) fn alive_elsewhere() -> Refusal {
    name_in_use(
        "A living sensor has this name; rename one of the hosts, stop the other, or ask an operator to approve the conflict.",
    )
}

/// The refusal for a sensor that is switched off for good.
pub(crate) fn revoked() -> Refusal {
    let message = "An operator revoked this sensor. Another token brings the host back as a new sensor after an operator's approval.";
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

pub(super) fn too_many_nodes() -> Refusal {
    let message = "The token has enrolled as many nodes as it may; make a new token for this cluster.";
    Refusal::new(ErrorCode::MaxNodesExceeded, message)
}

pub(super) fn denied() -> Refusal {
    let message = "An operator denied this enrollment; ask why before you try again.";
    Refusal::new(ErrorCode::EnrollmentDenied, message)
}

/// The refusal for one host more than the list of those that wait holds.
pub(crate) fn list_full() -> Refusal {
    let message = "Too many hosts wait for approval with this token; try again when an operator has decided about some.";
    Refusal::new(ErrorCode::RateLimited, message).after(300)
}
