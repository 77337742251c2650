//! Every package keeps the workspace's lints; the tests' own table differs only where it says why.

use super::Source;
use toml::Table;

/// Lints that the tests' package may leave out or switch off, because a test breaks things on purpose.
const FREE_IN_TESTS: &[&str] = &["disallowed_methods", "unwrap_used"];

/// Manifests of members that do not inherit the workspace's lints.
pub fn lints(sources: &[Source]) -> Vec<String> {
    let table = |path: &str| -> Option<Table> {
        sources.iter().find(|source| source.path == path).and_then(|source| source.text.parse().ok())
    };
    let Some(root) = table("Cargo.toml") else {
        return vec!["Cargo.toml is missing or is no TOML".to_owned()];
    };
    let members = root["workspace"]["members"].as_array().cloned().unwrap_or_default();
    let mut complaints = Vec::new();
    for member in members.iter().filter_map(toml::Value::as_str) {
        let path = format!("{member}/Cargo.toml");
        let Some(manifest) = table(&path) else {
            complaints.push(format!("{path} is missing or is no TOML"));
            continue;
        };
        let own = manifest.get("lints").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let inherits = own.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        if !inherits && member != "tests" {
            complaints.push(format!("{path}: write `[lints] workspace = true`"));
        } else if !inherits {
            complaints.extend(differences(&root["workspace"]["lints"], &own, &path));
        }
    }
    complaints
}

fn differences(workspace: &toml::Value, own: &Table, path: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let none = Table::new();
    for tool in ["rust", "clippy"] {
        let wanted = workspace.get(tool).and_then(toml::Value::as_table).unwrap_or(&none);
        let have = own.get(tool).and_then(toml::Value::as_table).unwrap_or(&none);
        for (lint, level) in wanted {
            if have.get(lint) != Some(level) && !FREE_IN_TESTS.contains(&lint.as_str()) {
                complaints.push(format!("{path}: lint `{lint}` is not as in the workspace"));
            }
        }
        for lint in have.keys().filter(|lint| !wanted.contains_key(*lint)) {
            if !FREE_IN_TESTS.contains(&lint.as_str()) {
                complaints.push(format!("{path}: lint `{lint}` is not in the workspace's table"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(agent: &str, tests: &str) -> Vec<String> {
        let root = "[workspace]\nmembers = [\"agent\", \"tests\"]\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n\
                    [workspace.lints.clippy]\nunwrap_used = \"warn\"\ntodo = \"warn\"\n";
        lints(&[
            Source::sample("Cargo.toml", root),
            Source::sample("agent/Cargo.toml", agent),
            Source::sample("tests/Cargo.toml", tests),
        ])
    }

    #[test]
    fn a_package_that_leaves_the_lints_is_seen() {
        let inherits = "[lints]\nworkspace = true\n";
        let own = "[lints.rust]\nunsafe_code = \"forbid\"\n[lints.clippy]\ntodo = \"warn\"\ndisallowed_methods = \"allow\"\n";
        assert_eq!(complaints(inherits, inherits), Vec::<String>::new());
        assert_eq!(complaints(inherits, own), Vec::<String>::new());
        assert_eq!(complaints("", own).len(), 1);
        assert_eq!(complaints(own, own).len(), 1);
        assert_eq!(complaints(inherits, &own.replace("forbid", "allow")).len(), 1);
        assert_eq!(complaints(inherits, &format!("{own}dbg_macro = \"allow\"\n")).len(), 1);
        assert_eq!(complaints(inherits, "").len(), 2);
    }
}
