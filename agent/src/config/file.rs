//! Configuration files: `agent.toml`, then `agent.toml.d/*.toml` beside it.
//!
//! Invariant: reading never stops at the first mistake; each is reported with its file and line, and no text of a
//! file makes it panic.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::keys::{ENROLLMENT_TOKEN_FILE, HOOK_COMMAND, Kind, ROWS, Row, SIGNAL_PID_FILE};
use crate::config::layers::Entry;
use crate::config::parse::Raw;
use crate::config::sourced::Origin;

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

/// Entries of `main` and of the files in `<main>.d`, in the order in which they are read: later beats earlier. Who may write a
/// file that names a program to run, or a process to signal, has the agent's rights: where that is everybody, those two
/// are left out, and a warning says so.
pub(super) fn read(
    main: &Path,
    presence: Presence,
    errors: &mut ConfigErrors,
    warnings: &mut Vec<String>,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for path in std::iter::once(main.to_owned()).chain(drop_ins(main, errors)) {
        match text_of(&path) {
            Ok(text) => {
                let mut found = parse(&path, &text, errors);
                if let Some(exposed) = exposed(&path) {
                    let before = found.len();
                    found.retain(|entry| {
                        ![HOOK_COMMAND.row.name, SIGNAL_PID_FILE.row.name].contains(&entry.row.name)
                    });
                    let left_out = if found.len() < before { "; the hook in it is not used" } else { "" };
                    warnings.push(format!("{exposed}{left_out}"));
                }
                entries.extend(found);
            }
            Err(error) if missing(&error) && path == main && presence == Presence::Optional => {}
            Err(error) => errors.push(ConfigError::passing(path.display(), unreadable(&error))),
        }
    }
    entries
}

/// Whether every user of this host can write a file or put another in its place, as a sentence with the remedy.
pub(crate) fn exposed(path: &Path) -> Option<String> {
    let open = |place: &Path| {
        let mode = std::fs::metadata(place).ok()?.mode();
        // In a sticky directory nobody replaces another's file.
        (mode & 0o002 != 0 && mode & 0o1000 == 0).then(|| {
            let place = place.display();
            format!(
                "every user of this host can write {place} (mode {:04o}): run `chmod o-w {place}`",
                mode & 0o7777
            )
        })
    };
    open(path).or_else(|| open(path.parent()?))
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
        Err(error) if missing(&error) => return Vec::new(),
        Err(error) => {
            errors.push(ConfigError::passing(directory.display(), unreadable(&error)));
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

fn missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read as a configuration file ({error}); name a file that the agent may read")
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // A pipe in its place must not hold us up.
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe"));
    }
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    // As some editors begin a file.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
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
            Ok((row, raw)) => {
                let line = line_at(text, value.span().start);
                entries.push(Entry { row, raw, origin: Origin::File { path: path.to_owned(), line } });
            }
            Err(message) => found.push((line, message)),
        }
    }
    found.sort();
    let left_out = found.len().saturating_sub(MOST_ERRORS);
    for (line, message) in found.into_iter().take(MOST_ERRORS) {
        errors.push(ConfigError::at(Origin::File { path: path.to_owned(), line }, message));
    }
    if left_out > 0 {
        errors.push(ConfigError::at(path.display(), format!("{left_out} more mistakes are not shown")));
    }
    entries
}

fn entry(path: &Path, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(&'static Row, Raw), String> {
    let row = Row::find(name).ok_or_else(|| unknown(name, value.get_ref()))?;
    let raw = match (row.kind, value.get_ref()) {
        (Kind::Path, DeValue::String(text)) => Raw::Text(beside(path, text).into_os_string()),
        (Kind::Text | Kind::List, DeValue::String(text)) => Raw::Text(text.as_ref().into()),
        (Kind::Switch, DeValue::Boolean(on)) => Raw::Text(on.to_string().into()),
        (Kind::List | Kind::Words, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            Raw::List(texts.collect::<Option<_>>().ok_or_else(|| {
                format!("{name} holds something that is not a text; write it as {}", row.line())
            })?)
        }
        (Kind::Text | Kind::Path | Kind::List | Kind::Words | Kind::Switch, other) => {
            return Err(format!("{name} cannot be {}; write it as {}", a_type(other), row.line()));
        }
    };
    Ok((row, raw))
}

fn unknown(name: &str, value: &DeValue<'_>) -> String {
    let shown: Cow<'_, str> =
        if name.chars().count() > 60 { name.chars().take(60).chain(['…']).collect() } else { name.into() };
    if name.contains("token") && name != ENROLLMENT_TOKEN_FILE.row.name {
        return format!(
            "unknown key {shown:?}; a token does not stand in the configuration: put it into a file of its own and \
             name that as token_file"
        );
    }
    match (Row::nearest(name), value) {
        (Some(row), _) => format!("unknown key {shown:?}; did you mean {}?", row.name),
        (None, DeValue::Table(_)) => {
            format!("unknown section {shown:?}; all keys stand at the top level, without a section")
        }
        (None, _) => {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            format!("unknown key {shown:?}; remove it, or use one of {}", names.join(", "))
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

/// The line of a byte, counted from 1.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::tests::Bench;

    fn complaints(text: &str) -> Vec<String> {
        let mut errors = ConfigErrors::default();
        parse(Path::new("a.toml"), text, &mut errors);
        errors.as_slice().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_of_the_wrong_type_say_how_to_write_them() {
        for (text, complaint) in [
            ("timeout = 300", "timeout cannot be a number; write it as timeout = \"15m\""),
            ("node_role = true", "node_role cannot be true or false; write it as node_role = \"o_du\""),
            (
                "state_dir = ['/s']",
                "state_dir cannot be an array; write it as state_dir = \"/var/lib/telovix-sensor\"",
            ),
            ("tags = 1.5", "tags cannot be a number; write it as tags = [\"rack-4\", \"lab\"]"),
            (
                "tags = ['a', 1]",
                "tags holds something that is not a text; write it as tags = [\"rack-4\", \"lab\"]",
            ),
            ("node_name = 2026-01-01", "node_name cannot be a date; write it as node_name = \"…\""),
            (
                "[console_url]",
                "console_url cannot be a section; write it as console_url = \"https://console.example:15483\"",
            ),
            (
                "danger_accept_unverified_console = 'true'",
                "danger_accept_unverified_console cannot be a text; write it as danger_accept_unverified_console = true \
                 or danger_accept_unverified_console = false",
            ),
        ] {
            assert_eq!(complaints(text), [format!("a.toml line 1: {complaint}")], "{text}");
        }
    }

    #[test]
    fn unknown_keys_name_what_was_probably_meant() {
        for (text, remedy) in [
            ("console-url = 'x'", "did you mean console_url?"),
            ("TELOVIX_SENSOR_TAGS = 'x'", "did you mean tags?"),
            ("node_rolle = 'x'", "did you mean node_role?"),
            ("token = 'x'", "put it into a file of its own and name that as token_file"),
            ("[agent]\nnode_role = 'x'", "all keys stand at the top level"),
            ("colour = 'x'", "remove it, or use one of console_url, token_file, "),
        ] {
            let complaints = complaints(text);
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(complaints[0].starts_with("a.toml line 1: unknown "), "{complaints:?}");
            assert!(complaints[0].contains(remedy), "{complaints:?}");
        }
    }

    #[test]
    fn broken_toml_is_reported_by_line_and_the_rest_is_still_read() {
        let text = "node_role = 'a'\nnode_name = \n\nflavour = 'x'\ntags = [1\n";
        let complaints = complaints(text);
        assert!(complaints.len() >= 3, "{complaints:?}");
        assert!(complaints[0].starts_with("a.toml line 2: not TOML: "), "{complaints:?}");
        assert!(complaints[1].contains("line 4") && complaints[1].contains("mean flavor?"), "{complaints:?}");
        let twice = self::complaints("node_role = 'a'\nnode_role = 'b'");
        assert!(twice.len() == 1 && twice[0].contains("line 2: not TOML: duplicate key"), "{twice:?}");
    }

    #[test]
    fn a_file_of_another_kind_does_not_flood_the_terminal() {
        let text = (0..500).map(|n| format!("k{n} = {n}\n")).collect::<String>();
        let complaints = complaints(&text);
        assert_eq!(complaints.len(), MOST_ERRORS + 1);
        assert_eq!(complaints[MOST_ERRORS], "a.toml: 480 more mistakes are not shown");
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let not_utf_8 = Bench::new().file("agent.toml", b"a = '\xff'").complaints();
        assert!(
            not_utf_8[0].starts_with("agent.toml: ") && not_utf_8[0].contains("not UTF-8"),
            "{not_utf_8:?}"
        );
        let large = Bench::new().file("agent.toml", vec![b'#'; (1 << 20) + 1]).complaints();
        assert!(large[0].contains("larger than 1 MiB"), "{large:?}");
        let directory = Bench::new().file("agent.toml/x", "").complaints();
        assert!(directory[0].starts_with("agent.toml: cannot be read"), "{directory:?}");
        let no_directory = Bench::new().file("agent.toml.d", "").complaints();
        assert!(no_directory[0].starts_with("agent.toml.d: cannot be read"), "{no_directory:?}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_lines_stay_within_it(
            text in "(\\PC{0,12}|(node_role|tags|timeout|colour) ?= ?[\\['\"0-9a-z\\]]{0,8}|\\[\\PC{0,4}|\r?\n){0,12}"
        ) {
            let mut errors = ConfigErrors::default();
            let lines = 1 + text.matches('\n').count();
            for entry in parse(Path::new("a.toml"), &text, &mut errors) {
                let Origin::File { line, .. } = entry.origin else { panic!("{:?}", entry.origin) };
                prop_assert!(line >= 1 && line <= lines);
            }
        }
    }
}
