//! What the machine wants done: [`Effect`].

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use telovix_contract::SensorId;
use telovix_contract::TokenHash;
use telovix_contract::states::TokenType;

use super::input::Fault;
use super::status::StateName;

/// One thing to do, in the order of the list.
///
/// [`Load`](Self::Load), [`Call`](Self::Call) and [`Publish`](Self::Publish) are answered, each by exactly one input,
/// and at most one of them is under way at any time. All the others are done at once and not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the state directory and mend what can be mended. Answer: `Loaded` or `LoadFailed`.
    Load,
    /// Make this call to the Console. Answer: `Answered`, in the end always.
    Call(Call),
    /// Abandon the call in flight; its answer must not come any more.
    CancelCall,
    /// Make this committed generation the current one. Answer: `Published` or `PublishFailed`.
    Publish {
        /// The generation.
        generation: u32,
    },
    /// Forget the key and request of the renewal under way: the next one is made with another key. No generation goes with it.
    ForgetRenewal,
    /// Throw away the key and request in `pending/`, and any unpublished generation: they came with a copied state
    /// directory and are another machine's.
    DiscardCopied,
    /// Make `.sensor-ready` say that the Console accepts the identity, or remove it.
    SetReady(bool),
    /// The published files changed: run the hook, signal the process.
    NotifyConsumers {
        /// The generation that is current now.
        generation: u32,
    },
    /// The token in hand has paid for the identity that stands, and the identity was accepted: where it was for one use,
    /// its file can be deleted.
    TokenSpent {
        /// The token.
        token: TokenHash,
        /// Its kind, where the Console said so.
        token_type: Option<TokenType>,
    },
    /// The state changed: one line in the log, `STATUS=`, a metric.
    StateChanged {
        /// Before.
        from: StateName,
        /// Now.
        to: StateName,
        /// Why.
        reason: String,
    },
    /// An operator's command has come to an end. One result answers all commands of its kind that wait.
    CommandDone(CommandResult),
}

/// A call to the Console: one connection, never two at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Present the token in hand; go on with the enrollment in `pending/` where it is for that token. Answer:
    /// `Enrolled`, `Waiting` or `Failed`.
    Enroll {
        /// The sensor that it replaces, to be named in the request.
        replaces: Option<SensorId>,
        /// Why.
        reason: EnrollReason,
    },
    /// Ask for a successor with a new key; go on with the renewal in `pending/` where there is one. Answer: `Renewed` or
    /// `Failed`.
    Renew,
    /// One heartbeat with a committed, unpublished identity. Answer: `Accepted` or `Failed`.
    Prove {
        /// Its generation.
        generation: u32,
    },
    /// One heartbeat with the current identity: the one of the last `Intact` look or publication, also where a later look
    /// called it lost by its dates alone. Answer: `Accepted` or `Failed`.
    Heartbeat,
    /// Ask the Console for the time (the `Date` of any answer) over a connection that carries no secret and whose
    /// certificate is not judged by its dates. Answer: `ClockRead` or `Failed`.
    ProbeClock,
    /// Retire this node; five seconds (docs/contract.md section 3). Answer: `Decommissioned` or `Failed`.
    Decommission,
}

/// Why a host enrolls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EnrollReason {
    /// It never did.
    First,
    /// Its identity cannot be used any more.
    Lost(String),
    /// A token was given that is not the one that paid for the identity.
    NewToken,
    /// The identity was made on another machine: this one is a clone.
    Cloned,
    /// Name, role or cluster of the node changed.
    Changed(String),
    /// The Console does not accept the identity.
    NotAccepted(String),
    /// The certificate's life is over.
    Expired(Timestamp),
    /// The certificate is due for renewal, and the Console does not renew it.
    NoRenewal,
    /// The CA that came with the identity does not vouch for the Console, which never accepted it so far. The same key asks again:
    /// the answer may be mended.
    NotVouched,
}

impl fmt::Display for EnrollReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("this host has no identity yet"),
            Self::Lost(why) => write!(f, "the identity was lost: {why}"),
            Self::NewToken => f.write_str("a new token was given"),
            Self::Cloned => f.write_str("the identity here was made on another machine"),
            Self::Changed(what) => write!(f, "the configuration changed: {what}"),
            Self::NotAccepted(why) => write!(f, "the Console does not accept the identity: {why}"),
            Self::Expired(at) => write!(f, "the certificate expired at {at:.0}"),
            Self::NoRenewal => f.write_str("the certificate is due and the Console does not renew it"),
            Self::NotVouched => {
                f.write_str("the CA that came with the new identity does not vouch for the Console")
            }
        }
    }
}

/// How a command ended, as JSON too: the control socket tells it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum CommandResult {
    /// `renew`: the new certificate is in force.
    Renewed {
        /// Its generation.
        generation: u32,
        /// The end of its life.
        not_after: Timestamp,
    },
    /// `renew`: it is not time yet.
    NotDue {
        /// When it is.
        renew_at: Timestamp,
    },
    /// `renew`: there is nothing to renew, or not now.
    CannotRenew {
        /// Why.
        reason: String,
    },
    /// `renew`: the attempt failed. The agent goes on trying by itself where that can help.
    RenewFailed(Fault),
    /// `decommission`: done. `untold` says why the Console does not know of it, where it does not.
    Decommissioned {
        /// Why the Console was not told.
        untold: Option<Fault>,
    },
}
