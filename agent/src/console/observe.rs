//! The port through which somebody hears of every call, without being threaded through them.

use super::error::ConsoleError;

/// Hears of every call to the Console when it is over. Must not block.
pub trait CallObserver: Send + Sync {
    /// A call to this path, one of `telovix_contract::paths`, ended: with this HTTP status, or with this failure.
    fn called(&self, path: &'static str, outcome: Result<u16, &ConsoleError>);
}
