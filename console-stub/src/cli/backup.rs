//! `backup`.

use std::path::Path;

use super::error::CliError;
use super::output::Printer;
use super::place::Place;
use crate::db::{self, Location};
use crate::files;

/// Copies next to the target first, so that what stands under its name is always whole; never takes another file's place.
pub(super) fn run(place: &Place, file: &Path, print: &Printer) -> Result<(), CliError> {
    let source = match &place.database {
        Location::File(path) if path.exists() => path,
        Location::File(_) => return Err(CliError::NoConsole(place.data.path().display().to_string())),
        Location::Server(server) => return Err(CliError::UsePgDump(server.place())),
    };
    let version = files::make_whole(file, |fresh| db::copy(source, fresh).map_err(CliError::from))?;
    Ok(print.one(&serde_json::json!({"file": std::path::absolute(file)?, "schema_version": version}))?)
}
