//! After a restore from a backup (docs/contract.md section 4): what came after the copy is found again.
//!
//! `switch` turns it on and off and says what may be forgotten; `adopt` takes certificates that the copy does not know;
//! `export` reads an audit trail that went on after the copy, and `reapply` does again what it says was taken away.

mod adopt;
mod export;
mod reapply;
mod switch;

pub(super) use adopt::{adopt, put_on_list, recreate};
pub use export::{ExportError, Trail};
pub use reapply::Applied;
pub use switch::{Begun, RestoreView};
pub(super) use switch::{end_in_time, is_on, turn};
