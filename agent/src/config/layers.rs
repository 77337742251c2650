//! The layers: flags over environment over files over defaults.
//!
//! Invariant: the uppermost value wins and alone decides whether the configuration is good; a bad value beneath it is a
//! warning, so that a flag can always get past a broken file, and the file is still noticed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::cli::{Cli, Command, EnrollArgs};
use crate::config::env::Environment;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::item::Item;
use crate::config::setting::{Origin, Setting};

/// A value as it stands in its layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Text(OsString),
    List(Vec<String>),
    Switch(bool),
}

impl Raw {
    /// The value as text.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => text.to_str().ok_or_else(|| "is not UTF-8; write it in UTF-8".to_owned()),
            Self::List(_) | Self::Switch(_) => Err("is not a text".to_owned()),
        }
    }

    /// The value as a path.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        match self {
            Self::Text(text) if text.is_empty() => {
                Err("the path is empty; name a file or directory".to_owned())
            }
            Self::Text(text) => Ok(PathBuf::from(text)),
            Self::List(_) | Self::Switch(_) => Err("is not a path".to_owned()),
        }
    }

    /// The value as a switch.
    pub(super) fn switch(&self) -> Result<bool, String> {
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Text(text) => match text.to_str() {
                Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(_) | None => Err(format!("{text:?} is not a choice; it can be true or false")),
            },
            Self::List(_) => Err("is not a choice; it can be true or false".to_owned()),
        }
    }
}

/// One value of one layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Item,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// All values, the ones that win first, and what was found wrong with them.
#[derive(Default)]
pub(super) struct Layers {
    entries: Vec<Entry>,
    pub(super) errors: ConfigErrors,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Stacks the layers; `files` in the order in which they were read.
    pub(super) fn new(args: &Cli, env: &Environment, files: Vec<Entry>, errors: ConfigErrors) -> Self {
        let mut entries = flags(args);
        entries.extend(Item::ALL.into_iter().filter_map(|key| {
            let name = key.variable();
            let raw = Raw::Text(env.get(name)?.to_owned());
            Some(Entry { key, raw, origin: Origin::Env(name) })
        }));
        entries.extend(files.into_iter().rev());
        Self { entries, errors, warnings: Vec::new() }
    }

    /// Entries of one setting, the one that wins first.
    pub(super) fn of(&self, key: Item) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    /// The value that wins; `None` where nobody set it or where it cannot be read, which is then among the errors.
    pub(super) fn read<T, E: ToString>(
        &mut self,
        key: Item,
        parse: impl Fn(&Raw) -> Result<T, E>,
    ) -> Option<Setting<T>> {
        let Self { entries, errors, warnings } = self;
        let mut of_key = entries.iter().filter(|entry| entry.key == key);
        let winner = of_key.next()?;
        for overridden in of_key {
            if let Err(error) = parse(&overridden.raw) {
                let error = ConfigError::at(&overridden.origin, error.to_string());
                warnings.push(format!("{error} (not used: {} is set as well)", winner.origin));
            }
        }
        match parse(&winner.raw) {
            Ok(value) => Some(Setting::new(value, winner.origin.clone())),
            Err(error) => {
                errors.push(ConfigError::at(&winner.origin, error.to_string()));
                None
            }
        }
    }

    /// The value that wins, or the default.
    pub(super) fn read_or<T, E: ToString>(
        &mut self,
        key: Item,
        default: T,
        parse: impl Fn(&Raw) -> Result<T, E>,
    ) -> Setting<T> {
        self.read(key, parse).unwrap_or(Setting::new(default, Origin::Default))
    }
}

fn flags(args: &Cli) -> Vec<Entry> {
    let mut flags = Flags(Vec::new());
    flags.path(Item::StateDir, "--state-dir", args.state_dir.as_deref());
    flags.text(Item::LogLevel, "--log-level", args.log_level.as_deref());
    flags.text(Item::LogFormat, "--log-format", args.log_format.as_deref());
    flags.path(Item::ControlSocket, "--control-socket", args.control_socket.as_deref());
    if let Command::Enroll(enroll) = &args.command {
        flags.enroll(enroll);
    }
    if let Some(token) = args.command.token_flags() {
        flags.path(Item::TokenFile, "--token-file", token.token_file.as_deref());
    }
    flags.0
}

struct Flags(Vec<Entry>);

impl Flags {
    fn enroll(&mut self, args: &EnrollArgs) {
        self.text(Item::ConsoleUrl, "--console-url", args.console_url.as_deref());
        self.path(Item::BootstrapCa, "--bootstrap-ca", args.bootstrap_ca.as_deref());
        self.text(Item::CaFingerprint, "--ca-fingerprint", args.ca_fingerprint.as_deref());
        self.text(Item::NodeName, "--node-name", args.node_name.as_deref());
        self.text(Item::NodeRole, "--node-role", args.node_role.as_deref());
        self.text(Item::ClusterName, "--cluster-name", args.cluster_name.as_deref());
        self.text(Item::InstallId, "--install-id", args.install_id.as_deref());
        self.text(Item::Tags, "--tags", args.tags.as_deref());
        self.text(Item::Flavor, "--flavor", args.flavor.as_deref());
        self.text(Item::KeyType, "--key-type", args.key_type.as_deref());
        self.text(Item::Timeout, "--timeout", args.timeout.as_deref());
        if args.danger_accept_unverified_console {
            let origin = Origin::Flag("--danger-accept-unverified-console");
            self.0.push(Entry { key: Item::DangerAcceptUnverifiedConsole, raw: Raw::Switch(true), origin });
        }
    }

    fn path(&mut self, key: Item, flag: &'static str, value: Option<&Path>) {
        self.push(key, flag, value.map(Path::as_os_str));
    }

    fn text(&mut self, key: Item, flag: &'static str, value: Option<&str>) {
        self.push(key, flag, value.map(OsStr::new));
    }

    fn push(&mut self, key: Item, flag: &'static str, value: Option<&OsStr>) {
        self.0.extend(value.map(|value| Entry {
            key,
            raw: Raw::Text(value.to_owned()),
            origin: Origin::Flag(flag),
        }));
    }
}
