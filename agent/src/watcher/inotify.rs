//! The kernel's events (inotify(7)) for a set of directories.
//!
//! Invariant: a wanted directory that is not there is waited for at its nearest parent that is, so that its making is an
//! event too. A watch belongs to an inode and not to a name, so [`DirWatches::update`] lays them again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags as Mask, InitFlags, Inotify, WatchDescriptor};
use tokio::net::unix::pipe::Receiver;

/// What changes a file or an entry. Reading is not among it: our own looks must not wake us.
const WANTED: Mask = Mask::IN_CREATE
    .union(Mask::IN_MOVED_TO)
    .union(Mask::IN_MOVED_FROM)
    .union(Mask::IN_DELETE)
    .union(Mask::IN_CLOSE_WRITE)
    .union(Mask::IN_MODIFY)
    .union(Mask::IN_ATTRIB)
    .union(Mask::IN_DELETE_SELF)
    .union(Mask::IN_MOVE_SELF)
    .union(Mask::IN_ONLYDIR);

/// Watches on directories, and one instance of inotify for all of them.
#[derive(Debug)]
pub(super) struct DirWatches {
    kernel: Option<Inotify>,
    watches: BTreeMap<PathBuf, WatchDescriptor>,
    problem: Option<String>,
}

impl DirWatches {
    /// Asks the kernel for events of these directories. What it refuses is in [`DirWatches::problem`].
    pub(super) fn open(directories: &BTreeSet<PathBuf>) -> Self {
        let mut watches = Self { kernel: None, watches: BTreeMap::new(), problem: None };
        watches.update(directories);
        watches
    }

    /// Why there are no events, or not all.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Lays the watches where these directories are now, and takes up those that are wanted no more.
    pub(super) fn update(&mut self, directories: &BTreeSet<PathBuf>) {
        self.problem = None;
        if self.kernel.is_none() {
            match Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC) {
                Ok(kernel) => self.kernel = Some(kernel),
                Err(error) => {
                    self.problem =
                        Some(format!("the kernel gives no file events ({error}); looking now and then"));
                    return;
                }
            }
        }
        let wanted: BTreeSet<PathBuf> = directories.iter().filter_map(|path| nearest(path)).collect();
        self.remove_stale(&wanted);
        for path in wanted {
            if let Err(error) = self.add(&path) {
                self.problem =
                    Some(format!("the kernel gives no file events of {} ({error})", path.display()));
            }
        }
    }

    fn remove_stale(&mut self, wanted: &BTreeSet<PathBuf>) {
        let Some(kernel) = &self.kernel else { return };
        let (kept, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.watches).into_iter().partition(|(path, _)| wanted.contains(path));
        self.watches = kept;
        for (_, watch) in rest {
            // Two names of one directory share a watch. A watch that is gone already is an error worth nothing.
            if !self.watches.values().any(|other| *other == watch) {
                let _ = kernel.rm_watch(watch);
            }
        }
    }

    /// Lays a watch, or finds the one that is there: the kernel knows a directory by its inode, so a name that leads to
    /// another one now gets a new watch, and the old one is taken up.
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let watch = match kernel.add_watch(path, WANTED) {
            Ok(watch) => watch,
            // It went away this moment, which is an event of its parent.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if let Some(before) = self.watches.insert(path.to_owned(), watch)
            && before != watch
            && !self.watches.values().any(|other| *other == before)
        {
            let _ = kernel.rm_watch(before);
        }
        Ok(())
    }

    /// Whether there were events since the last ones; waits for none.
    pub(super) fn has_events(&self) -> bool {
        self.kernel.as_ref().is_some_and(drain)
    }

    /// Waits for events, and takes some. Forever where the kernel gives none.
    pub(super) async fn event(&mut self) {
        let Some(kernel) = &self.kernel else { return pending().await };
        if let Err(error) = wait(kernel).await {
            self.problem = Some(format!("the kernel's file events cannot be waited for ({error})"));
            pending::<()>().await;
        }
    }
}

/// Waits for events; those that came before count. nix lays the watches, and tokio waits for the bytes with a second descriptor of
/// the same instance: what the events say is not looked at, so that their queue is no more to us than a pipe, and tokio's own
/// way for other descriptors needs `unsafe`. It is there for one wait alone, because each event would wake this process,
/// whether it waits for one or not.
async fn wait(kernel: &Inotify) -> io::Result<()> {
    loop {
        // Anew each time, so that no readiness is left over from a time before.
        let events = Receiver::from_owned_fd_unchecked(kernel.as_fd().try_clone_to_owned()?)?;
        events.readable().await?;
        drop(events);
        if drain(kernel) {
            return Ok(());
        }
    }
}

/// Takes what has come; says whether there was any. Not for ever: whoever writes as fast as this reads is heard later.
fn drain(kernel: &Inotify) -> bool {
    let reads = (0..16).take_while(|_| kernel.read_events().is_ok_and(|events| !events.is_empty()));
    reads.count() > 0
}

/// The directory itself, or the nearest parent that is there.
fn nearest(directory: &Path) -> Option<PathBuf> {
    let here = Path::new(".");
    directory.ancestors().chain([here]).find(|place| place.is_dir()).map(Path::to_owned)
}

#[cfg(test)]
impl DirWatches {
    /// As if the kernel had no instance left to give.
    pub(super) fn fail(&mut self) {
        *self = Self { kernel: None, watches: BTreeMap::new(), problem: Some("EMFILE".to_owned()) };
    }
}
