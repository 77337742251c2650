//! Everything that a hook has started, wherever it went: a session of its own, a parent that has ended.
//!
//! Invariant: whoever loses its parent becomes a child of this process (PR_SET_CHILD_SUBREAPER, prctl(2)), so that no process that a
//! hook started can be lost sight of; what an earlier hook left running is not touched.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Most times that the processes are listed: who is killed starts no other, so that few are needed.
const MOST_LISTINGS: usize = 64;

/// The hook that runs, which its starter waits for; 0 for none.
static LEADER: AtomicI32 = AtomicI32::new(0);

/// Number and start of a process, which together are given out once.
type Name = (i32, u64);

#[derive(Debug, Clone, Copy)]
struct Process {
    name: Name,
    parent: i32,
    is_dead: bool,
}

/// A hook and all that it started, killed when this is dropped.
pub(super) struct Family {
    leader: Option<Pid>,
    /// What ran before it.
    others: HashSet<Name>,
}

impl Family {
    /// Before the hook is started.
    pub(super) fn expected() -> Self {
        // A kernel without it does not exist; then a process without a parent would escape.
        let _ = set_child_subreaper(true);
        reap();
        Self { leader: None, others: below(&HashSet::new()).iter().map(|process| process.name).collect() }
    }

    /// After it was started.
    pub(super) fn led_by(&mut self, leader: Option<u32>) {
        self.leader = leader.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        LEADER.store(self.leader.map_or(0, Pid::as_raw), Ordering::SeqCst);
    }

    /// The hook has ended by itself; what it left running is meant to run.
    pub(super) fn leave_alone(mut self) {
        self.leader = None;
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        LEADER.store(0, Ordering::SeqCst);
        let Some(leader) = self.leader else { return };
        // Gone already, or never there: nothing to kill.
        let _ = killpg(leader, Signal::SIGKILL);
        let mut killed = HashSet::new();
        for _ in 0..MOST_LISTINGS {
            let left = below(&self.others);
            let mut alive =
                left.iter().filter(|process| !process.is_dead && killed.insert(process.name)).peekable();
            if alive.peek().is_none() {
                break;
            }
            for process in alive {
                let _ = kill(Pid::from_raw(process.name.0), Signal::SIGKILL);
            }
        }
    }
}

/// Takes note of the end of what hooks have left running; whoever adopts a process has to. The hook that runs is waited for
/// elsewhere.
pub fn reap() {
    let (own, leader) = (own(), LEADER.load(Ordering::SeqCst));
    let ended = processes().into_iter().filter(|process| process.is_dead && process.parent == own);
    for process in ended.filter(|process| process.name.0 != leader) {
        let _ = waitpid(Pid::from_raw(process.name.0), Some(WaitPidFlag::WNOHANG));
    }
}

/// Everything below this process, less what is below `others`.
fn below(others: &HashSet<Name>) -> Vec<Process> {
    let mut rest = processes();
    let (mut parents, mut found) = (HashSet::from([own()]), Vec::new());
    loop {
        let (children, others_children): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|process| parents.contains(&process.parent) && !others.contains(&process.name));
        if children.is_empty() {
            return found;
        }
        parents.extend(children.iter().map(|process| process.name.0));
        found.extend(children);
        rest = others_children;
    }
}

fn own() -> i32 {
    Pid::this().as_raw()
}

/// All that this process can see (proc_pid_stat(5)).
fn processes() -> Vec<Process> {
    let Ok(listing) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(process).collect()
}

fn process(number: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name of a program may hold anything, a bracket too.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Process { name: (number, start), parent, is_dead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_all() {
        let own = process(own()).unwrap();
        assert_eq!(own.parent, Pid::parent().as_raw());
        assert!(!own.is_dead && own.name.1 > 0);
        assert!(processes().iter().any(|process| process.name == own.name));
    }
}
