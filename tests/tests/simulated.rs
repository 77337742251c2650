//! The suites in which daemons run in this process, in simulated time.

mod month;
mod network;
