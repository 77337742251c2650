//! The contract is cited by sections that it has, and no page is cited that a reader of the tree cannot open.

use std::collections::BTreeSet;

use super::Source;

/// The contract.
const PAGE: &str = "docs/contract.md";
/// How a citation of a section begins, behind its folder.
const CITED: &str = "contract.md";
/// Pages that are not in the tree, by their names.
const ELSEWHERE: &[&str] = &[concat!("CONTR", "ACT.md"), concat!("DES", "IGN.md")];

/// Citations that lead nowhere.
pub fn citations(sources: &[Source]) -> Vec<String> {
    let contract = sources.iter().find(|source| source.path == PAGE);
    let headings = contract.into_iter().flat_map(|page| page.text.lines());
    let sections: BTreeSet<&str> = headings
        .filter_map(|line| line.strip_prefix("## ")?.split_once(". "))
        .map(|(number, _)| number)
        .collect();
    let mut complaints = Vec::new();
    for source in sources {
        let mut complain = |at: usize, problem: String| {
            let line = source.text[..at].matches('\n').count() + 1;
            complaints.push(format!("{}:{line}: {problem}", source.path));
        };
        for page in ELSEWHERE {
            for (at, _) in source.text.match_indices(page) {
                complain(at, format!("`{page}` is not in the tree"));
            }
        }
        for word in ["issue ", "Issue ", "issue #", "Issue #"] {
            for (at, _) in source.text.match_indices(word) {
                let rest = &source.text[at + word.len()..];
                if !source.text[..at].ends_with(char::is_alphanumeric)
                    && rest.starts_with(|c: char| c.is_ascii_digit())
                {
                    complain(at, "the number of an issue says nothing to a reader".to_owned());
                }
            }
        }
        for (at, _) in source.text.match_indices(CITED) {
            for number in cited(&source.text[at + CITED.len()..]).filter(|number| !sections.contains(number))
            {
                complain(at, format!("{PAGE} has no section {number}"));
            }
        }
    }
    complaints
}

/// The numbers in ` section 6` or ` sections 3, 4 and 6`, perhaps on the next line of a comment; none in other text.
fn cited(behind: &str) -> impl Iterator<Item = &str> {
    let behind = behind.trim_start_matches(|c: char| c.is_whitespace() || "/!#`*)".contains(c));
    let list = behind.strip_prefix("section").map_or("", |list| list.strip_prefix('s').unwrap_or(list));
    let words =
        list.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty() && *word != "and");
    let mut is_over = false;
    words.map_while(move |word| {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_number = !is_over && word.starts_with(|c: char| c.is_ascii_digit());
        is_over = number.len() < word.len();
        is_number.then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_leads_to_a_section() {
        for (text, expected) in [
            ("// PAGE section 3: a rule. 7 of them", 0),
            ("/// (PAGE sections 1, 3 and 12).", 0),
            ("[the contract](C.md) section 12", 0),
            ("see PAGE, and 4 others", 0),
            ("issuer 2, an issue of 3, tissue 4", 0),
            ("// PAGE section 4", 1),
            ("/// PAGE\n/// section 4, the repeat", 1),
            ("/// (PAGE sections 3, 4 and 5)", 2),
            ("`PAGE` section 2.", 1),
            (concat!("CONTR", "ACT.md section 3"), 1),
            (concat!("(DES", "IGN.md)"), 1),
            (concat!("Iss", "ue 3, point 4; iss", "ue #12"), 2),
        ] {
            let text = text.replace("PAGE", PAGE).replace("C.md", CITED);
            let contract = Source::sample(PAGE, "# C\n\n## 1. A\n## 3. B\n### 4. no\n## 12. C\n");
            let found = citations(&[contract, Source::sample("agent/src/a.rs", &text)]);
            assert_eq!(found.len(), expected, "{text}: {found:?}");
        }
    }
}
