//! Every input of the corpora, through the same functions as libFuzzer's targets, with nothing but stable Rust.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_target_has_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("corpus")), targets);
}

#[test]
fn every_input_keeps_the_properties() {
    let mut broken = Vec::new();
    for (target, run) in TARGETS {
        let corpus = folder("corpus").join(target);
        for input in names(&corpus) {
            let data = std::fs::read(corpus.join(&input)).unwrap();
            if std::panic::catch_unwind(|| run(&data)).is_err() {
                broken.push(format!("corpus/{target}/{input}"));
            }
        }
    }
    assert!(broken.is_empty(), "each has its reason above: {broken:?}");
}
