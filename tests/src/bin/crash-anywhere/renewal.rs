//! The daemon is killed while it renews, and while it starts again after that.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use telovix_tests::daemon::Daemon;
use telovix_tests::proof::{is_accepted, telling};
use telovix_tests::strace::{Attached, Strike, Trace, watch};
use telovix_tests::wait;
use telovix_tests::world::Created;

use crate::plan::{Job, Lab, Plan, Target};

const LIMIT: Duration = Duration::from_secs(60);
const RENEWAL: &str = "renewal by the daemon";

/// A host with a daemon that is enrolled and renews again and again.
struct Host {
    daemon: Daemon,
    token: Created,
    sensors: i64,
}

impl Host {
    fn new(lab: &Lab<'_>) -> Self {
        let token = lab.world.once();
        let daemon = Daemon::start(&lab.world, &lab.name(), "");
        lab.consumer.watch(&daemon.state_dir());
        daemon.enroll(&token.token);
        let host = Self { daemon, token, sensors: lab.world.db().sensors() };
        host.renew_unharmed();
        host
    }

    fn renew(&self) -> String {
        self.daemon.ask("POST /renew?force=true").unwrap_or_default()
    }

    fn renew_unharmed(&self) {
        let answer = self.renew();
        assert!(answer.contains("\"renewed\""), "{answer}\n{}", self.daemon.log());
        self.until_settled();
    }

    fn until_settled(&self) {
        self.daemon.until("a settled identity", |status| {
            status["state"] == "active" && status["accepted"] == true && is_settled(&self.daemon.state_dir())
        });
    }

    /// Renews with a kill in its way. Whether that struck; then the daemon is dead.
    fn renew_killed_at(&mut self, lab: &Lab<'_>, call: &str, at: usize) -> bool {
        let strace = Attached::to(self.daemon.pid(), &Strike::kill(call, at).words(&lab.trace()));
        let answer = self.renew();
        if !answer.contains("\"renewed\"") {
            wait::until(LIMIT, "the daemon to die of its kill", || self.daemon.ended());
            return true;
        }
        drop(strace);
        self.daemon.ended().is_some()
    }

    /// The next start: all is well, and goes on being well.
    fn start_and_look(&mut self, lab: &Lab<'_>) {
        lab.consumer.look_now(&self.daemon.state_dir());
        self.daemon.run();
        self.until_settled();
        // The Console may have made the successor already, and an hour after that the old certificate is worth nothing.
        let under_way = self.daemon.state_dir().join("renewal").exists();
        assert!(!under_way, "the renewal that was begun is not gone on with\n{}", self.daemon.log());
        telling(&self.daemon.log(), || is_accepted(&lab.world, &self.daemon.state_dir()));
        let db = lab.world.db();
        assert_eq!(db.sensors(), self.sensors, "sensor records");
        assert_eq!((db.token_status(&self.token.id).as_str(), db.token_uses(&self.token.id)), ("used", 1));
        assert_eq!(db.integrity(), "ok");
        self.renew_unharmed();
    }

    fn end(mut self, lab: &Lab<'_>) {
        lab.consumer.let_go(&self.daemon.state_dir());
        let _ = self.daemon.end(Signal::SIGTERM);
    }
}

/// Whether what was committed last is what is current.
fn is_settled(state: &Path) -> bool {
    let names = std::fs::read_dir(state.join("generations")).into_iter().flatten().flatten();
    let newest =
        names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name != ".new").max();
    let current = std::fs::read_link(state.join("current")).ok();
    current.zip(newest).is_some_and(|(current, newest)| current.ends_with(newest))
}

pub(crate) fn jobs(plan: &Plan, lab: &Lab<'_>) -> Vec<Job> {
    let host = Host::new(lab);
    let strace = Attached::to(host.daemon.pid(), &watch("all", &lab.trace()));
    host.renew_unharmed();
    drop(strace);
    host.end(lab);
    let trace = Trace::read(&lab.trace());
    let mut jobs: Vec<Job> = Vec::new();
    for call in plan.calls(RENEWAL, &trace) {
        jobs.push(Box::new(move |lab| every_one_of(lab, &call)));
    }
    // Each rename of a renewal gives something its place: request, generation, `current`.
    let renames = trace.counts().get("rename").copied().unwrap_or_default();
    assert!(renames >= 3, "a renewal has {renames} renames");
    for stage in 1..=renames {
        let scenario = format!("start after a kill at rename {stage} of a renewal");
        for call in plan.demanded_calls(&scenario, &start_after(lab, stage)) {
            let scenario = scenario.clone();
            jobs.push(Box::new(move |lab| every_one_of_the_start(lab, &scenario, stage, &call)));
        }
    }
    jobs
}

fn every_one_of(lab: &Lab<'_>, call: &Target) {
    let mut host = Host::new(lab);
    for at in lab.places(&call.name) {
        if !host.renew_killed_at(lab, &call.name, at) {
            lab.is_through(RENEWAL, call, at);
            break;
        }
        let killed = format!("{}, number {at} of {}", lab.struck(RENEWAL), call.name);
        telling(&killed, || host.start_and_look(lab));
    }
    host.end(lab);
}

/// The trace of a start that nobody kills, after a renewal that was.
fn start_after(lab: &Lab<'_>, stage: usize) -> Trace {
    let mut host = Host::new(lab);
    assert!(host.renew_killed_at(lab, "rename", stage), "no rename {stage}");
    host.daemon.run_under_strace(&watch("all", &lab.trace()));
    let ended = ended_or_settled(&mut host);
    assert!(!ended, "nobody killed it: {}", host.daemon.log());
    stop_inside(&mut host);
    host.start_and_look(lab);
    host.end(lab);
    Trace::read(&lab.trace())
}

fn every_one_of_the_start(lab: &Lab<'_>, scenario: &str, stage: usize, call: &Target) {
    let mut host = Host::new(lab);
    for at in lab.places(&call.name) {
        assert!(host.renew_killed_at(lab, "rename", stage), "no rename {stage}");
        host.daemon.run_under_strace(&Strike::kill(&call.name, at).words(&lab.trace()));
        let struck = ended_or_settled(&mut host);
        let killed = if struck {
            format!("{}, number {at} of {}, {scenario}", lab.struck(scenario), call.name)
        } else {
            stop_inside(&mut host);
            "nothing".to_owned()
        };
        telling(&killed, || host.start_and_look(lab));
        if !struck {
            lab.is_through(scenario, call, at);
            break;
        }
    }
    host.end(lab);
}

/// Waits until a daemon under strace is dead (true), or enrolled with nothing left to do (false).
fn ended_or_settled(host: &mut Host) -> bool {
    wait::until(LIMIT, "the start to end or to be through", || {
        if host.daemon.ended().is_some() {
            return Some(true);
        }
        let status = host.daemon.status()?;
        let is_through =
            status["state"] == "active" && status["accepted"] == true && is_settled(&host.daemon.state_dir());
        is_through.then_some(false)
    })
}

/// Ends the agent inside strace, which then ends by itself.
fn stop_inside(host: &mut Host) {
    let pid = host.daemon.locked_by().expect("the agent wrote its process id into its lock");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is ours");
    wait::until(LIMIT, "strace to end with the agent", || host.daemon.ended());
}
