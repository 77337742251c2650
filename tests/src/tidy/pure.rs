//! Pure ground: a folder that names nothing that could read a clock, a file or a socket.

use super::Source;
use super::modules::{absolute, name_of};
use super::paths::{self, File, Kind, Named};

/// What the machine may name of its own crate.
const MODULES: &[&str] = &["machine", "clock"];
/// The other crates that it may name, and whose lints it expects.
const CRATES: &[&str] =
    &["std", "telovix_contract", "jiff", "serde", "sha2", "zeroize", "data_encoding", "thiserror", "clippy"];
const PRIMITIVES: &[&str] = &[
    "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128",
    "isize", "f32", "f64",
];

/// Paths in the machine's files, those for tests excepted, that lead off its ground.
pub fn impure(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some(here) = source.path.strip_prefix("agent/src/").and_then(name_of) else { continue };
        if here.first().is_none_or(|module| module != "machine") {
            continue;
        }
        let file = paths::read(&source.text);
        let folder = format!("agent/src/{}/", here.join("/"));
        let is_child =
            |name: &str| sources.iter().any(|source| source.path.starts_with(&format!("{folder}{name}")));
        for named in file.paths.iter().filter(|named| !named.is_test) {
            let leads_off = match absolute(&[here.as_slice(), &named.within].concat(), &named.segments) {
                Some(path) => path.first().filter(|module| !MODULES.contains(&module.as_str())).cloned(),
                None => named
                    .segments
                    .first()
                    .filter(|head| is_foreign(&file, named, head) && !is_child(head))
                    .cloned(),
            };
            if let Some(name) = leads_off {
                complaints
                    .push(format!("{}:{}: `{name}` is off the machine's ground", source.path, named.line));
            }
        }
    }
    complaints.dedup();
    complaints
}

/// Whether a path's first word is another crate's name, and not a type's or one that a `use` of the file brought.
fn is_foreign(file: &File, named: &Named, head: &str) -> bool {
    let is_use = matches!(named.kind, Kind::Use { .. });
    let is_brought = || {
        file.paths.iter().any(|other| matches!(&other.kind, Kind::Use { name, .. } if name == head))
            || PRIMITIVES.contains(&head)
    };
    head.starts_with(char::is_lowercase)
        && !CRATES.contains(&head)
        && (is_use || (named.segments.len() > 1 && !is_brought()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_off_the_ground_is_seen_in_every_spelling() {
        for (text, expected) in [
            ("use crate::store::Store;", 1),
            ("use super::super::store::Store;", 1),
            ("use crate::{clock::Clock, config};", 1),
            ("fn f() { crate::console::go() }", 1),
            ("use tokio::time;", 1),
            ("use std::fmt;\nfn f() { tracing::info!(x) }", 1),
            ("fn f(x: rustls::pki_types::UnixTime) {}", 1),
            ("use crate::clock::Clock;\nuse super::M;\nuse crate::machine::a;\nuse self::child::X;", 0),
            ("use std::time::Duration;\nuse jiff::Timestamp;\nuse serde::{Deserialize, Serialize};", 0),
            (
                "use std::time;\nuse telovix_contract::paths;\nfn f() { time::x(); paths::y(); u32::from(1); go() }",
                0,
            ),
            (
                "//! [`crate::store`]\n#[cfg(test)]\nmod tests { use crate::store::Store; use proptest::x; }",
                0,
            ),
            ("pub(in crate::machine) fn f() { child::go(); Self::x() }", 0),
        ] {
            let of = |path: &str| {
                impure(&[Source::sample(path, text), Source::sample("agent/src/machine/a/child.rs", "")])
            };
            assert_eq!(of("agent/src/machine/a.rs").len(), expected, "{text}");
            assert_eq!(of("agent/src/machine/tests/a.rs"), Vec::<String>::new());
            assert_eq!(of("agent/src/store/a.rs"), Vec::<String>::new());
        }
    }
}
