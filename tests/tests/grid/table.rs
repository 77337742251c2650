//! The table of docs/self-stabilization.md.

use std::time::Duration;

use telovix_tests::bins;

use super::cells::{Bad, Call, Length};
use super::run::Outcome;

/// Median and longest time, by kind of answer and call.
pub(crate) fn of(outcomes: &[Outcome], length: Length) -> String {
    let mut table = head(length);
    for call in Call::ALL {
        table += &format!(" {} |", call.name());
    }
    table += "\n|---|---|---|---|---|---|";
    for kind in Bad::kinds() {
        table += &format!("\n| {kind} |");
        for call in Call::ALL {
            let here = outcomes
                .iter()
                .filter(|(cell, _)| (cell.call, cell.length) == (call, length) && cell.bad.kind() == kind);
            let mut times: Vec<_> = here.filter_map(|(_, done)| done.as_ref().ok()).copied().collect();
            times.sort();
            let shown =
                times.last().map(|last| format!("{}, {}", short(times[times.len() / 2]), short(*last)));
            table += &format!(" {} |", shown.unwrap_or_default());
        }
    }
    table
}

fn head(length: Length) -> String {
    format!("| {}, instead of the answer |", length.name())
}

/// The page has these rows. With `UPDATE_DOCS=1` the table is written into it.
pub(crate) fn check(table: &str, length: Length) {
    let file = bins::source_root().join("docs/self-stabilization.md");
    let page = std::fs::read_to_string(&file).expect("the page is there");
    let (before, rest) = page.split_once(&head(length)).expect("it has the table");
    let (old, after) = rest.split_once("\n\n").expect("something follows the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{before}{table}\n\n{after}")).expect("the page can be written");
        return;
    }
    let rows = |table: &str| -> Vec<String> {
        table
            .lines()
            .skip(2)
            .filter_map(|row| Some(row.split(" | ").next()?.trim_end_matches(" |").to_owned()))
            .collect()
    };
    assert_eq!(rows(old), rows(table), "run tests/system/long/grid.sh with UPDATE_DOCS=1");
}

fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}
