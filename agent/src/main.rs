//! The doorway of `telovix-agent`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    telovix_agent::commands::run(std::env::args_os())
}
