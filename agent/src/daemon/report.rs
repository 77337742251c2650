//! Says where the agent stands: the report, the service manager's `STATUS=`; and tells the consumers.

use super::Daemon;
use crate::driver::IdentityChange;
use crate::hook::{HookStatus, Occasion};
use crate::machine::Code;

impl Daemon {
    /// Makes the report anew, and passes it on where it differs.
    pub(super) fn report(&mut self) {
        let mut report = self.driver.report();
        report.proxy = self.driver.proxy();
        if let Some(problem) = &self.token_problem {
            report.add_problem(Code::TokenUnusable, problem);
        }
        if let Some(problem) = &self.rejected {
            report.add_problem(Code::Configuration, problem);
        }
        report.notes.extend(self.told.borrow().note());
        let waiting = (!self.waiting_for_restart.is_empty())
            .then(|| format!("restart the agent for the new {}", self.waiting_for_restart.join(", ")));
        let warnings = &self.driver.config().warnings;
        let of_driver = self.driver.keeps_out().into_iter().chain(self.driver.problems());
        let known = self.problems.iter().chain(of_driver).chain(&self.first_contact).chain(warnings);
        report.notes.extend(known.cloned().chain(waiting));
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

    /// Tells consumers of the current identity; what they are still being told of an earlier one is dropped.
    pub(super) fn tell_consumers(&mut self, event: IdentityChange) {
        if self.consumers.is_empty() {
            return;
        }
        let sensor_id = self.driver.current().map(|current| current.verified().sensor_id());
        let (consumers, told, metrics) = (self.consumers.clone(), self.told.clone(), self.metrics.clone());
        self.telling = Some(Box::pin(async move {
            consumers
                .deliver(Occasion { event, sensor_id }, &told, |outcome| metrics.hook_run(outcome))
                .await;
        }));
    }

    /// Everybody knows the current identity: a later process need not tell it again.
    pub(super) fn note_told(&mut self) {
        if matches!(&*self.told.borrow(), HookStatus::Told(_)) {
            self.driver.note_told();
        }
    }
}
