//! Kills the real agent at every system call of an enrollment, of a renewal, and of the start after it; docs/crash-and-disk.md.
//!
//! `crash-anywhere [--every K] [--all-calls] [--doubles N] [--jobs J] [--at-least N]`. Needs strace. Every check is an
//! assertion: exit status 0 means that after each kill the next start ended enrolled, with one sensor record, the token
//! used once and the identity accepted, and that a consumer which read all the while found a pair each time.

mod enrollment;
mod plan;
mod renewal;
mod torn;

use plan::Plan;

fn main() {
    let Some(plan) = Plan::of(std::env::args().skip(1)) else {
        eprintln!("usage: crash-anywhere [--every K] [--all-calls] [--doubles N] [--jobs J] [--at-least N]");
        std::process::exit(2);
    };
    assert!(telovix_tests::strace::program().is_some(), "strace is not installed");
    let kills = plan.carry_out();
    assert!(kills >= plan.at_least, "{kills} kills, and {} were asked for", plan.at_least);
}
