//! What can be seen of a file without reading it.
//!
//! Invariant: stamps that are equal mean that nobody has put another file in the place, written to it, or changed its
//! mode or owner. The time of the last change of the inode, which no user can set, is among them.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Most entries of a directory that are stamped one by one.
const MAX_ENTRIES: usize = 256;

/// Whether what is in a directory counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Counts,
    DoesNot,
}

/// The stamps of a group of files and directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Stamp>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    /// The thing itself, which may be a link.
    own: Option<InodeStamp>,
    /// Where the link points.
    target: Option<PathBuf>,
    /// What the link leads to.
    behind: Option<InodeStamp>,
    /// What is in the directory.
    inside: Vec<(OsString, Option<InodeStamp>)>,
}

/// Device, inode, size, mode, owner, and the times of the last write and the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InodeStamp {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    /// The stamps of these as they are now. What is missing, or may not be looked at, has none.
    pub(super) fn of(things: &[PathBuf], inside: Inside) -> Self {
        Self(things.iter().map(|thing| Stamp::of(thing, inside)).collect())
    }
}

impl Stamp {
    fn of(thing: &Path, inside: Inside) -> Self {
        let own = fs::symlink_metadata(thing).ok();
        let is_link = own.as_ref().is_some_and(|meta| meta.file_type().is_symlink());
        let behind = if is_link { fs::metadata(thing).ok() } else { None };
        let is_dir = behind.as_ref().or(own.as_ref()).is_some_and(Metadata::is_dir);
        Self {
            target: if is_link { fs::read_link(thing).ok() } else { None },
            own: own.as_ref().map(|meta| InodeStamp::of(meta, is_dir && !is_link)),
            behind: behind.as_ref().map(|meta| InodeStamp::of(meta, is_dir)),
            inside: match inside {
                Inside::Counts if is_dir => entries(thing),
                Inside::Counts | Inside::DoesNot => Vec::new(),
            },
        }
    }
}

impl InodeStamp {
    /// A directory's size and times tell of any file in it, and only some files are of interest: they have stamps of
    /// their own.
    fn of(meta: &Metadata, is_dir: bool) -> Self {
        let still = |value| if is_dir { 0 } else { value };
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: if is_dir { 0 } else { meta.size() },
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            written: (still(meta.mtime()), still(meta.mtime_nsec())),
            changed: (still(meta.ctime()), still(meta.ctime_nsec())),
        }
    }
}

/// The entries of a directory of drop-ins, by name.
fn entries(directory: &Path) -> Vec<(OsString, Option<InodeStamp>)> {
    let Ok(listing) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<_> = listing
        .flatten()
        .take(MAX_ENTRIES)
        .map(|entry| {
            let stamp = fs::metadata(entry.path()).ok().map(|meta| InodeStamp::of(&meta, meta.is_dir()));
            (entry.file_name(), stamp)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}
