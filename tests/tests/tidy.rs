//! The tree keeps the rules of CONTRIBUTING.md. Each check is shown a bad sample beside its code, in `src/tidy`.

use telovix_tests::bins::source_root;
use telovix_tests::tidy::{self, AGENT_ORDER, STUB_ORDER, Source};

fn tree() -> Vec<Source> {
    let sources = tidy::sources(source_root());
    assert!(
        sources.iter().filter(|source| source.path.ends_with(".rs")).count() > 20,
        "the tree was not found"
    );
    sources
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_of_the_agent_point_one_way() {
    none(&tidy::layers(&tree(), "agent/src/", AGENT_ORDER));
}

#[test]
fn imports_of_the_stub_point_one_way() {
    none(&tidy::layers(&tree(), "console-stub/src/", STUB_ORDER));
}

#[test]
fn modules_are_declared_in_the_order_of_the_story() {
    for (path, order) in [("agent/src/lib.rs", AGENT_ORDER), ("console-stub/src/lib.rs", STUB_ORDER)] {
        let tree = tree();
        let lib = tree.iter().find(|source| source.path == path).unwrap();
        none(&tidy::declared_order(lib, order));
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    none(&tidy::lengths(&tree()));
    none(&tidy::first_lines(&tree()));
}

#[test]
fn every_exemption_has_a_reason() {
    none(&tidy::exemptions(&tree()));
}

#[test]
fn nothing_is_left_lying_about() {
    none(&tidy::leftovers(&tree()));
    none(&tidy::machine_paths(&tree()));
}

#[test]
fn every_package_keeps_the_lints() {
    none(&tidy::lints(&tree()));
}
