//! The configuration: flags over environment over files over defaults, every value with its origin.
//!
//! Invariant: a [`Config`] that exists is a configuration that can be used. All mistakes of all layers are reported
//! together ([`ConfigErrors`]), each with its place and its remedy, and none of the texts holds a secret.
//!
//! - `keys`: every setting, one row each; `parse`, `values`, `url`: how their values are read
//! - `env`, `file`: the environment, read in one place, and `agent.toml` with its drop-ins
//! - `layers`: which value wins
//! - `sourced`, `error`, `redact`: a value and where it came from, the mistakes, and how no text holds a token
//! - `pem`: certificates as text
//! - `trust`, `token`, `proxy`, `service`, `daemon`: settings that belong together

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telovix_contract::{ClusterName, Flavor, InstallId, NodeName, NodeRole, Tags};

mod daemon;
pub mod env;
mod error;
mod file;
pub(crate) mod keys;
mod layers;
mod parse;
pub mod pem;
mod proxy;
mod redact;
mod service;
mod sourced;
pub mod token;
mod trust;
mod url;
pub mod values;

pub use daemon::{HookSettings, LogSettings, PublishSettings, ServerSettings};
pub use env::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use keys::DEFAULT_STATE_DIR;
pub use layers::CommandLine;
pub use proxy::{Proxy, ProxySettings};
pub use redact::{looks_like_token, redact_tokens};
pub use service::ServiceSettings;
pub use sourced::{Origin, Sourced};
pub use token::{FoundToken, TokenError, TokenSource, TokenSources};
pub use trust::{MistakenPin, Trust, TrustSettings};
pub use url::ConsoleUrl;
pub use values::{KeyType, LogFormat, LogLevel, MachineId, ReloadSignal, SocketMode};

pub(crate) use file::exposed;

use file::Presence;
use layers::Layers;

/// The configuration file where nobody names another.
pub const DEFAULT_FILE: &str = "/etc/telovix/agent.toml";

/// All that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the Console; see [`Config::require_console_url`].
    pub console_url: Option<Sourced<ConsoleUrl>>,
    /// Whom to trust at first contact.
    pub trust: TrustSettings,
    /// Name of this node; the host name where nobody set one.
    pub node_name: Sourced<NodeName>,
    pub(crate) node_role: Sourced<NodeRole>,
    pub(crate) cluster_name: Option<Sourced<ClusterName>>,
    pub(crate) install_id: Option<Sourced<InstallId>>,
    /// Labels.
    pub tags: Sourced<Tags>,
    pub(crate) flavor: Sourced<Flavor>,
    pub(crate) key_type: Sourced<KeyType>,
    /// Where the identity is kept.
    pub state_dir: Sourced<PathBuf>,
    /// Where the enrollment token comes from.
    pub token: TokenSources,
    pub(crate) proxy: ProxySettings,
    /// How long `enroll` tries.
    pub timeout: Sourced<Duration>,
    /// Name of the Kubernetes workload: 1 to 253 characters, no control character.
    pub(crate) k8s_deployment: Option<Sourced<String>>,
    pub(crate) machine_id: Sourced<MachineId>,
    pub(crate) log: LogSettings,
    /// What the daemon serves.
    pub(crate) server: ServerSettings,
    /// Whom to tell of a new credential.
    pub hook: HookSettings,
    /// Who may read the published files.
    pub publish: PublishSettings,
    pub(crate) service: ServiceSettings,
    /// The main configuration file, which may be missing; see [`Config::files`].
    pub(crate) file: PathBuf,
    /// Mistakes in values that another layer overrides: worth a warning in the log, one line each.
    pub warnings: Vec<String>,
    /// Why the host's own name cannot be the node's, if no other name is set: only an enrollment needs one.
    pub(crate) nameless: Option<ConfigError>,
    /// By key, the values that only a start takes.
    fixed: BTreeMap<&'static str, String>,
}

/// A configuration as far as it can be read. A value that cannot is the default, or absent.
#[derive(Debug)]
pub struct Draft {
    /// The values.
    pub config: Config,
    /// What is wrong; not with the inputs of first contact, which a host that holds an identity can do without
    /// ([`Config::first_contact`]).
    pub errors: ConfigErrors,
}

/// All that a configuration is made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The command line.
    pub args: &'a dyn CommandLine,
    /// The environment.
    pub env: &'a Environment,
    /// The host's name as the kernel has it.
    pub host_name: OsString,
    /// The configuration file to read where neither flag nor variable names one; it may be missing.
    pub default_file: &'a Path,
}

/// The configuration of this process on this host, as far as it can be read.
pub fn draft(args: &dyn CommandLine, env: &Environment) -> Draft {
    // A host without a name is reported where the name is needed, and only if nobody set another.
    let host_name = nix::unistd::gethostname().unwrap_or_default();
    draft_from(&Sources { args, env, host_name, default_file: Path::new(DEFAULT_FILE) })
}

/// The configuration of this process on this host.
pub fn load(args: &dyn CommandLine, env: &Environment) -> Result<Config, ConfigErrors> {
    draft(args, env).whole(args)
}

/// The configuration of these sources.
pub fn load_from(sources: &Sources<'_>) -> Result<Config, ConfigErrors> {
    draft_from(sources).whole(sources.args)
}

/// The configuration of these sources, as far as it can be read.
pub fn draft_from(sources: &Sources<'_>) -> Draft {
    let (mut errors, mut warnings) = (ConfigErrors::default(), Vec::new());
    let (path, presence) = main_file(sources);
    let entries = file::read(path, presence, &mut errors, &mut warnings);
    let mut layers = Layers::new(sources.args, sources.env, entries, errors, warnings);
    let config = read(sources, &mut layers);
    let Layers { errors, warnings, fixed, .. } = layers;
    Draft { config: Config { warnings, fixed, ..config }, errors }
}

impl Draft {
    fn whole(mut self, args: &dyn CommandLine) -> Result<Config, ConfigErrors> {
        if args.makes_first_contact() {
            self.errors.extend(self.config.first_contact());
        }
        self.errors.or(self.config)
    }
}

impl Config {
    /// What is wrong with the inputs of first contact: whom to trust, and this node's name.
    pub fn first_contact(&self) -> ConfigErrors {
        let mut errors = self.trust.resolve().err().unwrap_or_default();
        self.nameless.iter().cloned().for_each(|error| errors.push(error));
        errors
    }

    /// Takes from `running` what only a start changes, and names what is otherwise in the files.
    pub fn keep_running(&mut self, running: &Self) -> Vec<&'static str> {
        let waiting = self.needs_restart(running);
        self.state_dir = running.state_dir.clone();
        self.log = running.log.clone();
        self.server = running.server.clone();
        self.fixed = running.fixed.clone();
        if running.hook.command.is_none() {
            self.hook.command = None;
        }
        waiting
    }

    /// Nothing that could make this host enroll: no token, and a node as it was enrolled.
    pub fn keep_only(&mut self, name: NodeName, role: NodeRole, cluster: Option<ClusterName>) {
        self.token = TokenSources::default();
        self.node_name = Sourced::new(name, Origin::Default);
        self.node_role = Sourced::new(role, Origin::Default);
        self.cluster_name = cluster.map(|name| Sourced::new(name, Origin::Default));
    }

    /// The settings that differ from `running` and that a process takes only when it starts.
    fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let other = self.fixed.iter().filter(|(key, value)| running.fixed.get(*key) != Some(*value));
        // A process that confined itself would confine its hook as well.
        let first_hook = self.hook.command.is_some() && running.hook.command.is_none();
        other.map(|(key, _)| *key).chain(first_hook.then_some(keys::HOOK_COMMAND.row.name)).collect()
    }

    /// Every file, and directory of files, that this configuration was made of or would be: what to watch for another.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = [self.file.clone(), file::drop_in_directory(&self.file)];
        own.into_iter().chain(self.trust.ca_file().map(Path::to_owned)).collect()
    }

    /// The Console's address, for a command that cannot do without.
    pub fn require_console_url(&self) -> Result<&Sourced<ConsoleUrl>, ConfigErrors> {
        self.console_url.as_ref().ok_or_else(|| {
            ConfigError::at(
                keys::CONSOLE_URL.row.name,
                "the Console's address is not set; give it with --console-url https://console.example:15483, with \
                 TELOVIX_CONSOLE_URL or as console_url in the configuration file",
            )
            .into()
        })
    }
}

fn main_file<'a>(sources: &Sources<'a>) -> (&'a Path, Presence) {
    match sources.args.config_file().or_else(|| sources.env.get(env::CONFIG_VARIABLE).map(Path::new)) {
        Some(path) => (path, Presence::Required),
        None => (sources.default_file, Presence::Optional),
    }
}

fn read(sources: &Sources<'_>, layers: &mut Layers) -> Config {
    let console_url = layers.read(&keys::CONSOLE_URL);
    let url = console_url.as_ref().map(|url| url.value.clone());
    let trust = TrustSettings::read(layers);
    let (node_name, nameless) = node_name(sources, layers);
    Config {
        console_url,
        trust,
        node_name,
        node_role: layers.read_or_default(&keys::NODE_ROLE),
        cluster_name: layers.read(&keys::CLUSTER_NAME),
        install_id: layers.read(&keys::INSTALL_ID),
        tags: layers.read_or_default(&keys::SENSOR_TAGS),
        flavor: layers.read_or_default(&keys::FLAVOR),
        key_type: layers.read_or_default(&keys::KEY_TYPE),
        state_dir: layers.read_or_default(&keys::STATE_DIR),
        token: TokenSources::read(sources.args, sources.env, layers),
        proxy: ProxySettings::read(sources.env, layers, url.as_ref()),
        timeout: layers.read_or_default(&keys::TIMEOUT),
        machine_id: layers.read_or_default(&keys::MACHINE_ID),
        k8s_deployment: layers.read(&keys::K8S_DEPLOYMENT),
        server: ServerSettings::read(layers),
        hook: HookSettings::read(layers),
        publish: PublishSettings::read(layers),
        service: ServiceSettings::read(sources.env),
        file: main_file(sources).0.to_owned(),
        log: LogSettings::read(layers),
        nameless,
        fixed: BTreeMap::new(),
        warnings: Vec::new(),
    }
}

fn node_name(sources: &Sources<'_>, layers: &mut Layers) -> (Sourced<NodeName>, Option<ConfigError>) {
    let set = layers.of(keys::NODE_NAME.row).next().is_some();
    if let Some(name) = layers.read(&keys::NODE_NAME) {
        return (name, None);
    }
    let host_name = sources.host_name.to_string_lossy();
    match host_name.parse() {
        Ok(name) if !set => (Sourced::new(name, Origin::Host), None),
        Err(problem) if !set => {
            let message = format!(
                "{host_name:?} cannot be a node's name ({problem}); set another with --node-name or TELOVIX_NODE_NAME"
            );
            (Sourced::new(placeholder(), Origin::Default), Some(ConfigError::passing(Origin::Host, message)))
        }
        // The value that was set is among the errors.
        Ok(_) | Err(_) => (Sourced::new(placeholder(), Origin::Default), None),
    }
}

fn placeholder() -> NodeName {
    "unnamed".parse().expect("letters make a node name")
}

#[cfg(test)]
mod tests;
