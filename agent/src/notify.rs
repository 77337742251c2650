//! Speaks to the service manager (sd_notify(3)): ready, what is going on, reloading, alive, stopping.
//!
//! Invariant: telling is never a reason to fail, nor to wait: where nobody listens, nothing is said. What stands in a
//! status is one line, so that no text from outside can say something else to the manager.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::config::ServiceSettings;

/// Longest that a manager which does not read may keep us.
const PATIENCE: Duration = Duration::from_millis(250);
/// Longest status line.
const LONGEST_STATUS: usize = 400;

/// The line to the service manager, or to nobody.
#[derive(Debug)]
pub struct Notifier {
    line: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the manager asked for in the environment. A socket that cannot be used is said in the log, once.
    pub fn new(settings: &ServiceSettings) -> Self {
        let line = settings.notify_socket.as_deref().and_then(|name| {
            open(name.as_bytes())
                .inspect_err(|error| {
                    tracing::warn!(socket = %name.to_string_lossy(), %error, "cannot notify the service manager");
                })
                .ok()
        });
        Self { line, watchdog: settings.watchdog.map(|limit| limit / 2) }
    }

    /// How often [`Notifier::alive`] has to be said: half of what the manager waits. `None` where it does not wait.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Start-up, or a reload, is over.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// What is going on, for `systemctl status`. `false` where the manager did not take it.
    pub fn status(&self, status: &str) -> bool {
        self.send(&format!("STATUS={}", one_line(status)))
    }

    /// A reload begins; [`Notifier::ready`] ends it. The time tells the manager which of its requests is meant.
    pub fn reloading(&self) {
        // A kernel without this clock does not exist.
        let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return };
        let micros = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The watchdog need not bite.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// This process is the service's main one.
    pub fn main_pid(&self) {
        self.send(&format!("MAINPID={}", std::process::id()));
    }

    fn send(&self, message: &str) -> bool {
        let Some((socket, manager)) = &self.line else { return true };
        let sent = socket.send_to_addr(message.as_bytes(), manager);
        if let Err(error) = &sent {
            tracing::debug!(%error, "the service manager was not notified");
        }
        sent.is_ok()
    }
}

fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, manager))
}

/// Without line breaks and other control characters, and not too long.
fn one_line(text: &str) -> String {
    crate::console::error::clean(text, LONGEST_STATUS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A manager at a path, and what it hears.
    fn manager() -> (TempDir, UnixDatagram, Notifier) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let settings = ServiceSettings {
            notify_socket: Some(path.into_os_string()),
            watchdog: Some(Duration::from_secs(30)),
            ..ServiceSettings::default()
        };
        let notifier = Notifier::new(&settings);
        (dir, socket, notifier)
    }

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn every_message_is_as_the_manual_says() {
        let (_dir, socket, notifier) = manager();
        notifier.ready("active");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=active");
        notifier.status("waiting for a token");
        assert_eq!(heard(&socket), "STATUS=waiting for a token");
        notifier.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1");
        notifier.main_pid();
        assert_eq!(heard(&socket), format!("MAINPID={}", std::process::id()));
        notifier.stopping("bye");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=bye");
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_secs(15)));
    }

    #[test]
    fn a_reload_carries_the_monotonic_time() {
        let (_dir, socket, notifier) = manager();
        let micros = || {
            notifier.reloading();
            let text = heard(&socket);
            text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse::<u64>().unwrap()
        };
        let (first, second) = (micros(), micros());
        assert!(first > 0 && second >= first, "{first} {second}");
    }

    #[test]
    fn a_status_from_outside_cannot_say_something_else() {
        let (_dir, socket, notifier) = manager();
        notifier.status("refused: x\nSTOPPING=1\r\u{1b}[31m");
        assert_eq!(heard(&socket), "STATUS=refused: x STOPPING=1  [31m");
        notifier.status(&"ä".repeat(5000));
        assert!(heard(&socket).chars().count() < 420);
    }

    #[test]
    fn abstract_names_are_spoken_to() {
        let name = format!("telovix-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let settings = ServiceSettings {
            notify_socket: Some(format!("@{name}").into()),
            watchdog: None,
            ..ServiceSettings::default()
        };
        let notifier = Notifier::new(&settings);
        notifier.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1");
        assert_eq!(notifier.watchdog_interval(), None);
    }

    #[test]
    fn nobody_there_is_no_failure() {
        Notifier::new(&ServiceSettings::default()).ready("x");
        for name in ["relative", "vsock:2:1234", "", "/nowhere/notify", "@telovix-nobody"] {
            let settings = ServiceSettings {
                notify_socket: Some(name.into()),
                watchdog: None,
                ..ServiceSettings::default()
            };
            Notifier::new(&settings).ready("x");
        }
        let (dir, socket, notifier) = manager();
        drop((socket, dir));
        notifier.ready("x");
    }
}
