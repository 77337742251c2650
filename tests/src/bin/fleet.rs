//! `fleet`: simulated agents that enroll, send heartbeats and renew at any Console, as many and as fast as an operator asks.

use std::process::ExitCode;

use clap::Parser as _;
use telovix_tests::fleet::{Fleet, run};

fn main() -> ExitCode {
    ExitCode::from(run(&Fleet::parse()))
}
