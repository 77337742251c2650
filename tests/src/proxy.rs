//! What stands between two honest sides: an HTTP CONNECT proxy ([`ConnectProxy`]), and a wire that breaks where a test
//! says ([`FaultProxy`]).

mod connect;
mod fault;

pub use connect::{ConnectProxy, Credentials};
pub use fault::{Fault, FaultProxy};
