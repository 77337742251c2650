//! One way of one connection of the wire.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use tokio::net::TcpStream;

use super::harm::{Blow, Harm, Way};
use super::wire::{State, lock};

/// Time between two bytes of [`Harm::Drip`].
const DRIP: Duration = Duration::from_secs(1);

/// How one way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Orderly,
    Broken,
}

/// Says for as long as it lives that the wire holds something back.
struct Holding<'a>(&'a Mutex<State>);

impl<'a> Holding<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        lock(state).holding += 1;
        Self(state)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        lock(self.0).holding -= 1;
    }
}

pub(super) struct Pump<'a> {
    /// The connection.
    pub(super) number: u64,
    pub(super) way: Way,
    pub(super) from: &'a TcpStream,
    pub(super) to: &'a TcpStream,
    pub(super) blow: Option<Blow>,
    pub(super) state: &'a Mutex<State>,
}

impl Pump<'_> {
    pub(super) async fn run(mut self) -> Ended {
        let mut passed = 0;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let left = self.blow.map_or(u64::MAX, |blow| blow.at - passed);
            if let Some(blow) = self.blow.filter(|_| left == 0) {
                self.blow = None;
                if let Some(ended) = self.strike(blow.harm).await {
                    return ended;
                }
                continue;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match read(self.from, &mut buffer[..most]).await {
                Ok(0) => return self.end(),
                Ok(size) => {
                    passed += size as u64;
                    self.note(&buffer[..size]);
                    if write(self.to, &buffer[..size]).await.is_err() {
                        return Ended::Broken;
                    }
                }
                Err(_) => return Ended::Broken,
            }
        }
    }

    fn end(&self) -> Ended {
        finish(self.to);
        Ended::Orderly
    }

    fn note(&self, bytes: &[u8]) {
        let mut state = lock(self.state);
        state.activity += 1;
        let Some((_, tape)) = state.tapes.iter_mut().rev().find(|(of, _)| *of == self.number) else { return };
        if self.way == Way::Up { &mut tape.up } else { &mut tape.down }.extend_from_slice(bytes);
    }

    /// `None` where the connection goes on.
    async fn strike(&self, harm: Harm) -> Option<Ended> {
        lock(self.state).struck += 1;
        match harm {
            Harm::Cut => {
                finish(self.to);
                finish(self.from);
                // What was not read would turn the end into a reset.
                drain(self.from).await;
                Some(Ended::Broken)
            }
            Harm::Reset => {
                let _ = (self.from.set_zero_linger(), self.to.set_zero_linger());
                Some(Ended::Broken)
            }
            Harm::Stall => {
                let _holding = Holding::new(self.state);
                drain(self.from).await;
                if self.way == Way::Down {
                    // The Console has gone; the host does not hear of it, and goes when its patience ends.
                    while self.to.peek(&mut [0]).await.is_ok_and(|size| size > 0) {
                        tokio::task::yield_now().await;
                    }
                }
                Some(Ended::Broken)
            }
            Harm::Trickle => Some(self.trickle().await),
            Harm::Drip => {
                let _holding = Holding::new(self.state);
                Some(self.drip().await)
            }
            Harm::Flip => {
                let mut byte = [0];
                match read(self.from, &mut byte).await {
                    Ok(1) => {}
                    Ok(_) | Err(_) => {
                        lock(self.state).struck -= 1;
                        return Some(self.end());
                    }
                }
                self.note(&byte);
                write(self.to, &[byte[0] ^ 0xff]).await.err().map(|_| Ended::Broken)
            }
            Harm::Garbage => write(self.to, &[0xa5; 48]).await.err().map(|_| Ended::Broken),
        }
    }

    async fn trickle(&self) -> Ended {
        loop {
            let mut byte = [0];
            match read(self.from, &mut byte).await {
                Ok(1) => {}
                Ok(_) | Err(_) => return self.end(),
            }
            self.note(&byte);
            if write(self.to, &byte).await.is_err() {
                return Ended::Broken;
            }
        }
    }

    async fn drip(&self) -> Ended {
        let (mut waiting, mut ended) = (VecDeque::new(), false);
        let mut buffer = [0; 4096];
        let mut drops = tokio::time::interval(DRIP);
        loop {
            tokio::select! {
                read = read(self.from, &mut buffer), if !ended => match read {
                    Ok(size) if size > 0 => waiting.extend(&buffer[..size]),
                    Ok(_) | Err(_) => ended = true,
                },
                _ = drops.tick() => {
                    if let Some(byte) = waiting.pop_front() {
                        self.note(&[byte]);
                        if write(self.to, &[byte]).await.is_err() {
                            return Ended::Broken;
                        }
                    }
                }
            }
            // A host that has gone waits for nothing; a Console that has may have said all that it had to.
            let gone = if self.way == Way::Up { ended } else { is_gone(self.to) };
            if gone {
                return Ended::Broken;
            }
            if ended && waiting.is_empty() {
                return self.end();
            }
        }
    }
}

// Not by tokio's halves, which say goodbye when they are dropped: a reset has to come alone.

async fn read(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(size) => bytes = &bytes[size..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the other side has closed, and all that it sent was read.
fn is_gone(side: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(side.as_raw_fd(), &mut [0], flags).is_ok_and(|size| size == 0)
}

fn finish(to: &TcpStream) {
    // A side that is gone hears nothing, which is as good.
    let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
}

async fn drain(from: &TcpStream) {
    let mut buffer = [0; 4096];
    while read(from, &mut buffer).await.is_ok_and(|size| size > 0) {}
}
