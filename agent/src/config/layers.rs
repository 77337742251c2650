//! The layers: flags over environment over files over defaults.
//!
//! Invariant: the uppermost value wins and alone decides whether the configuration is good; a bad value beneath it is a
//! warning, so that a flag can always get past a broken file, and the file is still noticed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::config::env::{Environment, trim};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::keys::{Key, ROWS, Row};
use crate::config::parse::Raw;
use crate::config::sourced::{Origin, Sourced};

/// What a command line says about the configuration.
pub trait CommandLine: Debug {
    /// The file to read instead of the default one.
    fn config_file(&self) -> Option<&Path>;

    /// The value of the flag of the setting with this key, as typed.
    fn flag(&self, key: &str) -> Option<&OsStr>;

    /// Whether the token is to be read from standard input.
    fn reads_token_from_stdin(&self) -> bool;

    /// Whether it may speak to a Console that it does not know yet: then [`load`](crate::config::load) reports what is
    /// wrong with the inputs of first contact together with the other mistakes.
    fn makes_first_contact(&self) -> bool;
}

/// One value of one layer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) row: &'static Row,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// All values, the ones that win first, and what was found wrong with them.
#[derive(Default)]
pub(super) struct Layers {
    entries: Vec<Entry>,
    pub(super) errors: ConfigErrors,
    pub(super) warnings: Vec<String>,
    /// By key, the values that only a start takes.
    pub(super) fixed: BTreeMap<&'static str, String>,
}

impl Layers {
    /// Stacks the layers; `files` in the order in which they were read.
    pub(super) fn new(
        args: &dyn CommandLine,
        env: &Environment,
        files: Vec<Entry>,
        errors: ConfigErrors,
        warnings: Vec<String>,
    ) -> Self {
        let entry = |row, value: &OsStr, origin| Entry { row, raw: Raw::Text(value.to_owned()), origin };
        // Of variables that is done when they are read (docs/contract.md section 8).
        let trimmed = |entry: Entry| match entry.raw {
            Raw::Text(text) => {
                Entry { raw: Raw::Text(OsStr::from_bytes(trim(text.as_bytes())).to_owned()), ..entry }
            }
            Raw::List(_) => entry,
        };
        let flags = ROWS
            .iter()
            .filter_map(|row| Some(entry(row, args.flag(row.name)?, Origin::Flag(row.flag?.name))));
        let variables =
            ROWS.iter().filter_map(|row| Some(entry(row, env.get(row.variable)?, Origin::Env(row.variable))));
        Self {
            entries: flags.chain(variables).chain(files.into_iter().rev()).map(trimmed).collect(),
            errors,
            warnings,
            ..Self::default()
        }
    }

    /// Entries of one setting, the one that wins first.
    pub(super) fn of(&self, row: &Row) -> impl Iterator<Item = &Entry> {
        let name = row.name;
        self.entries.iter().filter(move |entry| entry.row.name == name)
    }

    /// The value that wins; `None` where nobody set it or where it cannot be read, which is then among the errors.
    pub(super) fn read<T: Debug>(&mut self, key: &Key<T>) -> Option<Sourced<T>> {
        let found = self.winner(key);
        self.note(key.row, found.as_ref());
        found
    }

    /// The value that wins, or the default.
    pub(super) fn read_or_default<T: Debug>(&mut self, key: &Key<T>) -> Sourced<T> {
        let found = self.winner(key).unwrap_or_else(|| Sourced::new(key.default(), Origin::Default));
        self.note(key.row, Some(&found));
        found
    }

    fn winner<T>(&mut self, key: &Key<T>) -> Option<Sourced<T>> {
        let Self { entries, errors, warnings, .. } = self;
        let mut of_key = entries.iter().filter(|entry| entry.row.name == key.row.name);
        let winner = of_key.next()?;
        for overridden in of_key {
            if let Err(error) = (key.parse)(&overridden.raw) {
                let error = ConfigError::at(&overridden.origin, error);
                warnings.push(format!("{error} (not used: {} is set as well)", winner.origin));
            }
        }
        match (key.parse)(&winner.raw) {
            Ok(value) => Some(Sourced::new(value, winner.origin.clone())),
            Err(error) => {
                let place = &winner.origin;
                let looked_up = key.row.looked_up;
                errors.push(if looked_up {
                    ConfigError::passing(place, error)
                } else {
                    ConfigError::at(place, error)
                });
                None
            }
        }
    }

    fn note<T: Debug>(&mut self, row: &Row, found: Option<&Sourced<T>>) {
        if row.restart {
            self.fixed.insert(row.name, format!("{:?}", found.map(|setting| &setting.value)));
        }
    }
}
