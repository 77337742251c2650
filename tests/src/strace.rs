//! Running a program under strace, which strikes at the n-th of a system call: with SIGKILL, or with an error.
//!
//! strace counts for each thread and each system call by itself. The agent has one thread, so that the count is the
//! program's; [`Trace::threads`] says so or otherwise. A signal is injected when the call is entered, and a call that is
//! entered under SIGKILL is not carried out: a kill at call n leaves exactly what the calls before it have done.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What strikes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// The system call.
    pub call: String,
    /// At which one, from 1.
    pub at: usize,
    /// What happens there.
    pub with: Blow,
}

/// What happens at a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL, before the call does anything.
    Kill,
    /// The call fails with this error.
    Fail(&'static str),
    /// This call and every later one fails with this error.
    FailOnwards(&'static str),
}

impl Strike {
    /// SIGKILL at the n-th of a system call.
    pub fn kill(call: &str, at: usize) -> Self {
        Self { call: call.to_owned(), at, with: Blow::Kill }
    }

    /// An error from the n-th of a system call on, or of each of several with commas between them.
    pub fn fail_onwards(call: &str, at: usize, error: &'static str) -> Self {
        Self { call: call.to_owned(), at, with: Blow::FailOnwards(error) }
    }

    /// The words for strace where only calls on these paths are counted and struck.
    pub fn words_on(&self, trace: &Path, paths: &[PathBuf]) -> Vec<String> {
        let mut words = self.words(trace);
        for path in paths {
            words.extend(["-P".to_owned(), path.to_str().expect("a UTF-8 name").to_owned()]);
        }
        words
    }

    /// The words for strace, with its output in a file.
    pub fn words(&self, trace: &Path) -> Vec<String> {
        let Self { call, at, with } = self;
        let inject = match with {
            Blow::Kill => format!("inject={call}:signal=SIGKILL:when={at}"),
            Blow::Fail(error) => format!("inject={call}:error={error}:when={at}"),
            Blow::FailOnwards(error) => format!("inject={call}:error={error}:when={at}+"),
        };
        let mut words = watch(call, trace);
        words.extend(["-e".to_owned(), inject]);
        words
    }
}

/// The words for strace that only looks at these calls (`all`, or names with commas).
pub fn watch(calls: &str, trace: &Path) -> Vec<String> {
    let trace = trace.to_str().expect("a temporary folder has a UTF-8 name");
    ["-f", "-y", "-s", "0", "-e", "signal=none", "-e", &format!("trace={calls}"), "-o", trace]
        .map(ToOwned::to_owned)
        .to_vec()
}

/// strace's own path, or `None` where it is not installed.
pub fn program() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join("strace"))
        .find(|file| file.is_file())
}

/// What strace wrote.
#[derive(Debug, Clone)]
pub struct Trace(Vec<(u32, String)>);

impl Trace {
    /// Reads a trace. One that is missing is empty.
    pub fn read(file: &Path) -> Self {
        let text = std::fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = |line: &str| {
            let (thread, rest) = line.split_once(' ')?;
            Some((thread.parse().ok()?, rest.trim_start().to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// How many of each system call one thread makes at most.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut by_thread = BTreeMap::<(u32, &str), usize>::new();
        for (thread, line) in &self.0 {
            if let Some(name) = name(line) {
                *by_thread.entry((*thread, name)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::<String, usize>::new();
        for ((_, name), count) in by_thread {
            let so_far = most.entry(name.to_owned()).or_default();
            *so_far = count.max(*so_far);
        }
        most
    }

    /// Threads that made a call.
    pub fn threads(&self) -> usize {
        let mut threads: Vec<_> = self.0.iter().map(|(thread, _)| thread).collect();
        threads.sort_unstable();
        threads.dedup();
        threads.len()
    }

    /// The last call of all, in words for a table: `write (file)`.
    pub fn last(&self) -> Option<String> {
        let line = self.0.iter().rev().map(|(_, line)| line).find(|line| name(line).is_some())?;
        Some(format!("{} ({})", name(line)?, object(line)))
    }

    /// The first call that was made to fail, as strace wrote it.
    pub fn failed(&self) -> String {
        self.injected().next().unwrap_or_default().to_owned()
    }

    /// What the calls that were made to fail are about: the last path that each names, which is where a rename leads.
    pub fn failed_paths(&self) -> Vec<String> {
        let arguments = self.injected().map(|line| line.rsplit_once(" = ").map_or(line, |(call, _)| call));
        let last = |call: &str| {
            call.split(['"', '<', '>']).rfind(|word| word.starts_with('/')).map(ToOwned::to_owned)
        };
        arguments.filter_map(last).collect()
    }

    /// Whether a call was made to fail.
    pub fn has_failed(&self) -> bool {
        self.injected().next().is_some()
    }

    fn injected(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, line)| line.as_str()).filter(|line| line.ends_with("(INJECTED)"))
    }

    /// Paths below this folder that calls have named or worked on.
    pub fn paths_below(&self, folder: &Path) -> Vec<String> {
        let folder = folder.to_str().expect("a UTF-8 name");
        let mut paths: Vec<String> = self
            .0
            .iter()
            .flat_map(|(_, line)| line.split(['"', '<', '>']))
            .filter(|word| word.starts_with(folder))
            .map(ToOwned::to_owned)
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

fn name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('(')?;
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (!name.is_empty() && is_name(name)).then_some(name)
}

/// What the call works on, by its first argument.
fn object(line: &str) -> &'static str {
    let Some((_, arguments)) = line.split_once('(') else { return "other" };
    let first = arguments.split([',', ')']).next().unwrap_or_default();
    match first.split_once('<').map(|(_, of)| of) {
        Some(of) if of.starts_with("socket:") || of.starts_with("TCP") || of.starts_with("UNIX") => "socket",
        Some(of) if of.starts_with("pipe:") || of.starts_with("anon_inode:") => "pipe or event",
        Some(_) if first.starts_with("AT_FDCWD") => "path",
        Some(of) if of.starts_with('/') => "file",
        Some(_) => "other",
        None if first.starts_with('"') || first == "AT_FDCWD" => "path",
        None => "other",
    }
}

/// strace at work on a process that runs already. The process goes on without it when this is dropped.
pub struct Attached {
    child: Child,
}

impl Attached {
    /// Attaches, and returns when it has.
    ///
    /// # Panics
    /// When strace cannot be started, or does not come to the process.
    pub fn to(pid: u32, words: &[String]) -> Self {
        let mut child = Command::new("strace")
            .args(words)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        // Links among the paths that it is to look at are talked about first.
        while !said.contains(" attached") {
            assert!(stderr.read_line(&mut said).expect("strace speaks") > 0, "strace says: {said}");
        }
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && matches!(self.child.try_wait(), Ok(None))
        {
            // At SIGTERM it lets the process go; at SIGKILL it might leave it stopped.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_counted_by_thread_and_its_last_call_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace");
        let text = "7 write(5</s/a>, \"\"..., 3) = 3\n7 write(6<socket:[9]>, \"\"..., 3) = 3\n8 write(1</s/b>, \"\"..., 3) = 3\n\
                    7 <... futex resumed>) = 0\n7 rename(\"/s/x\", \"/s/y\") = ?\n7 +++ killed by SIGKILL +++\n";
        std::fs::write(&file, text).unwrap();
        let trace = Trace::read(&file);
        assert_eq!(trace.counts()["write"], 2);
        assert_eq!(trace.threads(), 2);
        assert_eq!(trace.last().unwrap(), "rename (path)");
        assert!(trace.failed_paths().is_empty());
        assert_eq!(trace.paths_below(Path::new("/s")), ["/s/a", "/s/b", "/s/x", "/s/y"]);
        assert_eq!(object("writev(6<socket:[9]>, [], 2) = 3"), "socket");
        assert!(Trace::read(&folder.path().join("none")).last().is_none());
    }

    #[test]
    fn what_was_made_to_fail_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trace");
        let text = "7 openat(AT_FDCWD</home>, \"/s/fine\", O_RDONLY) = 3\n\
                    7 rename(\"/s/.x.new\", \"/s/x\") = -1 EIO (Input/output error) (INJECTED)\n\
                    7 fsync(5</s/dir>) = -1 EIO (Input/output error) (INJECTED)\n\
                    7 openat(AT_FDCWD</home>, \"/s/key\", O_WRONLY|O_CREAT, 0600) = -1 EIO (Input/output error) (INJECTED)\n";
        std::fs::write(&file, text).unwrap();
        let trace = Trace::read(&file);
        assert!(trace.has_failed() && trace.failed().starts_with("rename("));
        assert_eq!(trace.failed_paths(), ["/s/x", "/s/dir", "/s/key"]);
    }
}
