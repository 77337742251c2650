//! Pages that are left open: what they hear, for how long, and that it keeps no session alive.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::pages::{Reader, location, text};
use crate::world::{World, body, key};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;

const ADMIN: &str = "admin@example.com";

/// An answer that goes on: all that was said so far.
struct Stream {
    tls: TlsStream<TcpStream>,
    said: String,
}

impl Stream {
    /// Asks as a browser's `EventSource` does.
    async fn open(world: &World, reader: &Reader<'_>, path: &str) -> Self {
        let pairs: Vec<String> =
            reader.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let ask = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\ncookie: {}\r\n\r\n",
            pairs.join("; ")
        );
        let mut tls = world.client(None).tls().await.unwrap();
        tls.write_all(ask.as_bytes()).await.unwrap();
        Self { tls, said: String::new() }
    }

    /// Reads on until all of it passes; whether that happened before the end.
    async fn until(&mut self, passes: impl Fn(&str) -> bool) -> bool {
        let mut piece = [0; 1024];
        while !passes(&self.said) {
            match self.tls.read(&mut piece).await {
                Ok(0) | Err(_) => return false,
                Ok(read) => self.said.push_str(&String::from_utf8_lossy(&piece[..read])),
            }
        }
        true
    }

    /// The stamps that were named.
    fn stamps(said: &str) -> Vec<&str> {
        let events = said.split("event: news\ndata: ").skip(1);
        events.filter_map(|rest| rest.split_once("\n\n").map(|(stamp, _)| stamp)).collect()
    }
}

/// What the page says that it is as new as.
fn stamp(page: &str) -> &str {
    page.split("data-stamp=\"").nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test]
async fn an_open_page_hears_that_something_happened_and_of_the_next_heartbeats() {
    let world = World::start(10).await;
    let mut admin = Reader::of(&world, ADMIN).await;
    for path in ["/ui/sensors", "/ui/approvals", "/ui/tokens", "/ui/rules", "/ui/audit"] {
        let page = admin.get(path).await;
        assert!(!stamp(text(&page)).is_empty() && text(&page).contains("id=\"rows\" data-live"), "{path}");
    }
    // Verifying costs the whole trail; an open page does not ask for it again and again.
    assert!(!text(&admin.get("/ui/audit/verify").await).contains("data-live"));
    let shown = stamp(text(&admin.get("/ui/sensors").await)).to_owned();
    let mut stream = Stream::open(&world, &admin, "/ui/events").await;
    assert!(stream.until(|said| !Stream::stamps(said).is_empty()).await, "{}", stream.said);
    assert!(stream.said.starts_with("HTTP/1.1 200") && stream.said.contains("text/event-stream"));
    assert_eq!(Stream::stamps(&stream.said), [&*shown], "nothing happened since the page was made");
    let enrolled = world.enroll(&body(&world.once().await, "edge-1", &key())).await;
    assert_eq!(enrolled.status, 201);
    assert!(stream.until(|said| Stream::stamps(said).last() != Some(&&*shown)).await, "{}", stream.said);
    let before = Stream::stamps(&stream.said).len();
    world.clock.advance(15);
    assert!(stream.until(|said| Stream::stamps(said).len() > before).await, "{}", stream.said);
    // It says when, and not what.
    assert!(!stream.said.contains("edge-1") && !stream.said.contains("tse_"));
    let refused = Reader::new(&world).get("/ui/events").await;
    assert_eq!((refused.status, &*location(&refused)), (303, "/ui/login"));
}

#[tokio::test]
async fn a_page_that_is_left_open_does_not_keep_its_session_alive() {
    let world = World::start(10).await;
    let made = world.console.create_token(Default::default(), Origin::default()).await.unwrap();
    let of_token = format!("/ui/tokens/{}/events", made.id);
    let mut left = Reader::of(&world, ADMIN).await;
    let mut used = Reader::of(&world, ADMIN).await;
    world.clock.advance(3000);
    for path in ["/ui/events", &of_token] {
        let mut stream = Stream::open(&world, &left, path).await;
        assert!(stream.until(|said| said.contains("data: ")).await, "{}", stream.said);
    }
    // The page that its script asks for again.
    let cookie = format!("__Host-telovix_session={}", left.cookies["__Host-telovix_session"]);
    let headers = [("cookie", &*cookie), ("x-telovix-watches", "1")];
    let again = world.client(None).send("GET", "/ui/sensors", b"", &headers).await.unwrap();
    assert_eq!(again.status, 200);
    assert_eq!(used.get("/ui/sensors").await.status, 200);
    world.clock.advance(1000);
    assert_eq!(location(&left.get("/ui/sensors").await), "/ui/login");
    assert_eq!(used.get("/ui/sensors").await.status, 200);
}

#[tokio::test]
async fn a_stream_is_ended_and_not_cut_off_when_the_server_stops() {
    let mut world = World::start(10).await;
    let admin = Reader::of(&world, ADMIN).await;
    let mut stream = Stream::open(&world, &admin, "/ui/events").await;
    assert!(stream.until(|said| said.contains("event: news")).await, "{}", stream.said);
    drop(admin);
    world.stop().await;
    assert!(stream.until(|said| said.ends_with("\r\n0\r\n\r\n")).await, "{}", stream.said);
}

/// docs/contract.md section 5 has 90 s; an administrator may set another.
#[tokio::test]
async fn section_5_the_stale_threshold_is_a_setting() {
    let world = World::start(10).await;
    world.enroll(&body(&world.once().await, "edge-1", &key())).await;
    let mut admin = Reader::of(&world, ADMIN).await;
    let id = text(&admin.get("/ui/sensors").await).split("href=\"/ui/sensors/").nth(1).unwrap().to_owned();
    let one = format!("/ui/sensors/{}", id.split('"').next().unwrap());
    let set = async |value: &str| {
        let value = value.to_owned();
        world.console.change_setting(Setting::StaleSeconds, value, Origin::default()).await.unwrap();
    };
    world.clock.advance(100);
    for (threshold, stands) in [(None, "stale"), (Some("600"), "healthy"), (Some("100"), "stale")] {
        if let Some(threshold) = threshold {
            set(threshold).await;
        }
        let badge = format!("<td data-name=\"Status\"><span class=\"badge {stands}\">");
        let list = admin.get("/ui/sensors").await;
        assert!(text(&list).contains(&badge), "{threshold:?}");
        assert!(text(&list).contains(&format!("<b>1</b>{stands}")), "{threshold:?}: the count");
        let found = admin.get(&format!("/ui/sensors?status={stands}")).await;
        assert!(text(&found).contains("edge-1"), "{threshold:?}: the filter");
        let page = admin.get(&one).await;
        assert!(text(&page).contains(&format!("<dt>Status</dt><dd><span class=\"badge {stands}\">")));
    }
    let form = [("what", "setting"), ("name", "stale_seconds"), ("value", "9")];
    assert_eq!(admin.post("/ui/settings", "/ui/settings", &form).await.status, 400);
}

/// Who may not go somewhere, or is lost, keeps the way back.
#[tokio::test]
async fn a_refusal_is_shown_in_the_frame_of_whoever_is_signed_in() {
    let world = World::start(10).await;
    let viewer = crate::browser::user(&world, telovix_console_stub::domain::role::Role::Viewer).await;
    let mut viewer = Reader::of(&world, &viewer).await;
    for (path, status, title) in [("/ui/deploy", 403, "Not allowed"), ("/ui/nowhere", 404, "Not found")] {
        let reply = viewer.get(path).await;
        let page = text(&reply);
        assert!(reply.status == status && page.contains(&format!("<title>{title} ·")), "{reply:?}");
        assert!(page.contains("href=\"/ui/sensors\">Sensors</a>") && page.contains("Sign out"), "{page}");
    }
    let stranger = Reader::new(&world).get("/ui/nowhere").await;
    assert!(stranger.status == 404 && !text(&stranger).contains("Sign out"), "{stranger:?}");
}
