//! Addresses that are silent, refuse or answer; proxies that do and do not.

use super::*;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn families_take_turns_and_what_failed_comes_last() {
    let found = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1"]);
    let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    assert_eq!(in_turn(found.clone(), &[]), turns);
    let failed = addresses(&["1.1.1.1:1", "[::1]:1"]);
    let expected = addresses(&["[::2]:1", "[::3]:1", "1.1.1.1:1", "[::1]:1"]);
    assert_eq!(in_turn(found, &failed), expected);
}

/// An address whose queue is full: nobody answers there, as behind a firewall that drops.
async fn silent() -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), open(address)).await {
        kept.push(stream.unwrap());
    }
    (address, listener, kept)
}

#[tokio::test]
async fn a_silent_address_does_not_keep_from_the_next() {
    let (silent, _listener, _kept) = silent().await;
    let refusing = {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = (good.local_addr().unwrap(), good);
    let limit = Duration::from_secs(10);
    for before in [vec![], vec![silent], vec![refusing], vec![silent, refusing, silent, refusing]] {
        let addresses = [before, vec![good.0]].concat();
        let (_, address) = timeout(limit, connect(addresses, limit)).await.unwrap().unwrap();
        assert_eq!(address, good.0);
    }
    // All fail: each is told.
    let failed = connect(vec![refusing, refusing], limit).await.unwrap_err();
    assert_eq!(failed.len(), 2);
    // Many of them have shorter head starts, so that the last is tried within the time all the same.
    let limit = Duration::from_secs(4);
    let addresses = [vec![silent; 40], vec![good.0]].concat();
    assert!(timeout(limit, connect(addresses, limit)).await.unwrap().is_ok());
}

#[tokio::test]
async fn connecting_and_the_proxy_have_limits_of_their_own() {
    let (address, _listener, _kept) = silent().await;
    let limits = Deadlines { connect: Duration::from_millis(100), ..Deadlines::default() };
    let late = |dialled: Result<_, ConsoleError>| match dialled {
        Err(ConsoleError::Deadline { phase, target, .. }) => (phase, target),
        other => panic!("{other:?}"),
    };
    let route = Route::new(format!("https://{address}").parse().unwrap(), None);
    assert_eq!(late(route.dial(&limits).await).0, Phase::Connect);
    let listening = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listening.local_addr().unwrap().port();
    let proxy = Proxy { host: "127.0.0.1".into(), port, authorization: None };
    let route = Route::new("https://c.example".parse().unwrap(), Some(proxy));
    let limits = Deadlines { tunnel: Duration::from_millis(100), ..Deadlines::default() };
    let (phase, target) = late(route.dial(&limits).await);
    assert_eq!((phase, target), (Phase::Tunnel, format!("c.example:443: 127.0.0.1:{port}")));
    assert_eq!(*route.failed(), [listening.local_addr().unwrap()], "another address is better next time");
}

#[tokio::test]
async fn any_answer_to_connect_that_is_a_success_is_a_tunnel() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let many = (0..150).map(|n| format!("x-{n}: {}\r\n", "y".repeat(80))).collect::<String>();
    for (answer, expected) in [
        ("HTTP/1.1 200 Connection established\r\n\r\n", Ok(())),
        ("HTTP/1.0 200 OK\r\nVia: 1.0 x\r\n\r\n", Ok(())),
        ("HTTP/1.1 200\r\n\r\n", Ok(())),
        ("HTTP/1.1 201 Created\r\n\r\n", Ok(())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        (&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), Ok(())),
        ("HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello", Err("407")),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Err("502 Bad Gateway")),
        ("SSH-2.0-x\r\n", Err("did not answer CONNECT")),
        ("", Err("did not answer CONNECT")),
    ] {
        let listening = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listening.local_addr().unwrap();
        let proxy = Proxy { host: "p".into(), port: 1, authorization: None };
        let serve = async {
            let (mut stream, _) = listening.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            assert!(head[..length].starts_with(b"CONNECT c.example:443 HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let ask = async { tunnel(open(address).await.unwrap(), "c.example:443", &proxy).await };
        let ((), asked) = tokio::join!(serve, ask);
        match expected {
            Ok(()) => assert!(asked.is_ok(), "{answer:?}: {asked:?}"),
            Err(said) => assert!(asked.unwrap_err().contains(said), "{answer:?}"),
        }
    }
}

#[test]
fn an_address_that_failed_is_forgotten_when_it_works() {
    let route = Route::new("https://c.example".parse().unwrap(), None);
    let [one, two] = addresses(&["1.1.1.1:1", "1.1.1.2:1"])[..] else { unreachable!() };
    for (address, worked, left) in [
        (one, false, vec![one]),
        (two, false, vec![one, two]),
        (one, false, vec![two, one]),
        (two, true, vec![one]),
    ] {
        route.note(address, worked);
        assert_eq!(*route.failed(), left);
    }
}

#[test]
fn what_this_host_lacks_or_forbids_is_told_from_what_the_network_does() {
    use crate::machine::Code;
    let route = Route::new("https://c.example".parse().unwrap(), None);
    for (errnos, code) in [
        (&[Errno::EMFILE, Errno::ECONNREFUSED][..], Code::OutOfResources),
        (&[Errno::EAGAIN], Code::OutOfResources),
        (&[Errno::ENETUNREACH, Errno::EPERM], Code::ConnectionForbidden),
        (&[Errno::EACCES], Code::ConnectionForbidden),
        (&[Errno::ECONNREFUSED], Code::ConsoleUnreachable),
        (&[], Code::ConsoleUnreachable),
    ] {
        let errors: Vec<io::Error> =
            errnos.iter().map(|errno| io::Error::from_raw_os_error(*errno as i32)).collect();
        let error = route.unreachable("why", &errors.iter().collect::<Vec<_>>());
        assert_eq!(error.code(), code, "{errnos:?}");
    }
}
