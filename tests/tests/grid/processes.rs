//! The cells on real processes, whose time passes sixty times as fast.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use telovix_agent::clock::{Clock, Pace};
use telovix_tests::daemon::Daemon;

use super::cells::{Call, Cell};
use super::host::{copy, token};
use super::run::{Outcome, runtime};
use super::stage::Stage;

const TIMES: u32 = 60;
/// How many times the bound a process may take on a machine that does other work. The bound itself is kept where the test
/// moves the time.
const PATIENCE: u32 = 4;
/// Longer than the deadlines of a call, which are as long as ever.
const UNTIL_MET: Duration = Duration::from_secs(120);

pub(crate) fn run(cells: Vec<Cell>, done: &mpsc::Sender<Outcome>) {
    let runtime = runtime();
    let stage = runtime.block_on(Stage::new());
    runtime.shutdown_background();
    for (n, cell) in cells.into_iter().enumerate() {
        let outcome = live(&stage, cell, n);
        done.send((cell, outcome)).expect("the test waits for all of them");
    }
}

fn live(stage: &Stage, cell: Cell, n: usize) -> Result<Duration, String> {
    let (begin, console) = (stage.begin_of(cell.call), &stage.console);
    let from = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is past 1970");
    let pace = Pace { times: TIMES, from: from.as_secs() };
    let mut daemon = Daemon::on(stage.place.path().join(format!("process-{n}")));
    copy(&begin.state, &daemon.state_dir()).expect("ours");
    daemon.configure_for(&console.url(), &stage.place.path().join("ca.pem"), "grid", "");
    daemon.set_env("TELOVIX_PACE", &format!("{}@{}", pace.times, pace.from));
    if cell.call == Call::Enrollment {
        daemon.give(token().expose());
    }
    let clock: Clock = std::sync::Arc::new(pace);
    console.arm(cell.call, Some((cell.bad, begin.connection, cell.length)), begin.memory.clone(), clock);
    daemon.run();
    let honest = until(UNTIL_MET, || console.honest_since()).ok_or("the bad answer was not met")?;
    if n.is_multiple_of(2) {
        daemon.end(Signal::SIGKILL);
        daemon.run();
    }
    let accepted = until(cell.bad.bound() / TIMES * PATIENCE, || {
        let is_active =
            |status: &serde_json::Value| status["state"] == "active" && status["accepted"] == true;
        (console.accepts() && daemon.status().as_ref().is_some_and(is_active)).then(|| honest.elapsed())
    });
    accepted.map(|time| time * TIMES).ok_or_else(|| format!("{:?}\n{}", daemon.status(), daemon.log()))
}

fn until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let found = ready();
        if found.is_some() || begin.elapsed() > limit {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
