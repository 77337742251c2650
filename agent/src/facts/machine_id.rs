//! What tells this machine from a copy of it (docs/contract.md section 4).
//!
//! Invariant: an id that may be another one after the next start counts as none, and two ids of different kinds are never
//! compared: what is not known says nothing.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};
use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;

use crate::config::MachineId;
use crate::regular::{self, Links};

/// Largest file of facts, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;
/// Goes before the machine id in its hash, so that the hash is of use to nobody else (machine-id(5) asks for that).
const SALT: &str = "telovix-sensor:";
/// A file of machine-id(5).
const FILE: &str = "machine-id";
/// The firmware's UUID.
const FIRMWARE: &str = "dmi";
/// The setting.
const CONFIGURED: &str = "configured";
/// UUIDs that makers of boards leave in their firmware.
const NO_UUIDS: [&str; 2] = ["03000200040005000006000700080009", "12345678123456789012abcdefabcdef"];
/// In the kernel's linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// One id of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownId {
    /// What kind it is.
    pub source: &'static str,
    /// Lower-case hex SHA-256 of the salt and the id.
    pub sha256: String,
}

/// The hash of this machine's first id, as it is where nothing is configured.
pub fn machine_id_sha256(root: &Path) -> Option<String> {
    known(root, &MachineId::Auto).into_iter().next().map(|id| id.sha256)
}

/// The ids of this machine, the first to be used first; its files are read under `root`.
pub fn known(root: &Path, setting: &MachineId) -> Vec<KnownId> {
    known_where(root, setting, |file| is_transient(root, file))
}

/// Whether what was recorded on some machine was recorded on another one than this.
pub fn is_of_another(sha256: Option<&str>, source: Option<&str>, known: &[KnownId]) -> bool {
    let Some(sha256) = sha256 else { return false };
    // The first versions recorded no kind; it was always this one.
    let comparable = |id: &&KnownId| id.source == source.unwrap_or(FILE);
    known.iter().all(|id| id.sha256 != sha256) && known.iter().any(|id| comparable(&id))
}

fn known_where(root: &Path, setting: &MachineId, is_transient: impl Fn(&Path) -> bool) -> Vec<KnownId> {
    let of =
        |source, id: &str| KnownId { source, sha256: hex(&Sha256::digest(format!("{SALT}{id}").as_bytes())) };
    match setting {
        MachineId::Ignore => Vec::new(),
        MachineId::Fixed(id) => vec![of(CONFIGURED, id)],
        MachineId::Auto => {
            let files = ["etc/machine-id", "var/lib/dbus/machine-id", "host/etc/machine-id"]
                .map(|name| root.join(name));
            let file = files.iter().find_map(|file| read_id(file).filter(|_| !is_transient(file)));
            let uuid =
                read_id(&root.join("sys/class/dmi/id/product_uuid")).filter(|id| !NO_UUIDS.contains(&&**id));
            [file.map(|id| of(FILE, &id)), uuid.map(|id| of(FIRMWARE, &id))].into_iter().flatten().collect()
        }
    }
}

/// The id in a file. An image that waits for its first start says `uninitialized`.
fn read_id(file: &Path) -> Option<String> {
    read(file)?.parse::<MachineId>().ok().and_then(|id| match id {
        MachineId::Fixed(id) => Some(id),
        MachineId::Auto | MachineId::Ignore => None,
    })
}

/// A text file of facts, if there is one.
pub(super) fn read(path: &Path) -> Option<String> {
    let bytes = regular::read(path, Links::Follow, LARGEST_FILE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file is gone with the next start: in memory, or in a layer of an overlay that is.
fn is_transient(root: &Path, file: &Path) -> bool {
    let in_memory = |kind: FsType| kind == TMPFS_MAGIC || kind == RAMFS_MAGIC;
    let kind = |place: &Path| statfs(place).map(|found| found.filesystem_type());
    match kind(file) {
        Ok(OVERLAYFS_SUPER_MAGIC) => {
            let mounts = read(&root.join("proc/self/mountinfo")).unwrap_or_default();
            let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let Some(upper) = upper_layer(&mounts, &real) else { return false };
            let there = upper.ancestors().find(|place| place.exists());
            there.is_some_and(|place| kind(place).is_ok_and(in_memory))
        }
        Ok(kind) => in_memory(kind),
        Err(_) => false,
    }
}

/// Where what is written to the overlay that holds a file goes, by /proc/self/mountinfo (proc_pid_mountinfo(5)).
fn upper_layer(mounts: &str, file: &Path) -> Option<PathBuf> {
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let options = after.split(' ').nth(2).unwrap_or_default();
        file.starts_with(point).then_some((point.len(), options))
    });
    // Of mounts at one place, the last is on top.
    let (_, options) = mounts.max_by_key(|(length, _)| *length)?;
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(PathBuf::from)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";
    const ETC: &str = "etc/machine-id";
    const DBUS: &str = "var/lib/dbus/machine-id";
    const HOST: &str = "host/etc/machine-id";
    const DMI: &str = "sys/class/dmi/id/product_uuid";
    const UUID: &str = "01234567-89AB-CDEF-0123-456789abcdef\n";

    fn hash(id: &str) -> String {
        hex(&Sha256::digest(format!("telovix-sensor:{id}").as_bytes()))
    }

    /// The ids of a machine with these files, of which some are gone with the next start.
    fn ids(files: &[(&str, &str)], transient: &[&str], setting: &str) -> Vec<KnownId> {
        let root = tempfile::TempDir::new().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let is_transient = |file: &Path| transient.iter().any(|name| file == root.path().join(name));
        known_where(root.path(), &setting.parse().unwrap(), is_transient)
    }

    #[test]
    fn the_first_id_that_lasts_is_used_salted() {
        for (files, transient) in [
            (&[(ETC, "0123456789abcdef0123456789abcdef\n"), (DBUS, OTHER), (HOST, OTHER)][..], &[][..]),
            (&[(ETC, ""), (DBUS, ID)], &[]),
            (&[(ETC, "uninitialized\n"), (HOST, ID)], &[]),
            (&[(ETC, "00000000000000000000000000000000\n"), (HOST, ID)], &[]),
            (&[(ETC, OTHER), (HOST, ID)], &[ETC]),
            (&[(DMI, UUID)], &[]),
            (&[(ETC, OTHER), (DMI, UUID)], &[ETC]),
        ] {
            assert_eq!(ids(files, transient, "auto")[0].sha256, hash(ID), "{files:?}");
        }
        assert_eq!(ids(&[(ETC, "\n"), (DMI, "03000200-0400-0500-0006-000700080009")], &[], "auto"), []);
        assert_eq!(ids(&[(ETC, ID)], &[ETC], "auto"), [], "it is another one after the next start");
    }

    #[test]
    fn a_setting_outranks_what_is_found() {
        assert_eq!(ids(&[(ETC, ID)], &[], "none"), []);
        let configured = ids(&[(ETC, ID)], &[], "FEDCBA98-7654-3210-FEDC-BA9876543210");
        assert_eq!(configured, [KnownId { source: "configured", sha256: hash(OTHER) }]);
    }

    #[test]
    fn only_ids_of_one_kind_contradict_each_other() {
        let here = |files: &[(&str, &str)]| ids(files, &[], "auto");
        let (id, other) = (hash(ID), hash(OTHER));
        let both = here(&[(ETC, ID), (DMI, OTHER)]);
        for (sha256, source, is_another) in [
            (None, None, false),
            (Some(&id), None, false),
            (Some(&id), Some("dmi"), false),
            (Some(&other), Some("machine-id"), false),
            (Some(&hash("x")), None, true),
            (Some(&hash("x")), Some("dmi"), true),
            (Some(&hash("x")), Some("configured"), false),
        ] {
            assert_eq!(is_of_another(sha256.map(String::as_str), source, &both), is_another, "{source:?}");
        }
        // Root saw the firmware's id before there was a file; the service's user sees the file alone.
        assert!(!is_of_another(Some(&other), Some("dmi"), &here(&[(ETC, ID)])));
        assert!(!is_of_another(Some(&other), None, &[]));
        assert!(
            !is_of_another(Some(&other), None, &ids(&[(ETC, ID)], &[], "none")),
            "that is what it is set for"
        );
    }

    #[test]
    fn the_layer_that_an_overlay_writes_to_is_found() {
        let mounts = "22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/media/root-rw/o,workdir=/w\n\
                      30 22 0:5 / /proc rw - proc proc rw\n\
                      31 22 8:1 / /srv rw shared:1 - ext4 /dev/sda1 rw\n";
        assert_eq!(upper_layer(mounts, Path::new("/etc/machine-id")), Some("/media/root-rw/o".into()));
        assert_eq!(upper_layer(mounts, Path::new("/srv/x")), None);
        assert_eq!(upper_layer("", Path::new("/x")), None);
    }
}
