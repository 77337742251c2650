//! `ca`: the issuers, their rotation and their end.

use super::args::ca::CaCommand;
use super::error::CliError;
use super::output::Printer;
use crate::app::App;
use crate::domain::audit::Origin;

pub(super) async fn run(app: &App, command: CaCommand, print: &Printer) -> Result<(), CliError> {
    let console = app.console();
    match command {
        CaCommand::Status => {
            let columns = ["issuer_id", "state", "sensors", "created_at", "not_after", "retired_at"];
            Ok(print.rows(&console.list_issuers().await?, &columns)?)
        }
        CaCommand::Rotate(rotate) => {
            Ok(print.one(&console.rotate_issuer(rotate.drain(), Origin::default()).await?)?)
        }
        CaCommand::Retire { issuer_id, force } => {
            Ok(print.one(&console.retire_issuer(issuer_id, force, Origin::default()).await?)?)
        }
    }
}
