//! `bench`: the benchmarks, each beside its ceiling. `tests/bench` builds what it measures and runs it.

use std::process::ExitCode;

use clap::Parser as _;
use telovix_tests::bench::{Bench, run};

fn main() -> ExitCode {
    match run(&Bench::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
