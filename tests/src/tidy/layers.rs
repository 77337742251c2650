//! The one direction of imports: a module uses only modules that stand before it.

use std::collections::BTreeSet;

use super::modules::{TEST_ONLY, absolute};
use super::paths::{self, Named};
use super::{Source, code_of};

/// The agent's modules in the order of its story (ARCHITECTURE.md).
pub const AGENT_ORDER: &[&str] = &[
    "clock", "regular", "config", "cli", "confine", "facts", "key", "csr", "tls", "machine", "console",
    "verify", "store", "driver", "watcher", "notify", "hook", "metrics", "server", "doctor", "daemon",
    "commands",
];

/// The stub's layers (ARCHITECTURE.md).
pub const STUB_ORDER: &[&str] = &[
    "config", "clock", "fault", "files", "domain", "db", "ca", "service", "api", "ui", "serve", "app", "cli",
];

/// Imports that point at a module further on in `order`, or at one that is not in it, in the sources below `folder`.
pub fn layers(sources: &[Source], folder: &str, order: &[&str]) -> Vec<String> {
    let rank = |module: &str| order.iter().position(|name| *name == module);
    let mut complaints = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix(folder).and_then(|path| path.strip_suffix(".rs")) else {
            continue;
        };
        let here: Vec<String> =
            inside.split('/').filter(|part| *part != "mod" && *part != "lib").map(str::to_owned).collect();
        let own = here.first().map_or("main", |own| own.as_str());
        if own == "main" || TEST_ONLY.contains(&own) {
            continue;
        }
        let Some(own_rank) = rank(own) else {
            complaints.push(format!("{}: module `{own}` has no place in the order", source.path));
            continue;
        };
        for (line, module) in imports(&source.text, &here) {
            match rank(&module) {
                None | Some(_) if TEST_ONLY.contains(&module.as_str()) => {}
                Some(other) if other <= own_rank => {}
                Some(_) => complaints
                    .push(format!("{}:{line}: `{own}` uses `{module}`, which comes later", source.path)),
                None => {
                    complaints.push(format!("{}:{line}: `{module}` has no place in the order", source.path));
                }
            }
        }
    }
    complaints
}

/// The top-level modules that a file names, with the lines.
fn imports(text: &str, here: &[String]) -> BTreeSet<(usize, String)> {
    let named = paths::read(text).paths;
    let top = |named: Named| {
        let path = absolute(&[here, &named.within].concat(), &named.segments)?;
        let module = path.into_iter().next().filter(|name| name.starts_with(char::is_lowercase))?;
        Some((named.line, module))
    };
    named.into_iter().filter_map(top).collect()
}

/// Modules that `lib.rs` declares in another order than `order`, or that are not in it, and test helpers that are
/// declared for everyone.
pub fn declared_order(lib: &Source, order: &[&str]) -> Vec<String> {
    let code = code_of(&lib.text);
    let mut complaints = Vec::new();
    let mut last = 0;
    let mut before = "";
    for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let name = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")).map(|(_, name)| name);
        let attribute = std::mem::replace(&mut before, line);
        let Some(name) = name else { continue };
        match order.iter().position(|module| *module == name) {
            None if TEST_ONLY.contains(&name) && attribute == "#[cfg(test)]" => {}
            None => complaints.push(format!("{}: module `{name}` has no place in the order", lib.path)),
            Some(rank) if rank < last => {
                complaints.push(format!("{}: module `{name}` is declared after `{}`", lib.path, order[last]));
            }
            Some(rank) => last = rank,
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &[&str] = &["clock", "config", "store", "commands"];

    fn complaints(path: &str, text: &str) -> usize {
        layers(&[Source::sample(path, text)], "agent/src/", ORDER).len()
    }

    #[test]
    fn an_arrow_to_the_right_is_seen_in_every_spelling() {
        for (path, text, expected) in [
            ("agent/src/store.rs", "use crate::clock::Clock;\nuse crate::config;", 0),
            ("agent/src/store.rs", "use crate::store::layout;", 0),
            ("agent/src/config/mod.rs", "use crate::store::Store;", 1),
            ("agent/src/config/env.rs", "fn f() { crate::commands::run() }", 1),
            ("agent/src/clock.rs", "use crate::{clock, store::{Store, layout}, config};", 2),
            ("agent/src/clock.rs", "pub(in crate::store) fn f() {}", 1),
            (
                "agent/src/clock.rs",
                "//! [`crate::store`]\n// crate::store\nconst A: &str = \"crate::store\";",
                0,
            ),
            ("agent/src/clock.rs", "use other_crate::store;\nuse crate::Result;", 0),
            ("agent/src/surprise.rs", "", 1),
            ("agent/src/config/mod.rs", "use super::store::Store;", 1),
            ("agent/src/config/env.rs", "use super::super::store::Store;", 1),
            ("agent/src/config/env.rs", "use super::store::Store;", 0),
            ("agent/src/config.rs", "mod tests { use super::store; }", 0),
            ("agent/src/config.rs", "use crate::testpki;", 0),
            ("agent/src/testpki.rs", "use crate::commands;", 0),
            ("agent/src/main.rs", "use crate::commands;", 0),
            ("console-stub/src/clock.rs", "use crate::api;", 0),
        ] {
            assert_eq!(complaints(path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn a_declaration_out_of_order_is_seen() {
        let lib = |text: &str| declared_order(&Source::sample("agent/src/lib.rs", text), ORDER).len();
        assert_eq!(lib("//! mod store;\npub mod clock;\n\nmod config;\npub(crate) mod commands;\n"), 0);
        assert_eq!(lib("pub mod config;\npub mod clock;\n"), 1);
        assert_eq!(lib("pub mod clock;\npub mod surprise;\n"), 1);
        assert_eq!(lib("pub mod clock;\n#[cfg(test)]\npub(crate) mod testpki;\n"), 0);
        assert_eq!(lib("pub mod clock;\npub mod testpki;\n"), 1);
    }
}
