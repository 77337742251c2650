//! What has to be done, decided without I/O from what is on the disk, in the configuration and in hand.

use std::fmt;

use telovix_contract::SensorId;
use telovix_contract::problem::Retry;
use telovix_contract::states::TokenType;

use super::{EnrollError, Host};
use crate::config::FoundToken;
use crate::machine::EnrollReason;
use crate::store::{Generation, Loaded, SensorState};

/// What has to be done.
#[derive(Debug)]
pub enum Plan {
    /// The identity stands: ask the Console whether it accepts it.
    Keep,
    /// A new identity is needed.
    Enroll {
        /// Why.
        reason: EnrollReason,
        /// The sensor whose identity it replaces.
        replaces: Option<SensorId>,
    },
}

pub(super) fn plan(
    host: &Host<'_>,
    loaded: &Loaded,
    token: Option<&FoundToken>,
    notes: &mut Vec<String>,
) -> Plan {
    match loaded {
        Loaded::Nothing => Plan::Enroll { reason: EnrollReason::First, replaces: None },
        Loaded::Lost(loss) => {
            let cloned = loss.state.as_ref().is_some_and(|state| is_clone(host, state));
            Plan::Enroll {
                reason: EnrollReason::Lost(loss.reason.to_string()),
                replaces: loss.sensor_id.filter(|_| !cloned),
            }
        }
        Loaded::Intact { generation, .. } => plan_for(host, generation.state(), token, notes),
    }
}

fn plan_for(
    host: &Host<'_>,
    state: &SensorState,
    token: Option<&FoundToken>,
    notes: &mut Vec<String>,
) -> Plan {
    if is_clone(host, state) {
        // It is somebody else's identity: neither used nor named.
        return Plan::Enroll { reason: EnrollReason::Cloned, replaces: None };
    }
    let replaces = Some(state.sensor_id);
    if token.is_some_and(|found| !found.token.matches(&state.token_sha256)) {
        return Plan::Enroll { reason: EnrollReason::NewToken, replaces };
    }
    let Some(change) = change(host, state) else { return Plan::Keep };
    if can_pay_again(state, token) {
        return Plan::Enroll { reason: EnrollReason::Changed(change), replaces };
    }
    notes.push(format!(
        "{change}: this takes effect when the host enrolls again; give it a re-enrollment token"
    ));
    Plan::Keep
}

/// What follows when the Console does not accept an identity that holds together.
pub(super) fn after_refusal(
    generation: &Generation,
    token: Option<&FoundToken>,
    error: EnrollError,
) -> Result<Plan, EnrollError> {
    let state = generation.state();
    if let EnrollError::Refused(refusal) = &error
        && refusal.retry() == Retry::CredentialLost
        && can_pay_again(state, token)
    {
        let reason = EnrollReason::NotAccepted(refusal.to_string());
        return Ok(Plan::Enroll { reason, replaces: Some(state.sensor_id) });
    }
    Err(error)
}

/// Whether the token in hand, which paid for this identity, can pay for another.
fn can_pay_again(state: &SensorState, token: Option<&FoundToken>) -> bool {
    token.is_some() && state.token_type == Some(TokenType::Cluster)
}

/// Whether an identity was made on another machine than this one.
pub fn is_clone(host: &Host<'_>, state: &SensorState) -> bool {
    state.is_of_another_machine(host.facts.machine_id_sha256.as_deref())
}

/// What differs between the identity and the configuration, as a sentence.
pub fn change(host: &Host<'_>, state: &SensorState) -> Option<String> {
    let config = host.config;
    let text = |name: Option<&dyn fmt::Display>| name.map_or_else(|| "none".to_owned(), ToString::to_string);
    let cluster = config.cluster_name.as_ref().map(|setting| &setting.value);
    let pairs = [
        ("node name", state.node_name.to_string(), config.node_name.value.to_string()),
        ("node role", state.node_role.to_string(), config.node_role.value.to_string()),
        (
            "cluster name",
            text(state.cluster_name.as_ref().map(|n| n as &dyn fmt::Display)),
            text(cluster.map(|n| n as &dyn fmt::Display)),
        ),
    ];
    let (what, then, now) = pairs.into_iter().find(|(_, then, now)| then != now)?;
    Some(format!("the {what} is {now} now, and this host enrolled with {then}"))
}
