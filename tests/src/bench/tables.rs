//! A report as tables, in Markdown.

use std::fmt::Write as _;

use telovix_agent::watcher::QUIET;

use super::report::{AgentFigures, Contest, Pace, Report, Round};
use super::stat::{median, quantile};

/// Where the tables begin in a document that holds them.
pub const BEGIN: &str = "<!-- made by tests/bench: what follows, up to the end mark -->\n";
/// Where they end.
pub const END: &str = "<!-- end of what tests/bench made -->\n";

/// All tables, with a heading each.
pub fn tables(report: &Report) -> String {
    let parts =
        [machine(report), contests(report), half_load(report), rows(report), agent(report), sizes(report)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The document with these tables between its marks; `None` where it has no marks.
pub fn placed(document: &str, tables: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let again = report.again.iter().map(|(part, at)| {
        let load =
            report.again_load.get(part).map(|load| format!(", after a minute in which {load} wanted one"));
        format!(" Measured again: {part}, {at}{}.", load.unwrap_or_default())
    });
    let again: String = again.collect();
    let gibibytes = machine.memory_bytes as f64 / f64::from(1 << 30);
    format!(
        "### Machine\n\n{} processors ({}), {gibibytes:.0} GiB, {}, Linux {}. Databases on {}, where a write of 4 KiB and \
         its flush take {:.2} ms. {} processes wanted a processor in the minute before. Taken {}, in {:.0} s.{again}\n",
        machine.processors,
        machine.processor,
        machine.system,
        machine.kernel,
        machine.file_system,
        machine.flush_ms,
        machine.load_before,
        report.taken_at,
        report.took_seconds,
    )
}

fn contests(report: &Report) -> String {
    if report.contests.is_empty() {
        return String::new();
    }
    let mut text = "### Console and ceiling\n\n\
                    | call | engine | Console, calls/s | ceiling, calls/s | Console, calls per core second | ceiling, calls \
                    per core second | share per core | goal | share with the check | p50 / p99, Console | p50 / p99, ceiling | failed |\n\
                    |---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for contest in &report.contests {
        let by_clock = |pace: &Pace| pace.per_second;
        let by_core = |pace: &Pace| pace.per_core_second;
        let share = contest.ratio(by_core);
        let [console, ceiling] = sides(&contest.rounds);
        let all = contest.rounds.iter().flat_map(|round| {
            [Some(&round.console), Some(&round.ceiling), round.checking.as_ref()].into_iter().flatten()
        });
        let failed: u64 = all.map(|pace| pace.failed).sum();
        line(
            &mut text,
            &[
                contest.work.clone(),
                contest.engine.clone(),
                format!("{:.0}", contest.console(by_clock)),
                format!("{:.0}", contest.ceiling(by_clock)),
                format!("{:.0}", contest.console(by_core)),
                format!("{:.0}", contest.ceiling(by_core)),
                format!("{:.0} %", share * 100.0),
                goal(contest.goal.map(|goal| (format!("{:.0} %", goal * 100.0), share >= goal))),
                contest
                    .ratio_checking(by_core)
                    .map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
                times(&console),
                times(&ceiling),
                failed.to_string(),
            ],
        );
    }
    text + "\nThe ceiling is, " + &ceilings(&report.contests) + ".\n"
}

/// What the ceiling does for each kind of call, as the report has it.
fn ceilings(contests: &[Contest]) -> String {
    let mut said: Vec<String> = Vec::new();
    for contest in contests {
        let one = format!("for `{}`: {}", contest.work, contest.ceiling);
        if !said.contains(&one) {
            said.push(one);
        }
    }
    said.join("; ")
}

/// Median and 99th of 100 of one side's turns; each the median of the turns.
fn times(turns: &[&Pace]) -> String {
    format!("{:.1} / {:.1} ms", middle(turns, |pace| pace.p50_ms), middle(turns, |pace| pace.p99_ms))
}

fn middle(turns: &[&Pace], get: impl Fn(&Pace) -> f64) -> f64 {
    median(turns.iter().map(|pace| get(pace)))
}

/// The turns of the Console, and of the ceiling.
fn sides(rounds: &[Round]) -> [Vec<&Pace>; 2] {
    [rounds.iter().map(|round| &round.console).collect(), rounds.iter().map(|round| &round.ceiling).collect()]
}

fn half_load(report: &Report) -> String {
    if report.half_load.is_empty() {
        return String::new();
    }
    let mut text = "### Times at half load\n\n\
                    | call | engine | calls begun/s | p50 / p99 / p99.9, Console | p50 / p99 / p99.9, ceiling | p99, ratio |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for half in &report.half_load {
        let [console, ceiling] = sides(&half.rounds);
        let three = |turns: &[&Pace]| {
            let [p50, p99, p999] = [
                middle(turns, |pace| pace.p50_ms),
                middle(turns, |pace| pace.p99_ms),
                middle(turns, |pace| pace.p999_ms),
            ];
            format!("{p50:.1} / {p99:.1} / {p999:.1} ms")
        };
        let ratio = median(half.rounds.iter().map(|round| round.console.p99_ms / round.ceiling.p99_ms));
        line(
            &mut text,
            &[
                half.work.clone(),
                half.engine.clone(),
                format!("{:.0}", half.rate),
                three(&console),
                three(&ceiling),
                format!("{ratio:.1}"),
            ],
        );
    }
    text
}

fn rows(report: &Report) -> String {
    if report.rows.is_empty() {
        return String::new();
    }
    let most = report.rows.iter().map(|row| row.rows).max().unwrap_or(0);
    let mut text = format!(
        "### A full database\n\n| call | median, next to no rows | median, {most} sensors and tokens | ratio | goal |\n\
         |---|---|---|---|---|\n"
    );
    for row in &report.rows {
        line(
            &mut text,
            &[
                row.work.clone(),
                format!("{:.2} ms", row.empty_ms),
                format!("{:.2} ms", row.full_ms),
                format!("{:.2}", row.ratio),
                goal(row.goal.map(|goal| (format!("at most {goal}"), row.ratio <= goal))),
            ],
        );
    }
    text
}

fn agent(report: &Report) -> String {
    let Some(AgentFigures { enroll_ms, start_ms, wire_ms, recovery_ms, idle }) = &report.agent else {
        return String::new();
    };
    let mut text =
        "### The agent\n\n| what | median | p90 | times | beside it | ratio |\n|---|---|---|---|---|---|\n"
            .to_owned();
    let quiet_ms = QUIET.as_secs_f64() * 1e3;
    let mut times = |what: &str, times: &[f64], beside: String, beside_ms: f64| {
        let middle = median(times.iter().copied());
        let cells = [
            what.to_owned(),
            format!("{middle:.1} ms"),
            format!("{:.1} ms", quantile(times, 0.9)),
            times.len().to_string(),
            beside,
            format!("{:.1}", middle / beside_ms),
        ];
        line(&mut text, &cells);
    };
    let start = median(start_ms.iter().copied());
    let beside =
        format!("a process that says its version {start:.1} ms; the exchange over the wire {wire_ms:.1} ms");
    times("whole process of `enroll`", enroll_ms, beside, start + wire_ms);
    times(
        "from the loss of the key to another identity that is accepted",
        recovery_ms,
        format!(
            "{quiet_ms} ms of waiting for the disk to be quiet; the exchange over the wire {wire_ms:.1} ms"
        ),
        quiet_ms + wire_ms,
    );
    text.push_str("\n| idle daemon | resident | own / files | in shares | goal | wake-ups a minute | of them heartbeats | goal | \
                   context switches a minute | processor time a minute |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for idle in idle {
        let beyond = idle.wake_ups_a_minute - idle.heartbeats_a_minute;
        let cells = [
            idle.build.clone(),
            megabytes(idle.resident_bytes),
            format!("{} / {}", megabytes(idle.own_bytes), megabytes(idle.file_bytes)),
            megabytes(idle.proportional_bytes),
            goal(Some((
                format!("at most {}", megabytes(idle.goal_bytes)),
                idle.resident_bytes <= idle.goal_bytes,
            ))),
            format!("{:.1}", idle.wake_ups_a_minute),
            format!("{:.1}", idle.heartbeats_a_minute),
            goal(Some((
                format!("heartbeats plus {:.0}", idle.goal_beyond_heartbeats),
                beyond <= idle.goal_beyond_heartbeats,
            ))),
            format!("{:.0}", idle.switches_a_minute),
            format!("{:.1} ms", idle.cpu_ms_a_minute),
        ];
        line(&mut text, &cells);
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn sizes(report: &Report) -> String {
    if report.sizes.is_empty() {
        return String::new();
    }
    let mut text = "### Sizes\n\n| file | bytes | goal |\n|---|---|---|\n".to_owned();
    for size in &report.sizes {
        let wanted = size.goal_bytes.map(|goal| (format!("at most {goal}"), size.bytes <= goal));
        line(&mut text, &[size.name.clone(), size.bytes.to_string(), goal(wanted)]);
    }
    text
}

/// A goal, and whether it was reached.
fn goal(goal: Option<(String, bool)>) -> String {
    goal.map_or_else(
        || "–".to_owned(),
        |(text, reached)| format!("{text}: {}", if reached { "reached" } else { "**missed**" }),
    )
}

fn line(text: &mut String, cells: &[String]) {
    // Writing to a `String` does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_put_between_their_marks() {
        let document = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(placed(&document, "new\n").unwrap(), format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert!(placed("no marks", "new").is_none());
    }

    #[test]
    fn a_goal_that_was_missed_says_so() {
        assert_eq!(goal(None), "–");
        assert!(goal(Some(("50 %".to_owned(), false))).contains("missed"));
        assert!(!goal(Some(("50 %".to_owned(), true))).contains("missed"));
    }
}
