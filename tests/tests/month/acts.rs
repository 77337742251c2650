//! Every act of the Console's chaos mode, and what it can be done to.

use fastrand::Rng;
use serde_json::{Value, json};
use telovix_console_stub::fault::chaos::{Act, Wrong};
use telovix_contract::paths;

/// The exchanges of an agent with its Console, by path.
pub(crate) const EXCHANGES: [(&str, &str); 6] = [
    ("look at the clock", paths::HEALTHZ),
    ("trust-bootstrap", paths::TRUST_BOOTSTRAP),
    ("enroll", paths::ENROLL),
    ("heartbeat", paths::HEARTBEAT),
    ("renew", paths::RENEW),
    ("decommission", paths::DECOMMISSION),
];
/// More than there are requests.
const ENDLESS: u64 = 1_000_000_000;

/// What an act is, whatever its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    DropBeforeCommit,
    DropAfterCommit,
    Delay,
    Status,
    RetryAfter,
    Html,
    Truncate,
    ClockAhead,
    ClockBehind,
    Revoke,
    Forget,
    ForgetAll,
    ForgetEverything,
    OtherCa,
    OtherName,
    Expired,
}

/// How many requests it is done to, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Any of any exchange.
    Weather,
    /// Handshakes.
    Handshakes,
    /// One or two that show a certificate.
    OneSensor,
    /// One of any exchange.
    AllSensors,
}

impl Kind {
    pub(crate) const ALL: [Self; 16] = [
        Self::DropBeforeCommit,
        Self::DropAfterCommit,
        Self::Delay,
        Self::Status,
        Self::RetryAfter,
        Self::Html,
        Self::Truncate,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::Revoke,
        Self::Forget,
        Self::ForgetAll,
        Self::ForgetEverything,
        Self::OtherCa,
        Self::OtherName,
        Self::Expired,
    ];

    /// The kind of an act. An act that is new does not compile here, and what is in [`Kind::ALL`] has to strike.
    pub(crate) fn of(act: &Act) -> Self {
        match act {
            Act::DropBeforeCommit => Self::DropBeforeCommit,
            Act::DropAfterCommit => Self::DropAfterCommit,
            Act::Delay { .. } => Self::Delay,
            Act::Status { retry_after: None, .. } => Self::Status,
            Act::Status { retry_after: Some(_), .. } => Self::RetryAfter,
            Act::Html => Self::Html,
            Act::Truncate => Self::Truncate,
            Act::Clock { offset_seconds } if *offset_seconds > 0 => Self::ClockAhead,
            Act::Clock { .. } => Self::ClockBehind,
            Act::Revoke => Self::Revoke,
            Act::Forget => Self::Forget,
            Act::ForgetAll => Self::ForgetAll,
            Act::ForgetEverything => Self::ForgetEverything,
            Act::Certificate { which: Wrong::OtherCa } => Self::OtherCa,
            Act::Certificate { which: Wrong::OtherName } => Self::OtherName,
            Act::Certificate { which: Wrong::Expired } => Self::Expired,
        }
    }

    pub(crate) fn reach(self) -> Reach {
        match self {
            Self::DropBeforeCommit
            | Self::DropAfterCommit
            | Self::Delay
            | Self::Status
            | Self::RetryAfter
            | Self::Html
            | Self::Truncate
            | Self::ClockAhead
            | Self::ClockBehind => Reach::Weather,
            Self::Revoke | Self::Forget => Reach::OneSensor,
            Self::ForgetAll | Self::ForgetEverything => Reach::AllSensors,
            Self::OtherCa | Self::OtherName | Self::Expired => Reach::Handshakes,
        }
    }

    /// One of its kind.
    fn act(self, dice: &mut Rng) -> Act {
        // Below the tolerated skew, above it, and a day.
        let offset = |dice: &mut Rng| *pick(dice, &[60, 240, 900, 3600, 86_400]);
        match self {
            Self::DropBeforeCommit => Act::DropBeforeCommit,
            Self::DropAfterCommit => Act::DropAfterCommit,
            // Past the agent's deadline now and then.
            Self::Delay => Act::Delay { ms: *pick(dice, &[300, 1500, 1500, 4000, 4000, 4000, 45_000]) },
            Self::Status => {
                let status =
                    pick(dice, &[302, 400, 401, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504]);
                Act::Status { status: *status, retry_after: None }
            }
            Self::RetryAfter => {
                let (status, wait) = (*pick(dice, &[429, 503]), dice.u32(1..=300));
                Act::Status { status, retry_after: Some(wait) }
            }
            Self::Html => Act::Html,
            Self::Truncate => Act::Truncate,
            Self::ClockAhead => Act::Clock { offset_seconds: offset(dice) },
            Self::ClockBehind => Act::Clock { offset_seconds: -offset(dice) },
            Self::Revoke => Act::Revoke,
            Self::Forget => Act::Forget,
            Self::ForgetAll => Act::ForgetAll,
            Self::ForgetEverything => Act::ForgetEverything,
            Self::OtherCa => Act::Certificate { which: Wrong::OtherCa },
            Self::OtherName => Act::Certificate { which: Wrong::OtherName },
            Self::Expired => Act::Certificate { which: Wrong::Expired },
        }
    }
}

/// A rule of a spell, and where it stands in the table.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    pub(crate) exchange: &'static str,
    pub(crate) times: u64,
    pub(crate) json: Value,
}

/// The rules of this kind that strike so often.
pub(crate) fn rules(kind: Kind, share: f64, dice: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut rule = |exchange, path, times, share: f64, dice: &mut Rng| {
        let act = kind.act(dice);
        assert_eq!(Kind::of(&act), kind);
        let json = json!({"path": path, "times": times, "probability": share, "act": act});
        rules.push(Rule { kind, exchange, times, json });
    };
    match kind.reach() {
        Reach::Weather => {
            for (exchange, path) in EXCHANGES {
                rule(exchange, path, ENDLESS, share, dice);
            }
        }
        Reach::Handshakes => rule("handshake", "tls", ENDLESS, share, dice),
        Reach::OneSensor => {
            let shows_a_certificate = &EXCHANGES[3..];
            let (exchange, path) = *pick(dice, shows_a_certificate);
            rule(exchange, path, dice.u64(1..=2), 0.5, dice);
            // Heartbeats come for certain.
            rule("heartbeat", paths::HEARTBEAT, 1, 0.2, dice);
        }
        Reach::AllSensors => {
            let (exchange, path) = *pick(dice, &EXCHANGES);
            rule(exchange, path, 1, 0.5, dice);
            rule("heartbeat", paths::HEARTBEAT, 1, 0.1, dice);
        }
    }
    rules
}

pub(crate) fn pick<'a, T>(dice: &mut Rng, of: &'a [T]) -> &'a T {
    &of[dice.usize(..of.len())]
}
