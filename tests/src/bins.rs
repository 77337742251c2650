//! Where the real binaries are: beside the test executable, where `cargo test --workspace` puts them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

/// The agent under test.
pub fn agent() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| find("telovix-agent", "agent"));
    &PATH
}

/// The Console stub under test.
pub fn console_stub() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| find("telovix-console-stub", "console-stub"));
    &PATH
}

/// The root of the source tree.
pub fn source_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

fn find(name: &str, package: &str) -> PathBuf {
    let here = std::env::current_exe().expect("this executable has a path");
    let beside = here.parent().expect("an executable lies in a folder");
    // Tests lie in `deps`, examples in `examples`; binaries one up.
    let folder = if beside.ends_with("deps") || beside.ends_with("examples") {
        beside.parent().expect("target/<profile>")
    } else {
        beside
    };
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo test --workspace`, or `cargo build --workspace` before a single suite",
        path.display()
    );
    warn_if_stale(&path, package);
    path
}

/// A warning and not a failure: it is shown with a failing test, where it explains, and someone may be editing.
fn warn_if_stale(path: &Path, package: &str) {
    let built = path.metadata().and_then(|meta| meta.modified());
    let edited = newest(&source_root().join(package).join("src"));
    if let (Ok(built), Some(edited)) = (built, edited)
        && built < edited
    {
        eprintln!("warning: {} is older than its source; run `cargo build --workspace`", path.display());
    }
}

fn newest(folder: &Path) -> Option<SystemTime> {
    let mut latest = None;
    for entry in folder.read_dir().ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() { newest(&path) } else { entry.metadata().ok()?.modified().ok() };
        latest = latest.max(found);
    }
    latest
}
