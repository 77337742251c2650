//! What is wrong with a configuration: every mistake, each with its place and its remedy.
//!
//! Invariant: no text here holds an enrollment token, whatever was quoted ([`redact_tokens`]), nor a line break or
//! another control character out of a quoted value.

use std::fmt;
use std::path::Path;

use crate::config::redact::redact_tokens;
use crate::config::setting::Origin;

/// One mistake: where it stands, what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    message: String,
}

impl ConfigError {
    /// A mistake at the place where a value was set.
    pub(crate) fn at(origin: &Origin, message: impl AsRef<str>) -> Self {
        Self::new(&origin.to_string(), message.as_ref())
    }

    /// A mistake of a whole file or directory.
    pub(crate) fn of_file(path: &Path, message: impl AsRef<str>) -> Self {
        Self::new(&path.display().to_string(), message.as_ref())
    }

    /// A mistake that stands nowhere: something is missing.
    pub(crate) fn missing(what: &str, message: impl AsRef<str>) -> Self {
        Self::new(what, message.as_ref())
    }

    fn new(place: &str, message: &str) -> Self {
        Self { place: one_line(place), message: one_line(message) }
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Every mistake of a configuration, in the order of files, then settings. Shown one on a line. Exit status 2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The mistakes.
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }

    pub(crate) fn push(&mut self, error: ConfigError) {
        self.0.push(error);
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

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

fn one_line(text: &str) -> String {
    redact_tokens(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stand_one_on_a_line_without_secrets() {
        let mut errors = ConfigErrors::default();
        errors.push(ConfigError::at(&Origin::Flag("--tags"), "first\nline \u{1b}[31m"));
        errors.push(ConfigError::of_file(Path::new("/x"), format!("holds tse_{}", "A".repeat(43))));
        assert_eq!(errors.to_string(), "flag --tags: first line  [31m\n/x: holds tse_<redacted>");
        assert_eq!(errors.clone().or(1), Err(errors));
        assert_eq!(ConfigErrors::default().or(1), Ok(1));
    }
}
