//! How values are read: from what stands in a layer to what a setting holds.
//!
//! Invariant: no mode that is read here makes the private key readable for everybody, nor lets anybody but its owner
//! write it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{Group, User};
use telovix_contract::text::is_plain;
use telovix_contract::{Tag, Tags};

use crate::config::redact::looks_like_token;
use crate::config::values::parse_duration;

/// Most words of a hook's command line.
const MOST_WORDS: usize = 64;
/// Longest name of a Kubernetes workload, that of a DNS subdomain (RFC 1123).
const LONGEST_K8S_NAME: usize = 253;

/// A value as it stands in its layer.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Text(OsString),
    List(Vec<String>),
}

impl Raw {
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => {
                let text = text.to_str().ok_or_else(|| "is not UTF-8; write it in UTF-8".to_owned())?;
                // Names are shown, logged and sent.
                if looks_like_token(text) {
                    return Err(
                        "holds an enrollment token; put that into a file of its own (token_file)".to_owned()
                    );
                }
                Ok(text)
            }
            Self::List(_) => Err("is not a text".to_owned()),
        }
    }

    pub(super) fn path(&self) -> Result<PathBuf, String> {
        match self {
            Self::Text(text) if text.is_empty() => {
                Err("the path is empty; name a file or directory".to_owned())
            }
            Self::Text(text) => Ok(PathBuf::from(text)),
            Self::List(_) => Err("is not a path".to_owned()),
        }
    }
}

/// A value whose type reads itself.
pub(super) fn value<T: FromStr<Err: ToString>>(raw: &Raw) -> Result<T, String> {
    raw.text()?.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn switch(raw: &Raw) -> Result<bool, String> {
    match raw.text()? {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        text => Err(format!("{text:?} is not a choice; it can be true or false")),
    }
}

pub(super) fn duration(raw: &Raw) -> Result<Duration, String> {
    parse_duration(raw.text()?).map_err(|error| error.to_string())
}

pub(super) fn tags(raw: &Raw) -> Result<Tags, String> {
    match raw {
        Raw::List(texts) => {
            let tags: Result<Vec<Tag>, _> = texts.iter().map(|text| text.parse()).collect();
            tags.and_then(Tags::try_from).map_err(|error| error.to_string())
        }
        Raw::Text(_) => value(raw),
    }
}

/// A path that means the same wherever it is used: in a hook, which works elsewhere, and to whoever asks the daemon.
pub(super) fn whole_path(raw: &Raw) -> Result<PathBuf, String> {
    let path = raw.path()?;
    Ok(std::path::absolute(&path).unwrap_or(path))
}

pub(super) fn k8s_name(raw: &Raw) -> Result<String, String> {
    let text = raw.text()?;
    if text.is_empty() || text.chars().count() > LONGEST_K8S_NAME || !text.chars().all(is_plain) {
        return Err(format!(
            "is not the name of a Kubernetes workload; it has 1 to {LONGEST_K8S_NAME} characters and no control \
             character"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn address(raw: &Raw) -> Result<SocketAddr, String> {
    let text = raw.text()?;
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address to listen on; write it as 127.0.0.1:9464, [::1]:9464 or 0.0.0.0:9464 (every \
             address of this host)"
        )
    })
}

pub(super) fn absolute(raw: &Raw) -> Result<PathBuf, String> {
    let path = raw.path()?;
    if path.is_absolute() { Ok(path) } else { Err(format!("{path:?} has to be a whole path, from / on")) }
}

pub(super) fn command(raw: &Raw) -> Result<Vec<String>, String> {
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

pub(super) fn user(raw: &Raw) -> Result<u32, String> {
    number_of("user", raw, |name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw())))
}

pub(super) fn group(raw: &Raw) -> Result<u32, String> {
    number_of("group", raw, |name| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw())))
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

pub(super) fn key_mode(raw: &Raw) -> Result<u32, String> {
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

pub(super) fn cert_mode(raw: &Raw) -> Result<u32, String> {
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
