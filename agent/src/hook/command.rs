//! Runs a hook: no shell, a clean environment, a deadline for it and all that it started, and its words in the log.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::error::HookError;
use super::family::Family;
use crate::config::exposed;
use crate::console::error::clean;

/// Where a hook finds its programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most lines of a hook's output that are logged; the rest is read and dropped, so that the hook never blocks.
const MOST_LINES: usize = 50;
/// Longest line that is logged.
const LONGEST_LINE: usize = 400;
/// Pause between reads of one that says more than that.
const BREATH: Duration = Duration::from_millis(20);
/// How long the output is waited for after the hook has ended: what it started may go on, and hold it open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs it once.
pub(super) async fn run(
    words: &[String],
    environment: &[(&'static str, PathBuf)],
    limit: Duration,
) -> Result<(), HookError> {
    let (program, arguments) = words.split_first().map_or(("", words), |(p, rest)| (p.as_str(), rest));
    let start = |cause| HookError::Start { program: program.to_owned(), cause };
    if let Some(exposed) = exposed(Path::new(program)) {
        return Err(start(io::Error::other(exposed)));
    }
    let mut family = Family::expected();
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    family.led_by(child.id());
    match timeout(limit, listen(&mut child)).await {
        Ok(Ok((status, _))) if status.success() => {
            family.leave_alone();
            Ok(())
        }
        Ok(Ok((status, said))) => {
            family.leave_alone();
            Err(HookError::Ended { program: program.to_owned(), status, said })
        }
        Ok(Err(cause)) => Err(start(cause)),
        Err(_) => {
            drop(family);
            // Killed a moment ago, so that this does not wait.
            let _ = child.wait().await;
            Err(HookError::TimedOut { program: program.to_owned(), limit })
        }
    }
}

/// Waits for its end, logs what it says meanwhile, and gives the last line back.
async fn listen(child: &mut Child) -> io::Result<(ExitStatus, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut output = pin!(async { tokio::join!(log("output", out), log("error", err)) });
    let mut last = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            said = &mut output, if last.is_none() => last = Some(said),
        }
    };
    let last = match last {
        Some(said) => said,
        None => timeout(LAST_WORDS, output).await.unwrap_or_default(),
    };
    let (out, err) = last;
    Ok((status, if err.is_empty() { out } else { err }))
}

/// Logs what comes, line by line, and gives the last line back.
async fn log(stream: &'static str, source: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut source) = source else { return String::new() };
    let (mut buffer, mut line, mut lines) = (vec![0; 64 * 1024], Vec::new(), 0);
    let mut last = String::new();
    // Whether it says more than is logged.
    let mut tell = |line: &mut Vec<u8>| {
        let text = shown(line);
        line.clear();
        if text.is_empty() {
            return lines > MOST_LINES;
        }
        lines += 1;
        if lines <= MOST_LINES {
            tracing::info!(stream, line = %text, "the hook said");
        } else if lines == MOST_LINES + 1 {
            tracing::info!(stream, "the hook said more, which is not logged");
        }
        last = text;
        lines > MOST_LINES
    };
    while let Ok(length @ 1..) = source.read(&mut buffer).await {
        let mut floods = false;
        for byte in &buffer[..length] {
            match byte {
                b'\n' => floods = tell(&mut line),
                // Four bytes make the longest character.
                _ if line.len() < 4 * LONGEST_LINE => line.push(*byte),
                _ => {}
            }
        }
        if floods {
            sleep(BREATH).await;
        }
    }
    tell(&mut line);
    last
}

fn shown(line: &[u8]) -> String {
    clean(&String::from_utf8_lossy(line), LONGEST_LINE)
}
