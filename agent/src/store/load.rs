//! Reads an identity back, checks it again, and mends what can be mended without the Console.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use telovix_contract::SensorId;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::generation::{Generation, broken_links, current_number, mend_links, numbers, point_current};
use super::layout::{self, Errand, Layout};
use super::pending::Pending;
use super::publication::Publication;
use super::state::{STATE_VERSION, SensorState};
use super::{atomic, read};
use crate::key::KeyPair;
use crate::verify::{self, Claim, VerifyError};

/// What a state directory holds.
#[derive(Debug)]
pub enum Loaded {
    /// This host never enrolled, or was reset.
    Nothing,
    /// An identity that holds together.
    Intact {
        /// It.
        generation: Box<Generation>,
        /// What was found broken and put right (or would be, when only looking), one sentence each.
        mended: Vec<String>,
    },
    /// There was an identity, and it cannot be used.
    Lost(Loss),
}

/// An identity that cannot be used.
#[derive(Debug)]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// Whose it was, where that can still be read: a new enrollment names it.
    pub sensor_id: Option<SensorId>,
    /// What was remembered of it, where that can still be read.
    pub state: Option<Box<SensorState>>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LossReason {
    /// `current` names a generation that is not there, and no other one is.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A file is missing, torn or unreadable.
    #[error(transparent)]
    File(StoreError),
    /// The files do not make an identity.
    #[error("the stored identity does not hold: {0}")]
    Identity(VerifyError),
}

pub(super) fn load(
    layout: &Layout,
    mend: Option<&Publication>,
    now: Timestamp,
) -> Result<Loaded, StoreError> {
    let may_mend = mend.is_some();
    let numbers = numbers(layout)?;
    let current = current_number(layout);
    let Some(first) = current.or_else(|| published(layout, &numbers)) else {
        return Ok(Loaded::Nothing);
    };
    // Before reading: a file that nobody may read is mended, not lost.
    let mut mended = modes(layout, mend, first)?;
    let (generation, failed) = match read_generation(layout, first, now) {
        Ok(generation) => (Some(generation), None),
        Err(loss) => (predecessor(layout, &loss, &numbers, first, now), Some(loss)),
    };
    let Some(generation) = generation else {
        let loss = failed.expect("without a generation there is the reason for it");
        return Ok(Loaded::Lost(loss));
    };
    if let Some(loss) = failed {
        mended.push(format!(
            "generation {first} is unusable ({}); went back to generation {}",
            loss.reason,
            generation.number()
        ));
    } else if current.is_none() {
        mended.push(format!("the link `current` was missing; it names generation {first} again"));
    }
    if may_mend && current != Some(generation.number()) {
        point_current(layout, generation.number())?;
    }
    let links = if may_mend { mend_links(layout)? } else { broken_links(layout) };
    if !links.is_empty() {
        let done = if may_mend { "linked again" } else { "the agent links them again when it runs" };
        mended.push(format!("{} did not lead to the current generation; {done}", links.join(", ")));
    }
    Ok(Loaded::Intact { generation: Box::new(generation), mended })
}

/// Finds files of a generation whose mode was changed by hand, and gives them back the mode that they were made with.
fn modes(layout: &Layout, mend: Option<&Publication>, number: u32) -> Result<Vec<String>, StoreError> {
    let mut mended = Vec::new();
    let Some(publication) = mend else { return Ok(mended) };
    for (name, default) in layout::GENERATION_FILES {
        let path = layout.generation(number).join(name);
        let wanted = publication.file(name, default).mode;
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        let found = meta.mode() & 0o7777;
        if !meta.is_file() || found == wanted {
            continue;
        }
        atomic::set_mode(&path, wanted)?;
        let seen = found & !wanted & 0o044 != 0 && name == layout::KEY;
        let advice = if seen { "; others could read the key: run `telovix-agent renew --force`" } else { "" };
        mended.push(format!("{name} had mode {found:04o} and has {wanted:04o} again{advice}"));
    }
    Ok(mended)
}

/// Where `current` is gone: the newest generation, unless it is one that was committed and never published.
fn published(layout: &Layout, numbers: &[u32]) -> Option<u32> {
    if layout.pending(Errand::Enrollment).is_dir() { None } else { numbers.last().copied() }
}

/// The generation to fall back to, where files failed. A predecessor does not help against time: it is older still.
fn predecessor(
    layout: &Layout,
    loss: &Loss,
    numbers: &[u32],
    failed: u32,
    now: Timestamp,
) -> Option<Generation> {
    if let LossReason::Identity(error) = &loss.reason
        && error.is_about_time()
    {
        return None;
    }
    let older = numbers.iter().rev().copied().filter(|number| *number < failed);
    older.take(1).find_map(|number| read_generation(layout, number, now).ok())
}

pub(super) fn committed(
    layout: &Layout,
    pending: &Pending,
    now: Timestamp,
) -> Result<Option<Generation>, StoreError> {
    let current = current_number(layout).unwrap_or(0);
    let newest = numbers(layout)?.last().copied().filter(|newest| *newest > current);
    let generation = newest.and_then(|number| read_generation(layout, number, now).ok());
    Ok(generation.filter(|found| found.verified().key().public_der() == pending.key.public_der()))
}

fn read_generation(layout: &Layout, number: u32, now: Timestamp) -> Result<Generation, Loss> {
    let dir = layout.generation(number);
    let lost = |reason, state: Option<&SensorState>| Loss {
        reason,
        sensor_id: state.map(|state| state.sensor_id),
        state: state.cloned().map(Box::new),
    };
    if !dir.is_dir() {
        return Err(lost(LossReason::Missing(dir), None));
    }
    let state = read_state(layout, number).map_err(|error| lost(LossReason::File(error), None))?;
    let file =
        |name| read::text(&dir.join(name)).map_err(|error| lost(LossReason::File(error), Some(&state)));
    let key_pem = Zeroizing::new(file(layout::KEY)?);
    let key = KeyPair::from_pem(&key_pem).map_err(|error| {
        lost(LossReason::File(StoreError::corrupt(&dir.join(layout::KEY), error)), Some(&state))
    })?;
    let (certificate_pem, ca_pem, policy_key_pem) =
        (file(layout::CERTIFICATE)?, file(layout::CA)?, file(layout::POLICY_KEY)?);
    let claim = Claim {
        sensor_id: state.sensor_id,
        certificate_pem: &certificate_pem,
        ca_pem: &ca_pem,
        policy_key_pem: &policy_key_pem,
    };
    match verify::check(claim, key, now) {
        Ok(verified) => Ok(Generation::new(number, verified, state)),
        Err(error) => Err(lost(LossReason::Identity(error), Some(&state))),
    }
}

fn read_state(layout: &Layout, number: u32) -> Result<SensorState, StoreError> {
    let file = layout.generation(number).join(layout::STATE);
    let state: SensorState =
        serde_json::from_str(&read::text(&file)?).map_err(|error| StoreError::corrupt(&file, error))?;
    if state.version > STATE_VERSION {
        let problem = format!(
            "it has version {}, and this build knows versions up to {STATE_VERSION}; install the newer agent again",
            state.version
        );
        return Err(StoreError::corrupt(&file, problem));
    }
    Ok(state)
}
