//! One bad answer, and then an honest Console: every call, every answer, every alert (docs/contract.md section 6,
//! self-stabilization). How long it takes until a call over mutual TLS is answered 2xx and `status` says active is in
//! docs/self-stabilization.md.
//!
//! Here a sample runs; `tests/system/long/grid.sh` runs all of it (`TELOVIX_GRID=all`), or so many cells (`TELOVIX_GRID=N`).

mod cells;
mod console;
mod host;
mod processes;
mod rules;
mod run;
mod stage;
mod table;

use self::cells::{Cell, Length};
use self::run::{assert_accepted, on_threads};

/// Cells in time that the test moves, for each length.
const SAMPLE: usize = 220;
/// Cells on real processes, and of how many of those the gate takes one.
const PROCESSES: (usize, usize) = (200, 8);

/// In time that a test moves, as it was and with the agent started anew after the bad answer.
#[test]
fn after_one_bad_answer_a_host_is_accepted_within_a_quarter_of_an_hour() {
    let asked = std::env::var("TELOVIX_GRID");
    let of = |length| match asked.as_deref() {
        Err(_) => cells::chosen(SAMPLE, length),
        Ok("all") => cells::all(length),
        Ok(number) => {
            cells::chosen(number.parse().expect("TELOVIX_GRID is `all` or a number of cells"), length)
        }
    };
    let cells: Vec<Cell> = Length::ALL.into_iter().flat_map(of).collect();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let outcomes = on_threads(&cells, threads, stage::run);
    let tables = Length::ALL.map(|length| (length, table::of(&outcomes, length)));
    tables.iter().for_each(|(_, table)| println!("{table}\n"));
    assert_accepted(&outcomes);
    for (length, table) in tables {
        table::check(&table, length);
    }
}

/// On real processes whose waits are a sixtieth as long; every second one is killed after the bad answer, and started again.
#[test]
fn real_processes_are_accepted_after_one_bad_answer() {
    let (count, sample) = PROCESSES;
    let every = if std::env::var_os("TELOVIX_GRID").is_some() { 1 } else { sample };
    let cells: Vec<Cell> = cells::chosen(count, Length::Once).into_iter().step_by(every).collect();
    // They wait most of the time.
    let outcomes = on_threads(&cells, 12, processes::run);
    println!("{}", table::of(&outcomes, Length::Once));
    assert_accepted(&outcomes);
}
