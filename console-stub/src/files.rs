//! The one file that writes files: mode at open, fsync, rename, fsync of the directory.
//!
//! Invariant: a reader sees the old content or the new one, never a part, and never a moment with a wider mode.
#![expect(clippy::disallowed_methods, reason = "this is the atomic layer that the ban points to")]

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file or directory that could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

/// Makes a directory with mode 0700 where there is none.
/// Errors: [`FileError`] when it cannot be made, is not a directory, or others may write in it.
pub(crate) fn private_dir(path: &Path) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true).create(path).map_err(FileError::at("make the directory", path))?;
    let mode = path.metadata().map_err(FileError::at("look at", path))?.mode();
    if mode & 0o022 != 0 {
        let why = io::Error::other("other users can write in it; `chmod 0700` it first");
        return Err(FileError::at("use the directory", path)(why));
    }
    Ok(())
}

/// Makes an empty file with mode 0600 where there is none; SQLite gives its own files the same mode. One that is there is
/// kept from everybody but its owner and group, who may have been given it on purpose.
/// Errors: [`FileError`] when it cannot be made, or cannot be kept from others.
pub(crate) fn private_file(path: &Path) -> Result<(), FileError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => keep_from_others(path),
        Err(error) => Err(FileError::at("make", path)(error)),
    }
}

fn keep_from_others(path: &Path) -> Result<(), FileError> {
    let found = path.metadata().map_err(FileError::at("look at", path))?;
    if !found.is_file() || found.mode() & 0o007 == 0 {
        return Ok(());
    }
    let tight = Permissions::from_mode(found.mode() & 0o770);
    std::fs::set_permissions(path, tight).map_err(FileError::at("keep from other users", path))?;
    tracing::warn!(path = %path.display(), "every user could open the file, which holds private keys; its mode was mended");
    Ok(())
}

/// Replaces a file's content in one step.
pub(crate) fn replace(path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
    let directory = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = directory.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let written = write_new(&fresh, mode, content).and_then(|()| {
        std::fs::rename(&fresh, path).map_err(FileError::at("replace", path))?;
        sync_dir(directory)
    });
    if written.is_err() {
        // The error that matters is the first; a leftover with a random name harms nothing.
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

/// Makes a file with mode 0600 that stands under its name once `fill` has written it whole, and not before.
/// Errors: that of `fill`; [`FileError`] when the file cannot be made, or something has its name already.
pub(crate) fn make_whole<T, E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let directory = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = directory.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    private_file(&fresh)?;
    let filled = fill(&fresh).and_then(|made| {
        let synced = File::open(&fresh).and_then(|file| file.sync_all());
        synced.map_err(FileError::at("sync", &fresh))?;
        // A link, because a rename would take the place of a file that is there.
        std::fs::hard_link(&fresh, path).map_err(FileError::at("make", path))?;
        Ok(made)
    });
    // The error that matters is the first; a leftover with a random name harms nothing.
    let _ = std::fs::remove_file(&fresh);
    let made = filled?;
    sync_dir(directory)?;
    Ok(made)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(FileError::at("read", path))
}

fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(FileError::at("make", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(FileError::at("write", path))
}

/// A name alone lies in the working directory.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|name| !name.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(FileError::at("sync the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_with_the_mode_asked_for_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        replace(&path, 0o600, b"one").unwrap();
        replace(&path, 0o644, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn makes_a_whole_file_or_none_and_takes_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let fill = |path: &Path| std::fs::write(path, b"one").map_err(FileError::at("write", path));
        make_whole(&path, fill).unwrap();
        let full = |path: &Path| Err::<(), _>(FileError::at("write", path)(io::Error::other("full")));
        assert!(make_whole(&dir.path().join("b"), full).unwrap_err().to_string().contains("full"));
        assert!(make_whole(&path, fill).unwrap_err().to_string().contains("File exists"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_could_open_is_theirs_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        private_file(&path).unwrap();
        for (found, kept) in [(0o600, 0o600), (0o644, 0o640), (0o666, 0o660), (0o400, 0o400)] {
            std::fs::set_permissions(&path, Permissions::from_mode(found)).unwrap();
            private_file(&path).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, kept);
        }
    }

    #[test]
    fn a_name_alone_lies_in_the_working_directory() {
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
        assert_eq!(
            (folder_of(Path::new("b/a")), folder_of(Path::new("/a"))),
            (Path::new("b"), Path::new("/"))
        );
    }

    #[test]
    fn a_directory_that_others_write_in_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = private_dir(dir.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 0700"), "{error}");
    }
}
