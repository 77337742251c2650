//! Opens files by names under which somebody may have put something else.
//!
//! Invariant: what is opened here is a regular file, or `/dev/null`. A pipe, a socket or a device is an error at once and
//! never a wait, and no more is read than the caller wants.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Whether a name may be a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// It may: operators and volumes (`..data` of Kubernetes) make such links.
    Follow,
    /// It may not: only this program makes files there.
    Refuse,
}

/// Opens a regular file for reading. Anything else is [`io::ErrorKind::InvalidData`].
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    let follow = match links {
        Links::Follow => OFlag::empty(),
        Links::Refuse => OFlag::O_NOFOLLOW,
    };
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | follow;
    let other = || io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file");
    // A socket cannot be opened at all.
    let is_socket = |error: &io::Error| error.raw_os_error() == Some(Errno::ENXIO as i32);
    let opened = File::options().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| if is_socket(&error) { other() } else { error })?;
    let meta = file.metadata()?;
    let is_null = meta.file_type().is_char_device() && meta.rdev() == nix::sys::stat::makedev(1, 3);
    if meta.is_file() || is_null { Ok(file) } else { Err(other()) }
}

/// The whole of a regular file of at most `most` bytes.
pub(crate) fn read(path: &Path, links: Links, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, links)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} MiB", most.div_ceil(1 << 20))));
    }
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test lays out its files")]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_hangs() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        for place in [at("fifo"), at("socket"), at("directory"), "/dev/zero".into()] {
            let error = open(&place, Links::Follow).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{}", place.display());
        }
        std::fs::write(at("file"), "12345").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        assert_eq!(read(&at("link"), Links::Follow, 5).unwrap(), b"12345");
        assert!(read(&at("file"), Links::Refuse, 4).is_err());
        assert_eq!(open(&at("link"), Links::Refuse).unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
        assert_eq!(read(Path::new("/dev/null"), Links::Follow, 5).unwrap(), b"");
    }
}
