//! A listener on a thread of its own, which ends when it is dropped.
//!
//! Invariant: tests are synchronous, so every server has its own runtime and no test can starve one.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Any free port of the IPv4 loopback.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Any free port of the IPv6 loopback, where this host has one.
pub fn loopback_v6() -> Option<SocketAddr> {
    let address = SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 0);
    TcpListener::bind(address).is_ok().then_some(address)
}

/// An address on which nothing listens: the kernel gave the port out and took it back.
pub fn closed_port() -> SocketAddr {
    TcpListener::bind(LOOPBACK).and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A running listener.
pub struct Serving {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Listens on `bind` and runs `connection` for each one, all of them on one new thread.
    pub fn start<F, Fut>(bind: SocketAddr, connection: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(bind).unwrap_or_else(|e| panic!("cannot listen on {bind}: {e}"));
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let accepting = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(connection(stream));
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime ends the connections, also those that hang by design.
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server's thread panicked");
        }
    }
}
