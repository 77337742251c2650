//! Says where the agent stands: the report, the service manager's `STATUS=`, the log; and tells the consumers.
//!
//! Invariant: each change is one line in the log, with the reason, who has to act and when the next attempt is. A failure
//! that goes on as it was is no change, however often it is repeated.

use super::Supervisor;
use crate::hook::{self, HookStatus, Occasion};
use crate::status::{Report, StateName};

impl Supervisor {
    /// Makes the report anew, and passes it on where it differs.
    pub(super) fn report(&mut self) {
        let mut report = self.machine.report(self.now());
        report.notes.extend(self.told.borrow().note());
        report.notes.extend(self.problems.iter().chain(&self.barred).chain(&self.rejected).cloned());
        self.log_trouble(&report);
        let line = report.line();
        // What a manager that does not read has missed is said again with the next report.
        if line != self.said && self.notifier.status(&line) {
            self.said = line;
        }
        self.reports.send_if_modified(|last| {
            let differs = *last != report;
            *last = report;
            differs
        });
    }

    /// One line for `systemctl status`.
    pub(super) fn line(&self) -> String {
        self.reports.borrow().line()
    }

    /// The machine's state changed.
    pub(super) fn log_change(&mut self, from: StateName, to: StateName, reason: &str) {
        let report = self.machine.report(self.now());
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
    fn log_trouble(&mut self, report: &Report) {
        let code = report.last_error.as_ref().map(|error| &error.code);
        if code == self.logged.as_ref() {
            return;
        }
        let state = report.state.as_str();
        match &report.last_error {
            Some(error) => {
                let next = error.next_attempt.map(|at| format!("{at:.0}"));
                let waiting_for = report.waiting_for.as_str();
                let (code, action) = (&error.code, &error.action);
                tracing::warn!(state, code, waiting_for, next_attempt = next, action, "{}", error.message);
            }
            None => tracing::info!(state, "the trouble is over"),
        }
        self.logged = code.cloned();
    }

    /// Tells consumers of the current identity; what they are still being told of an earlier one is dropped.
    pub(super) fn tell_consumers(&mut self) {
        let event = std::mem::replace(&mut self.event, hook::Event::Restored);
        if self.consumers.is_empty() {
            return;
        }
        let sensor_id = self.current.as_ref().map(|current| current.verified().sensor_id());
        let (consumers, told, metrics) = (self.consumers.clone(), self.told.clone(), self.metrics.clone());
        self.telling = Some(Box::pin(async move {
            consumers
                .deliver(Occasion { event, sensor_id }, &told, |outcome| metrics.hook_run(outcome))
                .await;
        }));
    }

    /// Everybody knows the current identity: a later process need not tell it again.
    pub(super) fn note_told(&mut self) {
        if let (HookStatus::Told(_), Some(current)) = (&*self.told.borrow(), &self.current)
            && let Err(error) = self.store.set_told(current)
        {
            tracing::warn!(%error, "the state directory refuses");
        }
    }
}
