//! Configuration files: `agent.toml`, then `agent.toml.d/*.toml` beside it.
//!
//! Invariant: reading never stops at the first mistake; each is reported with its file and line, and no text of a
//! file makes it panic.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::item::{Item, Kind};
use crate::config::layers::{Entry, Raw};
use crate::config::setting::Origin;

/// Largest configuration file in bytes. A larger one is another kind of file.
const LARGEST_FILE: u64 = 1 << 20;
/// Most mistakes reported of one file: past that, it is another kind of file too.
const MOST_ERRORS: usize = 20;

/// Whether the main file has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Someone named it.
    Required,
    /// It is the default.
    Optional,
}

/// Entries of `main` and of the files in `<main>.d`, in the order in which they are read: later beats earlier.
pub(super) fn read(main: &Path, presence: Presence, errors: &mut ConfigErrors) -> Vec<Entry> {
    let mut entries = Vec::new();
    match text_of(main) {
        Ok(text) => entries.extend(parse(main, &text, errors)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && presence == Presence::Optional => {}
        Err(error) => errors.push(ConfigError::of_file(main, unreadable(&error))),
    }
    for path in drop_ins(main, errors) {
        match text_of(&path) {
            Ok(text) => entries.extend(parse(&path, &text, errors)),
            Err(error) => errors.push(ConfigError::of_file(&path, unreadable(&error))),
        }
    }
    entries
}

/// Where the drop-ins of a main file are.
pub(super) fn drop_in_directory(main: &Path) -> PathBuf {
    let mut name = OsString::from(main);
    name.push(".d");
    PathBuf::from(name)
}

fn drop_ins(main: &Path, errors: &mut ConfigErrors) -> Vec<PathBuf> {
    let directory = drop_in_directory(main);
    let listing = std::fs::read_dir(&directory)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>());
    let mut paths = match listing {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            errors.push(ConfigError::of_file(&directory, unreadable(&error)));
            return Vec::new();
        }
    };
    // A hidden file is an editor's or a volume's own business (`..data` of Kubernetes).
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    paths
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read as a configuration file ({error}); name a file that the agent may read")
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Entries of one file's text.
pub(super) fn parse(path: &Path, text: &str, errors: &mut ConfigErrors) -> Vec<Entry> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (table, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        let line = line_at(text, mistake.span().map_or(0, |span| span.start));
        // One slip makes the parser stumble more than once on the same line.
        if !found.iter().any(|(seen, _)| *seen == line) {
            found.push((line, format!("not TOML: {}", mistake.message())));
        }
    }
    let broken: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let line = line_at(text, name.span().start);
        if broken.contains(&line) {
            continue;
        }
        match entry(path, name.get_ref(), value) {
            Ok((key, raw)) => {
                let line = line_at(text, value.span().start);
                entries.push(Entry { key, raw, origin: Origin::File { path: path.to_owned(), line } });
            }
            Err(message) => found.push((line, message)),
        }
    }
    found.sort();
    let left_out = found.len().saturating_sub(MOST_ERRORS);
    for (line, message) in found.into_iter().take(MOST_ERRORS) {
        errors.push(ConfigError::at(&Origin::File { path: path.to_owned(), line }, message));
    }
    if left_out > 0 {
        errors.push(ConfigError::of_file(path, format!("{left_out} more mistakes are not shown")));
    }
    entries
}

fn entry(path: &Path, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(Item, Raw), String> {
    let key = Item::from_name(name).ok_or_else(|| unknown(name, value.get_ref()))?;
    let raw = match (key.kind(), value.get_ref()) {
        (Kind::Path, DeValue::String(text)) => Raw::Text(beside(path, text).into_os_string()),
        (Kind::Text | Kind::List, DeValue::String(text)) => Raw::Text(OsString::from(text.as_ref())),
        (Kind::Switch, DeValue::Boolean(on)) => Raw::Switch(*on),
        (Kind::List | Kind::Words, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            Raw::List(texts.collect::<Option<_>>().ok_or_else(|| {
                format!("{name} holds something that is not a text; write it as {}", example(key))
            })?)
        }
        (Kind::Text | Kind::Path | Kind::List | Kind::Words | Kind::Switch, other) => {
            return Err(format!("{name} cannot be {}; write it as {}", a_type(other), example(key)));
        }
    };
    Ok((key, raw))
}

fn unknown(name: &str, value: &DeValue<'_>) -> String {
    let shown: Cow<'_, str> =
        if name.chars().count() > 60 { name.chars().take(60).chain(['…']).collect() } else { name.into() };
    if name.contains("token") && name != Item::TokenFile.name() {
        return format!(
            "unknown key {shown:?}; a token does not stand in the configuration: put it into a file of its own and \
             name that as token_file"
        );
    }
    match (Item::nearest(name), value) {
        (Some(key), _) => format!("unknown key {shown:?}; did you mean {}?", key.name()),
        (None, DeValue::Table(_)) => {
            format!("unknown section {shown:?}; all keys stand at the top level, without a section")
        }
        (None, _) => {
            let names = Item::ALL.map(Item::name).join(", ");
            format!("unknown key {shown:?}; remove it, or use one of {names}")
        }
    }
}

/// A path of a file starts where the file is, so that it means the same from every working directory.
fn beside(file: &Path, text: &str) -> PathBuf {
    match file.parent() {
        // `join` would turn an empty text into the directory.
        Some(directory) if !text.is_empty() => directory.join(text),
        Some(_) | None => PathBuf::from(text),
    }
}

fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a section",
    }
}

fn example(key: Item) -> String {
    let name = key.name();
    match key {
        Item::Timeout => format!("{name} = \"5m\""),
        Item::Tags => format!("{name} = [\"rack-4\", \"lab\"]"),
        Item::DangerAcceptUnverifiedConsole => format!("{name} = true or {name} = false"),
        Item::HookCommand => format!("{name} = [\"/usr/bin/systemctl\", \"reload\", \"nginx\"]"),
        Item::HookTimeout => format!("{name} = \"30s\""),
        Item::HealthListen => format!("{name} = \"127.0.0.1:9464\""),
        Item::Signal => format!("{name} = \"SIGHUP\""),
        Item::ControlSocketMode => format!("{name} = \"0600\""),
        Item::PublishKeyMode => format!("{name} = \"0640\""),
        Item::PublishCertMode => format!("{name} = \"0644\""),
        Item::ConsoleUrl
        | Item::ControlSocket
        | Item::SignalPidFile
        | Item::PublishOwner
        | Item::PublishGroup
        | Item::TokenFile
        | Item::BootstrapCa
        | Item::CaFingerprint
        | Item::NodeName
        | Item::NodeRole
        | Item::ClusterName
        | Item::InstallId
        | Item::Flavor
        | Item::KeyType
        | Item::StateDir
        | Item::LogLevel
        | Item::LogFormat
        | Item::K8sDeployment => format!("{name} = \"…\""),
    }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
