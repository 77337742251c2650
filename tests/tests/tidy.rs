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

/// What is held to the rules below already, by the beginnings of its paths. All of it: `[""]`.
const HELD: &[&str] = &[""];

#[track_caller]
fn none_where_held(mut complaints: Vec<String>) {
    complaints.retain(|complaint| HELD.iter().any(|place| complaint.starts_with(place)));
    none(&complaints);
}

#[test]
fn no_folder_has_a_circle_and_none_stands_beside_its_module() {
    let tree = tree();
    for folder in ["agent/src/", "console-stub/src/", "contract/src/"] {
        none_where_held(tidy::circles(&tree, folder));
        none_where_held(tidy::beside_folders(&tree, folder));
    }
}

#[test]
fn the_machine_stands_on_pure_ground() {
    none_where_held(tidy::impure(&tree()));
}

#[test]
fn citations_lead_to_sections_that_exist() {
    none_where_held(tidy::citations(&tree()));
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
fn links_of_the_documentation_lead_somewhere() {
    none(&tidy::dead_links(&tree()));
}

#[test]
fn every_package_keeps_the_lints() {
    none(&tidy::lints(&tree()));
}

#[test]
fn the_installer_carries_the_units_word_for_word() {
    let tree = tree();
    let text = |path: &str| &tree.iter().find(|source| source.path == path).expect(path).text;
    let installer = text("install.sh");
    for (file, mark) in [("service", "UNIT"), ("sysusers.conf", "SYSUSERS"), ("tmpfiles.conf", "TMPFILES")] {
        let carried =
            format!("    cat <<'{mark}'\n{}{mark}\n", text(&format!("systemd/telovix-agent.{file}")));
        assert!(installer.contains(&carried), "install.sh differs from systemd/telovix-agent.{file}");
    }
}

#[test]
fn every_code_and_every_exit_status_has_its_remedy() {
    let tree = tree();
    let manual = &tree.iter().find(|source| source.path == "docs/operations.md").expect("the manual").text;
    let codes = telovix_contract::ErrorCode::ALL.iter().map(|code| code.as_str().to_owned());
    let statuses = (0..=8).chain(10..=21).map(|status: u8| status.to_string());
    for word in codes.chain(statuses) {
        let cell = format!("| `{word}` |");
        let row = manual.lines().find(|line| line.starts_with(&cell));
        let row = row.unwrap_or_else(|| panic!("docs/operations.md has no row that begins with {cell}"));
        assert!(row.split('|').nth(3).is_some_and(|remedy| remedy.trim().len() > 3), "no remedy in: {row}");
    }
}

/// Cargo looks for none by itself (`autotests` in tests/Cargo.toml).
#[test]
fn every_suite_belongs_to_a_program() {
    let tree = tree();
    let declares = |program: &str, suite: &str| {
        let program = tree.iter().find(|source| source.path == program).expect(program);
        program.text.contains(&format!("\nmod {suite};\n"))
    };
    for source in &tree {
        let Some(path) = source.path.strip_prefix("tests/tests/").and_then(|path| path.strip_suffix(".rs"))
        else {
            continue;
        };
        let suite = path.strip_suffix("/mod").or(path.strip_suffix("/main")).unwrap_or(path);
        let is_program = ["main", "simulated", "tidy"].contains(&suite);
        // An agent in this process reaps whatever child has ended, those of other tests too.
        let in_process = source.text.contains("SimHost") && declares("tests/tests/main.rs", suite);
        assert!(!in_process, "{} has to run in tests/tests/simulated.rs", source.path);
        let is_run = ["tests/tests/main.rs", "tests/tests/simulated.rs"].iter().any(|it| declares(it, suite));
        assert!(suite.contains('/') || is_program || is_run, "{} belongs to no program", source.path);
    }
}

/// docs/contract-coverage.md says which tests hold us to which rule; a test that was renamed or removed is missed here.
#[test]
fn every_rule_of_the_contract_names_tests_that_exist() {
    let tree = tree();
    let table = tree.iter().find(|source| source.path == "docs/contract-coverage.md").expect("the table");
    let rows: Vec<&str> = table.text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let code: String = tree
        .iter()
        .filter(|source| source.path.ends_with(".rs"))
        .map(|source| source.text.as_str())
        .collect();
    for section in ["3", "4", "5", "6"] {
        assert!(
            rows.iter().any(|row| row.starts_with(&format!("| {section} |"))),
            "no rule of section {section}"
        );
    }
    for row in rows {
        let tests: Vec<&str> =
            row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test in: {row}");
        for test in tests {
            assert!(
                code.contains(&format!("fn {test}(")),
                "{test} is named by this rule and is nowhere: {row}"
            );
        }
    }
}
