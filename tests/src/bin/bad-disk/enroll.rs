//! `enroll` on a disk that fails at one call: it says so, what stood stands, and the same command goes on afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;

use telovix_tests::place::Place;
use telovix_tests::proof::{enrolled_once, is_usable};
use telovix_tests::run::Run;
use telovix_tests::strace::{Blow, Strike, Trace, watch};
use telovix_tests::world::Created;
use telovix_tests::{Agent, World};

/// Calls that change a disk.
const WRITES: &[&str] = &[
    "openat",
    "write",
    "fsync",
    "rename",
    "symlink",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "ftruncate",
    "flock",
];
/// Calls that only look.
const READS: &[&str] = &["openat", "read", "statx", "newfstatat", "readlink", "getdents64"];

/// The host before the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// It never enrolled.
    Nothing,
    /// It is another sensor.
    Identity,
    /// The Console has spent the token on its key, and the answer was lost.
    Asked,
    /// It holds the identity that the token has paid for.
    Enrolled,
}

struct Host {
    agent: Agent,
    token: Created,
    others: i64,
    holds: bool,
}

/// A kind of failure: the error, the calls that it is given to, and the hosts that it meets.
type Kind = (&'static str, &'static [&'static str], &'static [Before]);

/// Each call that writes.
pub(crate) fn writes(every: usize) {
    let kind = |error| (error, WRITES, &[Before::Nothing, Before::Identity][..]);
    all("enroll", every, &["ENOSPC", "EROFS", "EIO"].map(kind));
}

/// Each call that reads.
pub(crate) fn reads(every: usize) {
    all("reads", every, &[("EIO", READS, &[Before::Asked, Before::Enrolled])]);
}

fn all(what: &str, every: usize, kinds: &[Kind]) {
    let world = World::terms().setup(&["--trial-nodes", "100000"]).start();
    let mut sums = BTreeMap::<String, (usize, usize)>::new();
    let mut serial = 0;
    for (error, calls, befores) in kinds {
        for before in *befores {
            for call in *calls {
                let begin = call.len() % every;
                for at in (1 + begin..).step_by(every) {
                    serial += 1;
                    let host = Host::new(&world, &format!("host-{serial}"), *before);
                    let Some((run, failed)) = host.struck(&world, call, at, error) else { break };
                    let sum = sums.entry(format!("{error}, {before:?}: {call}")).or_default();
                    sum.0 += 1;
                    sum.1 += usize::from(run.code == Some(0));
                    host.look_and_finish(&world, &run, &failed, error);
                }
            }
        }
    }
    for (what, (struck, tolerated)) in &sums {
        println!("{struck:4} struck, {tolerated:3} of them tolerated  {what}");
    }
    let struck: usize = sums.values().map(|(struck, _)| struck).sum();
    println!("{what}: {struck} calls failed");
    let least = if every == 1 { 220 } else { 150 };
    assert!(struck * every > least, "only {struck} calls failed");
}

impl Host {
    fn new(world: &World, name: &str, before: Before) -> Self {
        let others = world.db().sensors();
        let fresh = world.enroll(name);
        let token = world.once();
        let agent = fresh.clone().token(&token.token);
        match before {
            Before::Nothing => Self { agent, token, others, holds: false },
            Before::Identity => {
                agent.run().expect(0);
                let token = world.once();
                let agent = fresh.args(["--new-sensor"]).token(&token.token);
                Self { agent, token, others: others + 1, holds: true }
            }
            Before::Asked => {
                // The second thing that a first enrollment renames is the generation out of the answer.
                let run = agent.run_under_strace(&Strike::kill("rename", 2).words(&trace(world)));
                assert_eq!(world.db().token_status(&token.id), "used", "{}", run.report());
                Self { agent, token, others, holds: false }
            }
            Before::Enrolled => {
                agent.run().expect(0);
                Self { agent, token, others, holds: true }
            }
        }
    }

    /// Runs with one call below the state directory made to fail; `None` where there were fewer of them.
    fn struck(&self, world: &World, call: &str, at: usize, error: &'static str) -> Option<(Run, Trace)> {
        let strike = Strike { call: call.to_owned(), at, with: Blow::Fail(error) };
        let run = self.agent.run_under_strace(&strike.words_on(&trace(world), &self.places()));
        let failed = Trace::read(&trace(world));
        failed.has_failed().then_some((run, failed))
    }

    fn look_and_finish(&self, world: &World, run: &Run, failed: &Trace, kind: &str) {
        if run.code == Some(0) {
            // What is done again with success is told all the same.
            let is_told = failed.failed_paths().iter().any(|path| run.stderr.contains(path));
            if !is_told {
                may_be_tolerated(failed);
            }
        } else {
            run.expect(8).says(&["error: cannot "]);
            let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            let path = failed.failed_paths().remove(0);
            assert!(error.contains(&path), "{path} is not named: {}\n{}", failed.failed(), run.stderr);
            match kind {
                "ENOSPC" => run.says(&["No space left on device", "make room"]),
                "EROFS" => run.says(&["Read-only file system", "remount"]),
                _ => run.says(&["Input/output error", "kernel's log"]),
            };
        }
        let told = format!("{kind} at {}: {}", failed.failed(), run.report());
        telovix_tests::proof::telling(&told, || {
            if self.holds {
                is_usable(world, &self.agent);
            }
            let again = self.agent.run();
            assert_eq!(again.code, Some(0), "{}", again.report());
            enrolled_once(world, &self.agent, &self.token, self.others);
        });
        std::fs::remove_dir_all(self.agent.state_dir()).expect("it is ours");
    }

    /// Every path that an enrollment comes to, by a trace of one.
    fn places(&self) -> Vec<PathBuf> {
        thread_local! {
            static NAMES: Vec<String> = names();
        }
        NAMES.with(|names| names.iter().map(|name| self.agent.state_dir().join(name)).collect())
    }
}

/// A command that ends well although a call failed has lost nothing: it only looked, or it was about what stands in the lock for
/// people to read.
fn may_be_tolerated(failed: &Trace) {
    let call = failed.failed();
    let name = call.split('(').next().unwrap_or_default();
    // An opening changes something only where it makes the file.
    let changes = if name == "openat" { call.contains("O_CREAT") } else { WRITES.contains(&name) };
    let of_the_lock = failed.failed_paths().iter().all(|path| path.ends_with("/.lock"));
    assert!(!changes || of_the_lock, "nobody heard of {call}");
}

/// The names below a state directory that two enrollments, one after the other, have to do with.
fn names() -> Vec<String> {
    let world = World::new();
    let place = Place::new();
    let mut names = vec![String::new()];
    for more in [&[][..], &["--new-sensor"], &["--new-sensor"]] {
        let agent = world.enroll("named").args(more.iter().copied()).token(&world.once().token);
        let trace = place.path().join("trace");
        agent.run_under_strace(&watch("all", &trace)).expect(0);
        let folder = format!("{}/", agent.state_dir().display());
        let found = Trace::read(&trace).paths_below(agent.state_dir());
        names.extend(found.iter().filter_map(|path| path.strip_prefix(&folder)).map(ToOwned::to_owned));
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    names
}

fn trace(world: &World) -> PathBuf {
    world.folder().join("trace")
}
