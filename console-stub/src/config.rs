//! Where the data lies, what the limits are, and the one place that reads the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use telovix_contract::Flavor;

/// Where data goes when `--data-dir` is not given.
pub(crate) const DEFAULT_DATA_DIR: &str = "/var/lib/telovix-console-stub";

/// The directory that everything is written under, and nothing outside it.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Names the directory; makes nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself, mode 0700.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The embedded database, mode 0600.
    pub fn database(&self) -> PathBuf {
        self.0.join("console.db")
    }

    /// The CA for operators to hand to hosts: root first, then the issuers in force, mode 0644.
    pub fn ca_file(&self) -> PathBuf {
        self.0.join("console-ca.cert.pem")
    }

    /// The agent's binary that the installer downloads.
    pub fn binary(&self, flavor: Flavor, architecture: &str) -> PathBuf {
        self.0.join("binaries").join(flavor.as_str()).join(architecture).join("telovix-agent")
    }
}

/// What one client can make the Console hold on to, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once; further ones wait in the listener's queue.
    pub connections: usize,
    /// Connections open at once from one address; further ones are closed at once, so that none takes all.
    pub connections_per_source: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head, which is also how long an idle connection is kept.
    pub head: Duration,
    /// Time for a request from its head to the start of its answer, the body included.
    pub request: Duration,
    /// Time that one connection may stay open, however busy it is.
    pub life: Duration,
    /// Longest request body in bytes; more is answered with 413.
    pub body: usize,
    /// Longest request head in bytes.
    pub head_size: usize,
    /// Most header fields of a request; more is answered with 431.
    pub head_fields: usize,
    /// Time that running requests get when the server stops.
    pub shutdown: Duration,
    /// How often a source may try.
    pub rates: Rates,
}

/// Attempts a minute, as many at once; 0 for no limit.
#[derive(Debug, Clone)]
pub struct Rates {
    /// To enroll, from one source, of whatever kind: wide, because a fleet may share an address.
    pub enroll: u32,
    /// To enroll, from one source, with tokens that nobody made.
    pub guess: u32,
    /// To enroll, from one source, with one token that is unknown or spent.
    pub token: u32,
    /// To sign in, from one source.
    pub login: u32,
    /// Most sources, or pairs of source and token, that each limit tells apart.
    pub tracked: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self { enroll: 12_000, guess: 60, token: 600, login: 30, tracked: 10_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_source: 2048,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            life: Duration::from_secs(600),
            body: 64 * 1024,
            head_size: 16 * 1024,
            head_fields: 64,
            shutdown: Duration::from_secs(5),
            rates: Rates::default(),
        }
    }
}

/// The fault to provoke, from `TELOVIX_STUB_FAULT`; only ever read where the `failpoints` feature is on.
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub(crate) fn fault_spec() -> Option<String> {
    std::env::var("TELOVIX_STUB_FAULT").ok().filter(|spec| !spec.is_empty())
}
