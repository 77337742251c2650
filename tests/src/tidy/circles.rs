//! No circle inside a folder: what is in it, and its `mod.rs`, can be read in one order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Source;
use super::modules::{Edge, Modules, Name};

/// Circles among the direct children of each folder below `folder` and the folder's own module.
pub fn circles(sources: &[Source], folder: &str) -> Vec<String> {
    let modules = Modules::read(sources, folder);
    let edges = modules.edges();
    let mut complaints = Vec::new();
    for parent in modules.folders() {
        let graph = graph(&edges, parent);
        let mut circles: Vec<Vec<Node<'_>>> = graph
            .keys()
            .filter_map(|(from, to)| Some([vec![*from], way(&graph, to, from)?].concat()))
            .collect();
        circles.sort_by_key(Vec::len);
        // The shortest circle of each arrow; one that shares an arrow with a shorter one can wait.
        let mut seen = BTreeSet::new();
        for circle in circles {
            let arrows = || circle.windows(2).map(|pair| (pair[0], pair[1]));
            if arrows().all(|arrow| seen.insert(arrow)) {
                let place = format!("{folder}{}", parent.join("/"));
                let shown = arrows().map(|(from, to)| show(from, to, graph[&(from, to)]));
                complaints.push(format!(
                    "{}: circle: {}",
                    place.trim_end_matches('/'),
                    shown.collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    complaints
}

/// A node: a child by its name, or the folder's own module.
type Node<'a> = Option<&'a str>;
type Graph<'a> = BTreeMap<(Node<'a>, Node<'a>), &'a Edge<'a>>;

/// The first edge from each node of a folder to each other.
fn graph<'a>(edges: &'a [Edge<'_>], parent: &Name) -> Graph<'a> {
    let node = |module: &'a Name| {
        module.strip_prefix(parent.as_slice()).map(|rest| rest.first().map(String::as_str))
    };
    let mut graph = Graph::new();
    for edge in edges {
        if let (Some(from), Some(to)) = (node(&edge.from), node(&edge.to))
            && from != to
        {
            graph.entry((from, to)).or_insert(edge);
        }
    }
    graph
}

/// The shortest way, both ends included.
fn way<'a>(graph: &Graph<'a>, from: &Node<'a>, to: &Node<'a>) -> Option<Vec<Node<'a>>> {
    let mut ways = VecDeque::from([vec![*from]]);
    let mut seen = BTreeSet::from([*from]);
    while let Some(way) = ways.pop_front() {
        let last = *way.last().expect("a way has a beginning");
        if last == *to {
            return Some(way);
        }
        for (_, next) in graph.keys().filter(|(here, _)| *here == last) {
            if seen.insert(*next) {
                ways.push_back([way.as_slice(), &[*next]].concat());
            }
        }
    }
    None
}

fn show(from: Node<'_>, to: Node<'_>, edge: &Edge<'_>) -> String {
    let name = |node: Node<'_>| node.unwrap_or("mod.rs").to_owned();
    format!("{} -> {} ({}:{})", name(from), name(to), edge.path, edge.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::sample(&format!("agent/src/{path}"), text)).collect();
        circles(&sources, "agent/src/")
    }

    #[test]
    fn a_circle_of_children_is_seen_in_every_spelling() {
        for back in [
            "use super::a::A;",
            "use super::{a, other::X};",
            "use super::a;",
            "use crate::s::a::A;",
            "use crate::s::{a::{self, A}, other};",
            "use super::super::s::a::A;",
            "use self::super::a::A;",
            "use super::A;",
            "use super::Again;",
            "use crate::s::A;",
            "use super::*;",
            "use super::a::*;",
            "pub(super) use super::a::A;",
            "fn f() -> super::A {}",
            "fn f() { super::a::go(); }",
            "fn f() { say!(crate::s::a::go()); }",
            "use super::other;\nfn f() { other::super_a::go() }",
            "mod inner { use super::super::a::A; }",
            "impl Into<super::a::A> for B {}",
        ] {
            let found = complaints(&[
                ("lib.rs", "mod s;"),
                ("s/mod.rs", "mod a;\nmod b;\nmod other;\npub use self::a::A;\nuse a::A as Again;"),
                ("s/a.rs", "//! A.\nuse super::b::B;\nstruct A;"),
                ("s/b.rs", back),
                ("s/other.rs", "pub use super::a as super_a;\nstruct X;"),
            ]);
            assert!(
                found
                    .iter()
                    .any(|found| found.starts_with("agent/src/s: circle: a -> b (agent/src/s/a.rs:2)")),
                "{back}: {found:?}"
            );
        }
    }

    #[test]
    fn an_arrow_back_to_the_folder_is_a_circle() {
        for (module, child) in [
            ("use self::a::A;\nstruct M;", "use super::M;"),
            ("use a::A;\nfn m() {}", "fn f() { super::m() }"),
            ("pub use self::a::A;\nfn m(a: A) {}", "use super::m;"),
            ("pub use self::a::run;\nfn m() { run() }", "use crate::s::m;"),
            ("fn m() { a::go() }", "use super::*;"),
            ("pub use self::a::*;\nfn m() { self::A }\nstruct M;", "use super::M;\nstruct A;"),
        ] {
            for path in ["s/mod.rs", "s.rs"] {
                let found = complaints(&[(path, module), ("s/a.rs", child)]);
                assert!(
                    found.len() == 1 && found[0].starts_with("agent/src/s: circle: mod.rs -> a (agent/src/s"),
                    "{module} | {child}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn circles_are_seen_at_every_level_and_through_more_than_two() {
        let found = complaints(&[
            ("lib.rs", ""),
            ("c/mod.rs", ""),
            ("d/mod.rs", ""),
            ("a/x/deep.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c;"),
            ("c/y.rs", "fn f() { crate::a::x::deep::go() }"),
            ("d/e/f.rs", "use super::super::g::G;"),
            ("d/g.rs", "use super::e::f::F;"),
        ]);
        assert_eq!(
            found,
            [
                "agent/src: circle: a -> b (agent/src/a/x/deep.rs:1), b -> c (agent/src/b.rs:1), c -> a (agent/src/c/y.rs:1)",
                "agent/src/d: circle: e -> g (agent/src/d/e/f.rs:1), g -> e (agent/src/d/g.rs:1)",
            ]
        );
    }

    #[test]
    fn what_only_hands_on_or_is_for_tests_is_no_arrow() {
        for (module, a, b) in [
            ("mod a;\nmod b;\npub use self::{a::A, b::B};", "use super::B;\nstruct A;", "struct B;"),
            (
                "use self::a::A;\nuse self::b::B;\nstruct M { a: A, b: B }",
                "use super::B;\nstruct A;",
                "struct B;",
            ),
            ("pub use self::a::A;\nuse std::fmt::Debug;", "use super::Debug;\nuse super::b::B;", "struct B;"),
            ("", "use super::b::B;", "#[cfg(test)]\nmod tests { use super::super::a::A; }"),
            ("", "use super::b::B;", "#[cfg(test)]\nuse super::a::A;\nfn f() { a.super_a(); }"),
            ("", "use super::b::B;", "//! [`super::a`]\n// super::a\nconst A: &str = \"super::a::A\";"),
            ("use self::a::A;\nstruct M;", "pub(in crate::s) fn f() {}\npub(super) fn g() {}", ""),
            ("use self::a::A;\nfn go() {}", "fn f() { self.go(); go::<A>() }", ""),
            ("use self::a::A;\npub use crate::t::T;", "use super::T;", ""),
        ] {
            let found = complaints(&[
                ("s/mod.rs", module),
                ("s/a.rs", a),
                ("s/b.rs", b),
                ("s/tests.rs", "use super::a::A;"),
                ("s/tests/more.rs", "use super::a::A;"),
                ("t.rs", "struct T;"),
            ]);
            assert_eq!(found, Vec::<String>::new(), "{module} | {a} | {b}");
        }
    }
}
