//! The stub's process: started with its log in a file, known by the address that it prints, ended by its own id.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::bins;
use crate::wait;

/// Longest that a start may take.
const START: Duration = Duration::from_secs(30);

/// A stub that runs.
pub(super) struct StubProcess {
    child: Child,
    address: SocketAddr,
}

impl StubProcess {
    /// Starts it and waits until it has said where it listens. Its log goes to `console.log` in `folder`.
    pub(super) fn start(
        folder: &Path,
        data: &Path,
        listen: SocketAddr,
        args: &[String],
        env: &[(String, String)],
    ) -> Self {
        let log = folder.join("console.log");
        let log = OpenOptions::new().create(true).append(true).open(&log).expect("the log can be written");
        let mut command = Command::new(bins::console_stub());
        command.args(["serve", "--listen", &listen.to_string(), "--data-dir"]).arg(data).args(args);
        command
            .env_clear()
            .envs(env.iter().cloned())
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the stub can be started");
        let stdout = child.stdout.take().expect("piped");
        let (said, hear) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = said.send(line);
            // A pipe that nobody empties would stop the stub some day.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let line = hear.recv_timeout(START).unwrap_or_default();
        let Some(address) = address_in(&line) else {
            let _ = child.kill();
            let _ = child.wait();
            let log = std::fs::read_to_string(folder.join("console.log")).unwrap_or_default();
            panic!("the stub's first line is {line:?}, which is no address; its log:\n{log}");
        };
        Self { child, address }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for an end that comes by itself.
    pub(super) fn wait(mut self) {
        wait::until(START, "the stub to end by itself", || self.child.try_wait().expect("the child is ours"));
    }
}

impl Drop for StubProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in `https://127.0.0.1:4711` or in any line that holds such a word or a bare address.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split_whitespace().find_map(|word| {
        let word = word.strip_prefix("https://").unwrap_or(word);
        word.trim_end_matches(['/', ',', '.']).parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_a_server_prints() {
        for line in ["127.0.0.1:99\n", "https://127.0.0.1:99\n", "listening on https://127.0.0.1:99/."] {
            assert_eq!(address_in(line), Some("127.0.0.1:99".parse().unwrap()), "{line}");
        }
        assert_eq!(address_in("https://[::1]:99"), Some("[::1]:99".parse().unwrap()));
        assert_eq!(address_in("starting"), None);
    }
}
