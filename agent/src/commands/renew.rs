//! `telovix-agent renew`: has the running agent renew the certificate. It alone may: it holds the state directory.

use telovix_contract::problem::{ErrorCode, Retry};

use super::report::say;
use super::{Exit, report};
use crate::cli::RenewArgs;
use crate::config::Config;
use crate::machine::{CommandResult, Fault, Urgency};
use crate::server::client::{Client, ClientError};

pub(super) fn run(config: &Config, args: &RenewArgs) -> Exit {
    let client = Client::new(&config.server.control_socket.value);
    let urgency = if args.force { Urgency::Now } else { Urgency::WhenDue };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failure(&error, "", Exit::Unexpected),
    };
    match runtime.block_on(client.renew(urgency)) {
        Ok(answer) => say(answer),
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
        CommandResult::RenewFailed(fault) => {
            report::failure(&format!("not renewed: {}", fault.message), &fault.action, exit_of(&fault))
        }
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

/// The exit status of a failure that comes as a word.
fn exit_of(fault: &Fault) -> Exit {
    if let Some(code) = ErrorCode::from_word(&fault.code) {
        return if code.retry() == Retry::Backoff { Exit::NotReached } else { Exit::Refused };
    }
    match fault.code.as_str() {
        "console_unreachable"
        | "proxy_failed"
        | "deadline_exceeded"
        | "tls_handshake_failed"
        | "connection_broken" => Exit::NotReached,
        "console_not_trusted" => Exit::NotTrusted,
        "certificate_refused" => Exit::Refused,
        code if code.starts_with("state_") => Exit::LocalState,
        _ => Exit::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_exit_status_of_the_table() {
        let exit =
            |code: &str| exit_of(&Fault { code: code.into(), message: String::new(), action: String::new() });
        assert_eq!(exit("sensor_revoked"), Exit::Refused);
        assert_eq!(exit("rate_limited"), Exit::NotReached);
        assert_eq!(exit("console_unreachable"), Exit::NotReached);
        assert_eq!(exit("console_not_trusted"), Exit::NotTrusted);
        assert_eq!(exit("state_io_error"), Exit::LocalState);
        assert_eq!(exit("http_503"), Exit::Unexpected);
    }
}
