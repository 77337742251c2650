//! Opens the doors and lets people in, a few at a time and for a while.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, fchmod};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::routes::{self, Context};
use crate::config::SocketMode;
use crate::store;

/// Most connections at a time, for each door. Who comes later takes the place of whoever has been silent for longest, so that
/// a probe is answered whatever others do.
pub(super) const MOST_CONNECTIONS: usize = 128;
/// How long a request's head may take, and a connection may be idle.
pub(super) const HEAD: Duration = Duration::from_secs(2);
/// How long a whole connection may take that brings a command: a renewal that is waited for is the longest.
const COMMAND: Duration = Duration::from_secs(180);
/// How long a whole connection may take that only asks.
const QUESTION: Duration = Duration::from_secs(10);
/// Largest head.
const LARGEST_HEAD: usize = 16 * 1024;
/// Pause after a failure to accept, which is for want of descriptors.
const BREATH: Duration = Duration::from_millis(200);

/// What somebody came in by, and so what there is to see.
#[derive(Debug)]
pub(super) enum Door {
    /// Everything.
    Control(UnixListener),
    /// Probes and metrics.
    Health(TcpListener),
}

/// The file of the control socket, removed when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    path: PathBuf,
    inode: (u64, u64),
}

impl ControlSocket {
    /// Listens at `path`. A socket that was left behind is replaced; one that somebody answers at is not.
    pub(super) fn bind(path: &Path, mode: SocketMode) -> io::Result<(Self, UnixListener)> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        clear(path).map_err(named)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            store::make_runtime_dir(parent).map_err(io::Error::other)?;
        }
        let listener = private_listener(path).map_err(named)?;
        match mode {
            SocketMode::Owner => {}
            SocketMode::Group => store::open_socket_to_group(path).map_err(io::Error::other)?,
        }
        let meta = std::fs::symlink_metadata(path).map_err(named)?;
        Ok((Self { path: path.to_owned(), inode: (meta.dev(), meta.ino()) }, listener))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = |meta: std::fs::Metadata| (meta.dev(), meta.ino()) == self.inode;
        if std::fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // A file that stays is replaced by the next start.
            let _ = store::remove_socket(&self.path);
        }
    }
}

/// A socket that nobody but its owner can use, from its first moment: a file takes the mode that its socket has when it
/// is bound (unix(7)), less the umask.
fn private_listener(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    socket::listen(&socket, Backlog::new(64)?)?;
    UnixListener::from_std(socket.into())
}

/// Makes room for a socket.
fn clear(path: &Path) -> io::Result<()> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::other(
            "something that is not a socket is in its place; name another control_socket",
        ));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::other("another agent answers there; name another control_socket")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            store::remove_socket(path).map_err(io::Error::other)
        }
        Err(error) => Err(error),
    }
}

/// Listens for probes.
pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Somebody who was let in.
struct Guest {
    task: AbortHandle,
    /// Whether a whole request has come.
    has_asked: Arc<AtomicBool>,
}

/// Lets people in until it is dropped, and its connections with it.
pub(super) async fn serve(door: Door, context: Arc<Context>) {
    let (mut tasks, mut guests) = (JoinSet::new(), Vec::new());
    loop {
        let has_asked = Arc::new(AtomicBool::new(false));
        let (own, context) = (Arc::clone(&has_asked), Arc::clone(&context));
        let came = match &door {
            Door::Control(listener) => listener.accept().await.map(|(stream, _)| {
                tasks.spawn(connection(stream, context, (routes::Scope::Control, COMMAND), own))
            }),
            Door::Health(listener) => listener.accept().await.map(|(stream, _)| {
                tasks.spawn(connection(stream, context, (routes::Scope::Health, QUESTION), own))
            }),
        };
        while tasks.try_join_next().is_some() {}
        match came {
            Ok(task) => {
                guests.retain(|guest: &Guest| !guest.task.is_finished());
                make_room(&mut guests);
                guests.push(Guest { task, has_asked });
                // Whoever comes with a whole request has asked before the next one comes.
                yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "nobody can be let in");
                make_room(&mut guests);
                sleep(BREATH).await;
            }
        }
    }
}

/// Shows out whoever came first among those who have not asked yet, or else among all, where there is no room left.
fn make_room(guests: &mut Vec<Guest>) {
    if guests.len() < MOST_CONNECTIONS {
        return;
    }
    let silent = guests.iter().position(|guest| !guest.has_asked.load(Ordering::Relaxed));
    guests.remove(silent.unwrap_or_default()).task.abort();
}

/// One request and its answer.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    context: Arc<Context>,
    (scope, limit): (routes::Scope, Duration),
    has_asked: Arc<AtomicBool>,
) {
    let service = service_fn(move |request| {
        has_asked.store(true, Ordering::Relaxed);
        let context = Arc::clone(&context);
        async move { Ok::<_, std::convert::Infallible>(routes::answer(request, &context, scope).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(limit, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request to the agent broke off"),
        Err(_) => tracing::debug!("a request to the agent took too long"),
    }
}
