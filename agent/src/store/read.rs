//! Reads files of the state directory, with a cap: a disk lies, and so may whoever can write there.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::StoreError;

/// Largest file that we ever write.
const MAX_FILE: u64 = 1024 * 1024;

/// The whole of a text file.
pub(super) fn text(path: &Path) -> Result<String, StoreError> {
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(StoreError::io("read", path))?;
    if text.len() as u64 > MAX_FILE {
        return Err(StoreError::corrupt(path, "larger than any file of this directory"));
    }
    if text.is_empty() {
        return Err(StoreError::corrupt(path, "empty"));
    }
    Ok(text)
}
