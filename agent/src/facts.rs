//! What this host says of itself: the one place of the agent that asks.
//!
//! Invariant: nothing here fails. A fact that cannot be had is missing, and no rule of the Console hangs on it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use telovix_contract::facts::HostFacts;
use telovix_contract::token::hex;

use crate::config::Config;

/// Goes before the machine id in its hash, so that the hash is of use to nobody else (machine-id(5) asks for that).
const MACHINE_ID_SALT: &str = "telovix-sensor:";
/// Most bytes that are read of a file of facts.
const LONGEST_FILE: u64 = 64 * 1024;
/// Most characters of a fact; longer ones are cut.
const LONGEST_FACT: usize = 256;

/// The facts of this host.
#[must_use]
pub fn gather(config: &Config) -> HostFacts {
    gather_in(Path::new("/"), config)
}

/// The facts of this host, its files read under `root`. For tests.
#[must_use]
pub fn gather_in(root: &Path, config: &Config) -> HostFacts {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    HostFacts {
        architecture: clean(&System::cpu_arch()),
        os: os_name(root),
        kernel_version: System::kernel_version().map(|version| clean(&version)).unwrap_or_default(),
        cpu_count: system.as_ref().map_or(0, |s| u32::try_from(s.cpus().len()).unwrap_or(u32::MAX)),
        memory_bytes: system.as_ref().map_or(0, System::total_memory),
        machine_id_sha256: machine_id_sha256(root),
        k8s_deployment: config.k8s_deployment.as_ref().map(|setting| setting.value.clone()),
    }
}

/// Lower-case hex SHA-256 of the salt and the machine id (machine-id(5)); `None` where there is none, or none yet: an
/// image that waits for its first boot says `uninitialized`.
#[must_use]
pub fn machine_id_sha256(root: &Path) -> Option<String> {
    ["etc/machine-id", "var/lib/dbus/machine-id"].into_iter().find_map(|path| {
        let text = read(&root.join(path))?;
        let id = text.trim();
        let known = !id.is_empty() && id != "uninitialized";
        known.then(|| hex(&Sha256::digest(format!("{MACHINE_ID_SALT}{id}").as_bytes())))
    })
}

/// `PRETTY_NAME` of os-release(5), `Linux` where it says none, as that page asks.
fn os_name(root: &Path) -> String {
    ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find_map(|path| {
            let text = read(&root.join(path))?;
            let value = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
            Some(clean(&unquote(value))).filter(|name| !name.is_empty())
        })
        .unwrap_or_else(|| "Linux".to_owned())
}

/// A value as a shell would read it, which is what os-release(5) says it is.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(inner) = within('\'') {
        return inner.to_owned();
    }
    let mut text = String::new();
    let mut characters = within('"').unwrap_or(value).chars();
    while let Some(c) = characters.next() {
        text.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    text
}

/// Facts are shown on pages and terminals.
fn clean(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(LONGEST_FACT).collect()
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
