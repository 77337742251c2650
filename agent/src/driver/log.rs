//! What the log tells of the machine.
//!
//! Invariant: each change is one line, with the reason, who has to act and when the next attempt is. A failure that goes on as
//! it was is no change, however often it is repeated.

use super::drive::Driver;
use crate::machine::{Fault, StateName};
use crate::store::StoreError;

impl Driver {
    /// A disk that refuses is told at once: what is done again right away may succeed, and nobody would hear of it.
    pub(super) fn disk_failed(&mut self, error: &StoreError) -> Fault {
        let code = error.code();
        if self.logged.replace(code) != Some(code) {
            tracing::warn!(%code, "{error}");
        }
        Fault::new(code, error.to_string())
    }

    /// The machine's state changed.
    pub(super) fn log_change(&mut self, from: StateName, to: StateName, reason: &str) {
        let report = self.report();
        let error = report.last_error.as_ref();
        let next = error.and_then(|error| error.next_attempt).map(|at| format!("{at:.0}"));
        let action = error.map(|error| error.action.as_str()).filter(|action| !action.is_empty());
        let (from, to, waiting_for) = (from.as_str(), to.as_str(), report.waiting_for.as_str());
        match report.state {
            StateName::Lost | StateName::Refused => {
                tracing::warn!(from, to, %reason, waiting_for, next_attempt = next, action, "state changed");
            }
            StateName::Starting
            | StateName::Unenrolled
            | StateName::Enrolling
            | StateName::AwaitingApproval
            | StateName::Active
            | StateName::Renewing
            | StateName::Decommissioned => {
                tracing::info!(from, to, %reason, waiting_for, next_attempt = next, action, "state changed");
            }
        }
        self.logged = report.last_error.map(|error| error.code);
    }

    /// A failure that came, went or became another while the state stayed.
    pub(super) fn log_failure(&mut self) {
        let report = self.report();
        let code = report.last_error.as_ref().map(|error| error.code);
        if code == self.logged {
            return;
        }
        let state = report.state.as_str();
        match &report.last_error {
            Some(error) => {
                let next = error.next_attempt.map(|at| format!("{at:.0}"));
                let waiting_for = report.waiting_for.as_str();
                let (code, action) = (error.code.as_str(), &error.action);
                tracing::warn!(state, code, waiting_for, next_attempt = next, action, "{}", error.message);
            }
            None => tracing::info!(state, "the trouble is over"),
        }
        self.logged = code;
    }
}
