//! The address of a PostgreSQL database: `postgres://user:password@host:port/name?option=value`.
//!
//! Invariant: the password leaves this type towards the server alone; neither `Debug` nor an error shows it. And no
//! connection to another machine is made in plain text or to a server that nobody verified, unless the address says
//! `sslmode=disable`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Longest time to make a connection, unless the address has `connect_timeout`.
const CONNECT: Duration = Duration::from_secs(5);
/// After so much silence the other end is asked whether it is still there.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// Unacknowledged for so long, what was sent counts as lost and the connection as gone.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Why an address is not taken. Says nothing of the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It does not begin as it should.
    #[error("a database address begins with postgres:// or postgresql://")]
    Scheme,
    /// The client library cannot read it.
    #[error("the database address cannot be read: {0}")]
    Unreadable(String),
    /// It names no server or no database.
    #[error("the database address names no {0}; write it as postgres://user@host:5432/name")]
    Missing(&'static str),
    /// A mode that we do not have.
    #[error(
        "sslmode={0} is not supported, because it would send the password to a server that nobody verified; \
         it can be verify-full, require (which verifies as well) or disable"
    )]
    Mode(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// TLS; its name and certificate are verified against these roots.
    Verified(Roots),
    /// Plain text: a socket of this machine, or `sslmode=disable`.
    DangerPlain,
}

/// Who may vouch for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    /// Those in this PEM file (`sslrootcert`).
    File(PathBuf),
}

/// Where a PostgreSQL database is and who asks. Parsed from its URL by the client library, percent-encoding included.
#[derive(Debug, Clone)]
pub struct ServerUrl {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

impl ServerUrl {
    /// The server and the name of the database, for people: nothing secret.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<Self, InvalidUrl> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(InvalidUrl::Scheme);
        }
        let (bare, options) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, Roots::System, Vec::new());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", "system")) => roots = Roots::System,
                Some(("sslrootcert", value)) => roots = Roots::File(path(value)?),
                Some(_) | None => rest.push(option),
            }
        }
        // The library's errors name the option and never quote a value.
        let unreadable = |error: tokio_postgres::Error| InvalidUrl::Unreadable(in_full(&error));
        let mut config = Config::from_str(&format!("{bare}?{}", rest.join("&"))).map_err(unreadable)?;
        if config.get_hosts().is_empty() {
            return Err(InvalidUrl::Missing("host"));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(InvalidUrl::Missing("database"));
        }
        let trust = match mode.as_deref() {
            Some("verify-full" | "require") => Trust::Verified(roots),
            Some("disable") => Trust::DangerPlain,
            Some(other) => return Err(InvalidUrl::Mode(other.to_owned())),
            None if stays_here(&config) => Trust::DangerPlain,
            None => Trust::Verified(roots),
        };
        prepare(&mut config, &trust);
        Ok(Self { config, trust })
    }
}

/// What every connection of ours is like: it gives up in time, notices a peer that is gone, and wants a server that takes
/// changes, because even a reader has to see what was just written.
fn prepare(config: &mut Config, trust: &Trust) {
    let tls = match trust {
        Trust::Verified(_) => SslMode::Require,
        Trust::DangerPlain => SslMode::Disable,
    };
    config.ssl_mode(tls).target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.keepalives_idle(PROBE_AFTER).keepalives_interval(PROBE_AFTER / 2).keepalives_retries(2);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(LOST_AFTER);
    }
    if config.get_application_name().is_none() {
        config.application_name("telovix-console-stub");
    }
}

/// Whether all its sockets are this machine's own.
fn stays_here(config: &Config) -> bool {
    let own_host = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
    };
    config.get_hosts().iter().all(own_host) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn path(encoded: &str) -> Result<PathBuf, InvalidUrl> {
    let wrong = |_| InvalidUrl::Unreadable("sslrootcert is not UTF-8".to_owned());
    percent_decode_str(encoded).decode_utf8().map(|text| PathBuf::from(text.as_ref())).map_err(wrong)
}

/// An error with what is behind it, in one line.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(url: &str) -> Trust {
        url.parse::<ServerUrl>().unwrap_or_else(|error| panic!("{url}: {error}")).trust
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text_unless_told_so() {
        for here in ["localhost", "127.0.0.1:5433", "%2Frun%2Fpostgresql"] {
            assert_eq!(trust(&format!("postgres://u@{here}/db")), Trust::DangerPlain, "{here}");
        }
        assert_eq!(trust("postgresql://u@db.example/db"), Trust::Verified(Roots::System));
        assert_eq!(trust("postgres://u@127.0.0.1,db.example/db"), Trust::Verified(Roots::System));
        assert_eq!(trust("postgres://u@localhost/db?hostaddr=10.0.0.1"), Trust::Verified(Roots::System));
        assert_eq!(trust("postgres://u@db.example/db?sslmode=disable"), Trust::DangerPlain);
        let file = Roots::File("/etc/db ca.pem".into());
        let url =
            "postgres://u@localhost/db?sslmode=verify-full&sslrootcert=/etc/db%20ca.pem&connect_timeout=3";
        assert_eq!(trust(url), Trust::Verified(file));
    }

    #[test]
    fn the_library_decodes_and_nobody_shows_the_password() {
        let url: ServerUrl = "postgres://us%40er:p%2Fw%3Fd@127.0.0.1:6000/con%20sole".parse().unwrap();
        assert_eq!(url.config.get_password(), Some(&b"p/w?d"[..]));
        assert_eq!((url.config.get_user(), url.place().as_str()), (Some("us@er"), "127.0.0.1:6000/con sole"));
        assert!(!format!("{url:?}").contains("p/w"), "{url:?}");
    }

    #[test]
    fn other_addresses_are_refused_and_not_quoted() {
        let refused = |url: &str| url.parse::<ServerUrl>().unwrap_err().to_string();
        assert!(refused("mysql://u:secret@h/db").contains("postgres://"));
        assert!(refused("postgres://u:secret@h/").contains("no database"));
        for mode in ["prefer", "allow", "verify-ca"] {
            assert!(refused(&format!("postgres://u:secret@h/db?sslmode={mode}")).contains("verify-full"));
        }
        for odd in ["postgres://u:secret@h/db?sslcert=x", "postgres://u:secret@h:port/db"] {
            let why = refused(odd);
            assert!(why.contains("cannot be read") && !why.contains("secret"), "{why}");
        }
    }
}
