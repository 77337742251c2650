//! What people ask of a running daemon, in the machine's terms.

use tokio::sync::oneshot;

use crate::machine::{CommandResult, Input, Urgency};

/// A question, and where its answer goes. Whoever asked may be gone by then.
#[derive(Debug)]
pub enum ControlRequest {
    /// Renew the certificate.
    Renew {
        /// Now, or when it is due.
        urgency: Urgency,
        /// Where the answer goes.
        answer: oneshot::Sender<CommandResult>,
    },
}

impl ControlRequest {
    /// The question as the machine takes it.
    pub(super) fn input(&self) -> Input {
        match self {
            Self::Renew { urgency, .. } => Input::Renew(*urgency),
        }
    }

    /// Answers it.
    pub(super) fn done(self, result: CommandResult) {
        match self {
            Self::Renew { answer, .. } => drop(answer.send(result)),
        }
    }
}
