//! The settings, one row each: what a setting is called in files, in the environment and on the command line, how it is
//! read, what it is where nobody sets it, and how it is explained.
//!
//! Everything else follows from the rows: the known keys and variables, the flags with their help, the settings table in
//! `docs/configuration.md`. A new setting is a row here and the field that reads it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use telovix_contract::{CaFingerprint, ClusterName, Flavor, InstallId, NodeName, NodeRole, Tags};

use crate::config::parse::{self, Raw};
use crate::config::url::ConsoleUrl;
use crate::config::values::{KeyType, LogFormat, LogLevel, MachineId, ReloadSignal, SocketMode};

/// The state directory where nobody names another (docs/contract.md section 7).
pub const DEFAULT_STATE_DIR: &str = "/var/lib/telovix-sensor";

/// The commands that take a flag, by name; the program's own name stands for all of them.
const EVERYWHERE: &[&str] = &["telovix-agent"];
const ENROLL: &[&str] = &["enroll"];
const USES_TOKEN: &[&str] = &["enroll", "inspect"];

macro_rules! keys {
    ($($key:ident: $type:ty = $parse:path, $row:expr;)+) => {
        $(pub(super) const $key: Key<$type> = Key {
            row: &Row { variable: concat!("TELOVIX_", stringify!($key)), ..$row },
            parse: $parse,
        };)+
        /// Every setting, in the order of the documentation.
        pub(crate) const ROWS: &[&Row] = &[$($key.row),+];
    };
}

// The variable is `TELOVIX_` and the name of the constant.
keys! {
    CONSOLE_URL: ConsoleUrl = parse::value, Row::text("console_url", "Address of the Console")
        .flag("--console-url", "URL", ENROLL).example("https://console.example:15483");
    ENROLLMENT_TOKEN_FILE: PathBuf = Raw::path, Row::path("token_file",
        "File that holds the enrollment token; that of a one-time token is deleted once the token is used")
        .flag("--token-file", "FILE", USES_TOKEN);
    BOOTSTRAP_CA_CERT_PATH: PathBuf = Raw::path, Row::path("bootstrap_ca", "CA file (PEM) to trust at first contact")
        .flag("--bootstrap-ca", "FILE", ENROLL);
    CA_FINGERPRINT: CaFingerprint = parse::value, Row::text("ca_fingerprint",
        "Fingerprint of the CA to trust at first contact: sha256: and 64 hex digits")
        .flag("--ca-fingerprint", "FINGERPRINT", ENROLL);
    NODE_NAME: NodeName = parse::value, Row::text("node_name", "Name of this node")
        .flag("--node-name", "NAME", ENROLL).otherwise("the host name");
    NODE_ROLE: NodeRole = parse::value, Row::text("node_role", "What this node is for")
        .flag("--node-role", "ROLE", ENROLL).default("generic_linux").example("o_du");
    CLUSTER_NAME: ClusterName = parse::value, Row::text("cluster_name",
        "Cluster that this node belongs to; must be the token's if the token is bound to one")
        .flag("--cluster-name", "NAME", ENROLL);
    INSTALL_ID: InstallId = parse::value, Row::text("install_id", "Tells installations of one cluster apart")
        .flag("--install-id", "ID", ENROLL);
    SENSOR_TAGS: Tags = parse::tags, Row::text("tags", "Labels for the fleet list, separated by commas")
        .kind(Kind::List).flag("--tags", "TAG,…", ENROLL).default("").example("rack-4,lab");
    FLAVOR: Flavor = parse::value, Row::text("flavor", "Edition of the product: standard or telecom")
        .flag("--flavor", "FLAVOR", ENROLL).default("standard");
    KEY_TYPE: KeyType = parse::value, Row::text("key_type",
        "Kind of key to make: p256, rsa2048, rsa3072, rsa4096 or ed25519")
        .flag("--key-type", "TYPE", ENROLL).default("p256");
    STATE_DIR: PathBuf = parse::whole_path, Row::path("state_dir", "Where the identity is kept")
        .flag("--state-dir", "DIR", EVERYWHERE).default(DEFAULT_STATE_DIR).restart();
    TIMEOUT: Duration = parse::duration, Row::text("timeout", "How long enroll tries")
        .flag("--timeout", "DURATION", ENROLL).default("5m").example("15m");
    LOG_LEVEL: LogLevel = parse::value, Row::text("log_level", "How much to log: error, warn, info, debug or trace")
        .flag("--log-level", "LEVEL", EVERYWHERE).default("info").restart();
    LOG_FORMAT: LogFormat = parse::value, Row::text("log_format", "How to log: text or json")
        .flag("--log-format", "FORMAT", EVERYWHERE).default("text").restart();
    MACHINE_ID: MachineId = parse::value, Row::text("machine_id",
        "What tells this machine from a copy of it: auto (machine-id(5), else the firmware's UUID), none, or 32 hex digits")
        .default("auto");
    K8S_DEPLOYMENT: String = parse::k8s_name, Row::text("k8s_deployment", "Name of the Kubernetes workload");
    CONTROL_SOCKET: PathBuf = Raw::path, Row::path("control_socket", "Socket of the running agent")
        .flag("--control-socket", "PATH", EVERYWHERE).default("/run/telovix-agent/control.sock").restart();
    CONTROL_SOCKET_MODE: SocketMode = parse::value, Row::text("control_socket_mode",
        "Who may use that socket: 0600 (the agent's user) or 0660 (its group as well)")
        .default("0600").restart();
    HEALTH_LISTEN: SocketAddr = parse::address, Row::text("health_listen",
        "Address for probes and metrics over plain HTTP")
        .otherwise("nowhere").example("127.0.0.1:9464").restart();
    HOOK_COMMAND: Vec<String> = parse::command, Row::text("hook_command",
        "Program to run with its arguments, without a shell, after each change of the identity")
        .kind(Kind::Words).example(r#"["/usr/bin/systemctl", "reload", "nginx"]"#);
    HOOK_TIMEOUT: Duration = parse::duration, Row::text("hook_timeout",
        "Longest run of the hook; then it and everything it started are killed")
        .default("30s");
    SIGNAL_PID_FILE: PathBuf = parse::absolute, Row::path("signal_pid_file",
        "File with the PID of a process to signal after each change of the identity");
    SIGNAL: ReloadSignal = parse::value, Row::text("signal", "Signal to send: SIGHUP, SIGUSR1, SIGUSR2 or SIGTERM")
        .default("SIGHUP");
    PUBLISH_OWNER: u32 = parse::user, Row::text("publish_owner", "Owner of the published files, by name or number")
        .otherwise("the agent's user").looked_up();
    PUBLISH_GROUP: u32 = parse::group, Row::text("publish_group", "Group of the published files, by name or number")
        .otherwise("the agent's group").looked_up();
    PUBLISH_KEY_MODE: u32 = parse::key_mode, Row::text("publish_key_mode",
        "Mode of the published private key: 0600, 0640, 0400 or 0440")
        .default("0600");
    PUBLISH_CERT_MODE: u32 = parse::cert_mode, Row::text("publish_cert_mode",
        "Mode of the published certificate, CA and policy key; only the owner may write them")
        .default("0644");
    DANGER_ACCEPT_UNVERIFIED_CONSOLE: bool = parse::switch, Row::text("danger_accept_unverified_console",
        "DANGER: send the token without verifying the Console (lab use only)")
        .kind(Kind::Switch).flag("--danger-accept-unverified-console", "", ENROLL).default("false");
}

/// A setting and how its value is read.
pub(super) struct Key<T: 'static> {
    pub(super) row: &'static Row,
    pub(super) parse: fn(&Raw) -> Result<T, String>,
}

impl<T> Key<T> {
    /// The value where nobody sets one. Only for a row that has a default.
    pub(super) fn default(&self) -> T {
        let text = self.row.default.expect("the row has a default");
        (self.parse)(&Raw::Text(text.into())).expect("a default is a value")
    }
}

/// All of a setting but its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The key in files.
    pub(crate) name: &'static str,
    /// The variable in the environment.
    pub(crate) variable: &'static str,
    pub(crate) flag: Option<Flag>,
    pub(crate) kind: Kind,
    /// Read like any other value where nobody sets one.
    default: Option<&'static str>,
    /// What happens where there is no default and nobody sets a value.
    otherwise: &'static str,
    example: Option<&'static str>,
    help: &'static str,
    /// Whether only a start takes a new value.
    pub(super) restart: bool,
    /// Whether reading it asks the system's name service, which may know the answer a moment later.
    pub(super) looked_up: bool,
}

/// How a setting is called on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// With its dashes.
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    /// The commands that take it; the program's own name stands for all of them.
    pub(crate) commands: &'static [&'static str],
}

/// What a file may give for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text; a relative one starts at the directory of the file that it stands in.
    Path,
    /// An array of texts, or one text with commas.
    List,
    /// An array of texts, taken word by word.
    Words,
    Switch,
}

impl Row {
    const fn text(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            variable: "",
            flag: None,
            kind: Kind::Text,
            default: None,
            otherwise: "",
            example: None,
            help,
            restart: false,
            looked_up: false,
        }
    }

    const fn path(name: &'static str, help: &'static str) -> Self {
        Self::text(name, help).kind(Kind::Path)
    }

    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    const fn flag(self, name: &'static str, value: &'static str, commands: &'static [&'static str]) -> Self {
        Self { flag: Some(Flag { name, value, commands }), ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn otherwise(self, otherwise: &'static str) -> Self {
        Self { otherwise, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    const fn restart(self) -> Self {
        Self { restart: true, ..self }
    }

    const fn looked_up(self) -> Self {
        Self { looked_up: true, ..self }
    }

    /// The setting with this key.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ROWS.iter().copied().find(|row| row.name == name)
    }

    /// The setting that was probably meant by a name that is none: another spelling, the variable's name, or a slip of
    /// the finger or two.
    pub(super) fn nearest(name: &str) -> Option<&'static Self> {
        let plain = name.trim_start_matches('-').replace('-', "_").to_ascii_lowercase();
        let by_variable = ROWS.iter().find(|row| row.variable.eq_ignore_ascii_case(&plain));
        let by_name = || {
            let distances = ROWS.iter().map(|row| (strsim::levenshtein(&plain, row.name), row));
            let (distance, row) = distances.min_by_key(|(distance, _)| *distance)?;
            (distance <= 2.max(row.name.len() / 4)).then_some(row)
        };
        by_variable.or_else(by_name).copied()
    }

    /// What to write in a file, as a remedy.
    pub(super) fn line(&self) -> String {
        let name = self.name;
        let text = self.example.or(self.default).unwrap_or("…");
        match self.kind {
            Kind::Text | Kind::Path => format!("{name} = {text:?}"),
            Kind::List => format!("{name} = {:?}", text.split(',').collect::<Vec<_>>()),
            Kind::Words => format!("{name} = {text}"),
            Kind::Switch => format!("{name} = true or {name} = false"),
        }
    }

    /// What people read in the help of a flag or variable.
    pub(crate) fn help(&self) -> String {
        let default = match self.default_text() {
            "" => String::new(),
            text => format!(" [default: {text}]"),
        };
        format!("{}{default}", self.meaning(""))
    }

    fn default_text(&self) -> &'static str {
        self.default.unwrap_or(self.otherwise)
    }

    fn meaning(&self, quote: &str) -> String {
        let example = self.example.map(|example| format!(", such as {quote}{example}{quote}"));
        format!("{}{}", self.help, example.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_guessed() {
        for row in ROWS {
            assert_eq!(Row::find(row.name).unwrap().name, row.name, "two rows have this name");
            assert_eq!(Row::nearest(&row.name.replace('_', "-")).unwrap().name, row.name);
            assert_eq!(Row::nearest(row.variable).unwrap().name, row.name);
        }
        let nearest = |name| Row::nearest(name).map(|row| row.name);
        assert_eq!(nearest("consol_url"), Some("console_url"));
        assert_eq!(nearest("node_rolle"), Some("node_role"));
        assert_eq!(nearest("completely_different"), None);
    }

    /// With `UPDATE_DOCS=1` the table is written into the page instead.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may rewrite the page that it checks")]
    fn the_documentation_has_exactly_these_rows() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(file).unwrap();
        let (before, rest) = page.split_once("| key | variable |").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let mut table = String::from("| key | variable | default | what it is |\n|---|---|---|---|");
        for row in ROWS {
            let default = match row.default {
                Some("") | None if row.otherwise.is_empty() => String::new(),
                None => format!("{} ", row.otherwise),
                Some(text) => format!("`{text}` "),
            };
            let restart = if row.restart { "; takes a restart" } else { "" };
            let flag = if row.flag.is_none() { "; no flag" } else { "" };
            let (name, variable, meaning) = (row.name, row.variable, row.meaning("`"));
            table += &format!("\n| `{name}` | `{variable}` | {default}| {meaning}{restart}{flag} |");
        }
        let expected = format!("{before}{table}\n\n{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, &expected).unwrap();
        } else {
            assert!(page == expected, "{file} is not what the rows say; run this test with UPDATE_DOCS=1");
        }
    }
}
