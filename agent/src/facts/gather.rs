//! What this host says of itself: the one place of the agent that asks.
//!
//! Invariant: nothing here fails. A fact that cannot be had is missing, and no rule of the Console hangs on it.

use std::path::Path;

use nix::sys::sysinfo::sysinfo;
use nix::unistd::{SysconfVar, sysconf};
use sysinfo::System;
use telovix_contract::clean;
use telovix_contract::facts::{HostFacts, LONGEST_FACT};

use super::machine_id::{self, read};
use crate::config::Config;

/// The facts of this host.
pub fn gather(config: &Config) -> HostFacts {
    gather_in(Path::new("/"), config)
}

/// The facts of this host, its files read under `root`. For tests.
pub fn gather_in(root: &Path, config: &Config) -> HostFacts {
    let machine = machine_id::known(root, &config.machine_id.value).into_iter().next();
    let (machine_id_source, machine_id_sha256) = machine.map(|id| (id.source.to_owned(), id.sha256)).unzip();
    HostFacts {
        architecture: shown(&System::cpu_arch()),
        os: os_name(root),
        kernel_version: System::kernel_version().map(|version| shown(&version)).unwrap_or_default(),
        // By system calls: a confined service sees no /proc/meminfo and no /proc/stat (ProcSubset=pid, systemd.exec(5)).
        cpu_count: sysconf(SysconfVar::_NPROCESSORS_ONLN)
            .ok()
            .flatten()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        memory_bytes: sysinfo().map_or(0, |info| info.ram_total()),
        machine_id_sha256,
        machine_id_source,
        k8s_deployment: config.k8s_deployment.as_ref().map(|setting| setting.value.clone()),
    }
}

/// `PRETTY_NAME` of os-release(5), `Linux` where it says none, as that page asks.
fn os_name(root: &Path) -> String {
    ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find_map(|path| {
            let text = read(&root.join(path))?;
            let value = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
            Some(shown(&unquote(value))).filter(|name| !name.is_empty())
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
fn shown(text: &str) -> String {
    clean(text, LONGEST_FACT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::config::{Environment, Sources, load_from};

    #[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::TempDir::new().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn config() -> Config {
        let args = cli::parse(["telovix-agent", "enroll"].map(Into::into)).unwrap();
        let env = Environment::from_pairs([("TELOVIX_K8S_DEPLOYMENT", "telovix-sensor")]);
        let default_file = Path::new("/nowhere/agent.toml");
        load_from(&Sources { args: &args, env: &env, host_name: "h".into(), default_file }).unwrap()
    }

    #[test]
    fn this_host_is_some_machine() {
        let root = root(&[("etc/os-release", "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n")]);
        let facts = gather_in(root.path(), &config());
        assert_eq!(facts.os, "Debian GNU/Linux 13 (trixie)");
        assert_eq!(facts.k8s_deployment.as_deref(), Some("telovix-sensor"));
        assert_eq!(facts.machine_id_sha256, None);
        assert!(!facts.architecture.is_empty() && !facts.kernel_version.is_empty(), "{facts:?}");
        assert!(facts.cpu_count > 0 && facts.memory_bytes > 1 << 20, "{facts:?}");
        assert!(!gather(&config()).os.is_empty());
    }

    #[test]
    fn os_release_is_read_as_a_shell_would() {
        for (content, name) in [
            ("PRETTY_NAME=Alpine", "Alpine"),
            ("PRETTY_NAME='A \"B\" \\C'", "A \"B\" \\C"),
            ("PRETTY_NAME=\"A \\\"B\\\" \\$C\"", "A \"B\" $C"),
            ("PRETTY_NAME=\"red \u{1b}[31m\"", "red  [31m"),
            ("PRETTY_NAME=\"\"", "Linux"),
            ("PRETTY_NAME=\"", "\""),
            ("", "Linux"),
        ] {
            assert_eq!(os_name(root(&[("etc/os-release", content)]).path()), name, "{content}");
        }
        assert_eq!(os_name(root(&[("usr/lib/os-release", "PRETTY_NAME=X")]).path()), "X");
        let long = format!("PRETTY_NAME={}", "x".repeat(1000));
        assert_eq!(os_name(root(&[("etc/os-release", &long)]).path()).chars().count(), LONGEST_FACT);
    }
}
