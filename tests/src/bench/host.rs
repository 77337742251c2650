//! The agent on its host: whole processes, the way back from a loss, and what an idle daemon costs.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::processes::{proportional_kilobytes, status_number, switches_and_nanoseconds};
use super::report::{AgentFigures, Idle};
use super::side::Side;
use crate::bins;
use crate::daemon::Daemon;
use crate::world::World;

/// Cluster of the hosts that lose their credentials.
const CLUSTER: &str = "losers";
/// Time between two looks at an idle daemon.
const SLOT: Duration = Duration::from_millis(50);
/// So many slots asleep end a wake-up: the steps of one heartbeat are one.
const ASLEEP: u32 = 5;
/// Time that a daemon gets to come to rest before it is watched.
const REST: Duration = Duration::from_secs(2);
/// Memory that was aimed at, bytes.
const GOAL_BYTES: u64 = 4_000_000;
/// Wake-ups a minute beyond the heartbeats that were aimed at.
const GOAL_BEYOND: f64 = 5.0;

/// All of it; of these builds, the first of which is the one that runs, what they cost when idle.
pub(super) fn agent(plan: &Plan, builds: &[(String, PathBuf)]) -> AgentFigures {
    let side = Side::sqlite();
    plan.say("whole processes of enroll");
    let (enroll_ms, start_ms) = processes(plan, side.world());
    let wire_ms = side.enroll(&["--concurrency", "1", "--count", &(plan.processes * 10).to_string()]).p50_ms;
    plan.say("from loss to a new identity");
    let recovery_ms = recoveries(plan, side.world());
    plan.say("idle daemons");
    AgentFigures { enroll_ms, start_ms, wire_ms, recovery_ms, idle: idle(plan, side.world(), builds) }
}

/// Times of `enroll` and of `--version`, in turns.
fn processes(plan: &Plan, world: &World) -> (Vec<f64>, Vec<f64>) {
    let empty = world.write("empty.toml", "");
    let (mut enroll, mut start) = (Vec::new(), Vec::new());
    for number in 0..plan.processes {
        let name = format!("process-{number}");
        let token = world.write("process-token", &world.once().token);
        let mut command = Command::new(bins::agent());
        command.arg("--config").arg(&empty).arg("--state-dir").arg(world.folder().join(&name));
        command.args(["enroll", "--console-url", &world.url(), "--node-name", &name, "--bootstrap-ca"]);
        command.arg(world.ca_file()).arg("--token-file").arg(token);
        enroll.push(milliseconds(&mut command));
        start.push(milliseconds(Command::new(bins::agent()).arg("--version")));
    }
    (enroll, start)
}

fn milliseconds(command: &mut Command) -> f64 {
    let command = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("the agent can be started");
    let took = begin.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    took.as_secs_f64() * 1000.0
}

/// Times from the loss of the key to another identity that the Console has accepted, with a cluster token at hand.
fn recoveries(plan: &Plan, world: &World) -> Vec<f64> {
    let token = world.token(&["--type", "cluster", "--cluster-id", CLUSTER]).token;
    let mut times = Vec::new();
    for number in 0..plan.losses {
        let mut daemon =
            Daemon::prepare(world, &format!("loser-{number}"), &format!("cluster_name = {CLUSTER:?}"));
        daemon.log_at("info");
        daemon.run();
        let before = daemon.enroll(&token);
        let begin = Instant::now();
        std::fs::remove_file(daemon.current("client.key.pem")).expect("it was there");
        daemon.until("another identity", |status| {
            status["serial"] != before["serial"] && status["state"] == "active" && status["accepted"] == true
        });
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times
}

/// Daemons of all these builds, watched at once: one does not wake another.
fn idle(plan: &Plan, world: &World, builds: &[(String, PathBuf)]) -> Vec<Idle> {
    let daemons: Vec<Daemon> = (0..)
        .zip(builds)
        .map(|(number, (_, program))| {
            let name = format!("idler-{number}");
            let mut daemon = Daemon::prepare(world, &name, "");
            keep_apart(&daemon, world, &name);
            daemon.log_at("info");
            daemon.run_by(program);
            daemon.run();
            let _ = daemon.enroll(&world.once().token);
            daemon
        })
        .collect();
    std::thread::sleep(REST);
    let beats: Vec<f64> = daemons.iter().map(heartbeats).collect();
    std::thread::sleep(REST);
    let begin = Instant::now();
    let mut sleepers: Vec<Sleeper> = daemons.iter().map(|daemon| Sleeper::new(daemon.pid())).collect();
    while begin.elapsed() < plan.watch {
        std::thread::sleep(SLOT);
        sleepers.iter_mut().for_each(Sleeper::look);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let found = sleepers.iter().zip(builds).map(|(sleeper, (name, _))| sleeper.found(name, seconds));
    let found: Vec<Idle> = found.collect();
    let rates =
        daemons.iter().zip(beats).map(|(daemon, beats)| (heartbeats(daemon) - beats) * 60.0 / seconds);
    found.into_iter().zip(rates).map(|(idle, rate)| Idle { heartbeats_a_minute: rate, ..idle }).collect()
}

/// Gives a daemon a CA file of its own. It watches the file's folder, and in the Console's a database is written with each heartbeat
/// of every daemon.
fn keep_apart(daemon: &Daemon, world: &World, name: &str) {
    let own = daemon.config_file().with_file_name("console-ca.pem");
    std::fs::copy(world.ca_file(), &own).expect("the CA can be copied");
    daemon.configure_trusting(&own, world, name, "");
}

/// A process that is watched.
struct Sleeper {
    pid: u32,
    first: (u64, u64),
    seen: u64,
    asleep: u32,
    wake_ups: u32,
}

impl Sleeper {
    fn new(pid: u32) -> Self {
        let first = switches_and_nanoseconds(pid);
        Self { pid, first, seen: first.0, asleep: ASLEEP, wake_ups: 0 }
    }

    /// One slot later: it was awake in it if it has gone to sleep since.
    fn look(&mut self) {
        let switches = switches_and_nanoseconds(self.pid).0;
        if switches == self.seen {
            self.asleep = self.asleep.saturating_add(1);
            return;
        }
        self.wake_ups += u32::from(self.asleep >= ASLEEP);
        (self.asleep, self.seen) = (0, switches);
    }

    fn found(&self, build: &str, seconds: f64) -> Idle {
        let last = switches_and_nanoseconds(self.pid);
        let kilobytes = |name: &str| status_number(self.pid, name) * 1024;
        let a_minute = |count: f64| count * 60.0 / seconds;
        Idle {
            build: build.to_owned(),
            watched_seconds: seconds,
            resident_bytes: kilobytes("VmRSS"),
            own_bytes: kilobytes("RssAnon"),
            file_bytes: kilobytes("RssFile"),
            proportional_bytes: proportional_kilobytes(self.pid) * 1024,
            peak_bytes: kilobytes("VmHWM"),
            goal_bytes: GOAL_BYTES,
            wake_ups_a_minute: a_minute(f64::from(self.wake_ups)),
            switches_a_minute: a_minute((last.0 - self.first.0) as f64),
            heartbeats_a_minute: 0.0,
            goal_beyond_heartbeats: GOAL_BEYOND,
            cpu_ms_a_minute: a_minute((last.1 - self.first.1) as f64 / 1e6),
        }
    }
}

/// Heartbeats that the daemon says it has sent.
fn heartbeats(daemon: &Daemon) -> f64 {
    let metrics = daemon.ask("GET /metrics").expect("the daemon answers");
    let lines = metrics.lines().filter(|line| line.contains("call=\"heartbeat\"") && !line.starts_with('#'));
    let counts = lines.filter(|line| line.split('{').next().is_some_and(|name| name.ends_with("_total")));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
