//! Whether a host is enrolled, once, and nothing is left lying about.

use std::path::Path;

use telovix_contract::paths;

use crate::agent::Agent;
use crate::client::Client;
use crate::consumer::{Judge, through_current};
use crate::secrets::Secrets;
use crate::snapshot::Snapshot;
use crate::world::{Created, World};

/// Insists that this host is enrolled, that the Console knows one sensor more than `others`, and that the token was used
/// once.
#[track_caller]
pub fn enrolled_once(world: &World, agent: &Agent, token: &Created, others: i64) {
    let status = agent.clone_for(&["status", "--output", "json"]).run();
    assert_eq!(status.expect(0).json()["state"], "active", "{}", status.report());
    assert!(agent.has(".sensor-ready"), "accepted, and consumers are not told");
    let db = world.db();
    assert_eq!(db.sensors(), others + 1, "sensor records");
    assert_eq!((db.token_status(&token.id).as_str(), db.token_uses(&token.id)), ("used", 1));
    assert_eq!(db.integrity(), "ok");
    // The identity that the host holds is the one that the Console keeps.
    is_accepted(world, agent.state_dir());
    Secrets::new().token(&token.token).assert_not_below(agent.state_dir());
    let leftovers = Snapshot::of(agent.state_dir(), &["generations"]);
    // A replacement that was not finished (`.name.new`) is what the next one begins with; it is harmless.
    let expected = |name: &&str| !name.is_empty() && !name.ends_with(".new") && !EXPECTED.contains(name);
    assert_eq!(
        leftovers.names().into_iter().filter(expected).collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "left lying about"
    );
}

/// What a host that is enrolled has at the top of its state directory.
const EXPECTED: &[&str] = &[
    ".console-answered",
    ".enrollment-token-hash",
    ".lock",
    ".sensor-ready",
    "client.cert.pem",
    "client.key.pem",
    "console-ca.cert.pem",
    "current",
    "policy-signing.pub",
    "sensor-state.json",
];

/// Insists that a host is ready and that the Console accepts what it has published.
#[track_caller]
pub fn is_usable(world: &World, agent: &Agent) {
    agent.clone_for(&["status", "--ready"]).run().expect(0);
    is_accepted(world, agent.state_dir());
}

/// Insists that what is published in a state directory is a pair that the Console accepts.
#[track_caller]
pub fn is_accepted(world: &World, state: &Path) {
    let pair = through_current(state).expect("an identity");
    assert!(Judge::default().belong(&pair), "key and certificate are no pair");
    let [key, certificate] = [pair.0, pair.1].map(|bytes| String::from_utf8(bytes).expect("PEM"));
    let client = Client::with_identity(world.address(), &world.ca_pem(), &certificate, &key);
    let answer = client.post(paths::HEARTBEAT, &serde_json::json!({})).expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

/// Does some work, and says what came before it if that panics.
pub fn telling<T>(what: &str, work: impl FnOnce() -> T) -> T {
    struct Told<'a>(&'a str);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("--- this was after {}", self.0);
            }
        }
    }
    let _told = Told(what);
    work()
}
