//! Tests of the files: form, lines, remedies.

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
        ("timeout = 300", "timeout cannot be a number; write it as timeout = \"5m\""),
        ("node_role = true", "node_role cannot be true or false; write it as node_role = \"…\""),
        ("state_dir = ['/s']", "state_dir cannot be an array; write it as state_dir = \"…\""),
        ("tags = 1.5", "tags cannot be a number; write it as tags = [\"rack-4\", \"lab\"]"),
        (
            "tags = ['a', 1]",
            "tags holds something that is not a text; write it as tags = [\"rack-4\", \"lab\"]",
        ),
        ("node_name = 2026-01-01", "node_name cannot be a date; write it as node_name = \"…\""),
        ("[console_url]", "console_url cannot be a section; write it as console_url = \"…\""),
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
    assert!(not_utf_8[0].starts_with("agent.toml: ") && not_utf_8[0].contains("not UTF-8"), "{not_utf_8:?}");
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
