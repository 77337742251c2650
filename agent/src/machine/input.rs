//! What the machine is told: [`Input`], and the plain summaries that it carries.
//!
//! Invariant: nothing here is a secret or a handle. The driver turns stores, tokens and answers into these values;
//! the machine never sees the things themselves, and so cannot leak or misuse them.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::session::RenewalWindow;
use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{EnrollmentToken, SensorId, TokenHash};

use super::code::Code;

/// One moment, and a number drawn for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// A clock that is never set and goes on during suspend (`CLOCK_BOOTTIME`), from any obtained_by.
    pub mono: Duration,
    /// Drawn anew for every step, evenly over all of `u64`; all jitter comes from it.
    pub random: u64,
}

/// What happened. One value per [`Machine::step`](super::Machine::step).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The process is up, and this is the token that the configured sources hold now. Sent once, first.
    Started(Option<TokenFacts>),
    /// Answer to [`Effect::Load`](super::Effect::Load).
    Loaded(Box<Loaded>),
    /// Answer to [`Effect::Load`](super::Effect::Load): the disk refused to be read. Not a loss; it is tried again.
    LoadFailed(Fault),
    /// The watched sources hold this token now, or none. May be sent as often as one likes; the same token again is no
    /// change.
    Token(Option<TokenFacts>),
    /// Somebody waits for the outcome: whatever waits to be tried again is tried at once.
    RetryNow,
    /// A new configuration is in force. What was refused for this configuration may be tried again.
    ConfigChanged(Settings),
    /// Something in the state directory changed, or the slow poll came round: look at it again.
    FilesChanged,
    /// [`Machine::next_deadline`](super::Machine::next_deadline) passed, or the wall clock was set, or the host woke
    /// from suspend. Harmless at any time.
    Tick,
    /// Answer to the [`Effect::Call`](super::Effect::Call) in flight.
    Answered(Box<Answer>),
    /// Answer to [`Effect::Publish`](super::Effect::Publish).
    Published,
    /// Answer to [`Effect::Publish`](super::Effect::Publish): the disk refused; what stood before still stands.
    PublishFailed(Fault),
    /// An operator asks for a renewal; answered by one [`Effect::CommandDone`](super::Effect::CommandDone).
    Renew(Urgency),
    /// An operator, or a shutdown, asks to retire this node; answered by one
    /// [`Effect::CommandDone`](super::Effect::CommandDone).
    Decommission,
    /// The process ends. Nothing is started any more.
    Stop,
}

/// Whether a renewal that is asked for waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Only when it is due; a wait between attempts is cut short.
    WhenDue,
    /// Now (`renew --force`).
    Now,
}

/// The values of the configuration that a report shows. A new one with [`Input::ConfigChanged`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The name that this host enrolls under.
    pub node_name: String,
    /// Its role.
    pub node_role: String,
    /// Its cluster.
    pub cluster_name: Option<String>,
    /// The Console, where one is configured.
    pub console_url: Option<String>,
}

/// What there is to know of a token without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenFacts {
    spellings: [TokenHash; 4],
}

impl TokenFacts {
    /// Of this token.
    pub fn of(token: &EnrollmentToken) -> Self {
        Self { spellings: token.spellings() }
    }

    /// SHA-256 of the unpadded spelling: names the token among others.
    pub fn hash(&self) -> TokenHash {
        self.spellings[0]
    }

    /// Whether `recorded`, in whichever spelling, is of this token.
    pub fn matches(&self, recorded: &TokenHash) -> bool {
        self.spellings.contains(recorded)
    }
}

/// What the state directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The identity that `current` leads to.
    pub current: Current,
    /// An identity that was committed and not published yet, by this process or by one that was cut short. It is newer
    /// than the current one and made for the key in `pending/`.
    pub committed: Option<Identity>,
    /// Every other identity there that is in force, newest first, `committed` among them.
    pub others: Vec<Identity>,
    /// Whether a renewal of the current identity was begun, by whichever process, and nothing came of it yet.
    pub renewal_begun: bool,
    /// Whether an enrollment was begun, by whichever process, and nothing came of it yet.
    pub enrollment_begun: bool,
    /// What this Console has answered, to whichever process.
    pub heard: Heard,
    /// Since when `.sensor-ready` stands, where it does.
    pub ready_since: Option<Timestamp>,
    /// Whether consumers were told of the current identity; an earlier process may not have lived to do it.
    pub told: bool,
    /// What was mended, one sentence each.
    pub notes: Vec<String>,
}

/// The calls that a Console has ever answered with success: their paths are not missing there (docs/contract.md section 3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heard {
    /// A heartbeat.
    pub heartbeat: bool,
    /// A renewal.
    pub renewal: bool,
}

/// The identity that `current` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// None, and there was none.
    Nothing,
    /// One that holds together.
    Intact(Identity),
    /// There was one, and it cannot be used.
    Lost(Loss),
}

/// An identity in the store: committed, or current.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its generation.
    pub generation: u32,
    /// Whose it is.
    pub sensor_id: SensorId,
    /// The certificate's serial number, big-endian.
    pub serial: Vec<u8>,
    /// Start of the certificate's life.
    pub not_before: Timestamp,
    /// End of the certificate's life.
    pub not_after: Timestamp,
    /// Hash of the token that paid for it, as recorded.
    pub token_sha256: TokenHash,
    /// What kind of token that was, where the Console said so.
    pub token_type: Option<TokenType>,
    /// What the Console thought of it when it was stored.
    pub trust_state: TrustState,
    /// Which machine it was made on.
    pub made_on: MadeOn,
    /// How the configuration differs from what it was enrolled with, as a sentence.
    pub changed: Option<String>,
}

/// Which machine an identity was made on, by the machine id in `sensor-state.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MadeOn {
    /// This one, or it cannot be known.
    ThisHost,
    /// Another: the state directory was copied. The identity is somebody else's.
    AnotherHost,
}

/// An identity that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Loss {
    /// Why, one sentence or clause.
    pub reason: String,
    /// Start and end of the certificate's life, where only the dates are wrong by this host's clock.
    pub about_time: Option<(Timestamp, Timestamp)>,
    /// Whose it was, where that can still be read.
    pub sensor_id: Option<SensorId>,
    /// Hash of the token that paid for it, where that can still be read.
    pub token_sha256: Option<TokenHash>,
    /// What kind of token that was, where that is known.
    pub token_type: Option<TokenType>,
    /// Which machine it was made on.
    pub made_on: MadeOn,
}

/// What came of the call in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The `Date` of the Console's answer, where there was one, failed calls too.
    pub server_date: Option<Timestamp>,
    /// What came.
    pub outcome: Outcome,
}

/// What came of a call, by the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// [`Call::Enroll`](super::Call::Enroll): an identity was issued, verified and committed.
    Enrolled(Identity),
    /// [`Call::Enroll`](super::Call::Enroll): an operator has to approve; ask again after this long.
    Waiting(Duration),
    /// [`Call::Renew`](super::Call::Renew): a successor was issued, verified and committed.
    Renewed(Identity),
    /// [`Call::Heartbeat`](super::Call::Heartbeat), [`Call::Prove`](super::Call::Prove): the Console accepts the
    /// identity.
    Accepted(Accepted),
    /// [`Call::ProbeClock`](super::Call::ProbeClock): something answered; `server_date` says the time, if anything does.
    ClockRead,
    /// [`Call::Decommission`](super::Call::Decommission): the Console has retired the node.
    Decommissioned,
    /// Any call: it failed.
    Failed(Failure),
}

/// The Console's answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// Time until the next one.
    pub interval: Duration,
    /// What the Console thinks of the identity.
    pub trust_state: TrustState,
    /// When it wants the certificate renewed.
    pub renew_between: Option<RenewalWindow>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub fault: Fault,
    /// How long the Console asked us to wait.
    pub retry_after: Option<Duration>,
}

/// What is wrong, as programs and people read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// For programs; what follows from it is read off [`Code`].
    pub code: Code,
    /// For people: what happened.
    pub message: String,
}

impl Fault {
    /// A code with its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
