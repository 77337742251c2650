//! An HTTP CONNECT proxy (RFC 9110 section 9.3.6) that remembers whom it was asked for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::http1::{self, Message};
use crate::serving::{LOOPBACK, Serving};

/// User and password that a proxy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The user's password, as it is: not percent-encoded.
    pub password: String,
}

#[derive(Default)]
struct State {
    /// Where a target leads that is not an address of this host.
    routes: HashMap<String, SocketAddr>,
    targets: Vec<String>,
    tunnels: usize,
    refused: usize,
    heads: Vec<Message>,
}

/// A running proxy. Ends when dropped, and its tunnels with it.
pub struct ConnectProxy {
    serving: Serving,
    state: Arc<Mutex<State>>,
}

impl ConnectProxy {
    /// A proxy on any loopback port; with credentials, one that asks for them.
    pub fn start(credentials: Option<Credentials>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let serving =
            Serving::start(LOOPBACK, move |stream| one(stream, credentials.clone(), Arc::clone(&shared)));
        Self { serving, state }
    }

    /// Makes `target` (`host:port`) lead to this address, as a proxy with a name server of its own would.
    pub fn route(&self, target: &str, to: SocketAddr) {
        self.state().routes.insert(target.to_owned(), to);
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> String {
        format!("http://{}", self.serving.address())
    }

    /// Its URL with credentials in it, as people write it into `HTTPS_PROXY`.
    pub fn url_with(&self, credentials: &str) -> String {
        format!("http://{credentials}@{}", self.serving.address())
    }

    /// Tunnels that were opened.
    pub fn tunnels(&self) -> usize {
        self.state().tunnels
    }

    /// Requests that were turned away.
    pub fn refused(&self) -> usize {
        self.state().refused
    }

    /// Every target that was asked for.
    pub fn targets(&self) -> Vec<String> {
        self.state().targets.clone()
    }

    /// Every request head, to see what a client tells a proxy.
    pub fn heads(&self) -> Vec<Message> {
        self.state().heads.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no connection panicked")
    }
}

async fn one(mut client: TcpStream, credentials: Option<Credentials>, state: Arc<Mutex<State>>) {
    let Ok(Some(head)) = http1::read_head(&mut client).await else { return };
    let target = head.word(1).to_owned();
    let to = {
        let mut state = state.lock().expect("no connection panicked");
        state.heads.push(head.clone());
        state.targets.push(target.clone());
        state.routes.get(&target).copied().or_else(|| target.parse().ok())
    };
    let allowed = credentials.is_none_or(|c| {
        let wanted = format!("Basic {}", STANDARD.encode(format!("{}:{}", c.user, c.password)));
        head.header("proxy-authorization") == Some(&wanted)
    });
    let refusal = match (head.word(0), allowed, to) {
        ("CONNECT", true, Some(to)) => match TcpStream::connect(to).await {
            Ok(server) => return tunnel(client, server, &state).await,
            Err(_) => "502 Bad Gateway\r\n",
        },
        ("CONNECT", true, None) => "502 Bad Gateway\r\n",
        ("CONNECT", false, _) => {
            "407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"kit\"\r\n"
        }
        _ => "405 Method Not Allowed\r\n",
    };
    state.lock().expect("no connection panicked").refused += 1;
    let _ = client.write_all(format!("HTTP/1.1 {refusal}content-length: 0\r\n\r\n").as_bytes()).await;
}

async fn tunnel(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>) {
    state.lock().expect("no connection panicked").tunnels += 1;
    if client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn ask(proxy: &ConnectProxy, head: &str) -> String {
        let mut stream = std::net::TcpStream::connect(proxy.serving.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        String::from_utf8_lossy(&start).into_owned()
    }

    #[test]
    fn it_asks_for_credentials_and_counts() {
        let upstream = crate::rogue::Rogue::plain(b"");
        let proxy = ConnectProxy::start(Some(Credentials { user: "u".into(), password: "p@ss".into() }));
        proxy.route("console.test:15483", upstream.address());
        let connect = "CONNECT console.test:15483 HTTP/1.1\r\n";
        assert_eq!(ask(&proxy, &format!("{connect}\r\n")), "HTTP/1.1 407");
        let basic = STANDARD.encode("u:p@ss");
        assert_eq!(
            ask(&proxy, &format!("{connect}proxy-authorization: Basic {basic}\r\n\r\n")),
            "HTTP/1.1 200"
        );
        assert_eq!((proxy.tunnels(), proxy.refused()), (1, 1));
        assert_eq!(proxy.targets(), ["console.test:15483", "console.test:15483"]);
    }
}
