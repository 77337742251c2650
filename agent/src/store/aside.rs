//! What is under the published names and is not this agent's link: another sensor's files, or a backup that followed
//! links. It is kept, never overwritten (docs/contract.md section 7).

use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::layout::{self, Layout};
use super::{atomic, read};

/// Most sets of files that are kept; each holds a key that somebody may still need.
const MOST_SETS: usize = 16;

/// The published names under which there is something that is no link.
pub(super) fn names(layout: &Layout) -> Vec<&'static str> {
    let is_foreign = |name: &&str| {
        std::fs::symlink_metadata(layout.top(name)).is_ok_and(|meta| !meta.file_type().is_symlink())
    };
    layout::names().into_iter().filter(is_foreign).collect()
}

/// Keeps what is under these names in a directory of its own, where it is not kept already. The names stay, where the file
/// system knows a second name for a file. Returns the directory; `None` where there is nothing to keep.
///
/// # Errors
/// [`StoreError::Unsafe`] where too much is kept already; [`StoreError::Io`].
pub(super) fn keep(layout: &Layout, names: &[&'static str]) -> Result<Option<PathBuf>, StoreError> {
    let all = layout.kept();
    let mut sets = sets(&all)?;
    let kept = |name: &str| {
        let text = read::text(&layout.top(name)).ok()?;
        let same = |place: &Path| read::text(&place.join(name)).is_ok_and(|kept| kept == text);
        std::iter::once(&layout.current()).chain(&sets).any(|place| same(place)).then_some(())
    };
    let new: Vec<_> = names.iter().filter(|name| kept(name).is_none()).collect();
    if new.is_empty() {
        return Ok(None);
    }
    if sets.len() >= MOST_SETS {
        return Err(StoreError::Unsafe {
            path: all,
            problem: format!("holds {MOST_SETS} sets of files that are not this agent's, and there are more"),
            remedy: "find out who writes them, and remove what nobody needs".to_owned(),
        });
    }
    if !atomic::is_there(&all)? {
        atomic::create_dir(&all, layout::DIR_MODE)?;
        atomic::sync_dir(layout.root())?;
    }
    sets.sort();
    let last = sets.last().and_then(|set| Layout::number(set.file_name()?.to_str()?)).unwrap_or(0);
    let set = all.join(format!("{:06}", last.saturating_add(1)));
    atomic::create_dir(&set, layout::DIR_MODE)?;
    for name in new {
        atomic::keep(&layout.top(name), &set.join(name))?;
    }
    atomic::sync_dir(&set)?;
    atomic::sync_dir(&all)?;
    Ok(Some(set))
}

/// The directories of what is kept.
fn sets(all: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match std::fs::read_dir(all) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("read", all)(error)),
    }
}
