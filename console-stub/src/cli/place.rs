//! Where the Console is that a command works on.

use std::path::Path;

use zeroize::Zeroizing;

use super::args::Args;
use super::error::CliError;
use crate::app::{App, Options};
use crate::config::DataDir;
use crate::db::{Location, ServerUrl};
use crate::fault::Faults;
use crate::files;

pub(super) struct Place {
    pub(super) data: DataDir,
    pub(super) database: Location,
}

impl Place {
    pub(super) fn new(args: &Args) -> Result<Self, CliError> {
        let data = DataDir::new(&args.data_dir);
        let url = match (&args.database_url, &args.database_url_file) {
            (Some(url), _) => Some(Zeroizing::new(url.clone())),
            (None, Some(file)) => Some(Zeroizing::new(text(file)?.trim_end().to_owned())),
            (None, None) => None,
        };
        let database = match url {
            Some(url) => Location::Server(Box::new(url.parse::<ServerUrl>()?)),
            None => Location::File(data.database()),
        };
        Ok(Self { data, database })
    }

    pub(super) fn options(self) -> Options {
        Options { database: self.database, ..Options::new(self.data) }
    }
}

/// Opens a Console that exists; only `setup` and `serve` make one.
pub(super) async fn open(place: Place) -> Result<App, CliError> {
    if let Location::File(path) = &place.database
        && !path.exists()
    {
        return Err(CliError::NoConsole(place.data.path().display().to_string()));
    }
    Ok(App::open(Options { faults: Faults::from_env()?, ..place.options() }).await?)
}

pub(super) fn text(file: &Path) -> Result<String, CliError> {
    let bytes = files::read(file)?;
    String::from_utf8(bytes).map_err(|_| CliError::Usage(format!("{} is not text", file.display())))
}
