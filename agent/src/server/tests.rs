//! The doors, over real sockets, with a daemon that is a few lines long.
#![expect(clippy::disallowed_methods, reason = "the tests connect by themselves, as strangers do")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::client::{Client, ClientError};
use super::*;
use crate::cli;
use crate::clock::ManualClock;
use crate::config::{Environment, Sources, load_from};
use crate::machine::{Actor, Code, CommandResult, Fault, StateName, Urgency};

/// What the stand-in for the daemon does with requests.
type Reply = fn(&ControlRequest) -> CommandResult;

struct Bench {
    dir: TempDir,
    servers: Servers,
    report: watch::Sender<Report>,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(reply: Reply) -> Self {
        let (bench, mut requests) = Self::silent("0660");
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                match request.input() {
                    None => request.alive(),
                    Some(_) => {
                        let result = reply(&request);
                        request.done(result);
                    }
                }
            }
        });
        bench
    }

    /// Nobody answers requests yet.
    fn silent(mode: &str) -> (Self, mpsc::Receiver<ControlRequest>) {
        let dir = TempDir::new().unwrap();
        let config = config(dir.path(), mode);
        let clock = Arc::new(ManualClock::new("2026-06-01T00:00:00Z".parse().unwrap()));
        let (report, seen) = watch::channel(Report::new(StateName::Starting, "just started", Actor::Agent));
        let (ask, requests) = mpsc::channel(4);
        let metrics = Arc::new(Metrics::new(seen.clone()));
        let shared: Clock = clock.clone();
        let servers = start(&config, &shared, &seen, &metrics, &ask);
        assert_eq!(servers.problems(), [] as [String; 0]);
        (Self { dir, servers, report, clock }, requests)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/control.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// Says something through the control socket, and gives status and body of what comes back.
    async fn control(&self, said: impl Into<Vec<u8>>) -> (u16, String) {
        let (path, said) = (self.socket(), said.into());
        heard(move || talk(UnixStream::connect(path).unwrap(), &said)).await
    }

    async fn health(&self, said: &str) -> (u16, String) {
        let (address, said) = (self.servers.health_address().unwrap(), said.to_owned());
        heard(move || talk(std::net::TcpStream::connect(address).unwrap(), said.as_bytes())).await
    }
}

fn config(dir: &Path, mode: &str) -> Config {
    let args = cli::parse(["telovix-agent", "status"].map(OsString::from)).unwrap();
    let env = Environment::from_pairs([
        ("TELOVIX_CONTROL_SOCKET", dir.join("run/control.sock").into_os_string()),
        ("TELOVIX_CONTROL_SOCKET_MODE", mode.into()),
        ("TELOVIX_HEALTH_LISTEN", "127.0.0.1:0".into()),
    ]);
    let default_file = Path::new("/nowhere/agent.toml");
    load_from(&Sources { args: &args, env: &env, host_name: "h".into(), default_file }).unwrap()
}

fn talk(mut stream: impl std::io::Read + std::io::Write, said: &[u8]) -> String {
    // A server that hangs up in the middle is one of the things that are tried.
    let _ = stream.write_all(said);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

async fn heard(talk: impl FnOnce() -> String + Send + 'static) -> (u16, String) {
    let text = tokio::task::spawn_blocking(talk).await.unwrap();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn renewed(_: &ControlRequest) -> CommandResult {
    CommandResult::Renewed { generation: 2, not_after: "2026-07-01T00:00:00Z".parse().unwrap() }
}

#[tokio::test]
async fn the_report_and_its_probes_are_served_and_agree() {
    let bench = Bench::new(renewed);
    assert_eq!(bench.client().status().await.unwrap().state, StateName::Starting);
    assert_eq!(bench.control(get("/livez")).await, (200, "ok\n".into()));
    let (status, why) = bench.control(get("/readyz")).await;
    assert_eq!((status, why.as_str()), (503, "starting: just started\n"));
    let active = Report {
        accepted: true,
        not_after: Some("2026-06-02T00:00:00Z".parse().unwrap()),
        ..Report::new(StateName::Active, "", Actor::Agent)
    };
    bench.report.send_replace(active.clone());
    let served = bench.client().status().await.unwrap();
    let state_dir = Some(crate::config::DEFAULT_STATE_DIR.into());
    let (agent_running, version) = (Some(true), Some(env!("CARGO_PKG_VERSION").to_owned()));
    let as_of = Some(crate::clock::now(&(bench.clock.clone() as crate::clock::Clock)));
    assert_eq!(served, Report { state_dir, agent_running, version, as_of, ..active });
    bench.client().live().await.unwrap();
    assert_eq!(bench.health(&get("/readyz")).await, (200, "ready\n".into()));
    bench.clock.advance(Duration::from_secs(2 * 86_400));
    let (status, why) = bench.health(&get("/readyz")).await;
    assert!(status == 503 && why.contains("expired at 2026-06-02"), "{status} {why}");
    let (status, text) = bench.health(&get("/metrics")).await;
    assert!(status == 200 && text.contains("telovix_agent_state{state=\"active\"} 1"), "{text}");
}

#[tokio::test]
async fn commands_reach_the_daemon_and_its_answer_comes_back() {
    let bench = Bench::new(|request| match request {
        ControlRequest::Renew { urgency: Urgency::Now, .. } => renewed(request),
        ControlRequest::Renew { urgency: Urgency::WhenDue, .. } => {
            CommandResult::NotDue { renew_at: "2026-06-20T00:00:00Z".parse().unwrap() }
        }
        ControlRequest::Decommission { .. } | ControlRequest::Ping { .. } => {
            CommandResult::Decommissioned { untold: Some(Fault::new(Code::ConsoleUnreachable, "m")) }
        }
    });
    let client = bench.client();
    let answer = client.renew(Urgency::Now).await.unwrap();
    assert!(matches!(answer, CommandResult::Renewed { generation: 2, .. }), "{answer:?}");
    assert!(matches!(client.renew(Urgency::WhenDue).await.unwrap(), CommandResult::NotDue { .. }));
    let answer = client.decommission().await.unwrap();
    assert!(
        matches!(answer, CommandResult::Decommissioned { untold: Some(fault) } if fault.code == Code::ConsoleUnreachable)
    );
    let bad = "POST /renew?force=maybe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bench.control(bad).await.0, 400);
}

#[tokio::test]
async fn a_failed_renewal_is_an_answer_with_a_status() {
    let bench = Bench::new(|_| CommandResult::CannotRenew { reason: "no identity".into() });
    let said = "POST /renew HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let (status, body) = bench.control(said).await;
    assert_eq!((status, body.as_str()), (409, r#"{"result":"cannot_renew","reason":"no identity"}"#));
    let answer = bench.client().renew(Urgency::Now).await.unwrap();
    assert_eq!(answer, CommandResult::CannotRenew { reason: "no identity".into() });
}

#[tokio::test]
async fn over_tcp_nothing_can_be_done_and_no_report_is_read() {
    let bench = Bench::new(renewed);
    for said in [
        get("/status"),
        "POST /renew HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".into(),
        "POST /decommission HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".into(),
        get("/"),
        get("/livez/../status"),
    ] {
        assert_eq!(bench.health(&said).await.0, 404, "{said}");
    }
    assert_eq!(bench.health("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await.0, 405);
    assert_eq!(bench.control(get("/renew")).await.0, 405);
    assert_eq!(bench.health(&get("/livez")).await.0, 200);
}

#[tokio::test]
async fn hostile_bytes_are_answered_or_cut_off_and_the_door_stays_open() {
    let bench = Bench::new(renewed);
    let long = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let body = format!("POST /renew HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let chunks = format!(
        "POST /renew HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
        "x".repeat(5000)
    );
    let smuggled =
        "POST /renew HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (said, expected) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[0, 400][..]),
        (vec![0; 20_000], &[0, 400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[0, 400, 505]),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n".to_vec(), &[400, 404]),
        (b"GET /status HTTP/9.9\r\n\r\n".to_vec(), &[0, 400, 505]),
        (long.into_bytes(), &[0, 400, 431]),
        (many.into_bytes(), &[0, 400, 431]),
        (body.into_bytes(), &[413]),
        (chunks.into_bytes(), &[413]),
        (smuggled.as_bytes().to_vec(), &[200, 400]),
    ] {
        let shown = String::from_utf8_lossy(&said[..said.len().min(40)]).into_owned();
        let (status, _) = bench.control(said).await;
        assert!(expected.contains(&status), "{shown:?}: {status}");
        assert_eq!(bench.control(get("/livez")).await.0, 200, "after {shown:?}");
    }
}

/// Those who come and say nothing, or half of something, keep no place that somebody else has a use for.
#[tokio::test]
async fn a_probe_is_answered_among_any_number_of_silent_guests() {
    let bench = Bench::new(renewed);
    let address = bench.servers.health_address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 {
        for _ in 0..listen::MOST_CONNECTIONS {
            let mut guest = tokio::net::TcpStream::connect(address).await.unwrap();
            let half = b"GET /livez HTTP/1.1\r\nX: ";
            // Who is shown out this moment cannot say it any more.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut guest, half).await;
            silent.push(guest);
        }
        assert_eq!(bench.health(&get("/livez")).await.0, 200);
    }
    // The first to come is the first to go, before its time.
    let mut end = [0];
    assert_eq!(tokio::io::AsyncReadExt::read(&mut silent[0], &mut end).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_command_that_waits_keeps_its_place() {
    let (bench, mut requests) = Bench::silent("0600");
    let client = bench.client();
    let waiting = tokio::spawn(async move { client.renew(Urgency::Now).await });
    let request = requests.recv().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 * listen::MOST_CONNECTIONS {
        silent.push(tokio::net::UnixStream::connect(bench.socket()).await.unwrap());
    }
    assert_eq!(bench.client().status().await.unwrap().state, StateName::Starting);
    let answer = renewed(&request);
    request.done(answer);
    assert!(matches!(waiting.await.unwrap().unwrap(), CommandResult::Renewed { .. }));
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_answer_is_not_alive() {
    let (bench, requests) = Bench::silent("0600");
    let client = http_get(bench.servers.health_address().unwrap(), "/livez");
    let (status, why) = client.await;
    assert!(status == 503 && why.contains("main loop does not answer"), "{why}");
    drop(requests);
    let (status, why) = http_get(bench.servers.health_address().unwrap(), "/livez").await;
    assert!(status == 503 && why.contains("stopping"), "{why}");
}

/// The same as [`talk`] without a thread, for a clock that stands still.
async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(get(path).as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    heard(move || text).await
}

#[tokio::test]
async fn the_socket_has_its_mode_and_goes_with_its_server() {
    let (bench, _requests) = Bench::silent("0660");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&bench.socket()), mode(&bench.dir.path().join("run"))), (0o660, 0o755));
    let Bench { dir, servers, .. } = bench;
    // A second agent does not take the socket away, and a file that is none is left alone.
    let error = ControlSocket::bind(&dir.path().join("run/control.sock"), crate::config::SocketMode::Owner);
    assert!(error.unwrap_err().to_string().contains("another agent answers there"));
    let file = dir.path().join("run/file");
    std::fs::write(&file, "x").unwrap();
    let error = ControlSocket::bind(&file, crate::config::SocketMode::Owner).unwrap_err().to_string();
    assert!(error.contains("not a socket") && file.exists(), "{error}");
    drop(servers);
    let socket = dir.path().join("run/control.sock");
    assert!(!socket.exists());
    assert!(matches!(Client::new(&socket).status().await, Err(ClientError::Absent(_))));
    // What a killed agent left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(Client::new(&socket).status().await, Err(ClientError::Absent(_))));
    let (_again, _listener) = ControlSocket::bind(&socket, crate::config::SocketMode::Owner).unwrap();
    assert_eq!(mode(&socket), 0o600);
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_and_the_rest_works() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(dir.path(), "0600");
    config.server.health_listen.as_mut().unwrap().value = taken.local_addr().unwrap();
    config.server.control_socket.value = "/nowhere/at/all/control.sock".into();
    let (_report, seen) = watch::channel(Report::new(StateName::Starting, "", Actor::Agent));
    let (ask, _requests) = mpsc::channel(1);
    let metrics = Arc::new(Metrics::new(seen.clone()));
    let servers = start(&config, &crate::clock::system(), &seen, &metrics, &ask);
    assert_eq!(servers.problems().len(), 2);
    assert!(servers.problems()[0].contains("/nowhere/at/all"), "{:?}", servers.problems());
    assert!(servers.problems()[1].contains("environment TELOVIX_HEALTH_LISTEN"), "{:?}", servers.problems());
}
