//! Values that know where they came from.

use std::fmt;
use std::path::PathBuf;

/// A configured value and its origin, so that every complaint about it can name the line to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was set.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value with its origin.
    pub const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line; the flag with its dashes.
    Flag(&'static str),
    /// In the environment; the variable's name.
    Env(&'static str),
    /// In a configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line of the value, counted from 1.
        line: usize,
    },
    /// Nowhere: taken from the host (its name).
    Host,
    /// Nowhere: the built-in value.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Host => f.write_str("host name"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_read_as_places() {
        let file = Origin::File { path: "/etc/telovix/agent.toml".into(), line: 7 };
        assert_eq!(file.to_string(), "/etc/telovix/agent.toml line 7");
        assert_eq!(Origin::Flag("--node-role").to_string(), "flag --node-role");
        assert_eq!(Origin::Env("TELOVIX_NODE_ROLE").to_string(), "environment TELOVIX_NODE_ROLE");
        assert_eq!(Origin::Host.to_string(), "host name");
        assert_eq!(Origin::Default.to_string(), "default");
    }
}
