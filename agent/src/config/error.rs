//! What is wrong with a configuration: every mistake, each with its place and its remedy.
//!
//! Invariant: no text here holds an enrollment token, whatever was quoted ([`redact_tokens`]), nor a line break or
//! another control character out of a quoted value.

use std::fmt;

use telovix_contract::clean;

use crate::config::redact::redact_tokens;

/// Most characters of one mistake.
const LONGEST_LINE: usize = 1000;

/// One mistake: where it stands, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    place: String,
    message: String,
    passing: bool,
}

impl ConfigError {
    /// `place` is where a value was set, a file or directory, or the name of what is missing.
    pub(crate) fn at(place: impl fmt::Display, message: impl AsRef<str>) -> Self {
        Self { place: one_line(&place.to_string()), message: one_line(message.as_ref()), passing: false }
    }

    /// The same, of something that may be right a moment later although nobody edits the configuration: a file that
    /// cannot be read, a name service that does not answer yet.
    pub(crate) fn passing(place: impl fmt::Display, message: impl AsRef<str>) -> Self {
        Self { passing: true, ..Self::at(place, message) }
    }

    /// Where: a flag, a variable, a file with its line, or the name of what is missing.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong and what to do, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Every mistake of a configuration, in the order of files, then settings. Shown one on a line. Exit status 2.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// At least one, where a load failed.
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }

    pub(crate) fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// Whether all of it may be right a moment later by itself; `false` where nothing is wrong.
    pub fn may_pass(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|error| error.passing)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// All of it on one line.
    pub fn in_one_line(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// Nothing wrong gives `value`, anything wrong gives all of it.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

fn one_line(text: &str) -> String {
    clean(&redact_tokens(text), LONGEST_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sourced::Origin;

    #[test]
    fn errors_stand_one_on_a_line_without_secrets() {
        let mut errors = ConfigErrors::default();
        errors.push(ConfigError::at(Origin::Flag("--tags"), "first\nline \u{1b}[31m"));
        errors.push(ConfigError::at("/x", format!("holds tse_{}", "A".repeat(43))));
        assert_eq!(errors.to_string(), "flag --tags: first line  [31m\n/x: holds tse_<redacted>");
        assert_eq!(errors.clone().or(1), Err(errors));
        assert_eq!(ConfigErrors::default().or(1), Ok(1));
    }
}
