//! The environment, read once: the one place of the agent that reads it.
//!
//! Invariant: only variables that the agent knows are kept, none is ever shown, and the token's copy is wiped when it
//! is dropped. The process's own environment block cannot be wiped: it belongs to the operating system.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

/// The variable that holds a token itself.
pub const TOKEN_VARIABLE: &str = "TELOVIX_ENROLLMENT_TOKEN";
/// The variable that names another configuration file.
pub const CONFIG_VARIABLE: &str = "TELOVIX_CONFIG";
/// Directory of the credentials that systemd hands to a service (systemd.exec(5)).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Every variable but the token's. What the vendor and others set besides is none of our business.
const KNOWN: [&str; 40] = [
    "JOURNAL_STREAM",
    "TELOVIX_CONSOLE_URL",
    "TELOVIX_NODE_ROLE",
    "TELOVIX_NODE_NAME",
    "TELOVIX_CLUSTER_NAME",
    "TELOVIX_INSTALL_ID",
    "TELOVIX_K8S_DEPLOYMENT",
    "TELOVIX_BOOTSTRAP_CA_CERT_PATH",
    "TELOVIX_SENSOR_TAGS",
    "TELOVIX_CA_FINGERPRINT",
    "TELOVIX_ENROLLMENT_TOKEN_FILE",
    "TELOVIX_FLAVOR",
    "TELOVIX_KEY_TYPE",
    "TELOVIX_STATE_DIR",
    "TELOVIX_TIMEOUT",
    "TELOVIX_LOG_LEVEL",
    "TELOVIX_LOG_FORMAT",
    CONFIG_VARIABLE,
    "TELOVIX_CONTROL_SOCKET",
    "TELOVIX_CONTROL_SOCKET_MODE",
    "TELOVIX_HEALTH_LISTEN",
    "TELOVIX_HOOK_COMMAND",
    "TELOVIX_HOOK_TIMEOUT",
    "TELOVIX_SIGNAL_PID_FILE",
    "TELOVIX_SIGNAL",
    "TELOVIX_PUBLISH_OWNER",
    "TELOVIX_PUBLISH_GROUP",
    "TELOVIX_PUBLISH_KEY_MODE",
    "TELOVIX_PUBLISH_CERT_MODE",
    "TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE",
    CREDENTIALS_VARIABLE,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A snapshot of the variables that the agent knows. Empty ones count as unset, because Kubernetes templates leave
/// such behind.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<&'static str, OsString>,
    token: Option<Zeroizing<Vec<u8>>>,
}

impl Environment {
    /// The environment of this process.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn from_process() -> Self {
        let token = std::env::var_os(TOKEN_VARIABLE).map(|value| (TOKEN_VARIABLE, value));
        let others = KNOWN.iter().filter_map(|name| std::env::var_os(name).map(|value| (*name, value)));
        Self::from_pairs(others.chain(token))
    }

    /// An environment of these variables; names that the agent does not know are dropped. For tests.
    pub fn from_pairs<N: AsRef<str>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            let value = value.into();
            if value.is_empty() {
                continue;
            }
            if name.as_ref() == TOKEN_VARIABLE {
                environment.token = Some(Zeroizing::new(value.into_vec()));
            } else if let Some(known) = KNOWN.iter().find(|known| **known == name.as_ref()) {
                environment.values.insert(known, value);
            }
        }
        environment
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.values.get(name).map(OsString::as_os_str)
    }

    /// The raw token of `TELOVIX_ENROLLMENT_TOKEN`.
    pub(super) fn token(&self) -> Option<&Zeroizing<Vec<u8>>> {
        self.token.as_ref()
    }
}

/// Names only: values hold tokens and the passwords of proxies.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| TOKEN_VARIABLE);
        f.debug_set().entries(self.values.keys()).entries(token).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_foreign_variables_are_unset_and_nothing_is_shown() {
        let environment = Environment::from_pairs([
            ("TELOVIX_NODE_ROLE", "amf"),
            ("TELOVIX_NODE_NAME", ""),
            ("TELOVIX_SOMETHING_OF_THE_VENDOR", "secret-1"),
            ("TELOVIX_ENROLLMENT_TOKEN", "secret-2"),
            ("HTTPS_PROXY", "http://user:secret-3@proxy:3128"),
        ]);
        assert_eq!(environment.get("TELOVIX_NODE_ROLE"), Some(OsStr::new("amf")));
        assert_eq!(environment.get("TELOVIX_NODE_NAME"), None);
        assert_eq!(environment.get("TELOVIX_SOMETHING_OF_THE_VENDOR"), None);
        let shown = format!("{environment:?}");
        assert!(!shown.contains("secret") && shown.contains("HTTPS_PROXY"), "{shown}");
        assert_eq!(environment.token().unwrap().as_slice(), b"secret-2");
    }

    #[test]
    fn the_process_has_an_environment() {
        // Only that it can be read: what stands in it is the machine's business.
        let _ = format!("{:?}", Environment::from_process());
    }
}
