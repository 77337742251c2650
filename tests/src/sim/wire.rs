//! The wire of a simulation: it counts, it keeps what went over it, and it can be harmed at any byte of either way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::{TcpListener, TcpStream};

use super::harm::{Blow, Tape, Way};
use super::pump::{Ended, Pump};
use crate::serving::LOOPBACK;

/// Connections whose bytes are remembered.
const TAPES: usize = 4;

#[derive(Default)]
pub(super) struct State {
    upstream: Option<SocketAddr>,
    /// How many connections pass before anything is done.
    skip: u32,
    /// What is done to the connections after that, and to how many.
    blow: Option<(Blow, u32)>,
    connections: u64,
    open: usize,
    pub(super) holding: usize,
    pub(super) activity: u64,
    /// Blows that met something.
    pub(super) struck: u64,
    /// Of the last connections, the newest last.
    pub(super) tapes: VecDeque<(u64, Tape)>,
}

/// A wire. Clones are the same one.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// A wire that leads nowhere yet, served by this runtime.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a free port");
        let wire = Self {
            address: listener.local_addr().expect("a bound socket has an address"),
            state: Arc::default(),
        };
        let shared = Arc::clone(&wire.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (number, blow) = lock(&shared).accept();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    one(client, number, blow, &shared).await;
                    let mut state = lock(&shared);
                    state.open -= 1;
                    state.activity += 1;
                });
            }
        });
        wire
    }

    /// The address before it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to this address from now on; to nobody, where every connection is reset.
    pub fn lead_to(&self, upstream: Option<SocketAddr>) {
        lock(&self.state).upstream = upstream;
    }

    /// Does this to the next so many connections.
    pub fn harm(&self, blow: Blow, connections: u32) {
        self.harm_later(0, blow, connections);
    }

    /// The same after so many have passed.
    pub fn harm_later(&self, skip: u32, blow: Blow, connections: u32) {
        let mut state = lock(&self.state);
        (state.skip, state.blow) = (skip, Some((blow, connections)));
    }

    /// Does nothing any more.
    pub fn heal(&self) {
        lock(&self.state).blow = None;
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        lock(&self.state).connections
    }

    /// What went over the last connection, or so many before it.
    pub fn tape(&self, before: usize) -> Tape {
        let state = lock(&self.state);
        state.tapes.iter().rev().nth(before).expect("it is remembered").1.clone()
    }

    /// Blows so far that met something: bytes, or the end of a way that came to their place.
    pub fn struck(&self) -> u64 {
        lock(&self.state).struck
    }

    pub(super) fn open(&self) -> usize {
        lock(&self.state).open
    }

    pub(super) fn holds_back(&self) -> bool {
        lock(&self.state).holding > 0
    }

    pub(super) fn activity(&self) -> u64 {
        lock(&self.state).activity
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no connection panicked")
}

impl State {
    fn accept(&mut self) -> (u64, Option<Blow>) {
        self.connections += 1;
        self.open += 1;
        self.activity += 1;
        self.tapes.push_back((self.connections, Tape::default()));
        if self.tapes.len() > TAPES {
            self.tapes.pop_front();
        }
        if self.skip > 0 {
            self.skip -= 1;
            return (self.connections, None);
        }
        let struck = self.blow.map(|(blow, left)| {
            self.blow = (left > 1).then_some((blow, left - 1));
            blow
        });
        (self.connections, struck)
    }
}

async fn one(client: TcpStream, number: u64, blow: Option<Blow>, state: &Mutex<State>) {
    let upstream = lock(state).upstream;
    let server = match upstream {
        Some(upstream) => TcpStream::connect(upstream).await.ok(),
        None => None,
    };
    let Some(server) = server else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let of = |way| blow.filter(|blow| blow.way == way);
    let up = Pump { number, way: Way::Up, from: &client, to: &server, blow: of(Way::Up), state };
    let down = Pump { number, way: Way::Down, from: &server, to: &client, blow: of(Way::Down), state };
    let (up, down) = (up.run(), down.run());
    // A way that ends in order leaves the other running; anything else ends both.
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => if ended == Ended::Orderly { down.await; },
        ended = &mut down => if ended == Ended::Orderly { up.await; },
    }
}
