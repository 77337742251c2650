//! A Console in this process, spoken to over real TLS.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod approval;
mod audit;
mod browser;
mod chaos;
mod contract;
mod engine;
mod enroll;
#[cfg(feature = "failpoints")]
mod faults;
mod instances;
mod licence;
mod limits;
mod listing;
mod login;
mod names;
mod openapi;
mod operators;
mod pages;
mod pages_acts;
mod pages_live;
mod pages_setup;
mod pages_shown;
mod people;
mod presence;
mod rates;
mod reapply;
mod restore;
mod rotation;
mod session;
mod trust;
mod upkeep;
mod world;
mod writes;
