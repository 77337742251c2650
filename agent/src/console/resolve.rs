//! Name look-up, on a thread that is made before it is needed.
//!
//! Invariant: a host that has no thread left to give is an error here and never a panic; and the thread that is there
//! already goes on looking up.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

/// Most threads at a time. More than one only while the others still wait for a name server.
const MOST_THREADS: usize = 4;

/// The thread that takes the next look-up; one for the whole process, so that a new configuration needs no new thread.
static WORKER: Mutex<Option<Worker>> = Mutex::new(None);
static THREADS: AtomicUsize = AtomicUsize::new(0);

struct Worker {
    jobs: mpsc::Sender<Job>,
    /// Look-ups that were handed over and are not done.
    open: Arc<AtomicUsize>,
}

struct Job {
    host: String,
    port: u16,
    tell: oneshot::Sender<io::Result<Vec<SocketAddr>>>,
}

/// One of [`THREADS`], for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        THREADS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes the thread. Where there is none to be had, the next look-up tries again.
pub(super) fn prepare() {
    let mut worker = worker();
    if worker.is_none() {
        *worker = start(None).ok();
    }
}

/// The addresses of a host, in the system's order.
///
/// # Errors
/// The system's, also that there is no thread.
pub(super) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (tell, told) = oneshot::channel();
    hand_over(Job { host: host.to_owned(), port, tell })?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the look-up ended without an answer")))
}

fn worker() -> MutexGuard<'static, Option<Worker>> {
    WORKER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hand_over(job: Job) -> io::Result<()> {
    let mut worker = worker();
    // One that still waits for a name server is left to it, where another thread can be made.
    if worker.as_ref().is_none_or(|worker| worker.open.load(Ordering::SeqCst) > 0) {
        match start(None) {
            Ok(another) => *worker = Some(another),
            Err(error) if worker.is_none() => return Err(error),
            Err(_) => {}
        }
    }
    let Some(free) = &*worker else { return Err(io::ErrorKind::WouldBlock.into()) };
    free.open.fetch_add(1, Ordering::SeqCst);
    if free.jobs.send(job).is_err() {
        *worker = None;
        return Err(io::Error::other("the thread for look-ups ended"));
    }
    Ok(())
}

/// `stack`: bytes, where not the default; for a test in which the system refuses.
fn start(stack: Option<usize>) -> io::Result<Worker> {
    if THREADS.load(Ordering::SeqCst) >= MOST_THREADS {
        return Err(io::Error::other("earlier look-ups are still waiting for a name server"));
    }
    let counted = Counted::new();
    let (jobs, inbox) = mpsc::channel::<Job>();
    let open = Arc::new(AtomicUsize::new(0));
    let done = Arc::clone(&open);
    let builder = thread::Builder::new().name("look-up".to_owned());
    let builder = if let Some(stack) = stack { builder.stack_size(stack) } else { builder };
    builder.spawn(move || {
        for Job { host, port, tell } in inbox {
            // Nobody waits any more for what is closed.
            let found = if tell.is_closed() {
                Err(io::ErrorKind::TimedOut.into())
            } else {
                (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
            };
            done.fetch_sub(1, Ordering::SeqCst);
            let _ = tell.send(found);
        }
        drop(counted);
    })?;
    Ok(Worker { jobs, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_found_and_the_rest_is_an_error() {
        prepare();
        let local = look_up("localhost", 7).await.unwrap();
        assert!(local.iter().all(|found| found.ip().is_loopback() && found.port() == 7), "{local:?}");
        assert_eq!(look_up("2001:db8::7", 7).await.unwrap(), ["[2001:db8::7]:7".parse().unwrap()]);
        assert!(look_up("no such name", 7).await.is_err());
    }

    #[test]
    fn a_thread_that_the_system_refuses_is_an_error() {
        assert!(start(Some(usize::MAX / 2)).is_err());
        let spare = start(None).unwrap();
        assert_eq!(spare.open.load(Ordering::SeqCst), 0);
    }
}
