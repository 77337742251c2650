//! The environment, read once: the one place of the agent that reads it.
//!
//! Invariant: only variables that the agent knows are kept, none is ever shown, and the token's copy is wiped when it
//! is dropped. The process's own environment block cannot be wiped: it belongs to the operating system.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

use crate::config::keys::{CONSOLE_URL, ROWS};

/// The variable that holds a token itself.
pub const TOKEN_VARIABLE: &str = "TELOVIX_ENROLLMENT_TOKEN";
/// The variable that names another configuration file.
pub const CONFIG_VARIABLE: &str = "TELOVIX_CONFIG";
/// Directory of the credentials that systemd hands to a service (systemd.exec(5)).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The variables that are no settings, but for the token's.
const OTHERS: [&str; 14] = [
    CONFIG_VARIABLE,
    CREDENTIALS_VARIABLE,
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A snapshot of the variables that the agent knows; what the vendor and others set besides is dropped. White space and a
/// byte-order mark around a value are dropped (docs/contract.md section 8); empty ones count as unset, because Kubernetes templates leave
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
        let others = known().filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
        Self::from_pairs(others.chain(token))
    }

    /// An environment of these variables; names that the agent does not know are dropped. For tests.
    pub fn from_pairs<N: AsRef<str>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            let value = Zeroizing::new(value.into().into_vec());
            let trimmed = trim(&value);
            if trimmed.is_empty() {
                continue;
            }
            if name.as_ref() == TOKEN_VARIABLE {
                environment.token = Some(Zeroizing::new(trimmed.to_vec()));
            } else if let Some(known) = known().find(|known| *known == name.as_ref()) {
                environment.values.insert(known, OsString::from_vec(trimmed.to_vec()));
            }
        }
        environment
    }

    /// Whether the Console's address is set.
    pub fn names_a_console(&self) -> bool {
        self.get(CONSOLE_URL.row.variable).is_some()
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.values.get(name).map(OsString::as_os_str)
    }

    /// The raw token of `TELOVIX_ENROLLMENT_TOKEN`.
    pub(super) fn token(&self) -> Option<&Zeroizing<Vec<u8>>> {
        self.token.as_ref()
    }
}

/// A value without the white space and the byte-order mark that editors and `echo` leave around it.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let outer = |c: char| c.is_whitespace() || c == '\u{feff}';
    std::str::from_utf8(value).map_or_else(|_| value.trim_ascii(), |text| text.trim_matches(outer).as_bytes())
}

fn known() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.variable).chain(OTHERS)
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
        for row in ROWS {
            assert!(Environment::from_pairs([(row.variable, "x")]).get(row.variable).is_some(), "{row:?}");
        }
        let shown = format!("{environment:?}");
        assert!(!shown.contains("secret") && shown.contains("HTTPS_PROXY"), "{shown}");
        assert_eq!(environment.token().unwrap().as_slice(), b"secret-2");
    }

    #[test]
    fn what_surrounds_a_value_is_dropped() {
        for around in ["\u{feff}x y\n", " x y\r\n", "\tx y\u{a0}", "\u{feff} x y"] {
            let environment = Environment::from_pairs([
                ("TELOVIX_CLUSTER_NAME", around),
                ("TELOVIX_ENROLLMENT_TOKEN", around),
                ("HTTPS_PROXY", around),
            ]);
            assert_eq!(environment.get("TELOVIX_CLUSTER_NAME"), Some(OsStr::new("x y")), "{around:?}");
            assert_eq!(environment.get("HTTPS_PROXY"), Some(OsStr::new("x y")), "{around:?}");
            assert_eq!(environment.token().unwrap().as_slice(), b"x y", "{around:?}");
        }
        let blank = Environment::from_pairs([
            ("TELOVIX_CONSOLE_URL", " \n"),
            ("TELOVIX_ENROLLMENT_TOKEN", "\u{feff}"),
        ]);
        assert!(!blank.names_a_console() && blank.token().is_none());
        let odd = Environment::from_pairs([("TELOVIX_STATE_DIR", OsString::from_vec(b" /s\xff\n".to_vec()))]);
        assert_eq!(odd.get("TELOVIX_STATE_DIR").unwrap().as_encoded_bytes(), b"/s\xff");
    }

    #[test]
    fn the_process_has_an_environment() {
        // Only that it can be read: what stands in it is the machine's business.
        let _ = format!("{:?}", Environment::from_process());
    }
}
