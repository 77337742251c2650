//! One identity on the disk, whole.
//!
//! Invariant: a directory under `generations/` that has a number is complete; it got the number by a rename after every
//! file in it was on the disk.

use std::path::{Path, PathBuf};

use telovix_contract::TokenHash;

use super::error::StoreError;
use super::layout::{self, Layout, PendingKind};
use super::pending::Pending;
use super::permissions::Publication;
use super::state::{SensorState, WRITTEN_BY};
use super::{aside, atomic, read};
use crate::key::KeyError;
use crate::tls::{ClientIdentity, ServerTrust};
use crate::verify::Verified;

/// Most generations that are kept, the current one among them (docs/contract.md section 6). Not by their dates: the clock may be wrong.
const MOST_KEPT: usize = 8;

/// As much as a generation needs on the disk, in bytes: five small files, of which a chain is the largest.
const ROOM: usize = 32 * 1024;

/// A verified identity that is on the disk.
#[derive(Debug)]
pub struct Generation {
    number: u32,
    verified: Verified,
    state: SensorState,
}

impl Generation {
    /// Only for what was read back from its own directory, or was just written there.
    pub(super) fn new(number: u32, verified: Verified, state: SensorState) -> Self {
        Self { number, verified, state }
    }

    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The identity.
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What was remembered of the enrollment.
    pub fn state(&self) -> &SensorState {
        &self.state
    }

    /// As whom to speak to the Console.
    ///
    /// # Errors
    /// [`KeyError`] cannot happen for a verified key; it is passed on all the same.
    pub fn identity(&self) -> Result<ClientIdentity, KeyError> {
        Ok(ClientIdentity {
            chain: self.verified.chain().to_vec(),
            key: self.verified.key().to_private_der()?,
        })
    }

    /// Whom to trust as the Console: the CA that came with the certificate, and nobody else (docs/contract.md section 2).
    pub fn trust(&self) -> ServerTrust {
        ServerTrust::Anchors {
            certificates: self.verified.ca().to_vec(),
            named: "the Console CA that came with the certificate".to_owned(),
        }
    }

    pub(super) fn write(
        layout: &Layout,
        publication: Publication,
        verified: Verified,
        state: SensorState,
    ) -> Result<Self, StoreError> {
        let all = layout.generations();
        if !atomic::is_there(&all)? {
            atomic::create_dir(&all, publication.directory())?;
            atomic::sync_dir(layout.root())?;
        }
        let new = layout.generation_new();
        let file = new.join(layout::STATE);
        let mut state_json = to_json(&state).map_err(|error| StoreError::corrupt(&file, error))?;
        state_json.push(b'\n');
        let key = verified.key().to_pem();
        atomic::remove_tree(&new)?;
        atomic::create_dir(&new, publication.directory())?;
        for (name, mode) in layout::GENERATION_FILES {
            let bytes: &[u8] = match name {
                layout::KEY => key.as_bytes(),
                layout::CERTIFICATE => verified.certificate_pem().as_bytes(),
                layout::CA => verified.ca_pem().as_bytes(),
                layout::POLICY_KEY => verified.policy_key_pem().as_bytes(),
                _ => &state_json,
            };
            atomic::write_new(&new.join(name), bytes, publication.file(name, mode))?;
        }
        atomic::sync_dir(&new)?;
        let number = next_number(layout)?;
        // What is left of its publication is then one rename. The heartbeat that proves it ends its predecessor's life at the
        // Console, so a disk without room has to say so before, and before the generation has its name: one that has it is proven.
        atomic::prepare_link(Path::new(&Layout::relative(number)), &layout.current())?;
        atomic::rename(&new, &layout.generation(number))?;
        Ok(Self::new(number, verified, state))
    }
}

/// Makes of a generation what a file system or a user may be unable to make, and removes it again: as many bytes, in a file with the
/// owner that consumers need, and a link. Afterwards a token can be spent.
pub(super) fn rehearse(layout: &Layout, publication: Publication) -> Result<(), StoreError> {
    let place = layout.pending_new(PendingKind::Enrollment);
    atomic::remove_tree(&place)?;
    atomic::create_dir(&place, publication.directory())?;
    let key = place.join(layout::KEY);
    let made = atomic::write_new(&key, &[0; ROOM], publication.file(layout::KEY, layout::SECRET_MODE));
    let made = made.and_then(|()| atomic::prepare_link(Path::new(layout::KEY), &key));
    atomic::remove_tree(&place)?;
    made
}

/// With the version of this program, which a later one of an older version can name.
fn to_json(state: &SensorState) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(state)?;
    value[WRITTEN_BY] = env!("CARGO_PKG_VERSION").into();
    serde_json::to_vec_pretty(&value)
}

/// The first number after the newest generation that nothing bears, not even what is no generation.
fn next_number(layout: &Layout) -> Result<u32, StoreError> {
    let newest = numbers(layout)?.last().copied().max(current_number(layout)?).unwrap_or(0);
    let is_free = |number: &u32| std::fs::symlink_metadata(layout.generation(*number)).is_err();
    let full =
        || StoreError::corrupt(&layout.generations(), "there is no number left; remove the newest directory");
    newest.checked_add(1).and_then(|next| (next..=u32::MAX).find(is_free)).ok_or_else(full)
}

/// The numbers of the generations that are there, ascending. An empty directory is none.
pub(super) fn numbers(layout: &Layout) -> Result<Vec<u32>, StoreError> {
    let place = layout.generations();
    let entries = match std::fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", &place)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", &place))?;
        // What cannot be looked at may be one.
        let is_one = |_: &u32| match std::fs::read_dir(entry.path()) {
            Ok(mut files) => files.next().is_some(),
            Err(error) => error.kind() != std::io::ErrorKind::NotADirectory,
        };
        found.extend(entry.file_name().to_str().and_then(Layout::number).filter(is_one));
    }
    found.sort_unstable();
    Ok(found)
}

/// The number that `current` points to; `None` where it points nowhere or elsewhere, or is no link.
pub(super) fn current_number(layout: &Layout) -> Result<Option<u32>, StoreError> {
    use std::io::ErrorKind;
    let link = layout.current();
    match std::fs::read_link(&link) {
        Ok(target) => {
            let name = target.strip_prefix("generations").ok().and_then(|name| name.to_str());
            Ok(name.and_then(Layout::number))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
        Err(error) => Err(StoreError::io("read", &link)(error)),
    }
}

/// Writes down which token paid for the current identity, where that does not stand there yet.
pub(super) fn write_token_hash(layout: &Layout, current: &Generation) -> Result<(), StoreError> {
    let file = layout.top(layout::TOKEN_HASH);
    if current.state.token_sha256 == SensorState::no_token() {
        return Ok(());
    }
    let hash = format!("{}\n", current.state.token_sha256);
    if read::text(&file).ok().as_deref() == Some(&hash) {
        return Ok(());
    }
    atomic::replace(&file, hash.as_bytes(), layout::SECRET_MODE)
}

/// Whether the hash that stands there is neither of the token that paid for the current identity nor a leftover from
/// before it: then somebody else, the vendor's init container, has announced a new token (docs/contract.md section 7).
pub(super) fn announces_another_token(layout: &Layout, current: &Generation) -> bool {
    let text = read::text(&layout.top(layout::TOKEN_HASH)).ok();
    let Some(announced) = text.and_then(|text| text.parse::<TokenHash>().ok()) else { return false };
    let numbers = numbers(layout).unwrap_or_default();
    let earlier = |number: &u32| {
        let state = read::text(&layout.generation(*number).join(layout::STATE)).ok()?;
        Some(serde_json::from_str::<SensorState>(&state).ok()?.token_sha256)
    };
    !numbers.iter().filter(|n| **n <= current.number).filter_map(earlier).any(|known| known == announced)
}

/// Moves `current`. The published names are made first: they lead nowhere until `current` is there, and then all of
/// them lead to the same generation at once. Returns where files are kept that were in their place.
pub(super) fn publish(layout: &Layout, generation: &Generation) -> Result<Option<PathBuf>, StoreError> {
    let Mended { kept, .. } = mend_links(layout)?;
    point_current(layout, generation.number)?;
    write_token_hash(layout, generation)?;
    Ok(kept)
}

/// Publishes a generation that was made of the files under the published names: each name leads to the same key or
/// certificate before and after.
pub(super) fn adopt(layout: &Layout, generation: &Generation) -> Result<Option<PathBuf>, StoreError> {
    let kept = aside::keep(layout, &aside::names(layout))?;
    point_current(layout, generation.number)?;
    link(layout, &broken_links(layout))?;
    write_token_hash(layout, generation)?;
    Ok(kept)
}

/// Points `current` at a generation. A directory in its place comes from a backup that followed links.
pub(super) fn point_current(layout: &Layout, number: u32) -> Result<(), StoreError> {
    if std::fs::symlink_metadata(layout.current()).is_ok_and(|meta| !meta.file_type().is_symlink()) {
        aside::keep(layout, &["current"])?;
        atomic::remove_file(&layout.current())?;
    }
    atomic::link(Path::new(&Layout::relative(number)), &layout.current())
}

/// What was done about the published names.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// The names that were missing or were not our links.
    pub(super) links: Vec<&'static str>,
    /// Where files are kept that were in their place.
    pub(super) kept: Option<PathBuf>,
}

/// Makes the published names that are missing or are not our links. Files of somebody else that are in their place are kept,
/// and all of them go before the first link comes: nobody finds a key beside another one's certificate.
pub(super) fn mend_links(layout: &Layout) -> Result<Mended, StoreError> {
    let (links, foreign) = (broken_links(layout), aside::names(layout));
    let kept = aside::keep(layout, &foreign)?;
    if kept.is_some() {
        foreign.iter().try_for_each(|name| atomic::remove_file(&layout.top(name)))?;
    }
    link(layout, &links)?;
    Ok(Mended { links, kept })
}

fn link(layout: &Layout, names: &[&'static str]) -> Result<(), StoreError> {
    names.iter().try_for_each(|name| atomic::link(&Path::new("current").join(name), &layout.top(name)))
}

/// The published names that are missing or are not our links.
pub(super) fn broken_links(layout: &Layout) -> Vec<&'static str> {
    layout::GENERATION_FILES
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            std::fs::read_link(layout.top(name)).ok().as_deref() != Some(&*Path::new("current").join(name))
        })
        .collect()
}

/// What follows once `current` stands: token hash, the end of the pending enrollment, old generations.
pub(super) fn settle(layout: &Layout, current: &Generation) -> Result<(), StoreError> {
    if !announces_another_token(layout, current) {
        write_token_hash(layout, current)?;
    }
    // Done is what made the current identity, and also the renewal of one that another enrollment has replaced.
    let is_done = |pending: &Pending| {
        let replaced = pending.renews.is_some_and(|generation| generation < current.number);
        replaced || pending.key.public_der() == current.verified.key().public_der()
    };
    for kind in PendingKind::ALL {
        let ended = match Pending::load(layout, kind) {
            Ok(pending) => pending.is_some_and(|pending| is_done(&pending)),
            // Half removed, or torn: nobody can go on with it, and a key does not lie about for ever.
            Err(StoreError::Corrupt { .. }) => true,
            Err(_) => false,
        };
        if ended {
            atomic::remove_tree(&layout.pending(kind))?;
        }
    }
    sweep(layout, Some(current.number)).map(drop)
}

/// Whatever may be accepted yet stays, the newest first (docs/contract.md section 6). Returns what did not.
pub(super) fn sweep(layout: &Layout, current: Option<u32>) -> Result<Vec<u32>, StoreError> {
    let named = current_number(layout)?;
    let may_go = |number: &u32| Some(*number) != current && Some(*number) != named;
    let old: Vec<u32> = numbers(layout)?.into_iter().rev().filter(may_go).skip(MOST_KEPT - 1).collect();
    for number in &old {
        atomic::remove_tree(&layout.generation(*number))?;
    }
    Ok(old)
}
