//! What this host makes of files under the published names that this agent did not make: the vendor's sensor's, or a
//! backup that followed links (docs/contract.md section 7).
//!
//! Invariant: what holds together and is of this machine is used; what does not stays where it is until an identity takes
//! its place, and is kept even then.

use jiff::Timestamp;
use telovix_contract::enroll::DEFAULT_HEARTBEAT_SECONDS;
use telovix_contract::states::TrustState;

use super::host::Host;
use crate::store::{
    Foreign, Generation, Loaded, Loss, LossReason, STATE_VERSION, SensorState, Store, StoreError,
};
use crate::verify::Verified;

/// What came of them.
#[derive(Default)]
pub(super) struct Met {
    /// The identity that they are, where the disk does not have it as a generation: it cannot be written, or may not.
    pub unwritten: Option<Generation>,
    /// What an operator should know, one sentence each.
    pub notes: Vec<String>,
}

/// Looks at such files, and makes them the current identity where they are a better one than what is there.
pub(super) fn meet(store: &mut Store, host: &Host, now: Timestamp) -> Result<Met, StoreError> {
    let Some(Foreign { names, state, identity, .. }) = store.foreign(now)? else {
        return Ok(Met::default());
    };
    let what = format!("{} in {}, which this agent did not make,", names.join(", "), store.dir().display());
    if state.as_ref().is_some_and(|state| host.is_clone(state)) {
        return Ok(Met {
            notes: vec![format!("{what} are of another machine, and are not used")],
            ..Met::default()
        });
    }
    let current = store.look(now)?;
    let identity = match (identity, current) {
        (Ok(identity), Loaded::Intact { generation, .. }) => {
            let current = generation.verified();
            let newer = identity.sensor_id() == current.sensor_id()
                && identity.not_before() > current.not_before()
                && identity.not_after() > now;
            if !newer {
                return Ok(Met::default());
            }
            identity
        }
        // The one that ran out later is the one that the Console may renew.
        (Ok(identity), Loaded::Lost(Loss { reason: LossReason::Identity(error), .. }))
            if error.life().is_some_and(|(_, end)| end >= identity.not_after()) =>
        {
            return Ok(Met::default());
        }
        (Ok(identity), Loaded::Nothing | Loaded::Lost(_)) => identity,
        (Err(_), Loaded::Intact { .. }) => return Ok(Met::default()),
        (Err(reason), Loaded::Nothing | Loaded::Lost(_)) => {
            let note =
                format!("{what} are no identity: {reason}; they are kept aside when this host enrolls");
            return Ok(Met { notes: vec![note], unwritten: None });
        }
    };
    let state = state.unwrap_or_else(|| remembered(host, &identity, store, now));
    if store.is_read_only() {
        let note = format!("{what} are an identity; the agent adopts it when it runs");
        return Ok(Met { unwritten: Some(store.unwritten(identity, state)), notes: vec![note] });
    }
    match store.adopt(identity, state.clone()) {
        Ok(kept) => {
            let kept = kept.map(|kept| format!("; they are kept in {}", kept.display())).unwrap_or_default();
            let note = format!("{what} are an identity, which was adopted{kept}");
            tracing::info!("{note}");
            Ok(Met { notes: vec![note], ..Met::default() })
        }
        Err(error) => {
            let identity = store.foreign(now)?.and_then(|again| again.identity.ok());
            let unwritten = identity.map(|identity| store.unwritten(identity, state));
            let note = format!("{what} are an identity, and it cannot be stored: {error}");
            Ok(Met { unwritten, notes: vec![note] })
        }
    }
}

/// What is remembered of an identity that came without a state of ours: what is configured here.
fn remembered(host: &Host, identity: &Verified, store: &Store, now: Timestamp) -> SensorState {
    let config = &host.config;
    SensorState {
        version: STATE_VERSION,
        sensor_id: identity.sensor_id(),
        node_name: config.node_name.value.clone(),
        node_role: config.node_role.value.clone(),
        cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.clone()),
        install_id: config.install_id.as_ref().map(|setting| setting.value.clone()),
        console_url: config.console_url.as_ref().map(|setting| setting.value.to_string()).unwrap_or_default(),
        token_sha256: store.paid_by().unwrap_or_else(SensorState::no_token),
        token_type: None,
        machine_id_sha256: host.facts.machine_id_sha256.clone(),
        machine_id_source: host.facts.machine_id_source.clone(),
        trust_state: TrustState::Trusted,
        heartbeat_interval_seconds: DEFAULT_HEARTBEAT_SECONDS,
        enrolled_at: now,
    }
}
