//! Console against ceilings, in turns: the fastest that either goes, what a call costs a core, times at half load, and how
//! the rate grows with the number of clients.

use super::plan::Plan;
use super::report::{Contest, Curve, HalfLoad, Pace, Point, Round};
use super::side::Side;
use super::stat::median;

/// A kind of call, and what of a Console it is compared with.
struct Work {
    word: &'static str,
    ceiling: &'static str,
    /// Whether the ceiling that checks requests does anything else than the other one.
    checked: bool,
    goal: Option<f64>,
}

const WORKS: [Work; 3] = [
    Work {
        word: "enroll",
        ceiling: "TLS 1.3 handshake, signature of the certificate",
        checked: true,
        goal: Some(0.5),
    },
    Work {
        word: "renew",
        ceiling: "mutual TLS 1.3 handshake, signature of the certificate",
        checked: true,
        goal: Some(0.5),
    },
    Work { word: "heartbeat", ceiling: "mutual TLS 1.3 handshake", checked: false, goal: None },
];

/// Every kind of call on this engine: the contests, with the ceiling that checks requests as a third where it makes a
/// difference; then the same of two at half load.
pub(super) fn contests(
    plan: &Plan,
    engine: &str,
    console: &Side,
    ceiling: &Side,
    checking: &Side,
) -> (Vec<Contest>, Vec<HalfLoad>) {
    let fought: Vec<Contest> = WORKS
        .iter()
        .map(|work| {
            plan.say(&format!("{engine}: {} against the ceiling", work.word));
            let (clients, count) = (plan.clients.to_string(), plan.calls(work.word).to_string());
            let args = ["--concurrency", &clients, "--count", &count];
            let sides: &[&Side] =
                if work.checked { &[console, ceiling, checking] } else { &[console, ceiling] };
            Contest {
                work: work.word.to_owned(),
                engine: engine.to_owned(),
                ceiling: work.ceiling.to_owned(),
                clients: plan.clients,
                goal: work.goal,
                rounds: rounds(plan, plan.rounds, work.word, sides, &args),
            }
        })
        .collect();
    let halves = fought
        .iter()
        .map(|contest| {
            plan.say(&format!("{engine}: {} at half load", contest.work));
            let rate = contest.console(|pace| pace.per_second) / 2.0;
            let count = ((rate * plan.half_load_seconds).ceil() as usize).max(1);
            let (rate_word, count) = (format!("{rate:.1}"), count.to_string());
            let args = ["--rate", &rate_word, "--count", &count];
            HalfLoad {
                work: contest.work.clone(),
                engine: engine.to_owned(),
                rate,
                rounds: rounds(plan, plan.growth_rounds, &contest.work, &[console, ceiling], &args),
            }
        })
        .collect();
    (fought, halves)
}

/// Turns of all: the Console, the ceiling, and perhaps the one that checks requests. Who begins changes from turn to turn.
fn rounds(plan: &Plan, turns: usize, work: &str, sides: &[&Side], args: &[&str]) -> Vec<Round> {
    (0..turns)
        .map(|number| {
            let mut paces = vec![None; sides.len()];
            for step in 0..sides.len() {
                let at = (number + step) % sides.len();
                paces[at] = Some(turn(plan, work, sides[at], args));
            }
            let pace = |at: usize| paces.get(at).copied().flatten();
            let [console, ceiling] = [0, 1].map(|at| pace(at).expect("every side had its turn"));
            Round { console, ceiling, checking: pace(2) }
        })
        .collect()
}

fn turn(plan: &Plan, work: &str, side: &Side, args: &[&str]) -> Pace {
    match work {
        "enroll" => side.enroll(args),
        // A renewed identity is not the one in the file any more: each turn has new agents.
        "renew" => side.renew(&side.identities(plan.agents), args),
        "heartbeat" => side.heartbeat(&side.standing(plan.agents), args),
        other => unreachable!("no turn of {other}"),
    }
}

/// Calls of this kind a second by the number of clients, of each of these sides.
pub(super) fn by_clients(plan: &Plan, work: &str, sides: &[(&str, &Side)]) -> Vec<Curve> {
    let count = plan.calls("by_clients").to_string();
    let curve = |(name, _): &(&str, &Side)| Curve {
        name: (*name).to_owned(),
        picture: format!("{work}-by-clients"),
        points: Vec::new(),
    };
    let mut curves: Vec<Curve> = sides.iter().map(curve).collect();
    for clients in &plan.client_numbers {
        plan.say(&format!("{work} by {clients} clients"));
        let word = clients.to_string();
        let mut all = vec![Vec::new(); sides.len()];
        for _ in 0..plan.growth_rounds {
            for (at, (_, side)) in sides.iter().enumerate() {
                all[at].push(turn(plan, work, side, &["--concurrency", &word, "--count", &count]).per_second);
            }
        }
        for (curve, all) in curves.iter_mut().zip(all) {
            curve.points.push(Point { x: *clients, y: median(all.iter().copied()), all });
        }
    }
    curves
}
