//! What people ask of the daemon, and what they are told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::machine::{CommandResult, Fault, Input, Urgency};

/// One request through the control socket, on its way to the supervisor.
#[derive(Debug)]
pub enum ControlRequest {
    /// Whether the supervisor still listens. Answered at once, by [`ControlRequest::alive`].
    Ping {
        /// Anything will do.
        answer: oneshot::Sender<()>,
    },
    /// Renew the certificate.
    Renew {
        /// Whether that waits for its time.
        urgency: Urgency,
        /// How it ended.
        answer: oneshot::Sender<CommandAnswer>,
    },
    /// Retire this node.
    Decommission {
        /// How it ended.
        answer: oneshot::Sender<CommandAnswer>,
    },
}

impl ControlRequest {
    /// What the machine is told of it; `None` for what the supervisor answers by itself, with
    /// [`ControlRequest::alive`].
    #[must_use]
    pub fn input(&self) -> Option<Input> {
        match self {
            Self::Ping { .. } => None,
            Self::Renew { urgency, .. } => Some(Input::Renew(*urgency)),
            Self::Decommission { .. } => Some(Input::Decommission),
        }
    }

    /// Answers a ping; who asked for something else hears nothing yet.
    pub fn alive(self) {
        if let Self::Ping { answer } = self {
            // Who asked may have gone.
            let _ = answer.send(());
        }
    }

    /// Answers with the end of the command.
    pub fn done(self, result: CommandResult) {
        match self {
            Self::Ping { answer } => drop(answer.send(())),
            // Who asked may have gone.
            Self::Renew { answer, .. } | Self::Decommission { answer } => drop(answer.send(result.into())),
        }
    }
}

/// How a command ended, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum CommandAnswer {
    /// The new certificate is in force.
    Renewed {
        /// Its generation.
        generation: u32,
        /// The end of its life.
        not_after: Timestamp,
    },
    /// It is not time to renew yet.
    NotDue {
        /// When it is.
        renew_at: Timestamp,
    },
    /// There is nothing to renew, or not now.
    CannotRenew {
        /// Why.
        reason: String,
    },
    /// The attempt failed. The agent goes on trying by itself where that can help.
    RenewFailed(CommandFault),
    /// This node is retired.
    Decommissioned {
        /// Why the Console does not know of it, where it does not.
        untold: Option<CommandFault>,
    },
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFault {
    /// A stable word.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

impl From<Fault> for CommandFault {
    fn from(Fault { code, message, action }: Fault) -> Self {
        Self { code, message, action }
    }
}

impl From<CommandResult> for CommandAnswer {
    fn from(result: CommandResult) -> Self {
        match result {
            CommandResult::Renewed { generation, not_after } => Self::Renewed { generation, not_after },
            CommandResult::NotDue { renew_at } => Self::NotDue { renew_at },
            CommandResult::CannotRenew { reason } => Self::CannotRenew { reason },
            CommandResult::RenewFailed(fault) => Self::RenewFailed(fault.into()),
            CommandResult::Decommissioned { untold } => {
                Self::Decommissioned { untold: untold.map(CommandFault::from) }
            }
        }
    }
}
