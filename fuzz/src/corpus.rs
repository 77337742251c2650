//! Every input of the corpora and what a few changes make of it, through the same functions as libFuzzer's targets, with nothing
//! but stable Rust. The changes hang on the seed and the corpora alone, so that no change of the code draws others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mutatis::check::{Check, CheckError};
use mutatis::mutators;

use crate::{Run, TARGETS};

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

/// How many of the inputs are changed, with the list begun anew at its end, and how often, each time upon the change before.
const ROUNDS: u64 = 60;
const CHANGES: usize = 30;

/// A target has one thread, because it may have one folder.
#[test]
fn every_input_keeps_the_properties_and_so_does_what_changes_make_of_it() {
    let broken: Vec<String> = std::thread::scope(|scope| {
        let threads = TARGETS.map(|(target, run)| scope.spawn(move || broken(target, run)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(broken.is_empty(), "each has its reason above:\n{}", broken.join("\n"));
}

fn broken(target: &str, run: Run) -> Vec<String> {
    let folder = folder("corpus").join(target);
    let names = names(&folder);
    let inputs: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect();
    let kept = |data: &[u8]| std::panic::catch_unwind(|| run(data)).is_ok();
    let mut broken = Vec::new();
    for (name, input) in names.iter().zip(&inputs) {
        if !kept(input) {
            broken.push(format!("corpus/{target}/{name}"));
        }
    }
    for (seed, input) in (0..ROUNDS).zip(inputs.iter().cycle()) {
        let mut check = Check::new();
        let check = check.seed(seed).iters(CHANGES).max_shrink_iters(0);
        let mutator = mutators::default::<Vec<u8>>();
        let ended = check.run_with(mutator, [input.clone()], |data| kept(data).then_some(()).ok_or(""));
        if let Err(CheckError::Failed(failed)) = ended {
            broken.push(format!("{target}: \"{}\"", failed.value.escape_ascii()));
        } else {
            ended.unwrap_or_else(|error| panic!("{target}, seed {seed}: {error}"));
        }
    }
    broken
}
