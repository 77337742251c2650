//! What a run of the benchmarks found: the one form that is written as JSON, and that tables and pictures are made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::stat::median;

/// Everything. A part that was not asked for, or that this machine cannot do, is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Always `bench`.
    pub tool: String,
    /// Version of the project.
    pub version: String,
    /// Whether it was the short run, which shows that all works and measures nothing of worth.
    pub quick: bool,
    /// When it began, RFC 3339.
    pub taken_at: String,
    /// Seconds that it took.
    pub took_seconds: f64,
    /// Parts that were measured again later on the same machine, and when.
    #[serde(default)]
    pub again: BTreeMap<String, String>,
    /// Processes that wanted a processor on average in the minute before each of these.
    #[serde(default)]
    pub again_load: BTreeMap<String, f64>,
    /// Where.
    pub machine: Machine,
    /// Sizes of what is given to others.
    pub sizes: Vec<Size>,
    /// Console and ceiling side by side, one call on one connection at a time, as many clients as were best.
    pub contests: Vec<Contest>,
    /// The same at half of the rate that was reached.
    pub half_load: Vec<HalfLoad>,
    /// Calls a second by the number of clients.
    pub by_clients: Vec<Curve>,
    /// Time of a call by the rows in the database.
    pub by_rows: Vec<Curve>,
    /// Those times with the most rows against those with none.
    pub rows: Vec<RowRatio>,
    /// The agent on its host.
    pub agent: Option<AgentFigures>,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Size {
    /// What it is.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// What was aimed at.
    pub goal_bytes: Option<u64>,
}

/// The same calls at the Console and at the ceiling, in turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contest {
    /// `enroll`, `renew` or `heartbeat`.
    pub work: String,
    /// `SQLite` or `PostgreSQL`.
    pub engine: String,
    /// What the ceiling does for each call; the goal is a share of this one.
    pub ceiling: String,
    /// Clients at once.
    pub clients: usize,
    /// Least share of the ceiling that was aimed at.
    pub goal: Option<f64>,
    /// The turns.
    pub rounds: Vec<Round>,
}

/// One turn of each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// The Console.
    pub console: Pace,
    /// The ceiling.
    pub ceiling: Pace,
    /// The ceiling that checks the request too, where there is one and it took part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checking: Option<Pace>,
}

/// How fast it went.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Pace {
    /// Calls that succeeded.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls a second by the clock on the wall, clients and server on one machine.
    pub per_second: f64,
    /// Calls in a second of one core's time, spent by the server and its database.
    pub per_core_second: f64,
    /// Median time of a call, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 calls took no longer, milliseconds.
    pub p99_ms: f64,
    /// 999 of 1000.
    pub p999_ms: f64,
    /// Processors that the load tool kept busy.
    pub tool_processors: f64,
}

/// Times at half of the reached rate, planned beginnings counting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HalfLoad {
    /// What the calls were.
    pub work: String,
    /// The engine.
    pub engine: String,
    /// Calls begun a second, for both.
    pub rate: f64,
    /// The turns.
    pub rounds: Vec<Round>,
}

/// Points of one line of a picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    /// What the line shows.
    pub name: String,
    /// Where it belongs: curves of one picture share it.
    pub picture: String,
    /// The points.
    pub points: Vec<Point>,
}

/// One point, the median of its rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Clients, or rows.
    pub x: u64,
    /// The median.
    pub y: f64,
    /// All values, in the order in which they were measured.
    pub all: Vec<f64>,
}

/// How much longer a call takes with a full database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowRatio {
    /// The call.
    pub work: String,
    /// Rows of each kind in the full one.
    pub rows: u64,
    /// Median time with next to none, milliseconds; of the rounds' medians.
    pub empty_ms: f64,
    /// Median time with all of them.
    pub full_ms: f64,
    /// The median of the rounds' own ratios.
    pub ratio: f64,
    /// What was aimed at, at most.
    pub goal: Option<f64>,
}

/// The agent's own figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentFigures {
    /// Whole processes of `enroll`, milliseconds each.
    pub enroll_ms: Vec<f64>,
    /// Their ceiling: a process that only says its version, milliseconds each, and one enrollment over the wire.
    pub start_ms: Vec<f64>,
    /// One enrollment by the load tool, milliseconds, median: what the network and the Console need of it.
    pub wire_ms: f64,
    /// From the loss of the credential, with a token at hand, to a new one that the Console has accepted, milliseconds.
    pub recovery_ms: Vec<f64>,
    /// Idle daemons, one for each build of the agent; the first is the one that all else was measured with.
    pub idle: Vec<Idle>,
}

/// A daemon that has enrolled and does nothing but what it has to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    /// Which build.
    pub build: String,
    /// Seconds that it was watched.
    pub watched_seconds: f64,
    /// Resident, bytes (`VmRSS`).
    pub resident_bytes: u64,
    /// Of it its own (`RssAnon`).
    pub own_bytes: u64,
    /// Of it pages of files, which the kernel drops and shares as it likes (`RssFile`).
    pub file_bytes: u64,
    /// The same with what is shared counted in shares (`Pss`).
    pub proportional_bytes: u64,
    /// Most that was resident at once (`VmHWM`).
    pub peak_bytes: u64,
    /// What was aimed at.
    pub goal_bytes: u64,
    /// Times that it woke up, a minute; what follows within a quarter of a second belongs to the same.
    pub wake_ups_a_minute: f64,
    /// Times that a thread of it gave up its processor, a minute: the steps of a heartbeat count one by one.
    pub switches_a_minute: f64,
    /// Heartbeats that the Console was sent, a minute.
    pub heartbeats_a_minute: f64,
    /// Wake-ups beyond the heartbeats that were aimed at, a minute.
    pub goal_beyond_heartbeats: f64,
    /// Milliseconds of processor time, a minute.
    pub cpu_ms_a_minute: f64,
}

impl Report {
    /// One without results.
    pub fn new(quick: bool, taken_at: String, machine: Machine) -> Self {
        Self {
            tool: "bench".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            quick,
            taken_at,
            took_seconds: 0.0,
            again: BTreeMap::new(),
            again_load: BTreeMap::new(),
            machine,
            sizes: Vec::new(),
            contests: Vec::new(),
            half_load: Vec::new(),
            by_clients: Vec::new(),
            by_rows: Vec::new(),
            rows: Vec::new(),
            agent: None,
        }
    }
}

impl Contest {
    /// The median of what `get` takes from the Console's turns.
    pub fn console(&self, get: impl Fn(&Pace) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| get(&round.console)))
    }

    /// The same of the ceiling's.
    pub fn ceiling(&self, get: impl Fn(&Pace) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| get(&round.ceiling)))
    }

    /// The median of the turns' ratios: Console to ceiling, turn by turn, so that a slow minute of the machine counts in
    /// both.
    pub fn ratio(&self, get: impl Fn(&Pace) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| get(&round.console) / get(&round.ceiling)))
    }

    /// The same to the ceiling that checks the request; `None` where it took no part.
    pub fn ratio_checking(&self, get: impl Fn(&Pace) -> f64) -> Option<f64> {
        let ratio = |round: &Round| Some(get(&round.console) / get(&round.checking?));
        self.rounds.iter().map(ratio).collect::<Option<Vec<f64>>>().map(median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_with_the_check_is_there_where_the_check_took_part() {
        let pace = |per_core_second| Pace {
            calls: 1,
            failed: 0,
            per_second: 1.0,
            per_core_second,
            p50_ms: 1.0,
            p99_ms: 1.0,
            p999_ms: 1.0,
            tool_processors: 1.0,
        };
        let contest = |checking: Option<f64>| Contest {
            work: "enroll".to_owned(),
            engine: "SQLite".to_owned(),
            ceiling: String::new(),
            clients: 1,
            goal: None,
            rounds: vec![Round { console: pace(3.0), ceiling: pace(6.0), checking: checking.map(pace) }],
        };
        let by_core = |pace: &Pace| pace.per_core_second;
        assert_eq!(contest(Some(4.0)).ratio_checking(by_core), Some(0.75));
        assert_eq!(contest(Some(4.0)).ratio(by_core).to_bits(), 0.5f64.to_bits());
        assert_eq!(contest(None).ratio_checking(by_core), None);
    }
}
