//! The paths that a Rust file names: what it imports, and what it calls by a longer name.

use std::collections::BTreeSet;

use super::code_of;

/// What is read from one file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Every path, in order.
    pub(super) paths: Vec<Named>,
    /// Names behind `fn`, `struct` and their like, methods too.
    pub(super) defined: BTreeSet<String>,
}

/// A path in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    pub(super) kind: Kind,
    /// The modules of the file itself, `mod name { … }`, that are open here.
    pub(super) within: Vec<String>,
    /// Whether it is in an item under `#[cfg(test)]`.
    pub(super) is_test: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A leaf of a `use`, under the name it has here; `*` for all names.
    Use { name: String, is_public: bool },
    /// In code. A single name is here only where it looks like a type or a call.
    Inline,
    /// In `pub(in …)`.
    Visibility,
}

type Token<'a> = (usize, &'a str);

const DEFINES: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod", "macro_rules"];
/// What an item that ends at `;` or `}` begins with; what begins otherwise ends at a comma.
const ITEMS: &[&str] = &["pub", "use", "impl", "async", "extern", "let"];

/// Reads the paths of a file.
pub(super) fn read(text: &str) -> File {
    let code = code_of(text);
    let tokens = tokens(&code);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.1);
    let before = |at: usize, back: usize| at.checked_sub(back).map_or("", word);
    let mut file = File::default();
    let mut scopes: Vec<Option<&str>> = Vec::new();
    let mut test_until = 0;
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = tokens[at];
        let within = || scopes.iter().flatten().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let is_test = at < test_until;
        match token {
            "{" => scopes.push((before(at, 2) == "mod").then(|| before(at, 1))),
            "}" => drop(scopes.pop()),
            "#" if !is_test && is_for_tests(&tokens[at..]) => test_until = end_of_item(&tokens, at),
            "use" if word(at + 1) != "<" => {
                let is_public = matches!(before(at, 1), "pub" | ")");
                let mut leaves = Vec::new();
                at = leaves_of(&tokens, at + 1, &[], &mut leaves);
                file.paths.extend(leaves.into_iter().map(|(line, segments, name)| Named {
                    segments,
                    line,
                    kind: Kind::Use { name, is_public },
                    within: within(),
                    is_test,
                }));
                continue;
            }
            _ if !is_identifier(token) || token == "pub" || DEFINES.contains(&token) => {}
            _ if DEFINES.contains(&before(at, 1)) => drop(file.defined.insert(token.to_owned())),
            _ if matches!(before(at, 1), "." | "::" | "'" | "$") => {}
            _ => {
                let mut segments = vec![token.to_owned()];
                let start = at;
                while word(at + 1) == "::" && is_identifier(word(at + 2)) {
                    segments.push(word(at + 2).to_owned());
                    at += 2;
                }
                let is_named = segments.len() > 1
                    || token.starts_with(char::is_uppercase)
                    || matches!(word(at + 1), "(" | "!");
                let kind = match (before(start, 1), before(start, 2)) {
                    ("in", "(") => Kind::Visibility,
                    _ => Kind::Inline,
                };
                if is_named {
                    file.paths.push(Named { segments, line, kind, within: within(), is_test });
                }
            }
        }
        at += 1;
    }
    file
}

/// Identifiers, numbers, `::` and single characters, each with its line.
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            found.push((line + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    found
}

fn is_identifier(token: &str) -> bool {
    token.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

/// Whether an attribute that begins here is `#[cfg(test)]`, or one that asks for `test` and more.
fn is_for_tests(tokens: &[Token<'_>]) -> bool {
    let words: Vec<&str> = tokens.iter().take(7).map(|token| token.1).collect();
    words.starts_with(&["#", "[", "cfg", "(", "test", ")"])
        || words.starts_with(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// Behind the item whose attributes begin at `at`.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.1 == "#") {
        at = closed(tokens, at + 1);
    }
    let first = tokens.get(at).map_or("", |token| token.1);
    let ends_at_comma = !ITEMS.contains(&first) && !DEFINES.contains(&first);
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            ";" => return at + 1,
            "," if ends_at_comma => return at + 1,
            "{" => return closed(tokens, at),
            "(" | "[" => at = closed(tokens, at),
            ")" | "]" | "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// Behind the bracket that closes the one at `at`.
fn closed(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The leaves of a `use` tree, as path and name; returns the place behind it.
fn leaves_of(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    leaves: &mut Vec<(usize, Vec<String>, String)>,
) -> usize {
    let mut segments = prefix.to_vec();
    while let Some((line, token)) = tokens.get(at).copied() {
        at += 1;
        match token {
            "::" => {}
            "{" => {
                while let Some((_, inner)) = tokens.get(at) {
                    match *inner {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = leaves_of(tokens, at, &segments, leaves),
                    }
                }
            }
            _ if token == "*" || is_identifier(token) => {
                if token != "self" || segments.is_empty() {
                    segments.push(token.to_owned());
                }
                let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.1);
                if next(0) == "::" {
                    continue;
                }
                let (name, length) =
                    if next(0) == "as" { (next(1), 2) } else { (segments.last().map_or("", |it| it), 0) };
                leaves.push((line, segments.clone(), name.to_owned()));
                return at + length;
            }
            _ => return at,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |named: &Named| {
            let path = named.segments.join("::");
            let test = if named.is_test { " test" } else { "" };
            let within = named.within.concat();
            match &named.kind {
                Kind::Use { name, is_public: false } => {
                    format!("{}{test} {within}use {path} as {name}", named.line)
                }
                Kind::Use { name, is_public: true } => {
                    format!("{}{test} {within}pub use {path} as {name}", named.line)
                }
                Kind::Inline => format!("{}{test} {within}{path}", named.line),
                Kind::Visibility => format!("{}{test} {within}in {path}", named.line),
            }
        };
        read(text).paths.iter().map(show).collect()
    }

    #[test]
    fn a_use_is_read_leaf_by_leaf() {
        assert_eq!(
            shown(
                "use a::{self, b::{c as d, *},\n e};\npub(crate) use self::f as _;\npub use super::super::g;"
            ),
            [
                "1 use a as a",
                "1 use a::b::c as d",
                "1 use a::b::* as *",
                "2 use a::e as e",
                "3 pub use self::f as _",
                "4 pub use super::super::g as g",
            ]
        );
    }

    #[test]
    fn paths_in_code_are_read_and_methods_and_literals_are_not() {
        assert_eq!(
            shown(
                "fn f<'a>(x: super::X, y: Y) -> a::b<c::D> {\n x.call(); go(); x.y; say!(\"e::f\", g::h); // i::j\n}"
            ),
            ["1 super::X", "1 Y", "1 a::b", "1 c::D", "2 go", "2 say", "2 g::h"]
        );
        assert_eq!(
            shown("pub(in crate::a) fn f() { for x in b::c {} <D as e::F>::g(); }"),
            ["1 in crate::a", "1 b::c", "1 D", "1 e::F"]
        );
        assert_eq!(read("struct A;\nconst fn b() {}").defined.into_iter().collect::<Vec<_>>(), ["A", "b"]);
    }

    #[test]
    fn what_is_for_tests_and_modules_of_the_file_are_told() {
        assert_eq!(
            shown(
                "#[cfg(test)]\n#[expect(x)]\nmod tests { use a::b; c::d() }\nmod e { use super::f; }\ng::h()"
            ),
            [
                "1 test cfg",
                "2 test expect",
                "3 test testsuse a::b as b",
                "3 test testsc::d",
                "4 euse super::f as f",
                "5 g::h"
            ]
        );
        assert_eq!(
            shown("struct S {\n #[cfg(test)] a: b::c,\n d: e::f,\n}\n#[cfg(test)]\nuse g::h;\nuse i::j;"),
            ["2 test cfg", "2 test b::c", "3 e::f", "5 test cfg", "6 test use g::h as h", "7 use i::j as j"]
        );
    }
}
