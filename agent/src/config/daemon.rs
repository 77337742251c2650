//! What only the daemon needs: its log, what it serves, whom it tells of a new credential and who may read it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::keys;
use crate::config::layers::Layers;
use crate::config::sourced::{Origin, Sourced};
use crate::config::values::{LogFormat, LogLevel, ReloadSignal, SocketMode};

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// This and what is graver.
    pub level: Sourced<LogLevel>,
    /// How lines are written.
    pub format: Sourced<LogFormat>,
}

/// What the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it takes commands.
    pub control_socket: Sourced<PathBuf>,
    /// Who may speak to it.
    pub control_socket_mode: Sourced<SocketMode>,
    /// Where `/livez`, `/readyz` and `/metrics` are served over TCP; nowhere by default.
    pub health_listen: Option<Sourced<SocketAddr>>,
}

/// Whom to tell of a new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// Program and arguments, no shell; the program by its whole path.
    pub command: Option<Sourced<Vec<String>>>,
    /// How long one run may take.
    pub timeout: Sourced<Duration>,
    /// A file with the number of a process that gets a signal.
    pub pid_file: Option<Sourced<PathBuf>>,
    /// Which signal.
    pub signal: Sourced<ReloadSignal>,
}

/// Who owns and reads the published files. `None`: as the agent makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishSettings {
    /// User, by number.
    pub owner: Option<Sourced<u32>>,
    /// Group, by number.
    pub group: Option<Sourced<u32>>,
    /// Mode of the private key: readable by owner and perhaps group.
    pub key_mode: Sourced<u32>,
    /// Mode of the certificate, the CA and the policy key.
    pub cert_mode: Sourced<u32>,
}

impl LogSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            level: layers.read_or_default(&keys::LOG_LEVEL),
            format: layers.read_or_default(&keys::LOG_FORMAT),
        }
    }
}

impl ServerSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            control_socket: layers.read_or_default(&keys::CONTROL_SOCKET),
            control_socket_mode: layers.read_or_default(&keys::CONTROL_SOCKET_MODE),
            health_listen: layers.read(&keys::HEALTH_LISTEN),
        }
    }
}

impl HookSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        let signal = layers.read_or_default(&keys::SIGNAL);
        if signal.origin != Origin::Default && layers.of(keys::SIGNAL_PID_FILE.row).next().is_none() {
            let message = "requires signal_pid_file, the file with the PID to signal; set that as well, or remove signal";
            layers.errors.push(ConfigError::at(&signal.origin, message));
        }
        Self {
            command: layers.read(&keys::HOOK_COMMAND),
            timeout: layers.read_or_default(&keys::HOOK_TIMEOUT),
            pid_file: layers.read(&keys::SIGNAL_PID_FILE),
            signal,
        }
    }
}

impl PublishSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            owner: layers.read(&keys::PUBLISH_OWNER),
            group: layers.read(&keys::PUBLISH_GROUP),
            key_mode: layers.read_or_default(&keys::PUBLISH_KEY_MODE),
            cert_mode: layers.read_or_default(&keys::PUBLISH_CERT_MODE),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::tests::Bench;

    #[test]
    fn a_host_without_these_keys_serves_one_private_socket_and_tells_nobody() {
        let config = Bench::new().load().unwrap();
        assert_eq!(config.server.control_socket.value, Path::new("/run/telovix-agent/control.sock"));
        assert_eq!(config.server.control_socket_mode.value, SocketMode::Owner);
        assert_eq!(config.server.health_listen, None);
        assert_eq!((config.hook.command, config.hook.pid_file), (None, None));
        assert_eq!(
            (config.hook.timeout.value, config.hook.signal.value),
            (Duration::from_secs(30), ReloadSignal::Hup)
        );
        assert_eq!((config.publish.key_mode.value, config.publish.cert_mode.value), (0o600, 0o644));
        assert_eq!((config.publish.owner, config.publish.group), (None, None));
    }

    #[test]
    fn every_key_is_read_with_its_line() {
        let bench = Bench::new().file(
            "agent.toml",
            "control_socket = \"run/control.sock\"\ncontrol_socket_mode = \"0660\"\nhealth_listen = \"[::1]:9464\"\n\
             hook_command = [\"/bin/sh\", \"-c\", \"a, b\"]\nhook_timeout = \"1m\"\nsignal_pid_file = \"/run/x.pid\"\n\
             signal = \"usr1\"\npublish_owner = \"root\"\npublish_group = \"0\"\npublish_key_mode = \"0640\"\n\
             publish_cert_mode = \"640\"\n",
        );
        let config = bench.load().unwrap();
        let at = |line| Origin::File { path: bench.path("agent.toml"), line };
        assert_eq!(config.server.control_socket, Sourced::new(bench.path("run/control.sock"), at(1)));
        assert_eq!(config.server.control_socket_mode, Sourced::new(SocketMode::Group, at(2)));
        assert_eq!(config.server.health_listen, Some(Sourced::new("[::1]:9464".parse().unwrap(), at(3))));
        let words = ["/bin/sh", "-c", "a, b"].map(str::to_owned).to_vec();
        assert_eq!(config.hook.command, Some(Sourced::new(words, at(4))), "words are taken as they are");
        assert_eq!(config.hook.timeout, Sourced::new(Duration::from_secs(60), at(5)));
        assert_eq!(config.hook.pid_file, Some(Sourced::new("/run/x.pid".into(), at(6))));
        assert_eq!(config.hook.signal, Sourced::new(ReloadSignal::Usr1, at(7)));
        assert_eq!(config.publish.owner, Some(Sourced::new(0, at(8))));
        assert_eq!(config.publish.group, Some(Sourced::new(0, at(9))));
        assert_eq!(config.publish.key_mode, Sourced::new(0o640, at(10)));
        assert_eq!(config.publish.cert_mode, Sourced::new(0o640, at(11)));
    }

    #[test]
    fn the_environment_can_say_it_too() {
        let bench = |value: &str| Bench::new().env("TELOVIX_HOOK_COMMAND", value);
        let words = |value: &str| bench(value).load().unwrap().hook.command.unwrap().value;
        assert_eq!(words("/opt/a program"), ["/opt/a program"]);
        assert_eq!(words(" [\"/bin/x\", \"y z\"]"), ["/bin/x", "y z"]);
        let text = bench("[\"/bin/x\", 1]").load().unwrap_err().to_string();
        assert!(text.starts_with("environment TELOVIX_HOOK_COMMAND: is not an array of texts"), "{text}");
        let config = Bench::new().env("TELOVIX_HEALTH_LISTEN", "0.0.0.0:9464").load().unwrap();
        assert_eq!(config.server.health_listen.unwrap().value.port(), 9464);
    }

    #[test]
    fn every_other_value_is_refused_with_its_remedy() {
        for (line, reason) in [
            (
                "publish_key_mode = \"0644\"",
                "lets every user of this host have the private key; use 0600, or 0640",
            ),
            ("publish_key_mode = \"0604\"", "lets every user"),
            ("publish_key_mode = \"0660\"", "not a mode for a private key"),
            ("publish_key_mode = \"0700\"", "not a mode for a private key"),
            ("publish_key_mode = \"0040\"", "not a mode for a private key"),
            ("publish_key_mode = \"4600\"", "not a mode for a private key"),
            ("publish_key_mode = \"rw-------\"", "write it in octal"),
            ("publish_key_mode = \"-600\"", "write it in octal"),
            ("publish_key_mode = 640", "cannot be a number; write it as publish_key_mode = \"0600\""),
            ("publish_cert_mode = \"0666\"", "nobody else writes"),
            ("publish_cert_mode = \"0755\"", "not a mode for a certificate"),
            (
                "publish_owner = \"no-such-user-here\"",
                "this host has no user \"no-such-user-here\"; make it first",
            ),
            ("publish_group = \"no-such-group-here\"", "this host has no group"),
            ("publish_owner = \"4294967295\"", "is no user"),
            ("control_socket_mode = \"0666\"", "0600 (the agent's user) or 0660"),
            ("control_socket = \"\"", "the path is empty"),
            ("health_listen = \"localhost:9464\"", "write it as 127.0.0.1:9464"),
            ("health_listen = \":9464\"", "write it as 127.0.0.1:9464"),
            ("hook_command = []", "is empty; write it as [\"/usr/bin/systemctl\""),
            ("hook_command = [\"systemctl\"]", "not the whole path of a program"),
            ("hook_command = \"/bin/true\"", "hook_command cannot be a text; write it as hook_command = ["),
            ("hook_command = [\"/bin/true\", 3]", "holds something that is not a text"),
            ("hook_timeout = \"soon\"", "is not a span of time"),
            (
                "signal = \"SIGHUP\"",
                "requires signal_pid_file, the file with the PID to signal; set that as well",
            ),
            (
                "signal_pid_file = \"/x\"\nsignal = \"SIGKILL\"",
                "it can be SIGHUP, SIGUSR1, SIGUSR2 or SIGTERM",
            ),
        ] {
            let complaints = Bench::new().file("agent.toml", line).complaints();
            assert!(complaints.len() == 1 && complaints[0].contains(reason), "{line}: {complaints:?}");
            assert!(complaints[0].starts_with("agent.toml line "), "{complaints:?}");
        }
    }
}
