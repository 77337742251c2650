//! Who owns and reads what is published.
//!
//! Invariant: a file has its mode and owner before it has content, and the private key is never readable for everybody.
//! What is not published (the state, what is under way) stays the agent's own.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::layout::{self, Layout};
use crate::config::PublishSettings;

/// Mode and owner of something new. `None`: as the process makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
}

impl From<u32> for Access {
    fn from(mode: u32) -> Self {
        Self { mode, owner: None, group: None }
    }
}

/// Who owns and reads what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    owner: Option<u32>,
    group: Option<u32>,
    key_mode: u32,
    cert_mode: u32,
}

impl Default for Publication {
    /// The agent's user alone has the key, and all is in directories of its own.
    fn default() -> Self {
        Self { owner: None, group: None, key_mode: layout::SECRET_MODE, cert_mode: layout::PUBLIC_MODE }
    }
}

impl From<&PublishSettings> for Publication {
    fn from(settings: &PublishSettings) -> Self {
        Self {
            owner: settings.owner.as_ref().map(|setting| setting.value),
            group: settings.group.as_ref().map(|setting| setting.value),
            key_mode: settings.key_mode.value,
            cert_mode: settings.cert_mode.value,
        }
    }
}

impl Publication {
    /// Of a file of a generation.
    pub(super) fn file(&self, name: &str, default: u32) -> Access {
        let mode = match name {
            layout::KEY => self.key_mode,
            layout::CERTIFICATE | layout::CA | layout::POLICY_KEY => self.cert_mode,
            _ => return default.into(),
        };
        Access { mode, owner: self.owner, group: self.group }
    }

    /// Of the directories on the way. Who reads a file in them has to pass through them, and need not list them.
    pub(super) fn directory(&self) -> Access {
        let mode = match (self.owner, self.group) {
            (None, None) => layout::DIR_MODE,
            (None, Some(_)) => layout::DIR_MODE | 0o010,
            // Another owner of the files is "others" to a directory of the agent's.
            (Some(_), _) => layout::DIR_MODE | 0o011,
        };
        Access { mode, owner: None, group: self.group }
    }

    /// The first directory on the way that was made before consumers were named, and keeps them out: what is wrong and
    /// what to do, as one sentence.
    pub(super) fn barred(&self, layout: &Layout) -> Option<String> {
        let wanted = self.directory();
        let bars = |place: &Path| {
            let meta = std::fs::metadata(place).ok()?;
            let passes = |bit: u32| meta.mode() & bit != 0;
            let group_passes = passes(0o001) || (passes(0o010) && self.group.is_none_or(|g| g == meta.gid()));
            let barred =
                (wanted.mode & 0o001 != 0 && !passes(0o001)) || (wanted.mode & 0o010 != 0 && !group_passes);
            let group = self.group.map(|g| format!("chgrp {g} {0} && ", place.display())).unwrap_or_default();
            barred.then(|| {
                format!(
                    "{0} keeps those out whom publish_owner or publish_group name; run `{group}chmod {1:o} {0}`",
                    place.display(),
                    wanted.mode
                )
            })
        };
        let current = std::fs::canonicalize(layout.current()).ok();
        let root = layout.root().to_owned();
        [Some(root), Some(layout.generations()), current].into_iter().flatten().find_map(|place| bars(&place))
    }
}
