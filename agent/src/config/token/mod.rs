//! Where the enrollment token comes from (docs/configuration.md).
//!
//! Invariant: a token goes from its source into an [`EnrollmentToken`] through memory that is wiped, and no error,
//! warning or `Debug` text holds any of it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use telovix_contract::EnrollmentToken;
use telovix_contract::token::InvalidToken;
use zeroize::Zeroizing;

use crate::config::env::{CREDENTIALS_VARIABLE, Environment, TOKEN_VARIABLE};
use crate::config::error::ConfigError;
use crate::config::keys;
use crate::config::layers::{CommandLine, Entry, Layers};
use crate::config::redact::looks_like_token;
use crate::config::sourced::Origin;
use crate::regular::{self, Links};

/// Name of the credential that systemd hands over.
pub const CREDENTIAL_NAME: &str = "telovix.enrollment-token";
/// Most bytes that are read of a source; a token has 48.
const LONGEST_SOURCE: usize = 4096;

/// Every place that was named as a source of the token, the first to look at first.
#[derive(Clone, Default)]
pub struct TokenSources {
    sources: Vec<(TokenSource, Option<Zeroizing<Vec<u8>>>)>,
}

/// One place that a token can come from. Prints as that place, never as what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// Standard input, because of `--token-stdin`.
    Stdin,
    /// A file.
    File {
        /// The file.
        path: PathBuf,
        /// What named it.
        origin: Origin,
    },
    /// The systemd credential `telovix.enrollment-token`.
    Credential {
        /// The file that systemd made for it.
        path: PathBuf,
    },
    /// The variable `TELOVIX_ENROLLMENT_TOKEN`.
    Variable,
}

/// A token and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundToken {
    /// The token.
    pub token: EnrollmentToken,
    /// Where it was found.
    pub source: TokenSource,
    /// What an operator should know about that place, in whole sentences.
    pub warnings: Vec<String>,
}

/// A source that is there and gives no token. Exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read; for the file of `--token-file`, also that it does not exist.
    #[error("cannot read the enrollment token from {from}: {cause}")]
    Unreadable {
        /// The place.
        from: TokenSource,
        /// Why.
        cause: io::Error,
    },
    /// It holds something else.
    #[error("{from} holds no enrollment token: {cause}")]
    Invalid {
        /// The place.
        from: TokenSource,
        /// What is wrong with the text; never the text.
        cause: InvalidToken,
    },
}

impl TokenSource {
    /// The file to delete once a one-time token in it is used up. A credential is systemd's, which removes it itself.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Stdin | Self::Credential { .. } | Self::Variable => None,
        }
    }

    /// The file that it is read from, which may be missing; what to watch for another token.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Credential { path } => Some(path),
            Self::Stdin | Self::Variable => None,
        }
    }

    /// Whether the operator named it just now, so that its absence is a mistake and not a token used up earlier.
    fn has_to_exist(&self) -> bool {
        matches!(self, Self::Stdin | Self::File { origin: Origin::Flag(_), .. })
    }

    fn reading(&self) -> Reading {
        if self.has_to_exist() { Reading::Whatever } else { Reading::Regular }
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File { path, origin } => write!(f, "token file {} ({origin})", path.display()),
            Self::Credential { path } => write!(f, "systemd credential {}", path.display()),
            Self::Variable => write!(f, "environment {TOKEN_VARIABLE}"),
        }
    }
}

impl FoundToken {
    /// Whether its file still holds it. What is no regular file (a pipe, a terminal) is not read a second time, and is
    /// taken to.
    pub fn is_still_there(&self) -> bool {
        let Some(path) = self.source.path() else { return false };
        let Ok(metadata) = std::fs::metadata(path) else { return false };
        let bytes = || from_file(path, Reading::Regular, &mut Vec::new()).ok();
        let same = |token: EnrollmentToken| token.hash() == self.token.hash();
        !metadata.is_file() || bytes().is_some_and(|bytes| token_of(&bytes).is_ok_and(same))
    }
}

impl TokenSources {
    pub(super) fn read(args: &dyn CommandLine, env: &Environment, layers: &mut Layers) -> Self {
        let mut sources = Vec::new();
        if args.reads_token_from_stdin() {
            sources.push((TokenSource::Stdin, None));
        }
        let entries: Vec<Entry> = layers.of(keys::ENROLLMENT_TOKEN_FILE.row).cloned().collect();
        let (mut named, mut configured) = (Vec::new(), Vec::new());
        for Entry { raw, origin, .. } in entries {
            match raw.path() {
                // The usual slip is the token itself where a file's name belongs; it must not be shown as one.
                Ok(path) if looks_like_token(&path.to_string_lossy()) => layers.errors.push(ConfigError::at(
                    &origin,
                    "holds an enrollment token where the name of a file belongs; put the token into a file",
                )),
                Ok(path) => {
                    let in_a_file = matches!(origin, Origin::File { .. });
                    let list = if in_a_file { &mut configured } else { &mut named };
                    list.push((TokenSource::File { path, origin }, None));
                }
                Err(problem) => layers.errors.push(ConfigError::at(&origin, problem)),
            }
        }
        sources.extend(named);
        sources.extend(env.get(CREDENTIALS_VARIABLE).map(|directory| {
            (TokenSource::Credential { path: Path::new(directory).join(CREDENTIAL_NAME) }, None)
        }));
        sources.extend(env.token().map(|token| (TokenSource::Variable, Some(token.clone()))));
        // One file in the configuration: a drop-in replaces what the main file says, as for every other setting.
        sources.extend(configured.into_iter().take(1));
        Self { sources }
    }

    /// Looks at one source after the other, and takes the token of the first that is there.
    ///
    /// `None`: no source was named, or none of them exists, which is how a host looks whose one-time token was used up;
    /// [`TokenSources::why_none`] then says which.
    pub fn resolve(&self, stdin: &mut dyn Read) -> Result<Option<FoundToken>, TokenError> {
        for (source, content) in &self.sources {
            let mut warnings = Vec::new();
            let bytes = match (content, source.path()) {
                (Some(bytes), _) => Ok(bytes.clone()),
                (None, Some(path)) => from_file(path, source.reading(), &mut warnings),
                (None, None) => from_reader(stdin),
            };
            let bytes = match bytes {
                // systemd 247 only takes a credential that may be missing together with a blank to put in its place.
                Ok(bytes)
                    if matches!(source, TokenSource::Credential { .. }) && bytes.trim_ascii().is_empty() =>
                {
                    continue;
                }
                Ok(bytes) => bytes,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound && !source.has_to_exist() => continue,
                Err(cause) => return Err(TokenError::Unreadable { from: source.clone(), cause }),
            };
            return match token_of(&bytes) {
                Ok(token) => Ok(Some(FoundToken { token, source: source.clone(), warnings })),
                Err(cause) => Err(TokenError::Invalid { from: source.clone(), cause }),
            };
        }
        Ok(None)
    }

    /// One sentence that says why [`TokenSources::resolve`] found nothing, and what to do.
    pub fn why_none(&self) -> String {
        const REMEDY: &str =
            "make a token in the Console and give it with --token-file FILE or --token-stdin";
        let missing: Vec<String> =
            self.sources.iter().map(|(source, _)| format!("{source} does not exist")).collect();
        if missing.is_empty() {
            format!("no enrollment token was given; {REMEDY}")
        } else {
            format!("there is no enrollment token: {}; {REMEDY}", missing.join(", "))
        }
    }

    /// Every source that was named, in the order in which they are looked at.
    pub fn iter(&self) -> impl Iterator<Item = &TokenSource> {
        self.sources.iter().map(|(source, _)| source)
    }
}

/// Places only.
impl fmt::Debug for TokenSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What a token may be read from.
#[derive(Clone, Copy)]
enum Reading {
    /// Also from a pipe: somebody has just named it on the command line.
    Whatever,
    /// Never from what the agent could wait at.
    Regular,
}

fn from_file(path: &Path, reading: Reading, warnings: &mut Vec<String>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = match reading {
        Reading::Whatever => File::open(path)?,
        Reading::Regular => regular::open(path, Links::Follow)?,
    };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.mode() & 0o004 != 0 {
        warnings.push(format!(
            "Every user of this host can read the token file {}; make it readable by its owner alone (chmod 600).",
            path.display()
        ));
    }
    from_reader(&mut file)
}

fn from_reader(reader: &mut dyn Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for more than the longest, reserved at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LONGEST_SOURCE));
    reader.take(LONGEST_SOURCE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST_SOURCE {
        return Err(io::Error::other("it holds more than 4 KiB, which no token has"));
    }
    Ok(bytes)
}

fn token_of(bytes: &[u8]) -> Result<EnrollmentToken, InvalidToken> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidToken::Alphabet)?;
    // What editors, templates and web pages leave around it.
    EnrollmentToken::from_str(
        text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')),
    )
}

#[cfg(test)]
mod tests;
