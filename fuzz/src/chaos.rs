//! The rules of a bad day: what is taken is followed as it says, and says itself again.

use telovix_console_stub::fault::chaos::{Act, Chaos};
use telovix_contract::paths;

const PATHS: [&str; 4] = [paths::ENROLL, paths::HEARTBEAT, "/", "/api/v1/sensors"];

/// Reads the input as rules and lives by them for a while.
pub fn run(data: &[u8]) {
    let Ok(chaos) = Chaos::parse(data) else {
        let armed = Chaos::parse(b"[]").expect("no rules are rules");
        assert!(
            armed.replace(data).is_err() && armed.left() == r#"{"rules":[]}"#,
            "a refused text changed something"
        );
        return;
    };
    assert!(chaos.is_armed());
    let left = chaos.left();
    let again = Chaos::parse(left.as_bytes()).expect("what is left are rules");
    assert_eq!(again.left(), left);
    // Without a seed there is nothing to compare: each draws its own days.
    let seeded = left.contains(r#""seed":"#);
    for path in PATHS.iter().cycle().take(64) {
        let struck = chaos.strike(path);
        match &struck {
            Some(Act::Certificate { .. }) => panic!("a handshake's rule struck a request"),
            Some(Act::Status { status, .. }) => assert!((200..=599).contains(status)),
            Some(_) | None => {}
        }
        let other = again.strike(path);
        assert!(!seeded || struck == other, "the same seed drew another day");
    }
    let _ = chaos.strike_handshake();
    Chaos::parse(chaos.left().as_bytes()).expect("what is left are rules");
}
