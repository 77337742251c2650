//! Whether a full database slows a call down: Consoles with next to no rows and with a million, side by side, on SQLite.
//!
//! What leaves no rows is timed first and what leaves most of them last, so that the empty one is as empty as can be.

use std::path::PathBuf;

use telovix_contract::paths;

use super::fill::fill;
use super::plan::Plan;
use super::report::{Curve, Pace, Point, RowRatio};
use super::side::Side;
use super::stat::median;

/// Most that a full database may cost.
const GOAL: f64 = 1.2;
/// Agents that are there from the beginning and send the heartbeats.
const BEATING: usize = 4;
/// Agents that renew, others in each turn.
const RENEWING: usize = 16;
/// Rows of a list.
const LIST: &str = "?limit=50";

/// A Console with so many rows.
struct Full {
    rows: u64,
    side: Side,
    identities: PathBuf,
    api_key: PathBuf,
}

/// What is called.
#[derive(Clone, Copy)]
enum Call {
    Sensors,
    Tokens,
    Heartbeat,
    Renew,
    Enroll,
}

impl Call {
    /// In the order in which they are timed.
    const ALL: [Self; 5] = [Self::Sensors, Self::Tokens, Self::Heartbeat, Self::Renew, Self::Enroll];

    fn word(self) -> &'static str {
        match self {
            Self::Sensors => "list of sensors",
            Self::Tokens => "list of tokens",
            Self::Heartbeat => "heartbeat",
            Self::Renew => "renew",
            Self::Enroll => "enroll",
        }
    }
}

impl Full {
    fn make(rows: u64) -> Self {
        let side = Side::sqlite();
        // The first is the host whose rows are copied.
        let identities = side.standing(BEATING);
        if rows > 0 {
            fill(side.world(), rows);
        }
        let scopes = ["--scopes", "sensors:read", "--output", "json"];
        let made = side.world().stub(&["apikey", "create"], &scopes);
        let api_key = side.world().write("api-key", &made.expect(0).stdout);
        Self { rows, side, identities, api_key }
    }

    fn pace(&self, call: Call, count: &str) -> Pace {
        // One client whose connection is kept: a handshake would hide what the database costs. A renewal has one all the
        // same, because the next call is made with another certificate.
        let args = ["--concurrency", "1", "--count", count, "--connections", "kept"];
        let list = |path: &str| self.side.get(&format!("{path}{LIST}"), &self.api_key, &args);
        match call {
            Call::Sensors => list(paths::V2_SENSORS),
            Call::Tokens => list(paths::V2_TOKENS),
            Call::Heartbeat => self.side.heartbeat(&self.identities, &args),
            Call::Renew => self.side.renew(&self.side.identities(RENEWING), &args),
            Call::Enroll => self.side.enroll(&args),
        }
    }
}

/// Median times of calls by the number of rows, and what the most rows cost.
pub(super) fn by_rows(plan: &Plan) -> (Vec<Curve>, Vec<RowRatio>) {
    let consoles: Vec<Full> = plan
        .row_numbers
        .iter()
        .map(|rows| {
            plan.say(&format!("a database with {rows} sensors, and as many tokens"));
            Full::make(*rows)
        })
        .collect();
    let count = plan.calls_by_rows.to_string();
    let (mut curves, mut ratios) = (Vec::new(), Vec::new());
    for call in Call::ALL {
        plan.say(&format!("time by rows: {}", call.word()));
        // The first calls fill caches and connections; nobody's life begins with every row.
        for console in &consoles {
            let _ = console.pace(call, &count);
        }
        let mut all = vec![Vec::new(); consoles.len()];
        for _ in 0..plan.row_rounds {
            for (at, console) in consoles.iter().enumerate() {
                all[at].push(console.pace(call, &count).p50_ms);
            }
        }
        if let (Some(empty), Some(full), Some(most)) = (all.first(), all.last(), consoles.last()) {
            ratios.push(RowRatio {
                work: call.word().to_owned(),
                rows: most.rows,
                empty_ms: median(empty.iter().copied()),
                full_ms: median(full.iter().copied()),
                ratio: median(full.iter().zip(empty).map(|(full, empty)| full / empty)),
                goal: Some(GOAL),
            });
        }
        let point = |(console, all): (&Full, Vec<f64>)| Point {
            x: console.rows,
            y: median(all.iter().copied()),
            all,
        };
        curves.push(Curve {
            name: call.word().to_owned(),
            picture: "time-by-rows".to_owned(),
            points: consoles.iter().zip(all).map(point).collect(),
        });
    }
    (curves, ratios)
}
