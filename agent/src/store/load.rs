//! Reads an identity back, checks it again, and mends what can be mended without the Console.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use telovix_contract::SensorId;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::generation::{
    Generation, Mended, broken_links, current_number, mend_links, numbers, point_current,
};
use super::layout::{self, Layout, PendingKind};
use super::pending::REQUEST;
use super::permissions::Publication;
use super::state::{SensorState, check_format};
use super::{atomic, read};
use crate::key::KeyPair;
use crate::verify::{self, Claim, Naming, VerifyError};

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
        /// What is broken and could not be put right, one sentence each.
        unmended: Vec<String>,
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
    check_formats(layout)?;
    let may_mend = mend.is_some();
    let numbers = numbers(layout)?;
    let current = current_number(layout)?;
    let first = match current {
        Some(current) => Some(current),
        None => published(layout, &numbers)?,
    };
    let Some(first) = first else {
        return Ok(Loaded::Nothing);
    };
    // Before reading: a file that nobody may read is mended, not lost. A disk that refuses to be mended does not keep an intact
    // identity from being used.
    let (mut mended, mut unmended) = modes(layout, mend, first);
    let (generation, failed) = match read_generation(layout, first, now)? {
        Read::Whole(generation) => (Some(*generation), None),
        Read::Lost(loss) => (predecessor(layout, &loss, &numbers, first, now)?, Some(loss)),
    };
    let Some(generation) = generation else {
        let loss = failed.expect("without a generation there is the reason for it");
        return Ok(Loaded::Lost(loss));
    };
    if current != Some(generation.number()) {
        let problem = match failed {
            Some(loss) => format!("generation {first} is unusable ({})", loss.reason),
            None => "the link `current` was missing".to_owned(),
        };
        let number = generation.number();
        match mend.map(|_| point_current(layout, number)) {
            Some(Ok(())) => mended.push(format!("{problem}; went back to generation {number}")),
            Some(Err(error)) => unmended.push(format!("{problem}; generation {number} is used: {error}")),
            None => {
                mended.push(format!("{problem}; the agent goes back to generation {number} when it runs"));
            }
        }
    }
    let mut try_to = |done: Result<Mended, StoreError>| {
        done.unwrap_or_else(|error| {
            unmended.push(error.to_string());
            Mended::default()
        })
    };
    let (done, Mended { links, kept }) = if may_mend {
        ("linked again", try_to(mend_links(layout)))
    } else {
        let links = broken_links(layout);
        ("the agent links them again when it runs", Mended { links, kept: None })
    };
    if !links.is_empty() {
        mended.push(format!("{} did not lead to the current generation; {done}", links.join(", ")));
    }
    if let Some(kept) = kept {
        mended.push(format!(
            "files that this agent did not make were in their place; they are kept in {}",
            kept.display()
        ));
    }
    Ok(Loaded::Intact { generation: Box::new(generation), mended, unmended })
}

/// Whether this build knows the format of all that is there.
///
/// # Errors
/// [`StoreError::Newer`].
pub(super) fn check_formats(layout: &Layout) -> Result<(), StoreError> {
    let states =
        numbers(layout).unwrap_or_default().into_iter().map(|n| layout.generation(n).join(layout::STATE));
    let requests = PendingKind::ALL.map(|kind| layout.pending(kind).join(REQUEST));
    for file in states.chain(requests) {
        // What cannot be read is judged where it is needed.
        read::text(&file).map_or(Ok(()), |text| check_format(&file, &text))?;
    }
    Ok(())
}

/// Finds files of a generation whose mode was changed by hand, and gives them back the mode that they were made with.
fn modes(layout: &Layout, mend: Option<&Publication>, number: u32) -> (Vec<String>, Vec<String>) {
    let (mut mended, mut unmended) = (Vec::new(), Vec::new());
    let Some(publication) = mend else { return (mended, unmended) };
    for (name, default) in layout::GENERATION_FILES {
        let path = layout.generation(number).join(name);
        let wanted = publication.file(name, default).mode;
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        let found = meta.mode() & 0o7777;
        if !meta.is_file() || found == wanted {
            continue;
        }
        if let Err(error) = atomic::set_mode(&path, wanted) {
            unmended.push(format!("{name} has mode {found:04o} instead of {wanted:04o}: {error}"));
            continue;
        }
        let seen = found & !wanted & 0o044 != 0 && name == layout::KEY;
        let advice = if seen { "; others could read the key: run `telovix-agent renew --force`" } else { "" };
        mended.push(format!("{name} had mode {found:04o} and has {wanted:04o} again{advice}"));
    }
    (mended, unmended)
}

/// Where `current` is gone: the newest generation, unless it is one that was committed and never published, which the
/// key of what is under way tells.
fn published(layout: &Layout, numbers: &[u32]) -> Result<Option<u32>, StoreError> {
    let mut under_way = Vec::new();
    for kind in PendingKind::ALL {
        match read::text(&layout.pending(kind).join(layout::KEY)).map(Zeroizing::new) {
            Ok(key) => under_way.push(key),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    for number in numbers.iter().rev() {
        match read::text(&layout.generation(*number).join(layout::KEY)).map(Zeroizing::new) {
            Ok(key) if under_way.contains(&key) => {}
            Err(error) if !is_damage(&error) => return Err(error),
            Ok(_) | Err(_) => return Ok(Some(*number)),
        }
    }
    Ok(None)
}

/// The generation to fall back to, where files failed: the newest older one that holds, else a newer one. Others than an expired one are
/// tried by whoever asks the Console.
fn predecessor(
    layout: &Layout,
    loss: &Loss,
    numbers: &[u32],
    failed: u32,
    now: Timestamp,
) -> Result<Option<Generation>, StoreError> {
    if let LossReason::Identity(error) = &loss.reason
        && error.is_about_time()
    {
        return Ok(None);
    }
    let (newer, older): (Vec<u32>, Vec<u32>) =
        numbers.iter().rev().filter(|number| **number != failed).partition(|number| **number > failed);
    for number in older.into_iter().chain(newer) {
        if let Some(generation) = read_generation(layout, number, now)?.whole() {
            return Ok(Some(generation));
        }
    }
    Ok(None)
}

pub(super) fn others(layout: &Layout, current: u32, now: Timestamp) -> Result<Vec<Generation>, StoreError> {
    let mut found = Vec::new();
    for number in numbers(layout)?.into_iter().rev().filter(|number| *number != current) {
        found.extend(read_generation(layout, number, now)?.whole());
    }
    Ok(found)
}

/// What a generation's directory holds.
enum Read {
    Whole(Box<Generation>),
    Lost(Loss),
}

impl Read {
    fn whole(self) -> Option<Generation> {
        match self {
            Self::Whole(generation) => Some(*generation),
            Self::Lost(_) => None,
        }
    }
}

/// Whether an error says that something is gone or torn. Any other (no permission, no descriptors left, a disk that
/// fails) says nothing about the identity: it may be whole, and is looked at again later.
fn is_damage(error: &StoreError) -> bool {
    use std::io::ErrorKind;
    match error {
        StoreError::Corrupt { .. } => true,
        StoreError::Io { source, .. } => {
            let loops = source.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32);
            loops
                || matches!(
                    source.kind(),
                    ErrorKind::NotFound
                        | ErrorKind::InvalidData
                        | ErrorKind::IsADirectory
                        | ErrorKind::NotADirectory
                )
        }
        StoreError::Unsafe { .. } | StoreError::Locked { .. } | StoreError::Newer { .. } => false,
    }
}

fn read_generation(layout: &Layout, number: u32, now: Timestamp) -> Result<Read, StoreError> {
    let dir = layout.generation(number);
    let lost = |reason, state: Option<&SensorState>| {
        let state = state.cloned().map(Box::new);
        Read::Lost(Loss { reason, sensor_id: state.as_ref().map(|state| state.sensor_id), state })
    };
    match std::fs::metadata(&dir) {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("look at", &dir)(error));
        }
        Ok(_) | Err(_) => return Ok(lost(LossReason::Missing(dir), None)),
    }
    let state = match read_state(layout, number) {
        Ok(state) => state,
        Err(error) if is_damage(&error) => return Ok(lost(LossReason::File(error), None)),
        Err(error) => return Err(error),
    };
    let [key_pem, certificate_pem, ca_pem, policy_key_pem] = match texts(&dir) {
        Ok(texts) => texts,
        Err(error) if is_damage(&error) => return Ok(lost(LossReason::File(error), Some(&state))),
        Err(error) => return Err(error),
    };
    let key = match KeyPair::from_pem(&key_pem) {
        Ok(key) => key,
        Err(error) => {
            let damage = StoreError::corrupt(&dir.join(layout::KEY), error);
            return Ok(lost(LossReason::File(damage), Some(&state)));
        }
    };
    let claim = Claim {
        sensor_id: Some(state.sensor_id),
        certificate_pem: &certificate_pem,
        ca_pem: &ca_pem,
        policy_key_pem: &policy_key_pem,
        naming: Naming::Beside,
    };
    Ok(match verify::check(claim, key, now) {
        Ok(verified) => Read::Whole(Box::new(Generation::new(number, verified, state))),
        Err(error) => lost(LossReason::Identity(error), Some(&state)),
    })
}

/// Key, certificate, CA and policy key as they stand there.
fn texts(dir: &Path) -> Result<[Zeroizing<String>; 4], StoreError> {
    let text = |name| read::text(&dir.join(name)).map(Zeroizing::new);
    // A Console need not have a policy key.
    let policy_key = Zeroizing::new(read::text_or_blank(&dir.join(layout::POLICY_KEY))?);
    Ok([text(layout::KEY)?, text(layout::CERTIFICATE)?, text(layout::CA)?, policy_key])
}

fn read_state(layout: &Layout, number: u32) -> Result<SensorState, StoreError> {
    let file = layout.generation(number).join(layout::STATE);
    let text = read::text(&file)?;
    check_format(&file, &text)?;
    serde_json::from_str(&text).map_err(|error| StoreError::corrupt(&file, error))
}
