//! Gives up what the daemon does not need: by Landlock (landlock(7)) it can write only where it has something to write. See
//! docs/decisions/0014.
//!
//! Invariant: a kernel, or a filter of system calls, that does not have it is no reason not to work; what came of it is
//! said in the log, in `status` and by `doctor`, never assumed.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, path_beneath_rules,
};

use crate::config::{Config, TokenSource};

/// Least version that can be used: the first cannot rename from one directory to another, which the store does.
const LEAST: ABI = ABI::V2;
/// The newest version whose rights on files are known here; an older kernel gives what it has.
const NEWEST: ABI = ABI::V5;
/// Most bytes of /proc/self/status.
const LONGEST_STATUS: u64 = 16 * 1024;

static IN_FORCE: OnceLock<Confinement> = OnceLock::new();

/// What holds this process back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    writes: Writes,
    /// Filters of system calls and capabilities, as /proc/self/status has them (proc_pid_status(5)).
    filtered: bool,
    no_new_privileges: bool,
    no_capabilities: bool,
}

/// Where it may write.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Writes {
    /// Below these only.
    Only(Vec<PathBuf>),
    /// Anywhere: a hook inherits what holds us back, and where it writes is its own affair.
    Hook,
    /// Anywhere: the kernel, or a filter of system calls, does not have Landlock.
    Unavailable,
}

/// Confines this thread and all that come from it, and remembers what came of it. Called once, before there is another
/// thread, when the directories are there.
pub fn apply(config: &Config) -> &'static Confinement {
    IN_FORCE.get_or_init(|| {
        let writes = match config.hook.command {
            Some(_) => Writes::Hook,
            None => restrict(places(config)),
        };
        Confinement::around(writes)
    })
}

/// What [`apply`] came to; `None` before it.
pub fn in_force() -> Option<&'static Confinement> {
    IN_FORCE.get()
}

/// The directories with something to write: the state, the control socket's, and those of token files, which are deleted
/// once they are used up.
fn places(config: &Config) -> Vec<PathBuf> {
    // The parent of a bare name is the working directory.
    let parent = |path: &Path| std::path::absolute(path).ok()?.parent().map(Path::to_owned);
    let files = config.token.iter().filter_map(TokenSource::file);
    let parents = files.chain([config.server.control_socket.value.as_path()]).filter_map(parent);
    let mut places = vec![config.state_dir.value.clone()];
    for place in parents.filter(|place| place.is_dir()) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn restrict(places: Vec<PathBuf>) -> Writes {
    let restricted = || -> Result<(), RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_write(LEAST))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_write(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(&places, AccessFs::from_write(NEWEST)))?
            .restrict_self()?;
        Ok(())
    };
    match restricted() {
        Ok(()) => Writes::Only(places),
        Err(error) => {
            tracing::debug!(%error, "no Landlock");
            Writes::Unavailable
        }
    }
}

impl Confinement {
    fn around(writes: Writes) -> Self {
        let mut text = String::new();
        if let Ok(file) = File::open("/proc/self/status") {
            // What cannot be read counts as not there.
            let _ = file.take(LONGEST_STATUS).read_to_string(&mut text);
        }
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        Self {
            writes,
            filtered: value("Seccomp") == Some("2"),
            no_new_privileges: value("NoNewPrivs") == Some("1"),
            no_capabilities: value("CapEff").is_some_and(|set| set.chars().all(|digit| digit == '0')),
        }
    }
}

/// One line.
impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.writes {
            Writes::Only(places) => {
                f.write_str("landlock: writes only to ")?;
                for (at, place) in places.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, place.display())?;
                }
            }
            Writes::Hook => f.write_str("landlock: off, for the hook would inherit it")?,
            Writes::Unavailable => f.write_str("landlock: not to be had here")?,
        }
        for (there, what) in [
            (self.filtered, "system calls filtered"),
            (self.no_new_privileges, "no new privileges"),
            (self.no_capabilities, "no capabilities"),
        ] {
            write!(f, "; {}{what}", if there { "" } else { "not: " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, for it cannot be undone.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes where it may not")]
    fn writes_end_at_the_walls_and_reads_do_not() {
        let (inside, outside) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        std::fs::write(outside.path().join("there"), "x").unwrap();
        let (within, without) = (inside.path().to_owned(), outside.path().to_owned());
        let thread = std::thread::spawn(move || {
            let writes = restrict(vec![within.clone()]);
            if writes == Writes::Unavailable {
                return;
            }
            for name in ["a", "b"] {
                std::fs::create_dir(within.join(name)).unwrap();
            }
            std::fs::write(within.join("a/file"), "x").unwrap();
            std::fs::rename(within.join("a/file"), within.join("b/file")).unwrap();
            std::os::unix::fs::symlink("b", within.join("link")).unwrap();
            std::os::unix::net::UnixListener::bind(within.join("socket")).unwrap();
            std::fs::remove_file(within.join("b/file")).unwrap();
            let denied = |done: std::io::Result<()>| {
                assert_eq!(done.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
            };
            assert_eq!(std::fs::read_to_string(without.join("there")).unwrap(), "x");
            denied(std::fs::write(without.join("new"), "x"));
            denied(std::fs::write(without.join("there"), "y"));
            denied(std::fs::remove_file(without.join("there")));
        });
        thread.join().unwrap();
        // Only that thread was confined.
        std::fs::write(outside.path().join("new"), "x").unwrap();
    }

    #[test]
    fn bare_names_are_of_the_working_directory() {
        use crate::config::{Environment, Sources, load_from};
        let scratch = tempfile::TempDir::new().unwrap();
        let cli = crate::cli::parse(["telovix-agent", "run"].map(Into::into)).unwrap();
        let env = Environment::from_pairs([
            ("TELOVIX_ENROLLMENT_TOKEN_FILE", "token"),
            ("TELOVIX_CONTROL_SOCKET", "control.sock"),
            ("TELOVIX_STATE_DIR", "."),
        ]);
        let default_file = scratch.path().join("none.toml");
        let sources = Sources { args: &cli, env: &env, host_name: "h".into(), default_file: &default_file };
        let here = std::env::current_dir().unwrap();
        assert_eq!(places(&load_from(&sources).unwrap()), [here]);
    }

    #[test]
    fn it_says_what_holds_and_what_does_not() {
        let confinement = Confinement {
            writes: Writes::Only(vec!["/a".into(), "/b".into()]),
            filtered: true,
            no_new_privileges: true,
            no_capabilities: false,
        };
        let text =
            "landlock: writes only to /a, /b; system calls filtered; no new privileges; not: no capabilities";
        assert_eq!(confinement.to_string(), text);
        let hook = Confinement { writes: Writes::Hook, ..confinement };
        assert!(hook.to_string().starts_with("landlock: off, for the hook"), "{hook}");
    }
}
