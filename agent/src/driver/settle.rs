//! Drives until nothing more happens by itself, or the time is up: what a command does.

use std::time::Duration;

use super::drive::{Driver, Event};
use crate::machine::{Code, Fault, Input};

/// How long a command waits, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long in all.
    pub limit: Duration,
    /// Whether an operator's approval is waited for.
    pub approval: Approval,
}

/// What to do when an operator has to approve first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Repeat the request until the time is up.
    Wait,
    /// End at once.
    DoNotWait,
}

/// The most that is kept back for a last attempt: a tenth of the limit, where that is less.
const LAST_ATTEMPT: Duration = Duration::from_secs(5);

impl Driver {
    /// Drives the machine until it is at rest or the time is up, and ends what is under way then. The last attempt is made
    /// just before the end, however long the wait before it was to be.
    ///
    /// # Errors
    /// Why this host does not hold the identity that it could, by [`Machine::result`](crate::machine::Machine::result).
    pub async fn settle(&mut self, patience: Patience, mut hear: impl FnMut(Event)) -> Result<(), Fault> {
        let uptime = self.uptime.clone();
        let end = uptime.now().saturating_add(patience.limit);
        let last = end.saturating_sub(LAST_ATTEMPT.min(patience.limit / 10));
        let mut is_last = false;
        loop {
            let now = self.now();
            let stops = patience.approval == Approval::DoNotWait && self.machine.awaits_approval(now);
            if stops || self.is_at_rest() || now.mono >= end {
                break;
            }
            if !is_last && now.mono >= last {
                is_last = true;
                self.tell(Input::RetryNow).into_iter().for_each(&mut hear);
                continue;
            }
            let until = if is_last { end } else { last };
            let events = tokio::select! {
                next = self.next() => self.take(next),
                () = uptime.wait(until.saturating_sub(now.mono)) => Vec::new(),
            };
            events.into_iter().for_each(&mut hear);
        }
        let now = self.now();
        let is_at_rest = self.is_at_rest();
        let result = self.machine.result(now);
        self.tell(Input::Stop).into_iter().for_each(&mut hear);
        match result {
            // Nothing was met that could be told: the first attempt is still under way.
            Err(None) if !is_at_rest => {
                let (limit, phase) = (patience.limit.as_secs_f64(), self.console.phase());
                let message = format!("the Console did not answer within {limit:.1} s ({phase})");
                Err(Fault::new(Code::DeadlineExceeded, message))
            }
            Err(None) => Err(Fault::new(Code::Internal, "the agent is at rest and has no identity")),
            Err(Some(fault)) => Err(fault),
            Ok(()) => Ok(()),
        }
    }

    /// Whether the machine came to rest in its last step: how late somebody looks makes nothing due.
    fn is_at_rest(&self) -> bool {
        self.machine.is_at_rest(self.stepped.unwrap_or_else(|| self.now()))
    }

    /// Decommissions this node: one call, bounded, and never a failure (docs/contract.md section 3). Says why the Console was not
    /// told, where it was not.
    pub async fn decommission(&mut self) -> Option<Fault> {
        let mut events = self.tell(Input::Decommission);
        loop {
            for event in events {
                if let Event::CommandDone(crate::machine::CommandResult::Decommissioned { untold }) = event {
                    return untold;
                }
            }
            let next = self.next().await;
            events = self.take(next);
        }
    }
}
