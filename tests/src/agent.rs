//! The real agent, with the arguments, the environment and the standard input that a test chooses.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bins;
use crate::run::{Program, Run, Running};

/// A command line of the agent in the making.
///
/// It always gets `--state-dir`, and `--config` with an empty file unless the test has one of its own, so that no file
/// of this machine takes part.
#[derive(Debug, Clone)]
pub struct Agent {
    state_dir: PathBuf,
    config: PathBuf,
    global: Vec<String>,
    command: Vec<String>,
    program: Program,
}

impl Agent {
    /// The agent with this state directory and this configuration file.
    pub fn new(state_dir: &Path, config: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            config: config.to_owned(),
            global: Vec::new(),
            command: Vec::new(),
            program: Program::new(bins::agent()),
        }
    }

    /// Arguments before the command: `--log-level trace`.
    pub fn global(mut self, args: &[&str]) -> Self {
        self.global.extend(args.iter().map(ToString::to_string));
        self
    }

    /// The command, or more arguments for it.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Another configuration file.
    pub fn config(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.config);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.program = self.program.env(name, value);
        self
    }

    /// Gives it this on standard input.
    pub fn stdin(mut self, text: &str) -> Self {
        self.program = self.program.stdin(text);
        self
    }

    /// Gives it this token by `--token-stdin`.
    pub fn token(self, token: &str) -> Self {
        self.args(["--token-stdin"]).stdin(token)
    }

    /// Lets it run this long at most.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.program = self.program.limit(limit);
        self
    }

    /// The same host with another command and nothing of this one: no token, no variable.
    pub fn clone_for(&self, command: &[&str]) -> Self {
        Self::new(&self.state_dir, &self.config).args(command)
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The key of the generation in force.
    pub fn key_pem(&self) -> String {
        self.read("client.key.pem")
    }

    /// A file of the state directory.
    pub fn read(&self, name: &str) -> String {
        let path = self.state_dir.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Whether the state directory has this file.
    pub fn has(&self, name: &str) -> bool {
        self.state_dir.join(name).exists()
    }

    /// Runs it to its end.
    pub fn run(&self) -> Run {
        self.program().run()
    }

    /// Runs it to its end under strace, which is given these words.
    pub fn run_under_strace(&self, words: &[String]) -> Run {
        self.program().by_way_of(Path::new("strace"), words).run()
    }

    /// Runs it to its end by way of another program, which is given these words before the whole command line.
    pub fn run_by_way_of(&self, program: &str, words: &[&str]) -> Run {
        self.program().by_way_of(Path::new(program), words).run()
    }

    /// Starts it.
    pub fn spawn(&self) -> Running {
        self.program().spawn()
    }

    fn program(&self) -> Program {
        let fixed =
            [OsStr::new("--state-dir"), self.state_dir.as_ref(), "--config".as_ref(), self.config.as_ref()];
        self.program.clone().args(fixed).args(&self.global).args(&self.command)
    }
}
