//! The flags of settings: made from the rows of `config`, and taken as typed.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::keys::{Flag, Kind, ROWS, Row};

/// Heading of the flags that every command takes.
pub(super) const EVERYWHERE: &str = "Options of every command";

/// The settings that a command line gives, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingFlags(Vec<(&'static str, OsString)>);

impl SettingFlags {
    pub(super) fn get(&self, key: &str) -> Option<&OsStr> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_os_str())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let name = command.get_name().to_owned();
        let flags = ROWS.iter().filter_map(|row| Some((*row, row.flag?)));
        let own = flags.filter(|(_, flag)| flag.commands.contains(&name.as_str()));
        let root = name == env!("CARGO_PKG_NAME");
        own.fold(command, |command, (row, flag)| {
            let arg = argument(row, flag);
            command.arg(if root { arg.global(true).help_heading(EVERYWHERE) } else { arg })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = ROWS.iter().map(|row| row.name).filter(|name| {
            matches.try_contains_id(name).unwrap_or_default()
                && matches.value_source(name) == Some(ValueSource::CommandLine)
        });
        Ok(Self(typed.filter_map(|name| Some((name, matches.get_raw(name)?.next()?.to_owned()))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(row: &Row, flag: Flag) -> Arg {
    let arg = Arg::new(row.name).long(flag.name.trim_start_matches('-')).help(row.help());
    match row.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::Path => arg
            .value_name(flag.value)
            .value_parser(value_parser!(OsString))
            .value_hint(clap::ValueHint::AnyPath),
        Kind::Text | Kind::List | Kind::Words => {
            arg.value_name(flag.value).value_parser(value_parser!(OsString))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// Every pair of a command and a long flag of its own.
    fn known(command: &Command) -> BTreeSet<(String, String)> {
        let flags = command.get_arguments().filter_map(Arg::get_long);
        let own = flags.map(|flag| (command.get_name().to_owned(), format!("--{flag}")));
        own.chain(command.get_subcommands().flat_map(known)).collect()
    }

    #[test]
    fn commands_know_exactly_the_flags_of_the_rows() {
        let mut known = known(&Cli::command());
        for row in ROWS {
            let name = format!("--{}", row.name.replace('_', "-"));
            let Some(flag) = row.flag else { continue };
            assert_eq!(flag.name, name, "a key and its flag are the same words");
            for command in flag.commands {
                assert!(
                    known.remove(&((*command).to_owned(), name.clone())),
                    "{command} does not know {name}"
                );
            }
        }
        let rows: Vec<String> = ROWS.iter().map(|row| format!("--{}", row.name.replace('_', "-"))).collect();
        let stray: Vec<_> = known.iter().filter(|(_, flag)| rows.contains(flag)).collect();
        assert!(stray.is_empty(), "flags that no row has: {stray:?}");
    }
}
