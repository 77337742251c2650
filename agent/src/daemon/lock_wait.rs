//! Waits for the state directory while a command holds it: `enroll` may wait for an operator for as long as its `--timeout`
//! says, and a service manager would give up on a daemon that ends each time.
//!
//! Invariant: meanwhile this process answers: the service manager, probes and `status` see what it waits for.

use std::time::Duration;

use tokio::time::sleep;

use super::{Parts, Signals};
use crate::machine::{Actor, Code, LastError, Report, StateName};
use crate::notify::Notifier;
use crate::store::{Publication, Store, StoreError};

/// Time between tries.
const PAUSE: Duration = Duration::from_secs(1);

impl Parts {
    /// `None` where the process is told to stop first.
    pub(super) async fn wait_for_store(
        &mut self,
        notifier: &Notifier,
        signals: &mut Signals,
    ) -> Result<Option<Store>, StoreError> {
        let mut said = String::new();
        loop {
            let dir = &self.config.state_dir.value;
            match Store::open_as(dir, Publication::from(&self.config.publish)) {
                Err(error @ StoreError::Locked { .. }) => {
                    let report = report(&error);
                    let line = report.line();
                    if line != said {
                        tracing::warn!("{}", report.reason);
                        notifier.ready(&line);
                        said = line;
                        self.reports.send_replace(report);
                    }
                    notifier.alive();
                }
                opened => return opened.map(Some),
            }
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(None),
                _ = signals.interrupt.recv() => return Ok(None),
                // There is nothing to reload yet.
                _ = signals.hangup.recv() => {}
                // Who asks for more than a sign of life hears that nothing came of it.
                Some(request) = self.requests.recv() => request.alive(),
                () = sleep(PAUSE) => {}
            }
        }
    }
}

fn report(error: &StoreError) -> Report {
    let message = format!("waiting for the state directory: {error}");
    let last_error = LastError {
        code: Code::StateDirLocked,
        message: message.clone(),
        action: "nothing, if that is `telovix-agent enroll` at work; the agent goes on when it has ended"
            .to_owned(),
        next_attempt: None,
    };
    Report { last_error: Some(last_error), ..Report::new(StateName::Starting, message, Actor::HostOperator) }
}
