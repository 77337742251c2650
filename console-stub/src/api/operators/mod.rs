//! The operators' interface: who calls, tokens, the fleet; rows in `data` (docs/contract.md section 5).

mod approvals;
mod audit;
mod call;
pub(super) mod console;
mod fleet;
pub(super) mod login;
mod tokens;

pub(crate) use audit::stream as export_audit;

use super::doc::Book;

/// All paths below these: of the enrollment, of sensors, and of the audit trail.
pub(super) fn routes(enrollment: &str, sensors: &str, audit: &str) -> Book {
    tokens::routes(enrollment).merge(approvals::routes(enrollment)).merge(fleet::routes(sensors, audit))
}
