//! What slow and greedy clients meet.

use std::time::Duration;

use telovix_console_stub::config::Limits;
use telovix_console_stub::fault::Faults;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;

use crate::world::{World, body, key};
use telovix_contract::paths;

/// Longer than every limit below, and shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client is to run into.
const SHORT: Duration = Duration::from_millis(200);
/// The same where it has to get something done before.
const ENOUGH: Duration = Duration::from_secs(2);

async fn world(limits: Limits) -> World {
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
    let world = world(Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut silent = world.client(None).socket().await;
    let closed = tokio::time::timeout(PATIENCE, silent.read(&mut [0; 1])).await.expect("the server hangs up");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[tokio::test]
async fn half_a_head_and_an_idle_connection_are_dropped() {
    let world = world(Limits { head: SHORT, ..Limits::default() }).await;
    for sent in [&b""[..], b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        let mut tls = world.client(None).tls().await.unwrap();
        tls.write_all(sent).await.unwrap();
        assert_eq!(rest(tls).await, "");
    }
}

#[tokio::test]
async fn half_a_body_is_answered_408() {
    let world = world(Limits { request: SHORT, ..Limits::default() }).await;
    let mut tls = world.client(None).tls().await.unwrap();
    let head = "POST /api/v1/sensors/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    tls.write_all(head.as_bytes()).await.unwrap();
    let text = rest(tls).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let world = World::start(10).await;
    for (head, status) in [
        ("HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200"),
        ("HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "HTTP/1.1 400"),
        ("HTTP/1.0\r\n", "HTTP/1.0 200"),
        ("HTTP/1.0\r\nHost: a\r\nHost: a\r\n", "HTTP/1.0 400"),
    ] {
        let mut tls = world.client(None).tls().await.unwrap();
        let request = format!("GET /healthz {head}Connection: close\r\n\r\n");
        tls.write_all(request.as_bytes()).await.unwrap();
        let text = rest(tls).await;
        assert!(text.starts_with(status), "{head:?}: {text}");
        assert_eq!(text.contains("invalid_request"), status.ends_with("400"), "{text}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let world = World::start(10).await;
    let mut tls = world.client(None).tls().await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(100_000));
    tls.write_all(head.as_bytes()).await.unwrap();
    // The server has made up its mind, and its answer is here; a client that still writes is not cut off.
    tls.get_ref().0.readable().await.unwrap();
    for _ in 0..10 {
        tls.write_all(&[b'x'; 1000]).await.expect("the server takes what still comes");
        tls.flush().await.expect("the server takes what still comes");
    }
    let text = rest(tls).await;
    assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    assert_eq!(world.client(None).send("GET", "/healthz", b"", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn silent_clients_do_not_keep_the_others_out_for_long() {
    let world = world(Limits { handshake: ENOUGH, connections: 3, ..Limits::default() }).await;
    let client = world.client(None);
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(client.socket().await);
    }
    let reply = tokio::time::timeout(PATIENCE, client.send("GET", "/healthz", b"", &[])).await;
    assert_eq!(reply.expect("the server answers").unwrap().status, 200);
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let limits = Limits { connections: 6, connections_per_source: 3, ..Limits::default() };
    let world = world(limits).await;
    let greedy = world.client(None);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(greedy.tls().await.unwrap());
    }
    // Closed before a word of TLS.
    let mut fourth = greedy.socket().await;
    let closed = tokio::time::timeout(PATIENCE, fourth.read(&mut [0; 1])).await.expect("the server hangs up");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let other = world.client(None).from(2);
    assert_eq!(other.send("GET", "/healthz", b"", &[]).await.unwrap().status, 200);
    // A place that is given back can be taken again; the server hears of it a moment later.
    drop(held.pop());
    let again = tokio::time::timeout(PATIENCE, async {
        while greedy.send("GET", "/healthz", b"", &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    again.await.expect("a place is free again");
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let world = World::start(10).await;
    let fields: Vec<(String, &str)> = (0..65).map(|n| (format!("x-{n}"), "1")).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let client = world.client(None);
    assert_eq!(client.send("GET", "/healthz", b"", &fields).await.unwrap().status, 431);
    assert_eq!(client.send("GET", "/healthz", b"", &fields[..60]).await.unwrap().status, 200);
}

/// docs/contract.md section 2: the second listener is for sensors alone and requires their certificate.
#[tokio::test]
async fn section_2_the_sensors_listener_requires_a_certificate_and_serves_sensors_alone() {
    let world = World::start(10).await;
    let key = key();
    let made = world.enroll(&body(&world.once().await, "edge-1", &key)).await;
    let identity = Some((made.text("control_plane_certificate_pem"), &key));
    let sensor = world.sensor_client(identity);
    assert_eq!(sensor.send("POST", paths::HEARTBEAT, b"", &[]).await.unwrap().status, 200);
    assert_eq!(sensor.send("GET", paths::HEALTHZ, b"", &[]).await.unwrap().status, 200);
    for path in [paths::V1_SESSION, paths::V1_SENSORS, paths::V2_TOKENS, paths::OPENAPI] {
        assert_eq!(sensor.send("GET", path, b"", &[]).await.unwrap().refusal(), (404, "not_found"), "{path}");
    }
    // In TLS 1.3 a client hears of it after its first words.
    assert!(world.sensor_client(None).send("GET", paths::HEALTHZ, b"", &[]).await.is_err());
    assert_eq!(world.client(None).send("GET", paths::HEALTHZ, b"", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_that_idles_after_an_answer_is_dropped_and_so_is_one_that_lasts_too_long() {
    let long = Duration::from_secs(600);
    for limits in [
        Limits { head: ENOUGH, life: long, ..Limits::default() },
        Limits { head: long, life: ENOUGH, ..Limits::default() },
    ] {
        let world = world(limits).await;
        let mut tls = world.client(None).tls().await.unwrap();
        tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let text = rest(tls).await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\"}"), "{text}");
    }
}

/// A client that sends a call and takes nothing of the answer holds its own connection, until its time is over.
#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let limits = Limits { connections: 2, life: Duration::from_millis(500), ..Limits::default() };
    let world = World::start_with(10, Faults::default(), limits).await;
    let client = world.client(None);
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut tls = client.tls().await.unwrap();
        // More answers than fit into what lies between.
        let calls = "GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
        let _ = tokio::time::timeout(Duration::from_millis(100), tls.write_all(calls.as_bytes())).await;
        deaf.push(tls);
    }
    let reply = tokio::time::timeout(PATIENCE, client.send("GET", "/healthz", b"", &[])).await;
    assert_eq!(reply.expect("the server answers").unwrap().status, 200);
}
