//! Reads the state directory for the machine.

use jiff::{SignedDuration, Timestamp};

use super::foreign::{self, Met};
use super::host::Host;
use super::summary;
use crate::clock;
use crate::config::ConsoleUrl;
use crate::machine::{Current, Heard, Loaded};
use crate::store::{self, Generation, LossReason, SensorState, Store, StoreError};

/// The calls that are remembered to have been answered, as the disk knows them.
pub(super) const HEARTBEAT: &str = "heartbeat";
pub(super) const RENEWAL: &str = "renewal";

/// What a state directory holds: what the machine is told of it, and the identities themselves.
pub(super) struct Found {
    pub told: Loaded,
    pub current: Option<Generation>,
    /// The other identities that are in force, newest first.
    pub others: Vec<Generation>,
    /// What is remembered of the current identity, a lost one too.
    pub remembered: Option<SensorState>,
    /// Damage that was mended, one sentence each.
    pub mended: Vec<String>,
    /// What could not be mended.
    pub unmended: Vec<String>,
    /// Files that this agent did not make.
    pub met: Met,
}

/// Looks at a state directory; where it was opened for work, what can be mended is mended.
pub(super) fn read(store: &mut Store, host: &Host) -> Result<Found, StoreError> {
    let now = clock::now(&host.clock);
    let mut met = foreign::meet(store, host, now)?;
    let (mut mended, mut unmended) = (Vec::new(), Vec::new());
    let mut remembered = None;
    let loaded = match (load(store, now)?, met.unwritten.take()) {
        (store::Loaded::Nothing | store::Loaded::Lost(_), Some(unwritten)) => store::Loaded::Intact {
            generation: Box::new(unwritten),
            mended: Vec::new(),
            unmended: Vec::new(),
        },
        (loaded, _) => loaded,
    };
    let (summary, current) = match loaded {
        store::Loaded::Nothing => (Current::Nothing, None),
        store::Loaded::Intact { generation, mended: done, unmended: not_done } => {
            (mended, unmended) = (done, not_done);
            if !store.is_read_only() && generation.number() > 0 {
                unmended.extend(store.settle(&generation).err().map(|error| error.to_string()));
            }
            remembered = Some(generation.state().clone());
            (Current::Intact(summary::identity(host, &generation)), Some(*generation))
        }
        store::Loaded::Lost(loss) => {
            let summary = summary::lost(host, &loss);
            remembered = loss.state.map(|state| *state);
            (summary, None)
        }
    };
    let number = current.as_ref().map_or(0, Generation::number);
    let others = store.others(number, now)?;
    let told_of = |other: &Generation| summary::identity(host, other);
    let committed = committed_before(store, &others, number)?.map(told_of);
    let told = Loaded {
        current: summary,
        renewal_begun: committed.is_none() && is_renewing(store, current.as_ref())?,
        others: others.iter().map(told_of).collect(),
        enrollment_begun: committed.is_none() && matches!(store.pending(), Ok(Some(_))),
        heard: Heard::default(),
        ready_since: store.ready_since(),
        told: current.as_ref().is_some_and(|current| store.was_told(current)),
        committed,
        notes: mended.clone(),
    };
    Ok(Found { told, current, others, remembered, mended, unmended, met })
}

/// What this Console has answered to whichever process.
pub(super) fn heard(store: &Store, console: &ConsoleUrl) -> Heard {
    let console = console.to_string();
    let heard = |call| store.has_answered(&console, call);
    Heard { heartbeat: heard(HEARTBEAT), renewal: heard(RENEWAL) }
}

/// An identity that has only expired is still one: it can be renewed (docs/contract.md section 3).
fn load(store: &Store, now: Timestamp) -> Result<store::Loaded, StoreError> {
    let found = store.load(now)?;
    if let store::Loaded::Lost(store::Loss { reason: LossReason::Identity(error), .. }) = &found
        && let Some((_, end)) = error.life()
        && now >= end
    {
        return store.load(end.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(end));
    }
    Ok(found)
}

/// Whether a renewal of the current identity is under way. One that cannot be read is begun anew when it is time.
fn is_renewing(store: &Store, current: Option<&Generation>) -> Result<bool, StoreError> {
    match store.pending_renewal() {
        Ok(pending) => Ok(pending.is_some_and(|pending| pending.renews == current.map(Generation::number))),
        Err(StoreError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What an earlier process committed and did not live to publish: newer than the current one, and for a key that is under way.
fn committed_before<'a>(
    store: &Store,
    others: &'a [Generation],
    current: u32,
) -> Result<Option<&'a Generation>, StoreError> {
    for pending in [store.pending(), store.pending_renewal()] {
        let key = match pending {
            Ok(Some(pending)) => pending.key,
            Ok(None) => continue,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "what was under way cannot be read");
                continue;
            }
            Err(error) => return Err(error),
        };
        let is_it = |other: &&Generation| {
            other.number() > current && other.verified().key().public_der() == key.public_der()
        };
        if let Some(found) = others.iter().find(is_it) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
