//! What is done, by how many at once, and the table of it.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use telovix_tests::World;
use telovix_tests::consumer::Consumer;
use telovix_tests::strace::Trace;

use crate::{enrollment, renewal, torn};

/// The calls by which a process changes a disk or speaks to another: the n-th of each of these is always struck.
const DEMANDED: &[&str] = &[
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "openat",
    "connect",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "read",
];
/// Calls of which each run of a scenario makes as many.
const ALIKE: &[&str] =
    &["fsync", "fdatasync", "rename", "symlink", "link", "unlink", "unlinkat", "mkdir", "rmdir", "ftruncate"];
/// What is struck for certain in each of [`WHOLE`], in whichever spelling the system has.
const STRUCK: [&[&str]; 8] = [
    &["write (file)", "pwrite64 (file)", "writev (file)"],
    &["fsync", "fdatasync"],
    &["rename"],
    &["link", "symlink"],
    &["unlink"],
    &["connect (socket)"],
    &["sendto (socket)", "sendmsg (socket)", "write (socket)", "writev (socket)"],
    &["recvfrom (socket)", "recvmsg (socket)", "read (socket)"],
];
/// The scenarios that do all of it.
const WHOLE: [&str; 4] =
    ["first enrollment", "another enrollment", "enrollment by file and fingerprint", "renewal by the daemon"];
/// What cannot be struck, or ends the process anyway.
const LEFT_OUT: &[&str] = &["execve", "exit_group", "restart_syscall"];

/// What the command line asks for.
pub(crate) struct Plan {
    every: usize,
    all_calls: bool,
    doubles: usize,
    jobs: usize,
    pub(crate) at_least: usize,
}

/// A system call, and how many of it there were when nobody struck.
pub(crate) struct Target {
    pub(crate) name: String,
    count: usize,
}

/// One thing to do: it ends with the call that no longer strikes.
pub(crate) type Job = Box<dyn FnOnce(&Lab) + Send>;

/// One worker's own Console, and what all of them share.
pub(crate) struct Lab<'a> {
    pub(crate) world: World,
    pub(crate) consumer: &'a Consumer,
    tally: &'a Tally,
    every: usize,
    serial: Cell<usize>,
}

/// How often which call was struck, by scenario.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<String, BTreeMap<String, usize>>>);

impl Plan {
    pub(crate) fn of(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut plan = Self { every: 1, all_calls: false, doubles: 0, jobs: 2, at_least: 1 };
        while let Some(word) = words.next() {
            let mut number = || words.next()?.parse::<usize>().ok();
            match word.as_str() {
                "--all-calls" => plan.all_calls = true,
                "--every" => plan.every = number().filter(|every| *every > 0)?,
                "--doubles" => plan.doubles = number()?,
                "--jobs" => plan.jobs = number().filter(|jobs| *jobs > 0)?,
                "--at-least" => plan.at_least = number()?,
                _ => return None,
            }
        }
        Some(plan)
    }

    /// The consumer has a processor to itself only where every call is struck.
    fn pause(&self) -> Duration {
        if self.every == 1 { Duration::ZERO } else { Duration::from_micros(500) }
    }

    /// Does all of it and gives the number of kills.
    pub(crate) fn carry_out(&self) -> usize {
        let begin = Instant::now();
        let (consumer, tally) = (Consumer::new(self.pause()), Tally::default());
        let first = Lab::new(&consumer, &tally, self.every);
        let jobs = Mutex::new(self.jobs(&first));
        let next = || jobs.lock().expect("nobody panics with it").pop_front();
        let work = |lab: Lab<'_>| {
            while let Some(job) = next() {
                job(&lab);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs {
                scope.spawn(|| work(Lab::new(&consumer, &tally, self.every)));
            }
            work(first);
        });
        let kills = tally.print();
        if self.every == 1 {
            tally.insist();
        }
        let sights = consumer.sights();
        println!(
            "{kills} kills in {} s; a consumer looked {} times: {} pairs, {} times before the first identity, {} second \
             looks by name after a switch in between, {} gaps, {} violations",
            begin.elapsed().as_secs(),
            sights.looks,
            sights.pairs,
            sights.nothing_yet,
            sights.looked_twice,
            sights.gaps,
            sights.violations.len()
        );
        assert!(sights.violations.is_empty(), "{:#?}", sights.violations);
        assert!(sights.pairs > 0, "the consumer saw nothing");
        kills
    }

    fn jobs(&self, lab: &Lab<'_>) -> VecDeque<Job> {
        let mut jobs = VecDeque::new();
        jobs.extend(renewal::jobs(self, lab));
        jobs.extend(torn::jobs(self, lab));
        jobs.extend(enrollment::jobs(self, lab));
        jobs.extend(enrollment::doubles(lab, self.doubles));
        jobs
    }

    /// The calls of a trace that are to be struck, in the order of the alphabet.
    pub(crate) fn calls(&self, scenario: &str, trace: &Trace) -> Vec<Target> {
        let counts = trace.counts();
        assert!(counts.values().sum::<usize>() > 100, "{scenario}: nothing was traced");
        println!("{scenario}: {} threads, {} calls", trace.threads(), counts.values().sum::<usize>());
        let all = counts.into_iter().map(|(name, count)| Target { name, count });
        let all = all.filter(|call| !LEFT_OUT.contains(&call.name.as_str()));
        all.filter(|call| self.all_calls || DEMANDED.contains(&call.name.as_str())).collect()
    }

    /// The same, where another scenario strikes at every call already.
    pub(crate) fn demanded_calls(&self, scenario: &str, trace: &Trace) -> Vec<Target> {
        let narrow = Self { all_calls: false, ..*self };
        narrow.calls(scenario, trace)
    }
}

impl<'a> Lab<'a> {
    fn new(consumer: &'a Consumer, tally: &'a Tally, every: usize) -> Self {
        let world = World::terms().setup(&["--trial-nodes", "100000"]).start();
        Self { world, consumer, tally, every, serial: Cell::new(0) }
    }

    /// A name that no host here had before.
    pub(crate) fn name(&self) -> String {
        self.serial.set(self.serial.get() + 1);
        format!("host-{}", self.serial.get())
    }

    /// Where strace writes.
    pub(crate) fn trace(&self) -> PathBuf {
        self.world.folder().join("trace")
    }

    /// Which of this call are struck: every one, or each k-th beginning with another one for each call.
    pub(crate) fn places(&self, call: &str) -> impl Iterator<Item = usize> + use<> {
        let begin = call.bytes().map(usize::from).sum::<usize>() % self.every;
        (1 + begin..).step_by(self.every)
    }

    /// The same, and one in so many of them where some are left out anyway.
    pub(crate) fn fewer_places(&self, call: &str, by: usize) -> impl Iterator<Item = usize> + use<> {
        self.places(call).step_by(if self.every == 1 { 1 } else { by })
    }

    /// Insists that a scenario was struck to its end: the first place that no kill came to is where the changes of the disk end
    /// in the run that nobody struck, give or take one. How often a process reads, waits and is answered hangs on the moment.
    pub(crate) fn is_through(&self, scenario: &str, call: &Target, at: usize) {
        let Target { name, count } = call;
        let met = at + self.every + 1 + count / 4 > *count;
        let comes_out_alike = ALIKE.contains(&name.as_str());
        assert!(
            met || !comes_out_alike,
            "{scenario}: number {at} of {name} was not met, and there are {count}"
        );
    }

    /// Notes a kill, with the call that it struck as the trace tells.
    pub(crate) fn struck(&self, scenario: &str) -> String {
        let call = Trace::read(&self.trace()).last().unwrap_or_else(|| "nothing traced".to_owned());
        let mut rows = self.tally.0.lock().expect("nobody panics with it");
        *rows.entry(scenario.to_owned()).or_default().entry(call.clone()).or_default() += 1;
        call
    }
}

impl Tally {
    /// Nothing that a scenario is about goes by another name unnoticed.
    fn insist(&self) {
        let rows = self.0.lock().expect("nobody panics with it");
        for scenario in WHOLE {
            let calls = rows.get(scenario).unwrap_or_else(|| panic!("{scenario}: nothing was struck"));
            for names in STRUCK {
                let struck = calls.keys().any(|call| names.iter().any(|name| call.starts_with(name)));
                assert!(struck, "{scenario}: none of {names:?} was struck");
            }
        }
    }

    /// Prints what was struck, scenario by scenario, and gives the sum.
    fn print(&self) -> usize {
        let rows = self.0.lock().expect("nobody panics with it");
        let mut sum = 0;
        for (scenario, calls) in &*rows {
            let all: usize = calls.values().sum();
            println!("{scenario}: {all} kills");
            for (call, count) in calls {
                println!("  {count:5}  {call}");
            }
            sum += all;
        }
        sum
    }
}
