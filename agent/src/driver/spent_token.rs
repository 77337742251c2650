//! The file of a one-time token that was used up.
//!
//! Invariant: a file is deleted only while it holds the token that was used. An operator may have put the next one there
//! while this one was on its way, and nobody has read that yet.

use telovix_contract::states::TokenType;

use crate::config::{Config, FoundToken, Origin, TokenSource};
use crate::store::remove_consumed_token;

/// Deletes the file that the token came from, where it came from one and is a one-time token. A
/// Console that does not say what kind it was is believed to mean a cluster token where a cluster is configured. What
/// stays is said in `notes`.
pub(super) fn forget(
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use telovix_contract::EnrollmentToken;

    use super::*;
    use crate::cli;
    use crate::config::{Environment, Sources, load_from};

    /// A folder with a token's file, and what is left of it.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::TempDir::new().unwrap());
            place.put(1);
            place
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("token")
        }

        #[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
        fn put(&self, n: u8) {
            std::fs::write(self.file(), EnrollmentToken::from_bytes(&[n; 32]).expose()).unwrap();
        }

        /// The first token, as it was found in this file.
        fn found(path: PathBuf, origin: Origin) -> FoundToken {
            let source = TokenSource::File { path, origin };
            FoundToken { token: EnrollmentToken::from_bytes(&[1; 32]), source, warnings: Vec::new() }
        }

        /// Whether the file is still there once its token is used up; nothing is to be said.
        fn stays(&self, token_type: Option<TokenType>, cluster: &[(&'static str, &str)]) -> bool {
            let (found, mut notes) = (Self::found(self.file(), Origin::Flag("--token-file")), Vec::new());
            forget(Some(&found), token_type, &config(cluster), &mut notes);
            assert_eq!(notes, [""; 0]);
            self.file().exists()
        }
    }

    const CLUSTER: &[(&str, &str)] = &[("TELOVIX_CLUSTER_NAME", "ran-1")];

    fn config(variables: &[(&'static str, &str)]) -> Config {
        let args = cli::parse(["telovix-agent", "enroll"].map(Into::into)).unwrap();
        let env = Environment::from_pairs(variables.iter().copied());
        let default_file = Path::new("/nowhere/agent.toml");
        load_from(&Sources { args: &args, env: &env, host_name: "h".into(), default_file }).unwrap()
    }

    #[test]
    fn the_file_of_a_one_time_token_goes_and_that_of_a_cluster_stays() {
        // The Console's word counts, whatever is configured.
        for configured in [&[][..], CLUSTER] {
            assert!(!Place::new().stays(Some(TokenType::Once), configured), "{configured:?}");
            assert!(Place::new().stays(Some(TokenType::Cluster), configured), "{configured:?}");
        }
        assert!(!Place::new().stays(None, &[]));
        assert!(Place::new().stays(None, CLUSTER));
    }

    #[test]
    fn a_file_that_holds_the_next_token_is_left_for_it() {
        let place = Place::new();
        place.put(2);
        assert!(place.stays(Some(TokenType::Once), &[]));
        place.put(1);
        assert!(!place.stays(Some(TokenType::Once), &[]));
        // Gone is as good as deleted.
        assert!(!place.stays(Some(TokenType::Once), &[]));
    }

    #[test]
    fn a_file_that_cannot_be_deleted_is_said_to_stay_and_what_named_it() {
        let place = Place::new();
        let link = place.0.path().join("link");
        std::os::unix::fs::symlink(place.file(), &link).unwrap();
        let configured = Origin::File { path: "agent.toml".into(), line: 1 };
        for (origin, named) in [
            (Origin::Flag("--token-file"), ""),
            (Origin::Env("TELOVIX_ENROLLMENT_TOKEN_FILE"), " (named by the configuration)"),
            (configured, " (named by the configuration)"),
        ] {
            let (found, mut notes) = (Place::found(link.clone(), origin), Vec::new());
            forget(Some(&found), Some(TokenType::Once), &config(&[]), &mut notes);
            let start = format!("the one-time token is used up, but its file{named} stays: ");
            assert!(notes.len() == 1 && notes[0].starts_with(&start), "{notes:?}");
            assert!(link.is_symlink() && place.file().exists());
        }
    }

    #[test]
    fn a_token_that_came_from_no_file_leaves_every_file_alone() {
        let place = Place::new();
        let mut notes = Vec::new();
        let credential = TokenSource::Credential { path: place.file() };
        for source in [TokenSource::Stdin, TokenSource::Variable, credential] {
            let found = FoundToken { source, ..Place::found(place.file(), Origin::Default) };
            forget(Some(&found), Some(TokenType::Once), &config(&[]), &mut notes);
        }
        forget(None, Some(TokenType::Once), &config(&[]), &mut notes);
        assert!(place.file().exists() && notes.is_empty(), "{notes:?}");
    }
}
