//! One Console with the state that each call begins from, and the cells run on it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use telovix_agent::clock::Clock;
use telovix_tests::Place;

use super::cells::{Call, Cell};
use super::console::Console;
use super::host::{Process, Setup, Time, copy};
use super::rules::Memory;
use super::run::{Outcome, runtime};

/// Far more steps than a cell takes.
const STEPS: usize = 1000;
/// Most generations on the disk (docs/contract.md section 6).
const GENERATIONS: usize = 8;

pub(crate) struct Stage {
    pub(crate) console: Console,
    pub(crate) place: Place,
    setup: Setup,
    begins: Vec<Begin>,
    /// State directories made so far.
    made: usize,
}

/// The state directory and the Console's memory that a call begins from, and the connection that brings the call.
pub(crate) struct Begin {
    pub(crate) state: PathBuf,
    pub(crate) memory: Memory,
    pub(crate) connection: usize,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let console = Console::start();
        let place = Place::in_memory();
        let setup = Setup::new(&console, place.path());
        let mut stage = Self { console, place, setup, begins: Vec::new(), made: 0 };
        let nothing = stage.folder();
        let enrolled = stage.begin(&nothing, Memory::default(), Call::Enrollment, true).await;
        let renewed = stage.begin(&enrolled.0, enrolled.1.clone(), Call::Renewal, false).await;
        for call in Call::ALL {
            let (state, memory) = match call {
                Call::Enrollment => (nothing.clone(), Memory::default()),
                Call::Proof => renewed.clone(),
                Call::Heartbeat | Call::Renewal | Call::TimeQuestion => enrolled.clone(),
            };
            stage.begin(&state, memory.clone(), call, false).await;
            let connection = stage.console.called().expect("it came");
            stage.begins.push(Begin { state, memory, connection });
        }
        stage
    }

    pub(crate) fn begin_of(&self, call: Call) -> &Begin {
        &self.begins[call as usize]
    }

    /// A name for another state directory.
    pub(crate) fn folder(&mut self) -> PathBuf {
        self.made += 1;
        let folder = self.place.path().join(format!("state-{}", self.made));
        std::fs::create_dir(&folder).expect("ours");
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
        folder
    }

    /// The state after an honest answer to this call, and after its first heartbeat.
    async fn begin(&mut self, from: &Path, memory: Memory, call: Call, proven: bool) -> (PathBuf, Memory) {
        let state = self.folder();
        copy(from, &state).expect("ours");
        let time = Arc::new(Time::new());
        self.console.arm(call, None, memory, clock(&time));
        let mut process = Process::start(&self.setup, &state, &time);
        let mut steps = 0;
        while self.console.called().is_none() || (proven && !process.is_active()) {
            process.step(&self.console, Duration::MAX).await.expect("nothing is wrong");
            steps += 1;
            assert!(steps < STEPS, "{call:?} did not come: {}", process.report());
        }
        (state, self.console.memory())
    }

    /// How long after the bad answer the host was accepted: as it was, and where the agent was started anew right after it.
    pub(crate) async fn run(&mut self, cell: Cell) -> [Result<Duration, String>; 2] {
        let (state, twin) = (self.folder(), self.folder());
        let begin = self.begin_of(cell.call);
        copy(&begin.state, &state).expect("ours");
        let time = Arc::new(Time::new());
        let bad = (cell.bad, begin.connection, cell.length);
        self.console.arm(cell.call, Some(bad), begin.memory.clone(), clock(&time));
        let mut process = Process::start(&self.setup, &state, &time);
        for _ in 0..STEPS {
            if self.console.has_struck() {
                break;
            }
            process.step(&self.console, Duration::MAX).await.expect("nothing is wrong yet");
        }
        assert!(self.console.has_struck(), "{cell:?} was not met: {}", process.report());
        let over = time.elapsed() + cell.length.time();
        if let Err(why) = self.meanwhile(&mut process, &time, over, &state).await {
            return [Err(why), Err("the same".to_owned())];
        }
        copy(&state, &twin).expect("ours");
        let (memory, later) = (self.console.memory(), Arc::new(time.fork()));
        self.console.be_honest(memory.clone(), clock(&time));
        let stayed = self.until_accepted(process, &time, cell).await;
        self.console.be_honest(memory, clock(&later));
        let restarted = Process::start(&self.setup, &twin, &later);
        let restarted = self.until_accepted(restarted, &later, cell).await;
        for folder in [state, twin] {
            std::fs::remove_dir_all(folder).expect("ours");
        }
        [stayed, restarted]
    }

    /// Lives until that moment, without calls that follow each other at once and without filling the disk.
    async fn meanwhile(
        &self,
        process: &mut Process,
        time: &Time,
        over: Duration,
        state: &Path,
    ) -> Result<(), String> {
        let mut steps = 0;
        while time.elapsed() < over {
            process.step(&self.console, over).await?;
            steps += 1;
            if steps > STEPS {
                return Err(format!("{steps} steps in {over:?}: {}", process.report()));
            }
        }
        let generations = std::fs::read_dir(state.join("generations")).map_or(0, Iterator::count);
        if generations > GENERATIONS { Err(format!("{generations} generations")) } else { Ok(()) }
    }

    async fn until_accepted(
        &self,
        mut process: Process,
        time: &Time,
        cell: Cell,
    ) -> Result<Duration, String> {
        let bound = cell.bad.bound();
        let (began, end) = (time.elapsed(), time.elapsed() + bound);
        while !(self.console.accepts() && process.is_active()) {
            if time.elapsed() > end {
                return Err(format!("not accepted after {bound:?}: {}", process.report()));
            }
            process.step(&self.console, end).await?;
        }
        Ok(time.elapsed() - began)
    }
}

/// In time that this moves, as it was and with the agent started anew after the bad answer.
pub(crate) fn run(cells: Vec<Cell>, done: &mpsc::Sender<Outcome>) {
    let runtime = runtime();
    runtime.block_on(async {
        let mut stage = Stage::new().await;
        for cell in cells {
            for outcome in stage.run(cell).await {
                done.send((cell, outcome)).expect("the test waits for all of them");
            }
        }
    });
    runtime.shutdown_background();
}

fn clock(time: &Arc<Time>) -> Clock {
    Arc::clone(time) as Arc<dyn TimeProvider>
}
