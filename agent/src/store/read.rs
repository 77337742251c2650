//! Reads files of the state directory, with a cap: a disk lies, and so may whoever can write there.

use std::path::Path;

use super::error::StoreError;
use crate::regular::{self, Links};

/// Largest file that we ever write, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The whole of a text file that is never empty.
pub(super) fn text(path: &Path) -> Result<String, StoreError> {
    let text = text_or_blank(path)?;
    if text.is_empty() { Err(StoreError::corrupt(path, "empty")) } else { Ok(text) }
}

/// The whole of a text file.
pub(super) fn text_or_blank(path: &Path) -> Result<String, StoreError> {
    let bytes = regular::read(path, Links::Refuse, MAX_FILE).map_err(StoreError::io("read", path))?;
    String::from_utf8(bytes).map_err(|_| StoreError::corrupt(path, "not UTF-8"))
}
