//! Turns what the store holds into the plain values that the machine is told. No secret passes.

use super::host::Host;
use crate::machine::{Current, Identity, Loss, MadeOn};
use crate::store::{self, Generation, LossReason, SensorState};

/// An identity in the store.
pub(super) fn identity(host: &Host, generation: &Generation) -> Identity {
    let (verified, state) = (generation.verified(), generation.state());
    Identity {
        generation: generation.number(),
        sensor_id: verified.sensor_id(),
        serial: verified.serial().to_vec(),
        not_before: verified.not_before(),
        not_after: verified.not_after(),
        token_sha256: state.token_sha256,
        token_type: state.token_type,
        trust_state: state.trust_state,
        made_on: made_on(host, state),
        changed: host.change(state),
    }
}

fn made_on(host: &Host, state: &SensorState) -> MadeOn {
    if host.is_clone(state) { MadeOn::AnotherHost } else { MadeOn::ThisHost }
}

/// An identity that cannot be used.
pub(super) fn lost(host: &Host, loss: &store::Loss) -> Current {
    let about_time = match &loss.reason {
        LossReason::Identity(error) => error.life(),
        LossReason::Missing(_) | LossReason::File(_) => None,
    };
    let state = loss.state.as_deref();
    Current::Lost(Loss {
        reason: loss.reason.to_string(),
        about_time,
        sensor_id: loss.sensor_id,
        token_sha256: state.map(|state| state.token_sha256),
        token_type: state.and_then(|state| state.token_type),
        made_on: state.map_or(MadeOn::ThisHost, |state| made_on(host, state)),
    })
}
