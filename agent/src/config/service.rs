//! What the service manager tells a service through its environment (sd_notify(3), sd_watchdog_enabled(3)).

use std::ffi::OsString;
use std::time::Duration;

use crate::config::env::Environment;

/// How to speak with the service manager; all `None` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Where it listens: a path, or a name that begins with `@`.
    pub notify_socket: Option<OsString>,
    /// How long it waits for a sign of life before it kills this process.
    pub watchdog: Option<Duration>,
    /// Device and inode of the stream to the journal, where standard error leads to one (systemd.exec(5)).
    pub journal: Option<(u64, u64)>,
}

impl ServiceSettings {
    /// What cannot be read counts as not said: it is the manager's mistake, and no reason not to start.
    pub(super) fn read(env: &Environment) -> Self {
        let number = |name| env.get(name)?.to_str()?.parse::<u64>().ok();
        // A variable that was handed on to a child is not meant for it.
        let meant =
            env.get("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| meant && *micros > 0);
        Self {
            notify_socket: env.get("NOTIFY_SOCKET").map(ToOwned::to_owned),
            watchdog: watchdog.map(Duration::from_micros),
            journal: env.get("JOURNAL_STREAM").and_then(|text| {
                let (device, inode) = text.to_str()?.split_once(':')?;
                Some((device.parse().ok()?, inode.parse().ok()?))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(pairs: &[(&str, &str)]) -> Option<Duration> {
        ServiceSettings::read(&Environment::from_pairs(pairs.iter().copied())).watchdog
    }

    #[test]
    fn the_watchdog_is_the_one_that_waits_for_us() {
        let me = std::process::id().to_string();
        let half_a_minute = Some(Duration::from_secs(30));
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "30000000")]), half_a_minute);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", &me)]), half_a_minute);
        for others in ["1", "x", "-1"] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", others)]), None);
        }
        for broken in ["0", "-5", "soon", "99999999999999999999"] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", broken)]), None);
        }
        assert_eq!(watchdog(&[]), None);
    }

    #[test]
    fn the_socket_is_taken_as_it_is() {
        let env = Environment::from_pairs([("NOTIFY_SOCKET", "@abstract")]);
        assert_eq!(ServiceSettings::read(&env).notify_socket, Some("@abstract".into()));
        assert_eq!(ServiceSettings::read(&Environment::default()), ServiceSettings::default());
    }
}
