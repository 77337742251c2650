//! What a rogue does with a request, from a polite answer to an endless one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use telovix_contract::{ErrorCode, Problem};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::http1::reason;

/// One way to answer.
#[derive(Debug, Clone)]
pub enum Script {
    /// A whole answer with its length. The connection stays open for the next request.
    Respond {
        /// HTTP status.
        status: u16,
        /// Headers beside `content-length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// These bytes as they are.
    RawBytes(Vec<u8>, After),
    /// One header line without an end.
    EndlessHeader,
    /// Header lines without an end.
    EndlessHeaders,
    /// A 200 whose chunked body never ends.
    EndlessBody,
    /// A JSON string of this many bytes, announced honestly.
    HugeBody(usize),
    /// A whole answer announced, this many bytes of it sent.
    Half(Box<Script>, usize, After),
    /// Waits, then does the other.
    Delay(Duration, Box<Script>),
    /// Ends the connection without a byte of answer.
    Close,
    /// Says nothing and holds the connection.
    Hang,
}

/// What follows the last byte of a broken answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The connection is closed in order.
    Close,
    /// The connection stays, and nothing comes.
    Hang,
}

impl Script {
    /// A JSON answer.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a JSON value");
        Self::Respond { status, headers: vec![("content-type".into(), "application/json".into())], body }
    }

    /// A refusal as docs/contract.md section 6 has it.
    pub fn problem(code: ErrorCode) -> Self {
        Self::json(code.status(), &Problem::new(code, "The rogue says no."))
    }

    /// A page, as proxies and captive portals send it.
    pub fn html(status: u16, page: &str) -> Self {
        let headers = vec![("content-type".into(), "text/html; charset=utf-8".into())];
        Self::Respond { status, headers, body: page.as_bytes().to_vec() }
    }

    /// A redirect.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::Respond { status, headers: vec![("location".into(), to.into())], body: Vec::new() }
    }

    /// Another header on a [`Script::Respond`].
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let Self::Respond { headers, .. } = &mut self else { panic!("only an answer has headers") };
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Carries it out; an error ends the connection.
    pub(super) async fn play(
        self,
        out: &mut (impl AsyncWrite + Unpin),
        sent: &AtomicUsize,
    ) -> io::Result<()> {
        let mut out = Counted { out, sent };
        match self {
            Self::Respond { .. } => out.write(&self.bytes()).await,
            Self::RawBytes(bytes, after) => {
                out.write(&bytes).await?;
                finish(&mut out, after).await
            }
            Self::Half(whole, keep, after) => {
                let bytes = whole.bytes();
                out.write(&bytes[..keep.min(bytes.len())]).await?;
                finish(&mut out, after).await
            }
            Self::EndlessHeader => {
                out.write(b"HTTP/1.1 200 OK\r\nx-endless: ").await?;
                out.forever(&[b'a'; 8192]).await
            }
            Self::EndlessHeaders => {
                out.write(b"HTTP/1.1 200 OK\r\n").await?;
                out.forever(b"x-one-more: of very many\r\n".repeat(256).as_slice()).await
            }
            Self::EndlessBody => {
                out.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n").await?;
                out.write(b"transfer-encoding: chunked\r\n\r\n").await?;
                let chunk = [b"2000\r\n".as_slice(), &[b' '; 8192], b"\r\n"].concat();
                out.forever(&chunk).await
            }
            Self::HugeBody(size) => {
                let body = [b"\"".as_slice(), &vec![b'a'; size.saturating_sub(2)], b"\""].concat();
                let headers = vec![("content-type".into(), "application/json".into())];
                out.write(&Self::Respond { status: 201, headers, body }.bytes()).await
            }
            Self::Delay(time, then) => {
                tokio::time::sleep(time).await;
                Box::pin(then.play(out.out, sent)).await
            }
            Self::Close => finish(&mut out, After::Close).await,
            Self::Hang => finish(&mut out, After::Hang).await,
        }
    }

    /// The bytes of a whole answer.
    fn bytes(&self) -> Vec<u8> {
        let Self::Respond { status, headers, body } = self else {
            panic!("only an answer has bytes: {self:?}")
        };
        let mut head = format!("HTTP/1.1 {status} {}\r\ncontent-length: {}\r\n", reason(*status), body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }
}

struct Counted<'a, W> {
    out: &'a mut W,
    sent: &'a AtomicUsize,
}

impl<W: AsyncWrite + Unpin> Counted<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(16 * 1024) {
            self.out.write_all(part).await?;
            self.out.flush().await?;
            self.sent.fetch_add(part.len(), Ordering::SeqCst);
        }
        Ok(())
    }

    async fn forever(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            self.write(bytes).await?;
        }
    }
}

async fn finish<W: AsyncWrite + Unpin>(out: &mut Counted<'_, W>, after: After) -> io::Result<()> {
    match after {
        After::Close => {
            out.out.shutdown().await?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        After::Hang => std::future::pending().await,
    }
}
