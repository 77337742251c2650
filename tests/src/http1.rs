//! Just enough of HTTP/1.1 to read a message as it is, with nothing made right on the way.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest head that the testkit reads.
const MAX_HEAD: usize = 256 * 1024;

/// A message: a request, or an answer whose status line stands in `start`.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names in lower case, values as they came.
    pub headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
}

impl Message {
    /// The first header of this name, which has to be given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The word of the first line at this place: method and path, or the status at 1.
    pub fn word(&self, at: usize) -> &str {
        self.start.split(' ').nth(at).unwrap_or_default()
    }
}

/// Reads one message; `None` at a clean end before its first byte.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let Some(mut message) = read_head(stream).await? else { return Ok(None) };
    let chunked = message.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let length =
        message.header("content-length").map(|v| v.parse::<usize>().map_err(|_| bad("content-length")));
    let answer = message.start.starts_with("HTTP/");
    if chunked {
        message.body = read_chunks(stream).await?;
    } else if let Some(length) = length {
        message.body = vec![0; length?];
        stream.read_exact(&mut message.body).await?;
    } else if answer && !matches!(message.word(1), "204" | "304") {
        stream.read_to_end(&mut message.body).await?;
    }
    Ok(Some(message))
}

/// Reads up to the empty line; `None` at a clean end before the first byte.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    // Byte by byte, so that nothing of the body, or of a tunnel that follows, is taken.
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
        if head.len() > MAX_HEAD {
            return Err(bad("head too long"));
        }
    }
    let text = String::from_utf8(head).map_err(|_| bad("head is not UTF-8"))?;
    let mut lines = text.trim_end().split("\r\n");
    let mut message = Message { start: lines.next().unwrap_or_default().to_owned(), ..Message::default() };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("header without a colon"))?;
        message.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(message))
}

async fn read_chunks(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| bad("chunk size"))?;
        let from = body.len();
        body.resize(from + size, 0);
        stream.read_exact(&mut body[from..]).await?;
        read_line(stream).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") && line.len() < MAX_HEAD {
        line.push(stream.read_u8().await?);
    }
    String::from_utf8(line).map(|line| line.trim_end().to_owned()).map_err(|_| bad("line is not UTF-8"))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The reason phrase that goes with a status, for people who read a capture.
pub fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status")
}
