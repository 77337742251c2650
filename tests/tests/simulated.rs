//! The suites in which daemons run in this process, in simulated time.

mod forgotten;
mod month;
mod network;
