//! The one direction of imports: a module uses only modules that stand before it.

use super::{Source, code_of};

/// The agent's modules in the order of its story (ARCHITECTURE.md).
pub const AGENT_ORDER: &[&str] = &[
    "clock", "config", "cli", "confine", "facts", "key", "csr", "tls", "machine", "console", "verify",
    "store", "driver", "watcher", "notify", "hook", "metrics", "server", "doctor", "daemon", "commands",
];

/// The stub's layers (DESIGN.md section 2).
pub const STUB_ORDER: &[&str] = &[
    "config", "clock", "fault", "files", "domain", "db", "ca", "service", "api", "ui", "serve", "app", "cli",
];

/// Modules that only tests have: they use anything, and any test uses them.
const TEST_ONLY: &[&str] = &["testpki"];

/// Imports that point at a module further on in `order`, or at one that is not in it, in the sources below `folder`.
pub fn layers(sources: &[Source], folder: &str, order: &[&str]) -> Vec<String> {
    let rank = |module: &str| order.iter().position(|name| *name == module);
    let mut complaints = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix(folder).filter(|path| path.ends_with(".rs")) else {
            continue;
        };
        let own = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if own == "lib" || own == "main" || TEST_ONLY.contains(&own) {
            continue;
        }
        let Some(own_rank) = rank(own) else {
            complaints.push(format!("{}: module `{own}` has no place in the order", source.path));
            continue;
        };
        for (line, module) in imports(&code_of(&source.text), depth_of(inside)) {
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

/// How far down a file's module stands: 1 for `key.rs` and `store/mod.rs`, 2 for `store/layout.rs`.
fn depth_of(inside: &str) -> usize {
    inside.split('/').filter(|part| *part != "mod.rs").count()
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

/// The top-level modules that code names by `crate::`, or by as many `super::` as lead to the root, with the lines.
/// Macros of the crate's own count as nothing.
fn imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let up = "super::".repeat(depth);
    for root in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c == '_' || c == '$' || c == ':' || c.is_alphanumeric()) {
                continue;
            }
            // Inside braces `super` may be the file's own module, as it is in `mod tests { … }`.
            let braces = code[..at].matches('{').count() != code[..at].matches('}').count();
            if root != "crate::" && braces {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(group_heads(group).into_iter().map(|name| (line, name))),
                None => found.push((line, identifier(rest))),
            }
        }
    }
    found.retain(|(_, name)| name.starts_with(char::is_lowercase) && name != "super");
    found
}

/// The first words of `a::b, c::{d, e}, f}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![identifier(group.trim_start())];
    let mut depth = 0;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(identifier(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()
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
