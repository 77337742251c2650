//! What slow and greedy clients meet.

use std::time::Duration;

use telovix_console_stub::config::Limits;
use telovix_console_stub::fault::Faults;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;

use crate::world::World;

/// Longer than every limit below, and shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

async fn world() -> World {
    let short = Duration::from_millis(200);
    let limits =
        Limits { handshake: short, head: short, request: short, connections: 3, ..Limits::default() };
    World::start_with(10, Faults::default(), limits).await
}

/// Everything until the server closes.
async fn rest(mut tls: TlsStream<tokio::net::TcpStream>) -> String {
    let mut text = Vec::new();
    // An end without a TLS farewell is an error, and an end all the same.
    let _ = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut text)).await.expect("the server hangs up");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_dropped() {
    let world = world().await;
    let mut silent = world.client(None).socket().await;
    let closed = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 1])).await.expect("the server hangs up");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[tokio::test]
async fn half_a_head_and_an_idle_connection_are_dropped() {
    let world = world().await;
    for sent in [&b""[..], b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut tls = world.client(None).tls().await.unwrap();
        tls.write_all(sent).await.unwrap();
        assert_eq!(rest(tls).await, "");
    }
}

#[tokio::test]
async fn half_a_body_is_answered_408() {
    let world = world().await;
    let mut tls = world.client(None).tls().await.unwrap();
    let head = "POST /api/v1/sensors/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    tls.write_all(head.as_bytes()).await.unwrap();
    let text = rest(tls).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let world = world().await;
    let mut tls = world.client(None).tls().await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    // The server may hang up while this is still being written.
    let _ = tls.write_all(head.as_bytes()).await;
    let text = rest(tls).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    assert_eq!(world.client(None).send("GET", "/healthz", b"", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn silent_clients_do_not_keep_the_others_out_for_long() {
    let world = world().await;
    let client = world.client(None);
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(client.socket().await);
    }
    let reply = tokio::time::timeout(PATIENCE, client.send("GET", "/healthz", b"", &[])).await;
    assert_eq!(reply.expect("the server answers").unwrap().status, 200);
}
