//! A wire that breaks where a test says: it stands before an address, and what it does can change at any time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::serving::{LOOPBACK, Serving};

/// What the wire does to the connections that are opened from now on. *Up* is from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Breaks the connection after this many bytes up.
    CutUp(u64),
    /// Breaks the connection after this many bytes down.
    CutDown(u64),
    /// Lets this many bytes up and then nothing more, without a word.
    StallUp(u64),
    /// Lets this many bytes down and then nothing more, without a word.
    StallDown(u64),
    /// Takes this long for every read, either way.
    Delay(Duration),
    /// Takes the connection and breaks it at once.
    Refuse,
}

#[derive(Clone, Copy)]
enum End {
    Never,
    Cut(u64),
    Stall(u64),
}

struct State {
    wire: Mutex<(Fault, SocketAddr)>,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// A running wire. Ends when dropped.
pub struct FaultProxy {
    serving: Serving,
    state: Arc<State>,
}

impl FaultProxy {
    /// A wire to `upstream` that does nothing yet.
    pub fn start(upstream: SocketAddr) -> Self {
        let state = Arc::new(State {
            wire: Mutex::new((Fault::Pass, upstream)),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        Self { serving: Serving::start(LOOPBACK, move |client| one(client, Arc::clone(&shared))), state }
    }

    /// Changes what happens to connections from now on.
    pub fn set(&self, fault: Fault) {
        self.state.wire.lock().expect("no connection panicked").0 = fault;
    }

    /// Leads connections elsewhere from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.state.wire.lock().expect("no connection panicked").1 = upstream;
    }

    /// The address before the wire.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes that went up so far.
    pub fn up(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
    }

    /// Bytes that went down so far.
    pub fn down(&self) -> u64 {
        self.state.down.load(Ordering::SeqCst)
    }
}

async fn one(client: TcpStream, state: Arc<State>) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let (fault, upstream) = *state.wire.lock().expect("no connection panicked");
    let (up, down, delay) = match fault {
        Fault::Pass => (End::Never, End::Never, Duration::ZERO),
        Fault::CutUp(bytes) => (End::Cut(bytes), End::Never, Duration::ZERO),
        Fault::CutDown(bytes) => (End::Never, End::Cut(bytes), Duration::ZERO),
        Fault::StallUp(bytes) => (End::Stall(bytes), End::Never, Duration::ZERO),
        Fault::StallDown(bytes) => (End::Never, End::Stall(bytes), Duration::ZERO),
        Fault::Delay(time) => (End::Never, End::Never, time),
        Fault::Refuse => return,
    };
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let upwards = pump(client_read, server_write, up, delay, &state.up);
    let downwards = pump(server_read, client_write, down, delay, &state.down);
    // A direction that ends in order leaves the other running; a cut ends both, because this function returns.
    tokio::pin!(upwards, downwards);
    tokio::select! {
        ended = &mut upwards => if ended == Ended::Orderly { downwards.await; },
        ended = &mut downwards => if ended == Ended::Orderly { upwards.await; },
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    Orderly,
    Broken,
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    end: End,
    delay: Duration,
    count: &AtomicU64,
) -> Ended {
    let mut left = match end {
        End::Never => u64::MAX,
        End::Cut(bytes) | End::Stall(bytes) => bytes,
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if left == 0 {
            match end {
                End::Stall(_) => std::future::pending().await,
                End::Cut(_) | End::Never => return Ended::Broken,
            }
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return Ended::Orderly;
            }
            Ok(size) => {
                tokio::time::sleep(delay).await;
                if to.write_all(&buffer[..size]).await.is_err() {
                    return Ended::Broken;
                }
                left -= size as u64;
                count.fetch_add(size as u64, Ordering::SeqCst);
            }
            Err(_) => return Ended::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    /// Sends eight bytes, and says what came back before the end, or before a read took too long.
    fn talk(proxy: &FaultProxy) -> (Vec<u8>, bool) {
        let mut stream = std::net::TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let _ = stream.write_all(b"12345678");
        let mut heard = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return (heard, true),
                Ok(size) => heard.extend_from_slice(&buffer[..size]),
                Err(error) => return (heard, error.kind() != std::io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn each_fault_does_what_its_name_says() {
        let upstream = crate::rogue::Rogue::plain(b"hello, client");
        let proxy = FaultProxy::start(upstream.address());
        for (fault, heard, ended) in [
            (Fault::Pass, "hello, client", false),
            (Fault::CutUp(3), "hello, client", true),
            (Fault::CutDown(5), "hello", true),
            (Fault::StallDown(5), "hello", false),
            (Fault::Delay(Duration::from_millis(20)), "hello, client", false),
            (Fault::Refuse, "", true),
        ] {
            proxy.set(fault);
            let (got, end) = talk(&proxy);
            // A cut may overtake an answer that was on its way.
            assert!(heard.as_bytes().starts_with(&got), "{fault:?}: {got:?}");
            assert!(matches!(fault, Fault::CutUp(_)) || got.len() == heard.len(), "{fault:?}: {got:?}");
            assert_eq!(end, ended, "{fault:?}");
        }
        proxy.lead_to(crate::serving::closed_port());
        proxy.set(Fault::Pass);
        assert_eq!(talk(&proxy), (Vec::new(), true));
        assert_eq!(proxy.connections(), 7);
    }
}
