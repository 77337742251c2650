//! Says where the agent stands: the report, the service manager's `STATUS=`; and tells the consumers.

use super::Daemon;
use crate::driver::IdentityChange;
use crate::hook::{HookStatus, Occasion};

impl Daemon {
    /// Makes the report anew, and passes it on where it differs.
    pub(super) fn report(&mut self) {
        let mut report = self.driver.report();
        report.notes.extend(self.told.borrow().note());
        report.notes.extend(
            self.problems
                .iter()
                .chain(self.driver.keeps_out())
                .chain(self.driver.problems())
                .chain(&self.rejected)
                .cloned(),
        );
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
