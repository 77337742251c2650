//! The settings by name: one table of what each is called on the command line, in the environment and in files.

/// A setting that can stand in more than one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    ConsoleUrl,
    TokenFile,
    BootstrapCa,
    CaFingerprint,
    NodeName,
    NodeRole,
    ClusterName,
    InstallId,
    Tags,
    Flavor,
    KeyType,
    StateDir,
    Timeout,
    LogLevel,
    LogFormat,
    K8sDeployment,
    ControlSocket,
    ControlSocketMode,
    HealthListen,
    HookCommand,
    HookTimeout,
    SignalPidFile,
    Signal,
    PublishOwner,
    PublishGroup,
    PublishKeyMode,
    PublishCertMode,
    DangerAcceptUnverifiedConsole,
}

/// What a file may give for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Text; a relative one starts at the directory of the file that it stands in.
    Path,
    /// An array of texts, or one text with commas.
    List,
    /// An array of texts, taken word by word.
    Words,
    Switch,
}

impl Item {
    pub(super) const ALL: [Self; 28] = [
        Self::ConsoleUrl,
        Self::TokenFile,
        Self::BootstrapCa,
        Self::CaFingerprint,
        Self::NodeName,
        Self::NodeRole,
        Self::ClusterName,
        Self::InstallId,
        Self::Tags,
        Self::Flavor,
        Self::KeyType,
        Self::StateDir,
        Self::Timeout,
        Self::LogLevel,
        Self::LogFormat,
        Self::K8sDeployment,
        Self::ControlSocket,
        Self::ControlSocketMode,
        Self::HealthListen,
        Self::HookCommand,
        Self::HookTimeout,
        Self::SignalPidFile,
        Self::Signal,
        Self::PublishOwner,
        Self::PublishGroup,
        Self::PublishKeyMode,
        Self::PublishCertMode,
        Self::DangerAcceptUnverifiedConsole,
    ];

    /// The name in files.
    pub(super) fn name(self) -> &'static str {
        self.row().0
    }

    /// The variable.
    pub(super) fn variable(self) -> &'static str {
        self.row().1
    }

    pub(super) fn kind(self) -> Kind {
        self.row().2
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The setting that was probably meant by a name that is none: another spelling, the variable's name, or a slip of
    /// the finger or two.
    pub(super) fn nearest(name: &str) -> Option<Self> {
        let plain = name.trim_start_matches('-').replace('-', "_").to_ascii_lowercase();
        let by_variable = Self::ALL.into_iter().find(|key| key.variable().eq_ignore_ascii_case(&plain));
        by_variable.or_else(|| {
            let (distance, key) =
                Self::ALL.into_iter().map(|key| (edits(&plain, key.name()), key)).min_by_key(|(d, _)| *d)?;
            (distance <= 2.max(key.name().len() / 4)).then_some(key)
        })
    }

    fn row(self) -> (&'static str, &'static str, Kind) {
        match self {
            Self::ConsoleUrl => ("console_url", "TELOVIX_CONSOLE_URL", Kind::Text),
            Self::TokenFile => ("token_file", "TELOVIX_ENROLLMENT_TOKEN_FILE", Kind::Path),
            Self::BootstrapCa => ("bootstrap_ca", "TELOVIX_BOOTSTRAP_CA_CERT_PATH", Kind::Path),
            Self::CaFingerprint => ("ca_fingerprint", "TELOVIX_CA_FINGERPRINT", Kind::Text),
            Self::NodeName => ("node_name", "TELOVIX_NODE_NAME", Kind::Text),
            Self::NodeRole => ("node_role", "TELOVIX_NODE_ROLE", Kind::Text),
            Self::ClusterName => ("cluster_name", "TELOVIX_CLUSTER_NAME", Kind::Text),
            Self::InstallId => ("install_id", "TELOVIX_INSTALL_ID", Kind::Text),
            Self::Tags => ("tags", "TELOVIX_SENSOR_TAGS", Kind::List),
            Self::Flavor => ("flavor", "TELOVIX_FLAVOR", Kind::Text),
            Self::KeyType => ("key_type", "TELOVIX_KEY_TYPE", Kind::Text),
            Self::StateDir => ("state_dir", "TELOVIX_STATE_DIR", Kind::Path),
            Self::Timeout => ("timeout", "TELOVIX_TIMEOUT", Kind::Text),
            Self::LogLevel => ("log_level", "TELOVIX_LOG_LEVEL", Kind::Text),
            Self::LogFormat => ("log_format", "TELOVIX_LOG_FORMAT", Kind::Text),
            Self::K8sDeployment => ("k8s_deployment", "TELOVIX_K8S_DEPLOYMENT", Kind::Text),
            Self::ControlSocket => ("control_socket", "TELOVIX_CONTROL_SOCKET", Kind::Path),
            Self::ControlSocketMode => ("control_socket_mode", "TELOVIX_CONTROL_SOCKET_MODE", Kind::Text),
            Self::HealthListen => ("health_listen", "TELOVIX_HEALTH_LISTEN", Kind::Text),
            Self::HookCommand => ("hook_command", "TELOVIX_HOOK_COMMAND", Kind::Words),
            Self::HookTimeout => ("hook_timeout", "TELOVIX_HOOK_TIMEOUT", Kind::Text),
            Self::SignalPidFile => ("signal_pid_file", "TELOVIX_SIGNAL_PID_FILE", Kind::Path),
            Self::Signal => ("signal", "TELOVIX_SIGNAL", Kind::Text),
            Self::PublishOwner => ("publish_owner", "TELOVIX_PUBLISH_OWNER", Kind::Text),
            Self::PublishGroup => ("publish_group", "TELOVIX_PUBLISH_GROUP", Kind::Text),
            Self::PublishKeyMode => ("publish_key_mode", "TELOVIX_PUBLISH_KEY_MODE", Kind::Text),
            Self::PublishCertMode => ("publish_cert_mode", "TELOVIX_PUBLISH_CERT_MODE", Kind::Text),
            Self::DangerAcceptUnverifiedConsole => {
                ("danger_accept_unverified_console", "TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE", Kind::Switch)
            }
        }
    }
}

/// Levenshtein distance: insertions, deletions and replacements of one character.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn names_are_found_and_guessed() {
        for key in Item::ALL {
            assert_eq!(Item::from_name(key.name()), Some(key));
            assert_eq!(Item::nearest(&key.name().replace('_', "-")), Some(key));
            assert_eq!(Item::nearest(key.variable()), Some(key));
        }
        assert_eq!(Item::nearest("consol_url"), Some(Item::ConsoleUrl));
        assert_eq!(Item::nearest("node_rolle"), Some(Item::NodeRole));
        assert_eq!(Item::nearest("completely_different"), None);
    }

    #[test]
    fn every_setting_has_its_row_in_the_documentation() {
        let page = include_str!("../../../docs/configuration.md");
        let cli = Cli::command();
        let flags: Vec<&str> = cli
            .get_arguments()
            .chain(cli.find_subcommand("enroll").expect("a command").get_arguments())
            .filter_map(|flag| flag.get_long())
            .collect();
        for key in Item::ALL {
            let begin = format!("| `{}` | `{}` | ", key.name(), key.variable());
            let row = page.lines().find(|line| line.starts_with(&begin));
            let row = row.unwrap_or_else(|| panic!("docs/configuration.md: no {begin}"));
            let flag = flags.contains(&key.name().replace('_', "-").as_str());
            assert_eq!(flag, !row.ends_with("no flag |"), "{row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `") && line.contains("` | `TELOVIX_"));
        assert_eq!(rows.count(), Item::ALL.len(), "docs/configuration.md has a setting that is none");
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, distance) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), distance);
        }
    }
}
