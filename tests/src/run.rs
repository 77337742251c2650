//! Running a real program: a clean environment, all output kept, a limit to its time.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest that a program may run where the test names no other limit.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A program to be run. It inherits nothing but `PATH`.
#[derive(Debug, Clone)]
pub struct Program {
    path: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    folder: Option<OsString>,
    limit: Duration,
}

impl Program {
    /// The program at this path, without arguments.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            folder: None,
            limit: LIMIT,
        }
    }

    /// The same by way of another program, which is given these words and then the whole command line.
    pub fn by_way_of<S: AsRef<OsStr>>(mut self, path: &Path, words: &[S]) -> Self {
        let own = std::mem::replace(&mut self.path, path.into());
        let words = words.iter().map(|word| word.as_ref().to_owned());
        self.args = words.chain([own]).chain(self.args).collect();
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Gives it this on standard input, which is empty otherwise.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it in this folder.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Lets it run this long at most.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(&self) -> Run {
        self.spawn().wait()
    }

    /// Starts it.
    pub fn spawn(&self) -> Running {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear().envs(self.env.iter().cloned());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", self.path.display()));
        let mut stdin = child.stdin.take().expect("piped");
        let input = self.stdin.clone();
        // On a thread, because a program that does not read would block us; one that is gone is not our business.
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        Running {
            stdout: Some(drain(child.stdout.take().expect("piped"))),
            stderr: Some(drain(child.stderr.take().expect("piped"))),
            begin: Instant::now(),
            limit: self.limit,
            line: format!("{} {:?}", self.path.display(), self.args),
            child,
        }
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A program that runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    begin: Instant,
    limit: Duration,
    line: String,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("the process is ours");
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Run {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                break status;
            }
            if self.begin.elapsed() > self.limit {
                let _ = self.child.kill();
                let (out, err) = (take(&mut self.stdout), take(&mut self.stderr));
                panic!(
                    "{} ran longer than {:?}\n--- stdout\n{out}\n--- stderr\n{err}",
                    self.line, self.limit
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Run {
            code: status.code(),
            signal: status.signal(),
            stdout: take(&mut self.stdout),
            stderr: take(&mut self.stderr),
            took: self.begin.elapsed(),
            line: self.line.clone(),
        }
    }
}

fn take(thread: &mut Option<JoinHandle<String>>) -> String {
    thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its exit status; `None` after a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    line: String,
}

impl Run {
    /// Insists on an exit status.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "exit status of {}", self.report());
        self
    }

    /// Insists that standard error holds each of these texts.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} on standard error of {}", self.report());
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e} in the output of {}", self.report()))
    }

    /// Both outputs together.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// All there is to say of it.
    pub fn report(&self) -> String {
        let Self { line, code, signal, stdout, stderr, took } = self;
        format!(
            "{line}\nended with {code:?}, signal {signal:?}, after {took:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}
