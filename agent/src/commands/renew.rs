//! `telovix-agent renew`: has the running agent renew the certificate. It alone may: it holds the state directory.

use super::report;
use super::report::{runtime, say};
use crate::cli::RenewArgs;
use crate::config::Draft;
use crate::machine::{CommandResult, Exit, Urgency};
use crate::server::client::{Client, ClientError};

/// The agent has a configuration of its own: mistakes in the files are no reason not to ask it.
pub(super) fn run(draft: &Draft, args: &RenewArgs) -> Exit {
    let client = Client::new(&draft.config.server.control_socket.value);
    let urgency = if args.force { Urgency::Now } else { Urgency::WhenDue };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    match runtime.block_on(client.renew(urgency)) {
        Ok(answer) => say(answer),
        Err(ClientError::Absent(_)) if !draft.errors.as_slice().is_empty() => report::mistakes(&draft.errors),
        Err(error) => report::failure(&error, remedy(&error), Exit::from(&error)),
    }
}

fn say(answer: CommandResult) -> Exit {
    match answer {
        CommandResult::Renewed { generation, not_after } => {
            say!("renewed: valid until {not_after:.0} (generation {generation})");
            Exit::Done
        }
        CommandResult::NotDue { renew_at } => {
            say!("nothing to do: renewal is due {renew_at:.0}; --force renews now");
            Exit::Done
        }
        CommandResult::CannotRenew { reason } => report::failure(
            &format!("there is nothing to renew, or not now: {reason}"),
            "`telovix-agent status` says what the agent needs",
            Exit::NoIdentity,
        ),
        CommandResult::RenewFailed(fault) => report::failure(
            &format!("not renewed: {}", fault.message),
            fault.code.action(),
            fault.code.exit(),
        ),
        // Not what was asked for; an agent of another version, perhaps.
        CommandResult::Decommissioned { .. } => {
            report::failure(&"the agent says that this node is decommissioned", "", Exit::Unexpected)
        }
    }
}

fn remedy(error: &ClientError) -> &'static str {
    match error {
        ClientError::Absent(_) => {
            "start it (systemctl start telovix-agent) or name its socket with --control-socket; without it, \
             `telovix-agent enroll` replaces an identity that is no longer valid"
        }
        ClientError::Denied { .. } => "run as the user of the agent, or as root",
        ClientError::Broken { .. } | ClientError::Refused(_) => "`telovix-agent status` says how far it is",
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Absent(_) | ClientError::Denied { .. } => Self::LocalState,
            ClientError::Broken { .. } | ClientError::Refused(_) => Self::Unexpected,
        }
    }
}
