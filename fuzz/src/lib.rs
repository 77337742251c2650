//! What comes in from outside, against what has to be true of it.
//!
//! Each module is one target: a function `run` that takes any bytes and panics where a property does not hold. libFuzzer's
//! program (`main.rs`) and the test that replays the corpora (`corpus.rs`) call the same functions, and [`TARGETS`] is the list
//! of them.
//!
//! A target asks more than that nothing panics. What is accepted has to keep docs/contract.md's limits, written here once
//! more in another way; what is read has to print as something that reads the same; two readers of one thing, the agent's and
//! the Console's, have to agree; and no text for people may hold a token, a key or a control character.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the targets lay out their own files")]

mod console;
#[cfg(test)]
mod corpus;
mod der;
pub mod kit;

pub mod answer;
pub mod certificate;
pub mod chaos;
pub mod csr;
pub mod key_file;
pub mod licence;
pub mod listing;
pub mod names;
pub mod request;
pub mod settings;
pub mod signed_call;
pub mod state;
pub mod token;
pub mod token_file;

/// A target's function.
pub type Run = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Run); 14] = [
    ("answer", answer::run),
    ("certificate", certificate::run),
    ("chaos", chaos::run),
    ("csr", csr::run),
    ("key_file", key_file::run),
    ("licence", licence::run),
    ("listing", listing::run),
    ("names", names::run),
    ("request", request::run),
    ("settings", settings::run),
    ("signed_call", signed_call::run),
    ("state", state::run),
    ("token", token::run),
    ("token_file", token_file::run),
];
