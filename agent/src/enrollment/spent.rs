//! The file of a one-time token that was used up.
//!
//! Invariant: a file is deleted only while it holds the token that was used. An operator may have put the next one there
//! while this one was on its way, and nobody has read that yet.

use telovix_contract::states::TokenType;

use crate::config::{Config, FoundToken, Origin, TokenSource};
use crate::store::remove_consumed_token;

/// Deletes the file that the token came from, where it came from one and is a one-time token (DESIGN.md section 3). A
/// Console that does not say what kind it was is believed to mean a cluster token where a cluster is configured. What
/// stays is said in `notes`.
pub fn forget(
    token: Option<&FoundToken>,
    token_type: Option<TokenType>,
    config: &Config,
    notes: &mut Vec<String>,
) {
    let one_time = match token_type {
        Some(TokenType::Once) => true,
        Some(TokenType::Cluster) => false,
        None => config.cluster_name.is_none(),
    };
    let Some(found @ FoundToken { source: TokenSource::File { path, origin }, .. }) = token else { return };
    // A file that is gone is as good as deleted; one that holds anything else is left for whoever reads it next.
    if !one_time || !found.is_still_there() {
        return;
    }
    match remove_consumed_token(path) {
        Ok(()) => {
            tracing::info!(file = %path.display(), "deleted the file of the one-time token, which is used up");
        }
        Err(error) => {
            let from = if matches!(origin, Origin::Flag(_)) { "" } else { " (named by the configuration)" };
            notes.push(format!("the one-time token is used up, but its file{from} stays: {error}"));
        }
    }
}
