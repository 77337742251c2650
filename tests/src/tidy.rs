//! The rules of CONTRIBUTING.md that a machine can check, as functions from sources to complaints.
//!
//! Invariant: a check reads text and nothing else, so that each can be shown a bad sample and be seen to fail; the
//! suite `tests/tidy.rs` runs them over the tree. What the compiler and clippy check better is not here.

mod circles;
mod citations;
mod code;
mod layers;
mod links;
mod manifests;
mod modules;
mod paths;
mod pure;

use std::path::Path;

pub use circles::circles;
pub use citations::citations;
pub use code::code_of;
pub use layers::{AGENT_ORDER, STUB_ORDER, declared_order, layers};
pub use links::dead_links;
pub use manifests::lints;
pub use pure::impure;

/// Longest file.
const MAX_LINES: usize = 400;
/// Longest `main.rs`.
const MAX_MAIN_LINES: usize = 60;

/// A file of the tree.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path from the root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// A sample for a test.
    pub fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file below the root that people wrote, without what was built.
pub fn sources(root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(root, root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in folder.read_dir().unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type().expect("a file has a type");
        // A file in a worktree beside the clone.
        if name == ".git" {
            continue;
        }
        if kind.is_dir() && name != "target" && name != "node_modules" {
            collect(root, &path, found);
        // `.git` is a file in a worktree.
        } else if kind.is_file() && name != "Cargo.lock" && name != ".git" {
            // What is not UTF-8 is no text.
            if let Ok(text) = std::fs::read_to_string(&path) {
                let path = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
}

/// Files that are too long to be read at once.
pub fn lengths(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        let most = if source.path.ends_with("/main.rs") { MAX_MAIN_LINES } else { MAX_LINES };
        if lines > most {
            complaints.push(format!("{} has {lines} lines; at most {most} are allowed", source.path));
        }
    }
    complaints
}

/// Files whose first line does not say what they are for.
pub fn first_lines(sources: &[Source]) -> Vec<String> {
    let silent = |source: &&Source| !source.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    sources
        .iter()
        .filter(|source| source.is_rust())
        .filter(silent)
        .map(|source| format!("{} does not begin with a `//!` line that says what it is for", source.path))
        .collect()
}

/// Modules that are laid out as `name.rs` beside the folder `name/`, where `name/mod.rs` is the way.
pub fn beside_folders(sources: &[Source], folder: &str) -> Vec<String> {
    let beside = |source: &&Source| {
        let module = source.path.strip_suffix(".rs").filter(|_| source.path.starts_with(folder));
        module.is_some_and(|module| sources.iter().any(|other| other.path.starts_with(&format!("{module}/"))))
    };
    let complain = |source: &Source| format!("{}: beside a folder; make it `mod.rs` in there", source.path);
    sources.iter().filter(beside).map(complain).collect()
}

/// Exemptions from lints that are not `#[expect(…, reason = …)]`.
pub fn exemptions(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let code = code_of(&source.text);
        for (at, word) in code::calls(&code, &["allow", "expect"]) {
            // `Option::expect` and functions of these names are something else: an attribute opens before.
            let before = code[..at].trim_end();
            if !before.ends_with(['[', ',']) || code[..at].rfind("#[").max(code[..at].rfind("#![")).is_none()
            {
                continue;
            }
            let inside = code::parenthesised(&code[at + word.len()..]);
            let line = code[..at].lines().count().max(1);
            if word == "allow" && is_in_attribute(&code, at) {
                complaints.push(format!("{}:{line}: `allow`; write `expect` with a reason", source.path));
            } else if word == "expect" && is_in_attribute(&code, at) && !inside.contains("reason =") {
                complaints.push(format!("{}:{line}: `expect` without a reason", source.path));
            }
        }
    }
    complaints
}

/// Whether the innermost bracket that is open at this place belongs to `#[` or `#![`.
fn is_in_attribute(code: &str, at: usize) -> bool {
    let mut depth = 0;
    for (here, character) in code[..at].char_indices().rev() {
        match character {
            ']' => depth += 1,
            '[' if depth > 0 => depth -= 1,
            '[' => return code[..here].trim_end_matches('!').ends_with('#'),
            ';' | '}' if depth == 0 => return false,
            _ => {}
        }
    }
    false
}

/// Notes to oneself that belong into an issue.
pub fn leftovers(sources: &[Source]) -> Vec<String> {
    // Put together here, so that this file does not complain of itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];
    find(sources, &words, "belongs into an issue")
}

/// Paths of somebody's machine.
pub fn machine_paths(sources: &[Source]) -> Vec<String> {
    let words =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/"), concat!(".lib", "rary/")];
    find(sources, &words, "is a path of one machine")
}

fn find(sources: &[Source], words: &[&str], why: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for (at, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                complaints.push(format!("{}:{}: `{word}` {why}", source.path, at + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> [Source; 1] {
        [Source::sample(path, text)]
    }

    #[test]
    fn long_files_and_silent_ones_are_found() {
        let long = "//! x\n".repeat(401);
        assert_eq!(lengths(&one("agent/src/a.rs", &long)).len(), 1);
        assert_eq!(lengths(&one("agent/src/a.rs", &"//! x\n".repeat(400))).len(), 0);
        assert_eq!(lengths(&one("agent/src/main.rs", &"//! x\n".repeat(61))).len(), 1);
        assert_eq!(lengths(&one("README.md", &long)).len(), 0);
        assert_eq!(first_lines(&one("a.rs", "use x;\n")).len(), 1);
        assert_eq!(first_lines(&one("a.rs", "//! Says it.\n")).len(), 0);
    }

    #[test]
    fn a_file_beside_its_folder_is_found() {
        let files = |paths: [&str; 3]| {
            beside_folders(&paths.map(|path| Source::sample(path, "")), "agent/src/").len()
        };
        assert_eq!(files(["agent/src/a.rs", "agent/src/a/b.rs", "agent/src/ab/c.rs"]), 1);
        assert_eq!(files(["agent/src/a/mod.rs", "agent/src/a/b.rs", "agent/src/a/tests.rs"]), 0);
        assert_eq!(files(["tests/src/a.rs", "tests/src/a/b.rs", "agent/src/b.rs"]), 0);
    }

    #[test]
    fn exemptions_need_a_reason() {
        for bad in [
            "#[expect(dead_code)]\nfn f() {}",
            "#![expect(\n    dead_code,\n    unused,\n)]",
            "#[allow(dead_code, reason = \"x\")]\nfn f() {}",
            "#[cfg_attr(test, expect(dead_code))]\nfn f() {}",
            "#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
        ] {
            assert_eq!(exemptions(&one("a.rs", bad)).len(), 1, "{bad}");
        }
        for good in [
            "#[expect(dead_code, reason = \"why (so)\")]\nfn f() {}",
            "fn f() { x.expect(\"a\"); allow(b); [a, allow(b)]; }",
            "// #[allow(dead_code)]\nconst A: &str = \"#[allow(x)]\";",
        ] {
            assert_eq!(exemptions(&one("a.rs", good)), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn notes_and_paths_are_found() {
        let note = format!("// {}DO: later", "TO");
        assert_eq!(leftovers(&one("a.rs", &note)).len(), 1);
        let path = format!("see /wo{}/x", "rk");
        assert_eq!(
            machine_paths(&one("a.md", &path)),
            [format!("a.md:1: `/wo{}/` is a path of one machine", "rk")]
        );
        assert!(machine_paths(&one("a.md", "/var/lib/telovix-sensor /etc/telovix")).is_empty());
    }
}
