//! Whom the agent tells of a new credential, and who may read it.
//!
//! Invariant: nothing here makes the private key readable for everybody, nor lets anybody but its owner write it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{Group, User};

use crate::config::error::ConfigError;
use crate::config::item::Item;
use crate::config::layers::{Layers, Raw};
use crate::config::setting::Setting;
use crate::config::values::{InvalidValue, parse_duration};

/// How long a hook may take where nobody says otherwise.
pub(super) const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// Most words of a hook's command line.
const MOST_WORDS: usize = 64;

/// Whom to tell of a new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// Program and arguments, no shell; the program by its whole path.
    pub command: Option<Setting<Vec<String>>>,
    /// How long one run may take.
    pub timeout: Setting<Duration>,
    /// A file with the number of a process that gets a signal.
    pub pid_file: Option<Setting<PathBuf>>,
    /// Which signal.
    pub signal: Setting<ReloadSignal>,
}

/// A signal by which services are told to look again. None that cannot be caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReloadSignal {
    /// SIGHUP.
    #[default]
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGTERM: for a service whose manager starts it again.
    Term,
}

/// Who owns and reads the published files. `None`: as the agent makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishSettings {
    /// Owner of the files.
    pub owner: Option<Setting<u32>>,
    /// Group of the files.
    pub group: Option<Setting<u32>>,
    /// Mode of the private key: readable by owner and perhaps group.
    pub key_mode: Setting<u32>,
    /// Mode of the certificate, the CA and the policy key.
    pub cert_mode: Setting<u32>,
}

impl ReloadSignal {
    /// Every signal.
    pub const ALL: [Self; 4] = [Self::Hup, Self::Usr1, Self::Usr2, Self::Term];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Term => "SIGTERM",
        }
    }
}

impl fmt::Display for ReloadSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReloadSignal {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        Self::ALL.into_iter().find(|signal| signal.as_str()[3..] == *name).ok_or_else(|| {
            InvalidValue(format!(
                "{text:?} is not a signal that tells a service to look again; it can be SIGHUP, SIGUSR1, SIGUSR2 or \
                 SIGTERM"
            ))
        })
    }
}

impl HookSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        let signal = layers.read(Item::Signal, super::parsed);
        let pid_file = layers.read(Item::SignalPidFile, absolute);
        if let Some(signal) = &signal
            && layers.of(Item::SignalPidFile).next().is_none()
        {
            let message = "names a signal and nobody who gets it; set signal_pid_file as well, or remove it";
            layers.errors.push(ConfigError::at(&signal.origin, message));
        }
        Self {
            command: layers.read(Item::HookCommand, command),
            timeout: layers.read_or(Item::HookTimeout, DEFAULT_HOOK_TIMEOUT, |raw| {
                parse_duration(raw.text()?).map_err(|error| error.to_string())
            }),
            pid_file,
            signal: signal.unwrap_or(Setting::new(ReloadSignal::default(), super::Origin::Default)),
        }
    }
}

impl PublishSettings {
    pub(super) fn read(layers: &mut Layers) -> Self {
        Self {
            owner: layers.read(Item::PublishOwner, |raw| number_of("user", raw, user)),
            group: layers.read(Item::PublishGroup, |raw| number_of("group", raw, group)),
            key_mode: layers.read_or(Item::PublishKeyMode, 0o600, key_mode),
            cert_mode: layers.read_or(Item::PublishCertMode, 0o644, cert_mode),
        }
    }
}

fn absolute(raw: &Raw) -> Result<PathBuf, String> {
    let path = raw.path()?;
    if path.is_absolute() { Ok(path) } else { Err(format!("{path:?} has to be a whole path, from / on")) }
}

fn command(raw: &Raw) -> Result<Vec<String>, String> {
    const RIGHT: &str = "write it as [\"/usr/bin/systemctl\", \"reload\", \"nginx\"]";
    let words = match raw {
        Raw::List(words) => words.clone(),
        // The environment has no arrays: one program, or an array as JSON writes it.
        Raw::Text(_) => match raw.text()? {
            text if text.trim_start().starts_with('[') => {
                serde_json::from_str(text).map_err(|_| format!("is not an array of texts; {RIGHT}"))?
            }
            text => vec![text.to_owned()],
        },
        Raw::Switch(_) => return Err(format!("is not a command; {RIGHT}")),
    };
    let Some(program) = words.first() else { return Err(format!("is empty; {RIGHT}")) };
    if !Path::new(program).is_absolute() {
        return Err(format!(
            "{program:?} is not the whole path of a program, and no shell looks for it; {RIGHT}"
        ));
    }
    if words.len() > MOST_WORDS || words.iter().any(|word| word.contains('\0')) {
        return Err(format!("holds more than {MOST_WORDS} words or a NUL; {RIGHT}"));
    }
    Ok(words)
}

fn number_of(
    what: &str,
    raw: &Raw,
    look_up: fn(&str) -> Result<Option<u32>, nix::Error>,
) -> Result<u32, String> {
    let text = raw.text()?;
    if let Ok(number) = text.parse() {
        // The number that means "leave it" to chown(2).
        return if number == u32::MAX { Err(format!("{text} is no {what}")) } else { Ok(number) };
    }
    match look_up(text) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(format!("this host has no {what} {text:?}; make it first, or name another")),
        Err(errno) => Err(format!("the {what} {text:?} cannot be looked up ({errno}); give its number")),
    }
}

fn user(name: &str) -> Result<Option<u32>, nix::Error> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

fn group(name: &str) -> Result<Option<u32>, nix::Error> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

fn key_mode(raw: &Raw) -> Result<u32, String> {
    let (text, mode) = mode(raw)?;
    if mode & 0o007 != 0 {
        return Err(format!(
            "{text:?} lets every user of this host have the private key; use 0600, or 0640 and publish_group"
        ));
    }
    if mode & !0o640 != 0 || mode & 0o400 == 0 {
        return Err(format!("{text:?} is not a mode for a private key; it can be 0600, 0640, 0400 or 0440"));
    }
    Ok(mode)
}

fn cert_mode(raw: &Raw) -> Result<u32, String> {
    let (text, mode) = mode(raw)?;
    if mode & !0o644 != 0 || mode & 0o400 == 0 {
        return Err(format!(
            "{text:?} is not a mode for a certificate, which its owner reads and nobody else writes; use 0644 or 0640"
        ));
    }
    Ok(mode)
}

fn mode(raw: &Raw) -> Result<(&str, u32), String> {
    let text = raw.text()?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if octal => Ok((text, mode)),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a file mode; write it in octal, as 0640")),
    }
}

#[cfg(test)]
#[path = "consumers_tests.rs"]
mod tests;
