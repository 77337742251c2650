//! The state directory: generations, of which one is current (docs/contract.md section 7).
//!
//! Invariants:
//! - only a [`Verified`] becomes a [`Generation`], and only a `Generation` is published;
//! - `current` moves by one rename, to a generation that is wholly on the disk; the five published names are links
//!   through it, so a consumer that opens the directory `current` once finds a key and a certificate that belong
//!   together, after a crash too;
//! - nothing that works is removed before its successor is in its place, and the previous generation stays;
//! - what cannot be read is an error that names the file, never "empty".

mod acting;
mod aside;
mod atomic;
mod chown;
mod error;
mod fault;
mod foreign;
mod generation;
pub mod layout;
mod load;
mod lock;
mod pending;
mod permissions;
mod read;
mod state;

use std::ops::Deref;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use telovix_contract::TokenHash;
use telovix_contract::enroll::EnrollRequest;
use telovix_contract::session::RenewRequest;

use self::acting::Acting;
pub use self::acting::Owner;
pub use self::atomic::{make_runtime_dir, open_socket_to_group, remove_consumed_token, remove_socket};
pub use self::chown::{Handover, hand_over};
pub use self::error::StoreError;
pub use self::foreign::Foreign;
pub use self::generation::Generation;
use self::layout::Layout;
pub use self::layout::PendingKind;
pub use self::load::{Loaded, Loss, LossReason};
use self::lock::Lock;
pub use self::pending::{Asked, Pending};
pub use self::permissions::Publication;
pub use self::state::{STATE_VERSION, SensorState};
use crate::config::pem;
use crate::key::KeyPair;
use crate::verify::Verified;

/// One state directory.
#[derive(Debug)]
pub struct Store {
    place: Layout,
    /// The directory's owner, where this process is root and the directory is another user's.
    owner: Option<Owner>,
    access: Access,
    publication: Publication,
}

#[derive(Debug)]
enum Access {
    /// Looks and changes nothing.
    Read,
    /// Holds the lock.
    Write { lock: Lock },
}

/// The directory's paths; while they are used, the process has the rights of the directory's owner.
struct Entered<'a> {
    place: &'a Layout,
    _acting: Acting,
}

impl Deref for Entered<'_> {
    type Target = Layout;
    fn deref(&self) -> &Layout {
        self.place
    }
}

/// What [`Store::hold`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    /// All as it was.
    Unchanged,
    /// It had to be taken anew; what was in it may be gone.
    Reopened,
}

impl Store {
    /// Opens a state directory for work: makes it where it is missing (0700), refuses one that others can write, and
    /// keeps a second agent out for as long as the store lives.
    ///
    /// # Errors
    /// [`StoreError::Unsafe`], [`StoreError::Locked`], [`StoreError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_as(dir, Publication::default())
    }

    /// The same, for consumers that are not the agent's own user: new files are made for them, what stands stays as it
    /// is.
    pub fn open_as(dir: &Path, publication: Publication) -> Result<Self, StoreError> {
        let place = Layout::new(dir);
        if !atomic::is_there(dir)? {
            atomic::create_dir_all(dir, publication.directory())?;
        }
        lock::check_directory(dir)?;
        let owner = acting::owner_to_be(dir)?;
        owner.map_or(Ok(()), |owner| acting::prepare(dir, owner))?;
        let acting = Acting::start(owner);
        load::check_formats(&place)?;
        let lock = Lock::take(&place.lock(), dir)?;
        drop(acting);
        if acting::owner_to_be(dir)? != owner {
            return Err(lock::replaced(dir));
        }
        Ok(Self { place, owner, access: Access::Write { lock }, publication })
    }

    /// Makes sure that the name of the state directory still leads to the one that this store holds: somebody may have
    /// removed it, put another in its place, or removed the lock in it. Then it is taken as [`Store::open_as`] takes it.
    ///
    /// # Errors
    /// As [`Store::open`]; the store then holds nothing that anybody can reach.
    pub fn hold(&mut self) -> Result<HoldOutcome, StoreError> {
        let Access::Write { lock } = &self.access else { return Ok(HoldOutcome::Unchanged) };
        let entered = self.layout();
        let is_in_place = lock.is_in_place();
        drop(entered);
        if is_in_place {
            return Ok(HoldOutcome::Unchanged);
        }
        *self = Self::open_as(self.dir(), self.publication)?;
        Ok(HoldOutcome::Reopened)
    }

    /// Opens a state directory for looking, beside a running agent; nothing is made or mended.
    pub fn peek(dir: &Path) -> Self {
        // Who only looks changes nothing; where it cannot be done as the owner, it is done as it can be.
        let owner = acting::owner_to_be(dir).unwrap_or(None);
        Self { place: Layout::new(dir), owner, access: Access::Read, publication: Publication::default() }
    }

    /// Whether this store was opened for looking only.
    pub fn is_read_only(&self) -> bool {
        matches!(self.access, Access::Read)
    }

    /// Makes new files for these consumers from now on.
    pub fn publish_as(&mut self, publication: Publication) {
        self.publication = publication;
    }

    /// Whether there is a state directory, or anything in its place.
    pub fn is_there(dir: &Path) -> Result<bool, StoreError> {
        atomic::is_there(dir)
    }

    /// Whether [`Store::open`] would take this directory, without making or locking anything. One that is missing is
    /// fine.
    pub fn examine(dir: &Path) -> Result<(), StoreError> {
        if atomic::is_there(dir)? { lock::check_directory(dir) } else { Ok(()) }
    }

    /// What keeps the consumers of a publication out, and what to do about it.
    pub fn keeps_out(&self, publication: &Publication) -> Option<String> {
        publication.barred(&self.layout())
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        self.place.root()
    }

    fn layout(&self) -> Entered<'_> {
        Entered { place: &self.place, _acting: Acting::start(self.owner) }
    }

    /// Reads the identity of this host and checks it again, at the time `now`. Opened for work, it also mends what can
    /// be mended without the Console: wrong modes, missing links, and a torn generation that has an intact predecessor.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk refuses to be read; [`StoreError::Newer`]. A lost identity is not an error but
    /// [`Loaded::Lost`].
    pub fn load(&self, now: Timestamp) -> Result<Loaded, StoreError> {
        let mend = (!self.is_read_only()).then_some(&self.publication);
        load::load(&self.layout(), mend, now)
    }

    /// The same, and nothing is mended.
    pub fn look(&self, now: Timestamp) -> Result<Loaded, StoreError> {
        load::load(&self.layout(), None, now)
    }

    /// The enrollment that is under way, if any.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`] when it is there and cannot be read.
    pub fn pending(&self) -> Result<Option<Pending>, StoreError> {
        Pending::load(&self.layout(), PendingKind::Enrollment)
    }

    /// The renewal that is under way, if any.
    pub fn pending_renewal(&self) -> Result<Option<Pending>, StoreError> {
        Pending::load(&self.layout(), PendingKind::Renewal)
    }

    /// Makes an enrollment durable before its first byte leaves, in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError::Io`], also where this place could not hold the identity that comes of it.
    pub fn begin(
        &mut self,
        key: KeyPair,
        request: &EnrollRequest,
        token_sha256: TokenHash,
    ) -> Result<Pending, StoreError> {
        generation::rehearse(&self.layout(), self.publication)?;
        Pending::save_enrollment(&self.layout(), key, request, token_sha256)
    }

    /// Makes the renewal of an identity durable before its first byte leaves, in place of an earlier one.
    pub fn begin_renewal(
        &mut self,
        key: KeyPair,
        request: &RenewRequest,
        of: &Generation,
    ) -> Result<Pending, StoreError> {
        Pending::save_renewal(&self.layout(), key, request, (of.state().token_sha256, of.number()))
    }

    /// Since when the enrollment that is under way is as it is.
    pub fn pending_since(&self) -> Option<Timestamp> {
        let file = self.layout().pending(PendingKind::Enrollment).join(pending::REQUEST);
        Timestamp::try_from(std::fs::symlink_metadata(file).ok()?.modified().ok()?).ok()
    }

    /// Throws away the key and request that are pending of this kind. What was committed for them stays: it may be accepted yet.
    pub fn discard(&mut self, kind: PendingKind) -> Result<(), StoreError> {
        atomic::remove_tree(&self.layout().pending(kind))
    }

    /// Writes an identity as a new generation. It is whole and on the disk when this returns, and not yet current.
    pub fn commit(&mut self, verified: Verified, state: SensorState) -> Result<Generation, StoreError> {
        Generation::write(&self.layout(), self.publication, verified, state)
    }

    /// Removes what was issued longest ago, but not `current`, so that what is never accepted does not pile up. Returns the numbers.
    pub fn sweep(&mut self, current: Option<u32>) -> Result<Vec<u32>, StoreError> {
        generation::sweep(&self.layout(), current)
    }

    /// Every other identity than that generation, as far as it is whole and in force, newest first.
    pub fn others(&self, current: u32, now: Timestamp) -> Result<Vec<Generation>, StoreError> {
        load::others(&self.layout(), current, now)
    }

    /// Makes a generation the current one, publishes its names, and ends the enrollment that made it. Returns where files
    /// are kept that somebody else had put under the names.
    ///
    /// # Errors
    /// [`StoreError::Io`]; until `current` has moved the old identity stands, after it the new one.
    pub fn publish(&mut self, generation: &Generation) -> Result<Option<PathBuf>, StoreError> {
        let kept = generation::publish(&self.layout(), generation)?;
        self.settle(generation)?;
        Ok(kept)
    }

    /// Files under the published names that this agent did not make, if any. Fails on a newer format alone.
    pub fn foreign(&self, now: Timestamp) -> Result<Option<Foreign>, StoreError> {
        foreign::find(&self.layout(), now)
    }

    /// Makes an identity of such files the current one, as a generation. Returns where the files are kept as they were.
    pub fn adopt(&mut self, identity: Verified, state: SensorState) -> Result<Option<PathBuf>, StoreError> {
        let generation = self.commit(identity, state)?;
        generation::adopt(&self.layout(), &generation)
    }

    /// The same, where nothing can be written; it has the number 0.
    pub fn unwritten(&self, identity: Verified, state: SensorState) -> Generation {
        Generation::new(0, identity, state)
    }

    /// Sweeps up after a publication, this one or one that a crash cut short: token hash, pending enrollment, old
    /// generations. Changes nothing where all is in order.
    pub fn settle(&mut self, current: &Generation) -> Result<(), StoreError> {
        generation::settle(&self.layout(), current)
    }

    /// Says to consumers that the Console has accepted the identity, or that it no longer does.
    pub fn set_ready(&mut self, accepted_at: Option<Timestamp>) -> Result<(), StoreError> {
        let layout = self.layout();
        let path = layout.top(layout::READY);
        match accepted_at {
            Some(at) => atomic::replace(&path, format!("{at:.0}\n").as_bytes(), layout::PUBLIC_MODE),
            None => atomic::remove_file(&path),
        }
    }

    /// When the Console accepted the identity, as `.sensor-ready` tells; `None` where it is missing or unreadable.
    pub fn ready_since(&self) -> Option<Timestamp> {
        read::text(&self.layout().top(layout::READY)).ok()?.trim().parse().ok()
    }

    /// Writes down that consumers know the identity.
    pub fn set_told(&mut self, current: &Generation) -> Result<(), StoreError> {
        let line = format!("{}\n", current.verified().serial_hex());
        atomic::replace(&self.layout().top(layout::TOLD), line.as_bytes(), layout::SECRET_MODE)
    }

    /// Whether that was written down of this identity.
    pub fn was_told(&self, current: &Generation) -> bool {
        read::text(&self.layout().top(layout::TOLD))
            .is_ok_and(|line| line.trim() == current.verified().serial_hex())
    }

    /// Writes down which calls this Console has answered.
    pub fn set_answered(&mut self, console: &str, calls: &[&str]) -> Result<(), StoreError> {
        let line = format!("{console} {}\n", calls.join(" "));
        atomic::replace(&self.layout().top(layout::ANSWERED), line.as_bytes(), layout::SECRET_MODE)
    }

    /// Whether that was written down of this Console and this call.
    pub fn has_answered(&self, console: &str, call: &str) -> bool {
        let Ok(line) = read::text(&self.layout().top(layout::ANSWERED)) else { return false };
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(console) && words.any(|word| word == call)
    }

    /// Writes down that an agent keeps this identity from now on.
    pub fn set_kept(&mut self) -> Result<(), StoreError> {
        if self.is_kept() {
            return Ok(());
        }
        atomic::replace(&self.layout().top(layout::KEPT), b"1\n", layout::SECRET_MODE)
    }

    /// Whether that was written down.
    pub fn is_kept(&self) -> bool {
        atomic::is_there(&self.layout().top(layout::KEPT)).unwrap_or_default()
    }

    /// Hash of the token that paid for the identity here, as `.enrollment-token-hash` tells.
    pub fn paid_by(&self) -> Option<TokenHash> {
        read::text(&self.layout().top(layout::TOKEN_HASH)).ok()?.parse().ok()
    }

    /// The CA of the identity that this host holds or held, as far as it can still be read. None where somebody removed the
    /// published name: that declares the identity lost (docs/contract.md section 7).
    pub fn stored_ca(&self) -> Vec<CertificateDer<'static>> {
        let layout = self.layout();
        let published = layout.top(layout::CA);
        if published.symlink_metadata().is_err() {
            return Vec::new();
        }
        let newest = generation::numbers(&layout).ok().and_then(|numbers| numbers.last().copied());
        let newest = newest.map(|number| layout.generation(number).join(layout::CA));
        let read = |file: PathBuf| {
            let text = read::text(&file).ok()?;
            let found: Vec<_> = pem::blocks(pem::CERTIFICATE, &text)
                .map_while(Result::ok)
                .map(CertificateDer::from)
                .collect();
            Some(found).filter(|found| !found.is_empty())
        };
        std::iter::once(published).chain(newest).find_map(read).unwrap_or_default()
    }

    /// Removes the identity and all that belongs to it. The names of consumers go first, the keys last.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk refuses; calling it again goes on.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        atomic::remove_file(&self.layout().top(layout::READY))?;
        for (name, _) in layout::GENERATION_FILES {
            atomic::remove_file(&self.layout().top(name))?;
        }
        atomic::remove_link(&self.layout().current())?;
        atomic::remove_file(&self.layout().top(layout::TOKEN_HASH))?;
        atomic::remove_file(&self.layout().top(layout::TOLD))?;
        atomic::remove_file(&self.layout().top(layout::KEPT))?;
        atomic::remove_file(&self.layout().top(layout::ANSWERED))?;
        for kind in PendingKind::ALL {
            atomic::remove_tree(&self.layout().pending(kind))?;
            atomic::remove_tree(&self.layout().pending_new(kind))?;
        }
        atomic::remove_tree(&self.layout().generations())?;
        atomic::sync_dir(self.layout().root())
    }
}

#[cfg(test)]
mod tests;
