//! libFuzzer's program: the target is the one that it is called by, through the links that `fuzz/build` makes.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use telovix_fuzz::{Run, TARGETS};

static TARGET: OnceLock<Run> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let called = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(&called).file_name().unwrap_or_default();
        let target = TARGETS.iter().find(|(target, _)| name == *target);
        let (_, run) = target.unwrap_or_else(|| panic!("there is no target {}", name.display()));
        TARGET.get_or_init(|| *run);
    },
    |data: &[u8]| if let Some(run) = TARGET.get() { run(data) }
);
