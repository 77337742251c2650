//! Runs cells side by side.

use std::sync::mpsc;
use std::time::Duration;

use super::cells::Cell;

/// A cell, and when the host was accepted, or why not.
pub(crate) type Outcome = (Cell, Result<Duration, String>);

pub(crate) fn assert_accepted(outcomes: &[Outcome]) {
    let of = |(cell, done): &Outcome| done.as_ref().err().map(|why| format!("{cell:?}: {why}"));
    let lost: Vec<String> = outcomes.iter().filter_map(of).collect();
    println!("{} times, {} of them not accepted", outcomes.len(), lost.len());
    assert!(lost.is_empty(), "{} of {}:\n{}", lost.len(), outcomes.len(), lost.join("\n"));
}

pub(crate) fn on_threads(
    cells: &[Cell],
    threads: usize,
    work: impl Fn(Vec<Cell>, &mpsc::Sender<Outcome>) + Sync,
) -> Vec<Outcome> {
    let (done, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..threads.min(cells.len()) {
            let cells = cells.iter().copied().skip(thread).step_by(threads).collect();
            let (work, done) = (&work, done.clone());
            scope.spawn(move || work(cells, &done));
        }
    });
    drop(done);
    outcomes.into_iter().collect()
}

/// One whose time stands still until it is moved: a slow machine is no stall.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    // While something blocks, tokio does not move the time by itself.
    runtime.spawn_blocking(std::thread::park);
    runtime
}
