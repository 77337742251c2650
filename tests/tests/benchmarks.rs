//! What docs/benchmarks.md shows is what was measured: tables and pictures are those that the committed report makes.

use std::fs;

use telovix_tests::bench::report::Report;
use telovix_tests::bench::{draw, tables};
use telovix_tests::bins::source_root;

#[test]
fn tables_and_pictures_are_made_of_the_committed_report() {
    let docs = source_root().join("docs");
    let read =
        |name: &str| fs::read_to_string(docs.join(name)).unwrap_or_else(|e| panic!("docs/{name}: {e}"));
    let report: Report = serde_json::from_str(&read("benchmarks/report.json")).unwrap();
    assert!(!report.quick, "the short run measures nothing of worth");
    let document = read("benchmarks.md");
    let again = tables::placed(&document, &tables::tables(&report)).expect("the document has its marks");
    assert_eq!(again, document, "run `bench draw` again (docs/benchmarks.md)");
    let pictures = draw::pictures(&report).unwrap();
    assert!(pictures.len() >= 3, "{} pictures", pictures.len());
    for (name, picture) in pictures {
        assert!(read(&format!("benchmarks/{name}")) == picture, "{name} is of another report");
        assert!(document.contains(&format!("(benchmarks/{name})")), "{name} is not shown");
    }
}
