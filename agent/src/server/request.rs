//! What people ask of the daemon, and what they are told.

use tokio::sync::oneshot;

use crate::machine::{CommandResult, Input, Urgency};

/// One request through the control socket, on its way to the daemon.
#[derive(Debug)]
pub enum ControlRequest {
    /// Whether the daemon still listens. Answered at once, by [`ControlRequest::alive`].
    Ping {
        /// Anything will do.
        answer: oneshot::Sender<()>,
    },
    /// Renew the certificate.
    Renew {
        /// Whether that waits for its time.
        urgency: Urgency,
        /// How it ended.
        answer: oneshot::Sender<CommandResult>,
    },
    /// Retire this node.
    Decommission {
        /// How it ended.
        answer: oneshot::Sender<CommandResult>,
    },
}

impl ControlRequest {
    /// What the machine is told of it; `None` for what the daemon answers by itself, with
    /// [`ControlRequest::alive`].
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

    /// Whether that is the end of what was asked for here. The machine knows one renewal and one retirement: its word on
    /// either is meant for everybody who asked for it.
    pub fn ends_with(&self, result: &CommandResult) -> bool {
        match result {
            CommandResult::Renewed { .. }
            | CommandResult::NotDue { .. }
            | CommandResult::CannotRenew { .. }
            | CommandResult::RenewFailed(_) => matches!(self, Self::Renew { .. }),
            CommandResult::Decommissioned { .. } => matches!(self, Self::Decommission { .. }),
        }
    }

    /// Answers with the end of the command.
    pub fn done(self, result: CommandResult) {
        match self {
            Self::Ping { answer } => drop(answer.send(())),
            // Who asked may have gone.
            Self::Renew { answer, .. } | Self::Decommission { answer } => drop(answer.send(result)),
        }
    }
}
