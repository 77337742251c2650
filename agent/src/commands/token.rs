//! `telovix-agent token inspect`: says what can be said of a token without using it up. Contacts nobody.

use serde::Serialize;

use super::report;
use super::report::say;
use crate::cli::{InspectArgs, Output};
use crate::config::{Config, FoundToken};
use crate::machine::Exit;
use crate::store::Store;

/// What is said of a token. Its hash is what the Console keeps of it, and no secret.
#[derive(Debug, Serialize)]
struct Inspection {
    source: String,
    well_formed: bool,
    sha256: String,
    relation: &'static str,
    warnings: Vec<String>,
}

pub(super) fn inspect(config: &Config, args: &InspectArgs) -> Exit {
    let found = match config.token.resolve(&mut report::TokenInput::default()) {
        Ok(Some(found)) => found,
        Ok(None) => return report::failure(&config.token.why_none(), "", Exit::Usage),
        Err(error) => return report::failure(&error, "", Exit::Usage),
    };
    let inspection = Inspection {
        source: found.source.to_string(),
        well_formed: true,
        sha256: found.token.hash().to_string(),
        relation: relation(config, &found),
        warnings: found.warnings,
    };
    match args.output {
        Output::Json => match serde_json::to_string_pretty(&inspection) {
            Ok(json) => say!("{json}"),
            Err(error) => return report::failure(&error, "", Exit::Unexpected),
        },
        Output::Human => {
            say!("source   {}", inspection.source);
            say!("form     a whole enrollment token");
            say!("sha256   {}", inspection.sha256);
            say!("here     {}", inspection.relation);
            for warning in &inspection.warnings {
                say!("warning  {warning}");
            }
        }
    }
    Exit::Done
}

/// What this host has to do with the token.
fn relation(config: &Config, found: &FoundToken) -> &'static str {
    let store = Store::peek(&config.state_dir.value);
    if store.paid_by().is_some_and(|hash| found.token.matches(&hash)) {
        return "it paid for the identity of this host";
    }
    match store.pending() {
        Ok(Some(pending)) if found.token.matches(&pending.token_sha256) => {
            "an enrollment with it is under way"
        }
        Ok(_) | Err(_) => "this host has not used it",
    }
}
