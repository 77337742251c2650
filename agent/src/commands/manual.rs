//! `telovix-agent completions SHELL` and `telovix-agent man`: the command line, described for other programs.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::{Exit, report};
use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints a completion script.
pub(super) fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(&script)
}

/// Prints a manual page.
pub(super) fn man(args: &ManArgs) -> Exit {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
                let remedy = format!("name one of {}, or none for the whole program", names.join(", "));
                return report::failure(&"there is no such command", &remedy, Exit::Usage);
            }
        },
    };
    let mut roff = Vec::new();
    match clap_mangen::Man::new(page).render(&mut roff) {
        Ok(()) => print(&roff),
        Err(error) => report::failure(&error, "", Exit::Unexpected),
    }
}

fn print(bytes: &[u8]) -> Exit {
    // A closed pipe is no reason to fail: there is nobody left to tell.
    let _ = std::io::stdout().write_all(bytes);
    Exit::Done
}
