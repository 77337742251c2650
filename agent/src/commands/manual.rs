//! `telovix-agent completions SHELL` and `telovix-agent man`: the command line, described for other programs.

use clap::CommandFactory as _;

use super::report;
use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::machine::Exit;

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
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut page = &program;
    for name in &args.command {
        let Some(found) = page.find_subcommand(name) else {
            let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
            let remedy = format!("name one of {}, or none for the whole program", names.join(", "));
            return report::failure(&"there is no such command", &remedy, Exit::Usage);
        };
        page = found;
    }
    let mut roff = Vec::new();
    match clap_mangen::Man::new(page.clone()).render(&mut roff) {
        Ok(()) => print(&roff),
        Err(error) => report::failure(&error, "", Exit::Unexpected),
    }
}

fn print(bytes: &[u8]) -> Exit {
    report::say_bytes(bytes);
    Exit::Done
}
