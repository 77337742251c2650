//! Notices that something changed on the disk: the identity, a token, the configuration.
//!
//! Invariants:
//! - directories are watched, never files: a file that is replaced takes its watch with it;
//! - an event only says "look"; what has changed is found by comparing stamps (`file_stamp`), so nothing is reported that is not so,
//!   and a poll that compares the same stamps finds whatever events cannot show;
//! - after each look the watches are laid again where the directories are now, so that neither a rename over one nor
//!   its removal makes us deaf.
//!
//! What the agent writes itself is reported as well: to know its own hand is the caller's business.

mod file_stamp;
mod inotify;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::file_stamp::{Inside, Stamps};
use self::inotify::{DirWatches, Entries, Wanted};
use crate::config::Config;
use crate::store::layout;

/// How long it has to be quiet before a look, so that one change of many steps is one change. Longer than a tick of any
/// kernel's file clock: what happens after the look has another time on it.
pub const QUIET: Duration = Duration::from_millis(50);
/// Time between two times of listening whether it is quiet, at first; later it is [`QUIET`].
const LISTEN: Duration = Duration::from_millis(10);
/// Longest time that events can put off a look.
pub const MAX_DEBOUNCE: Duration = Duration::from_millis(500);
/// Time between looks that nothing asked for.
pub const POLL: Duration = Duration::from_secs(60);
/// The same where the kernel gives no events.
pub const POLL_BLIND: Duration = Duration::from_secs(15);

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Something of the identity in the state directory.
    State,
    /// A file that a token can come from.
    Token,
    /// A file that the configuration is made of.
    Config,
}

impl Change {
    /// Every change, the gravest first.
    pub const ALL: [Self; 3] = [Self::State, Self::Token, Self::Config];
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The state directory.
    pub state_dir: PathBuf,
    /// Every file that a token can come from; they need not exist.
    pub tokens: Vec<PathBuf>,
    /// Every file, and directory of files, that the configuration is made of; they need not exist.
    pub config: Vec<PathBuf>,
}

impl Watched {
    /// What a configuration depends on.
    pub fn of(config: &Config) -> Self {
        Self {
            state_dir: config.state_dir.value.clone(),
            tokens: config.token.iter().filter_map(|source| source.path().map(Path::to_owned)).collect(),
            config: config.files(),
        }
    }

    /// What is there of one group.
    fn stamps(&self, change: Change) -> Stamps {
        let inside = match change {
            Change::Config => Inside::Counts,
            Change::State | Change::Token => Inside::DoesNot,
        };
        Stamps::of(&self.things(change), inside)
    }

    /// The things whose stamps are compared.
    fn things(&self, change: Change) -> Vec<PathBuf> {
        match change {
            Change::State => {
                let current = self.state_dir.join("current");
                let names = layout::names();
                let tops = names.iter().map(|name| self.state_dir.join(name));
                let inner = names.iter().map(|name| current.join(name));
                let own =
                    [layout::TOKEN_HASH, layout::READY, layout::LOCK].map(|name| self.state_dir.join(name));
                tops.chain(inner).chain(own).chain([self.state_dir.clone(), current.clone()]).collect()
            }
            Change::Token => self.tokens.clone(),
            Change::Config => self.config.clone(),
        }
    }

    /// The directories whose events are wanted, and the entries that count there. A link is followed, because what it leads to can
    /// change as well, and so can every step on the way.
    fn directories(&self) -> Wanted {
        let state = [&self.state_dir, &self.state_dir.join("generations"), &self.state_dir.join("current")];
        let mut wanted: Wanted = state.into_iter().map(|dir| (dir.clone(), Entries::All)).collect();
        for file in self.tokens.iter().chain(&self.config) {
            let led_to = std::fs::canonicalize(file).ok();
            for place in [Some(file), led_to.as_ref()].into_iter().flatten() {
                let name = place.file_name().filter(|_| !place.is_symlink()).map(ToOwned::to_owned);
                if let Some(parent) = place.parent() {
                    let none = || Entries::Only(BTreeSet::new());
                    wanted.entry(or_here(parent).to_owned()).or_insert_with(none).add(name);
                }
                if place.is_dir() {
                    wanted.insert(place.clone(), Entries::All);
                }
            }
        }
        wanted
    }
}

/// The parent of a bare name is the working directory.
fn or_here(parent: &Path) -> &Path {
    if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
}

/// Watches.
#[derive(Debug)]
pub struct Watcher {
    watched: Watched,
    inotify: DirWatches,
    stamps: [Stamps; 3],
    found: BTreeSet<Change>,
    polled: Instant,
    debounce: Option<Debounce>,
}

/// Events that were not looked into yet, because more may follow.
#[derive(Debug, Clone, Copy)]
struct Debounce {
    first: Instant,
    /// When the last ones were heard.
    last: Instant,
    /// When to hear whether there are more.
    listen: Instant,
}

impl Debounce {
    fn begin(now: Instant) -> Self {
        Self { first: now, last: now, listen: now + LISTEN }
    }

    /// What it is after listening, as long as it goes on.
    fn go_on(self, more: bool, now: Instant) -> Option<Self> {
        let last = if more { now } else { self.last };
        let end = (last + QUIET).min(self.first + MAX_DEBOUNCE);
        let pause = if now < self.first + 2 * QUIET { LISTEN } else { QUIET };
        (now < end).then(|| Self { last, listen: (now + pause).min(end), ..self })
    }
}

impl Watcher {
    /// Starts to watch: what changes from now on is reported. Never fails: without events it polls.
    ///
    /// Has to be called within a tokio runtime.
    pub fn new(watched: Watched) -> Self {
        let inotify = DirWatches::open(&watched.directories());
        let stamps = Change::ALL.map(|change| watched.stamps(change));
        Self { watched, inotify, stamps, found: BTreeSet::new(), polled: Instant::now(), debounce: None }
    }

    /// Watches something else from now on, after a new configuration. A change of something that is watched before and
    /// after is still reported.
    pub fn watch(&mut self, watched: Watched) {
        self.look();
        self.watched = watched;
        self.inotify.update(&self.watched.directories());
        self.stamps = Change::ALL.map(|change| self.watched.stamps(change));
    }

    /// Why changes are noticed late: the kernel gives no events, or not for every directory.
    pub fn blind(&self) -> Option<&str> {
        self.inotify.problem()
    }

    /// Waits for a change. Several at once are given one after the other. Nothing is lost when the future is dropped.
    ///
    /// What happens in the directories without end, because somebody keeps a log there, wakes this every two seconds: the kernel gathers
    /// the events meanwhile.
    pub async fn changed(&mut self) -> Change {
        loop {
            if let Some(change) = self.found.pop_first() {
                return change;
            }
            if let Some(debounce) = self.debounce {
                sleep_until(debounce.listen).await;
                self.debounce = debounce.go_on(self.inotify.has_events(), Instant::now());
                if self.debounce.is_none() {
                    self.look();
                }
                continue;
            }
            let poll = self.polled + if self.blind().is_some() { POLL_BLIND } else { POLL };
            tokio::select! {
                () = self.inotify.event() => {
                    self.debounce = Some(Debounce::begin(Instant::now()));
                }
                () = sleep_until(poll) => self.look(),
            }
        }
    }

    /// Compares what is there with what was there.
    fn look(&mut self) {
        self.debounce = None;
        self.polled = Instant::now();
        // Watches first: what changes between the two is then seen as an event.
        self.inotify.update(&self.watched.directories());
        for (change, stamps) in Change::ALL.into_iter().zip(&mut self.stamps) {
            let seen = self.watched.stamps(change);
            if seen != *stamps {
                *stamps = seen;
                self.found.insert(change);
            }
        }
    }
}

#[cfg(test)]
mod tests;
