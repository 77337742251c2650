//! The kernel's events (inotify(7)) for a set of directories.
//!
//! Invariant: a wanted directory that is not there is waited for at its nearest parent that is, so that its making is an
//! event too. A watch belongs to an inode and not to a name, so [`DirWatches::update`] lays them again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags as Mask, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep};

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

/// Shortest and longest time that what happens to files of others is left to gather.
const NOISE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What counts in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entries {
    All,
    Only(BTreeSet<OsString>),
}

/// The directories whose events are wanted.
pub(super) type Wanted = BTreeMap<PathBuf, Entries>;

/// Watches on directories, and one instance of inotify for all of them.
#[derive(Debug)]
pub(super) struct DirWatches {
    kernel: Option<Inotify>,
    watches: BTreeMap<PathBuf, (WatchDescriptor, Entries)>,
    problem: Option<String>,
    /// When others' files changed last, and how long that is left to gather before the next look.
    noise: Option<(Instant, Duration)>,
}

/// What has come of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nothing,
    /// Of files that nobody asked about.
    Noise,
    Wanted,
}

impl Entries {
    /// Adds an entry by its name; `None` for all of them.
    pub(super) fn add(&mut self, name: Option<OsString>) {
        match (&mut *self, name) {
            (Self::Only(names), Some(name)) => drop(names.insert(name)),
            (_, None) => *self = Self::All,
            (Self::All, Some(_)) => {}
        }
    }
}

impl DirWatches {
    /// Asks the kernel for events of these directories. What it refuses is in [`DirWatches::problem`].
    pub(super) fn open(directories: &Wanted) -> Self {
        let mut watches = Self { kernel: None, watches: BTreeMap::new(), problem: None, noise: None };
        watches.update(directories);
        watches
    }

    /// Why there are no events, or not all.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Lays the watches where these directories are now, and takes up those that are wanted no more.
    pub(super) fn update(&mut self, directories: &Wanted) {
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
        let mut wanted = Wanted::new();
        for (path, entries) in directories {
            let Some(place) = nearest(path) else { continue };
            // In a parent that stands for it, the next step on the way to it is made.
            let entries = if place == *path { entries.clone() } else { Entries::All };
            match wanted.entry(place) {
                Entry::Vacant(vacant) => drop(vacant.insert(entries)),
                Entry::Occupied(mut occupied) => match entries {
                    Entries::All => occupied.get_mut().add(None),
                    Entries::Only(names) => {
                        names.into_iter().for_each(|name| occupied.get_mut().add(Some(name)));
                    }
                },
            }
        }
        self.remove_stale(&wanted);
        for (path, entries) in wanted {
            if let Err(error) = self.add(&path, entries) {
                self.problem =
                    Some(format!("the kernel gives no file events of {} ({error})", path.display()));
            }
        }
    }

    fn remove_stale(&mut self, wanted: &Wanted) {
        let Some(kernel) = &self.kernel else { return };
        let (kept, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.watches).into_iter().partition(|(path, _)| wanted.contains_key(path));
        self.watches = kept;
        for (_, (watch, _)) in rest {
            // Two names of one directory share a watch. A watch that is gone already is an error worth nothing.
            if !self.watches.values().any(|(other, _)| *other == watch) {
                let _ = kernel.rm_watch(watch);
            }
        }
    }

    /// Lays a watch, or finds the one that is there: the kernel knows a directory by its inode, so a name that leads to
    /// another one now gets a new watch, and the old one is taken up.
    fn add(&mut self, path: &Path, entries: Entries) -> io::Result<()> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let watch = match kernel.add_watch(path, WANTED) {
            Ok(watch) => watch,
            // It went away this moment, which is an event of its parent.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if let Some((before, _)) = self.watches.insert(path.to_owned(), (watch, entries))
            && before != watch
            && !self.watches.values().any(|(other, _)| *other == before)
        {
            let _ = kernel.rm_watch(before);
        }
        Ok(())
    }

    /// Whether there were events since the last ones that count; waits for none.
    pub(super) fn has_events(&self) -> bool {
        self.drain() == Heard::Wanted
    }

    /// Waits for events that count, and takes some. Forever where the kernel gives none. Who writes to another file in one of the
    /// directories without end wakes this every two seconds; what counts is then heard as late.
    pub(super) async fn event(&mut self) {
        loop {
            let Some(kernel) = &self.kernel else { return pending().await };
            if let Err(error) = wait(kernel).await {
                self.problem = Some(format!("the kernel's file events cannot be waited for ({error})"));
                pending::<()>().await;
            }
            match self.drain() {
                Heard::Wanted => {
                    self.noise = None;
                    return;
                }
                Heard::Nothing => {}
                Heard::Noise => sleep(self.next_pause()).await,
            }
        }
    }

    fn next_pause(&mut self) -> Duration {
        let (shortest, longest) = NOISE;
        let now = Instant::now();
        let pause = match self.noise {
            Some((last, pause)) if now.duration_since(last) < 2 * longest => (2 * pause).min(longest),
            Some(_) | None => shortest,
        };
        self.noise = Some((now, pause));
        pause
    }

    /// Takes what has come. Not for ever: whoever writes as fast as this reads is heard later.
    fn drain(&self) -> Heard {
        let Some(kernel) = &self.kernel else { return Heard::Nothing };
        let reads = (0..16).map_while(|_| kernel.read_events().ok().filter(|events| !events.is_empty()));
        reads.flatten().map(|event| self.judge(&event)).max().unwrap_or(Heard::Nothing)
    }

    fn judge(&self, event: &InotifyEvent) -> Heard {
        // Of the directory itself, or more than the kernel could keep.
        let Some(name) = &event.name else { return Heard::Wanted };
        let counts = |entries: &Entries| match entries {
            Entries::All => true,
            Entries::Only(names) => names.contains(name),
        };
        let wanted = self.watches.values().any(|(watch, entries)| *watch == event.wd && counts(entries));
        if wanted { Heard::Wanted } else { Heard::Noise }
    }
}

/// Waits for events; those that came before count. nix lays the watches, and tokio waits for the bytes with a second descriptor of
/// the same instance: what the events say is not looked at, so that their queue is no more to us than a pipe, and tokio's own
/// way for other descriptors needs `unsafe`. It is there for one wait alone, because each event would wake this process,
/// whether it waits for one or not.
async fn wait(kernel: &Inotify) -> io::Result<()> {
    // Anew each time, so that no readiness is left over from a time before.
    Receiver::from_owned_fd_unchecked(kernel.as_fd().try_clone_to_owned()?)?.readable().await
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
        *self =
            Self { kernel: None, watches: BTreeMap::new(), problem: Some("EMFILE".to_owned()), noise: None };
    }
}
