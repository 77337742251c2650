//! Waiting for something that another process does.

use std::time::{Duration, Instant};

/// Looks every few milliseconds until `ready` gives something.
///
/// # Panics
/// When nothing came within `limit`; the message says what was waited for.
pub fn until<T>(limit: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
