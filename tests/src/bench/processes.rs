//! What processes cost, as proc(5) tells it.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Seconds of processor time of a process, of its children, and of those that it has outlived.
pub(super) fn tree_seconds(pid: u32) -> f64 {
    let Some(own) = Times::of(pid) else { return 0.0 };
    let living = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = living.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter_map(Times::of).filter(|times| times.parent == pid);
    let ticks = own.own + own.outlived + children.map(|times| times.own + times.outlived).sum::<u64>();
    ticks as f64 / ticks_a_second()
}

/// A number of /proc/PID/status, in its own unit; 0 where there is none.
pub(super) fn status_number(pid: u32, name: &str) -> u64 {
    number_in(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), name)
}

/// What a process has in memory, with what it shares counted in shares (`Pss` of smaps_rollup), kilobytes; 0 where that
/// cannot be read.
pub(super) fn proportional_kilobytes(pid: u32) -> u64 {
    number_in(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default(), "Pss")
}

/// How often the threads of a process gave up their processors of their own accord, and the nanoseconds that they used.
pub(super) fn switches_and_nanoseconds(pid: u32) -> (u64, u64) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.fold((0, 0), |(switches, nanoseconds), thread| {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let used = read("schedstat").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0u64);
        (switches + number_in(&read("status"), "voluntary_ctxt_switches"), nanoseconds + used)
    })
}

fn number_in(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn ticks_a_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64
}

struct Times {
    parent: u32,
    own: u64,
    outlived: u64,
}

impl Times {
    fn of(pid: u32) -> Option<Self> {
        Self::read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields 4, and 14 to 17; the name in parentheses may hold anything.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let parent = u32::try_from(number(4)?).ok()?;
        Some(Self { parent, own: number(14)? + number(15)?, outlived: number(16)? + number(17)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_name_is() {
        let stat = "7 (a) b (c)) S 3 7 7 0 -1 4 1 2 0 0 11 12 13 14 20 0 1 0 5 6 7";
        let times = Times::read(stat).unwrap();
        assert_eq!((times.parent, times.own, times.outlived), (3, 23, 27));
        assert!(Times::read("nonsense").is_none());
    }

    #[test]
    fn this_process_costs_something_and_is_resident() {
        let pid = std::process::id();
        let mut sum = 0u64;
        while tree_seconds(pid) <= 0.0 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(status_number(pid, "VmRSS") > 100 && status_number(pid, "NoSuch") == 0);
        assert!(proportional_kilobytes(pid) > 100);
        assert!(switches_and_nanoseconds(pid).1 > 0);
    }
}
