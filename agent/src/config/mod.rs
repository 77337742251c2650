//! The configuration: flags over environment over files over defaults, every value with its origin.
//!
//! Invariant: a [`Config`] that exists is a configuration that can be used. All mistakes of all layers are reported
//! together ([`ConfigErrors`]), each with its place and its remedy, and none of the texts holds a secret.
//!
//! - `setting`: a value and where it came from
//! - `error`: the mistakes
//! - `env`: the environment, read in one place
//! - `item`: what each setting is called in each layer
//! - `file`: `agent.toml` and its drop-ins
//! - `layers`: which value wins
//! - `service`: what the service manager says
//! - `server`, `consumers`: what the daemon serves, and whom it tells and lets read
//! - `values`, `url`, `trust`, `token`, `proxy`: kinds of value

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telovix_contract::{ClusterName, Flavor, InstallId, NodeName, NodeRole, Tag, Tags};

use crate::cli::Cli;

mod consumers;
pub mod env;
mod error;
mod file;
mod item;
mod layers;
mod proxy;
mod server;
mod service;
mod setting;
pub mod token;
mod trust;
mod url;
pub mod values;

pub use consumers::{HookSettings, PublishSettings, ReloadSignal};
pub use env::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use proxy::ProxySettings;
pub use server::{ServerSettings, SocketMode};
pub use service::ServiceSettings;
pub use setting::{Origin, Setting};
pub use token::{FoundToken, TokenError, TokenSource, TokenSources};
pub use trust::{Trust, TrustSettings};
pub use url::ConsoleUrl;
pub use values::{KeyType, LogFormat, LogLevel};

use file::Presence;
use item::Item;
use layers::{Layers, Raw};

/// The configuration file where nobody names another.
pub const DEFAULT_FILE: &str = "/etc/telovix/agent.toml";
/// The state directory where nobody names another (CONTRACT.md section 7).
pub const DEFAULT_STATE_DIR: &str = "/var/lib/telovix-sensor";
/// How long `enroll` tries where nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest name of a Kubernetes workload, that of a DNS subdomain (RFC 1123).
const LONGEST_K8S_NAME: usize = 253;

/// All that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the Console; see [`Config::require_console_url`].
    pub console_url: Option<Setting<ConsoleUrl>>,
    /// Whom to trust at first contact.
    pub trust: TrustSettings,
    /// Name of this node; the host name where nobody set one.
    pub node_name: Setting<NodeName>,
    /// What this node is for.
    pub node_role: Setting<NodeRole>,
    /// The cluster that this node belongs to.
    pub cluster_name: Option<Setting<ClusterName>>,
    /// Tells installations of one cluster apart.
    pub install_id: Option<Setting<InstallId>>,
    /// Labels.
    pub tags: Setting<Tags>,
    /// Edition of the product.
    pub flavor: Setting<Flavor>,
    /// Kind of key to make.
    pub key_type: Setting<KeyType>,
    /// Where the identity is kept.
    pub state_dir: Setting<PathBuf>,
    /// Where the enrollment token comes from.
    pub token: TokenSources,
    /// Proxies.
    pub proxy: ProxySettings,
    /// How long `enroll` tries.
    pub timeout: Setting<Duration>,
    /// Name of the Kubernetes workload: 1 to 253 characters, no control character.
    pub k8s_deployment: Option<Setting<String>>,
    /// The log.
    pub log: LogSettings,
    /// What the daemon serves.
    pub server: ServerSettings,
    /// Whom to tell of a new credential.
    pub hook: HookSettings,
    /// Who may read the published files.
    pub publish: PublishSettings,
    /// The service manager.
    pub service: ServiceSettings,
    /// The main configuration file, which may be missing; see [`Config::files`].
    pub file: PathBuf,
    /// Mistakes in values that another layer overrides: worth a warning in the log, one line each.
    pub warnings: Vec<String>,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How much.
    pub level: Setting<LogLevel>,
    /// In which form.
    pub format: Setting<LogFormat>,
}

/// All that a configuration is made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The command line.
    pub args: &'a Cli,
    /// The environment.
    pub env: &'a Environment,
    /// The host's name as the kernel has it.
    pub host_name: OsString,
    /// The configuration file to read where neither flag nor variable names one; it may be missing.
    pub default_file: &'a Path,
}

/// The configuration of this process on this host.
pub fn load(args: &Cli, env: &Environment) -> Result<Config, ConfigErrors> {
    // A host without a name is reported where the name is needed, and only if nobody set another.
    let host_name = nix::unistd::gethostname().unwrap_or_default();
    load_from(&Sources { args, env, host_name, default_file: Path::new(DEFAULT_FILE) })
}

/// The configuration of these sources.
pub fn load_from(sources: &Sources<'_>) -> Result<Config, ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let entries = read_files(sources, &mut errors);
    let mut layers = Layers::new(sources.args, sources.env, entries, errors);
    let config = read(sources, &mut layers);
    let Layers { mut errors, warnings, .. } = layers;
    if sources.args.command.makes_first_contact()
        && let Err(of_trust) = config.trust.resolve()
    {
        of_trust.as_slice().iter().cloned().for_each(|error| errors.push(error));
    }
    errors.or(Config { warnings, ..config })
}

impl Config {
    /// The settings that differ from `running` and that a process takes only when it starts.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let (new, old) = (&self.server, &running.server);
        let address =
            |settings: &ServerSettings| settings.health_listen.as_ref().map(|setting| setting.value);
        let pairs = [
            ("state_dir", self.state_dir.value != running.state_dir.value),
            ("control_socket", new.control_socket.value != old.control_socket.value),
            ("control_socket_mode", new.control_socket_mode.value != old.control_socket_mode.value),
            ("health_listen", address(new) != address(old)),
            // A process that confined itself would confine its hook as well.
            ("hook_command", self.hook.command.is_some() && running.hook.command.is_none()),
            ("log_level", self.log.level.value != running.log.level.value),
            ("log_format", self.log.format.value != running.log.format.value),
        ];
        pairs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// Every file, and directory of files, that this configuration was made of or would be: what to watch for another.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = [self.file.clone(), file::drop_in_directory(&self.file)];
        own.into_iter().chain(self.trust.ca_file().map(Path::to_owned)).collect()
    }

    /// The Console's address, for a command that cannot do without.
    pub fn require_console_url(&self) -> Result<&Setting<ConsoleUrl>, ConfigErrors> {
        self.console_url.as_ref().ok_or_else(|| {
            ConfigError::missing(
                Item::ConsoleUrl.name(),
                "the Console's address is not set; give it with --console-url https://console.example:15483, with \
                 TELOVIX_CONSOLE_URL or as console_url in the configuration file",
            )
            .into()
        })
    }
}

fn read_files(sources: &Sources<'_>, errors: &mut ConfigErrors) -> Vec<layers::Entry> {
    let (path, presence) = main_file(sources);
    file::read(path, presence, errors)
}

fn main_file<'a>(sources: &Sources<'a>) -> (&'a Path, Presence) {
    let named = sources.args.config.as_deref();
    match named.or_else(|| sources.env.get(env::CONFIG_VARIABLE).map(Path::new)) {
        Some(path) => (path, Presence::Required),
        None => (sources.default_file, Presence::Optional),
    }
}

fn read(sources: &Sources<'_>, layers: &mut Layers) -> Config {
    Config {
        console_url: layers.read(Item::ConsoleUrl, parsed),
        trust: TrustSettings::read(layers),
        node_name: node_name(sources, layers),
        node_role: layers.read_or(Item::NodeRole, NodeRole::default(), parsed),
        cluster_name: layers.read(Item::ClusterName, parsed),
        install_id: layers.read(Item::InstallId, parsed),
        tags: layers.read_or(Item::Tags, Tags::default(), tags),
        flavor: layers.read_or(Item::Flavor, Flavor::default(), parsed),
        key_type: layers.read_or(Item::KeyType, KeyType::default(), parsed),
        state_dir: layers.read_or(Item::StateDir, PathBuf::from(DEFAULT_STATE_DIR), whole_path),
        token: TokenSources::read(sources.args, sources.env, layers),
        proxy: ProxySettings::read(sources.env, layers),
        timeout: layers.read_or(Item::Timeout, DEFAULT_TIMEOUT, |raw| {
            values::parse_duration(raw.text()?).map_err(|error| error.to_string())
        }),
        k8s_deployment: layers.read(Item::K8sDeployment, k8s_name),
        server: ServerSettings::read(layers),
        hook: HookSettings::read(layers),
        publish: PublishSettings::read(layers),
        service: ServiceSettings::read(sources.env),
        file: main_file(sources).0.to_owned(),
        log: LogSettings {
            level: layers.read_or(Item::LogLevel, LogLevel::default(), parsed),
            format: layers.read_or(Item::LogFormat, LogFormat::default(), parsed),
        },
        warnings: Vec::new(),
    }
}

fn parsed<T: std::str::FromStr<Err: ToString>>(raw: &Raw) -> Result<T, String> {
    raw.text()?.parse().map_err(|error: T::Err| error.to_string())
}

fn node_name(sources: &Sources<'_>, layers: &mut Layers) -> Setting<NodeName> {
    let set = layers.of(Item::NodeName).next().is_some();
    if let Some(name) = layers.read(Item::NodeName, parsed) {
        return name;
    }
    let host_name = sources.host_name.to_string_lossy();
    match host_name.parse() {
        Ok(name) => Setting::new(name, Origin::Host),
        Err(problem) => {
            if !set {
                let message = format!(
                    "{host_name:?} cannot be a node's name ({problem}); set another with --node-name or \
                     TELOVIX_NODE_NAME"
                );
                layers.errors.push(ConfigError::at(&Origin::Host, message));
            }
            // Never seen: the mistake just reported, or the one in the value that was set, fails the load.
            Setting::new(placeholder(), Origin::Default)
        }
    }
}

fn placeholder() -> NodeName {
    "unnamed".parse().expect("letters make a node name")
}

fn tags(raw: &Raw) -> Result<Tags, String> {
    match raw {
        Raw::List(texts) => {
            let tags: Result<Vec<Tag>, _> = texts.iter().map(|text| text.parse()).collect();
            tags.and_then(Tags::try_from).map_err(|error| error.to_string())
        }
        Raw::Text(_) | Raw::Switch(_) => parsed(raw),
    }
}

/// A path that means the same wherever it is used: in a hook, which works elsewhere, and to whoever asks the daemon.
fn whole_path(raw: &Raw) -> Result<PathBuf, String> {
    let path = raw.path()?;
    Ok(std::path::absolute(&path).unwrap_or(path))
}

fn k8s_name(raw: &Raw) -> Result<String, String> {
    let text = raw.text()?;
    if text.is_empty() || text.chars().count() > LONGEST_K8S_NAME || text.chars().any(char::is_control) {
        return Err(format!(
            "is not the name of a Kubernetes workload; it has 1 to {LONGEST_K8S_NAME} characters and no control \
             character"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
