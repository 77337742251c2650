//! The end of a connection that the server ends first.
//!
//! A socket that is closed while bytes of the client wait in it is reset, and the reset can take the answer with it
//! that the client was about to read (RFC 9112 section 9.6). So what still comes is read and thrown away, for a while.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How long a client may take to hear that the connection is over.
const PATIENCE: Duration = Duration::from_secs(1);
/// What it may still send meanwhile, in bytes.
const SLACK: u64 = 1 << 20;

/// Says farewell, then reads until the client has closed its side, and no longer than is good for the others.
pub(super) async fn linger(mut tls: TlsStream<TcpStream>) {
    let ending = async {
        tls.shutdown().await?;
        // What comes is not worth deciphering.
        let (stream, _) = tls.into_inner();
        tokio::io::copy(&mut stream.take(SLACK), &mut tokio::io::sink()).await
    };
    // Whether it ended, failed or took too long: nothing is left to do for this client.
    let _ = tokio::time::timeout(PATIENCE, ending).await;
}
