//! What stands where in the state directory (docs/contract.md section 7).
//!
//! ```text
//! client.key.pem -> current/client.key.pem      and so on for the five names of a generation
//! current -> generations/000002
//! generations/000001/                           the previous one stays
//! generations/000002/{client.key.pem,client.cert.pem,console-ca.cert.pem,policy-signing.pub,sensor-state.json}
//! pending/{client.key.pem,request.json}         an enrollment that is under way
//! renewal/{client.key.pem,request.json}         a renewal that is under way
//! kept-aside/000001/                            files under the published names that this agent did not make
//! .enrollment-token-hash  .sensor-ready  .consumers-told  .console-answered  .kept-by-agent  .lock
//! ```

use std::path::{Path, PathBuf};

/// Mode of every directory here.
pub(super) const DIR_MODE: u32 = 0o700;
/// Mode of what only the agent may read.
pub(super) const SECRET_MODE: u32 = 0o600;
/// Mode of what consumers read.
pub(super) const PUBLIC_MODE: u32 = 0o644;

/// The private key, PKCS #8 PEM.
pub const KEY: &str = "client.key.pem";
/// The client certificate, leaf first, PEM.
pub const CERTIFICATE: &str = "client.cert.pem";
/// The Console's CA, PEM.
pub const CA: &str = "console-ca.cert.pem";
/// The policy signing key, PEM.
pub const POLICY_KEY: &str = "policy-signing.pub";
/// What the agent remembers of the enrollment, JSON.
pub const STATE: &str = "sensor-state.json";
/// The files of a generation, with their modes.
pub(super) const GENERATION_FILES: [(&str, u32); 5] = [
    (KEY, SECRET_MODE),
    (CERTIFICATE, PUBLIC_MODE),
    (CA, PUBLIC_MODE),
    (POLICY_KEY, PUBLIC_MODE),
    (STATE, SECRET_MODE),
];
/// Lower-case hex SHA-256 of the token that paid for the identity, and a newline.
pub const TOKEN_HASH: &str = ".enrollment-token-hash";
/// There and not empty while this host is enrolled and accepted; holds the time of the acceptance.
pub const READY: &str = ".sensor-ready";

/// What keeps a second agent out.
pub const LOCK: &str = ".lock";

/// Lower-case hex serial of the certificate that consumers were told of last, and a newline.
pub const TOLD: &str = ".consumers-told";

/// The Console's URL and the calls that it has ever answered, as words on one line: `https://… heartbeat renewal`.
pub const ANSWERED: &str = ".console-answered";

/// There once an agent has run here: from then on, one that does not answer is a failure, and not the life of a host that only
/// runs `enroll`.
pub const KEPT: &str = ".kept-by-agent";

/// The published names, which every generation has.
pub fn names() -> [&'static str; 5] {
    GENERATION_FILES.map(|(name, _)| name)
}

/// What a key and a request that are under way are for. Each has its own place, so that a renewal does not cost an
/// enrollment its key, which a token may be spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingKind {
    /// A token is being presented: `pending/`.
    Enrollment,
    /// The certificate is being renewed: `renewal/`.
    Renewal,
}

impl PendingKind {
    pub(super) const ALL: [Self; 2] = [Self::Enrollment, Self::Renewal];

    fn dir(self) -> &'static str {
        match self {
            Self::Enrollment => "pending",
            Self::Renewal => "renewal",
        }
    }
}

/// The paths of one state directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A name at the top.
    pub(super) fn top(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.top(LOCK)
    }

    pub(super) fn current(&self) -> PathBuf {
        self.top("current")
    }

    pub(super) fn pending(&self, kind: PendingKind) -> PathBuf {
        self.top(kind.dir())
    }

    /// Where a pending enrollment or renewal is prepared before it gets its name.
    pub(super) fn pending_new(&self, kind: PendingKind) -> PathBuf {
        self.top(&format!(".{}.new", kind.dir()))
    }

    /// Where files are kept that this agent did not make.
    pub(super) fn kept(&self) -> PathBuf {
        self.top("kept-aside")
    }

    pub(super) fn generations(&self) -> PathBuf {
        self.top("generations")
    }

    /// Where a generation is prepared before it gets its number.
    pub(super) fn generation_new(&self) -> PathBuf {
        self.generations().join(".new")
    }

    pub(super) fn generation(&self, number: u32) -> PathBuf {
        self.top(&Self::relative(number))
    }

    /// A generation's place as the link `current` names it.
    pub(super) fn relative(number: u32) -> String {
        format!("generations/{number:06}")
    }

    /// The number in a generation's directory name; `None` for any other name.
    pub(super) fn number(name: &str) -> Option<u32> {
        name.parse().ok().filter(|number| format!("{number:06}") == name)
    }
}
