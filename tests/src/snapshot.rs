//! What a folder looks like, so that a test can say that nothing in it has changed.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Names, kinds, modes, owners, contents and link targets of everything below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Of a folder, without the entries of these names directly in it. A folder that is missing is an empty one.
    pub fn of(folder: &Path, without: &[&str]) -> Self {
        let mut entries = BTreeMap::new();
        if folder.exists() {
            look(folder, folder, &mut entries);
        }
        entries.retain(|name, _| !without.contains(&name.split('/').next().unwrap_or_default()));
        Self(entries)
    }

    /// Of an agent's state directory, without what every attempt may leave there: the lock, and an enrollment under way.
    pub fn of_state(folder: &Path) -> Self {
        Self::of(folder, &[".lock", "pending", ".pending.new"])
    }

    /// The names in it.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Insists that the folder still looks like this.
    #[track_caller]
    pub fn assert_same(&self, now: &Self, what: &str) {
        let mut differences = Vec::new();
        for (name, before) in &self.0 {
            match now.0.get(name) {
                None => differences.push(format!("{name} is gone")),
                Some(after) if after != before => {
                    differences.push(format!("{name} was {before} and is {after}"));
                }
                Some(_) => {}
            }
        }
        differences.extend(
            now.0.keys().filter(|name| !self.0.contains_key(*name)).map(|name| format!("{name} is new")),
        );
        assert!(differences.is_empty(), "{what}: the folder has changed: {differences:#?}");
    }
}

fn look(root: &Path, path: &Path, entries: &mut BTreeMap<String, String>) {
    let meta = path.symlink_metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let inner = if meta.is_symlink() {
        format!("link to {}", std::fs::read_link(path).expect("a link can be read").display())
    } else if meta.is_dir() {
        for entry in path.read_dir().unwrap_or_else(|e| panic!("{}: {e}", path.display())).flatten() {
            look(root, &entry.path(), entries);
        }
        "folder".to_owned()
    } else {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        format!("{} bytes {:x?}", bytes.len(), &Sha256::digest(&bytes)[..8])
    };
    let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
    // The mode of a link says nothing.
    let mode = if meta.is_symlink() { 0 } else { meta.permissions().mode() & 0o7777 };
    entries.insert(name, format!("{inner}, mode {mode:04o}, of {}", meta.uid()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("pending")).unwrap();
        std::fs::write(path.join("a"), "1").unwrap();
        std::os::unix::fs::symlink("a", path.join("link")).unwrap();
        let before = Snapshot::of_state(path);
        std::fs::write(path.join("pending/x"), "1").unwrap();
        assert_eq!(Snapshot::of_state(path), before);
        std::fs::write(path.join("a"), "2").unwrap();
        assert_ne!(Snapshot::of_state(path), before);
        std::fs::write(path.join("a"), "1").unwrap();
        before.assert_same(&Snapshot::of_state(path), "written back");
        std::fs::set_permissions(path.join("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let changed = std::panic::catch_unwind(|| before.assert_same(&Snapshot::of_state(path), "mode"));
        assert!(changed.is_err());
    }
}
