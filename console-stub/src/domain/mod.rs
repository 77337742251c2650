//! The rules, pure: state in, decision out. No clock, no database, no network.
//!
//! [`enroll`] decides what follows from an enrollment request, [`credential`] from a certificate that is presented; [`token`] what a token may be and how it stands;
//! [`sensor`] how a sensor stands, and `presence` whether it speaks from two places; [`licence`] how many there may be; [`approval`] whether an operator has a say;
//! [`setting`] what an administrator may set; [`role`] who may do what, and `user` who signs in;
//! [`public_url`] under which address the Console is reached;
//! [`api_key`] what a signed call of an operator's program has to look like; [`audit`] what is written down about all, and
//! [`chain`] how nobody changes it unseen; [`listing`] which rows a list shows, [`page`] in pieces.

pub mod api_key;
pub mod approval;
pub mod audit;
pub mod chain;
pub mod credential;
pub mod enroll;
pub mod licence;
pub mod listing;
pub mod page;
pub(crate) mod presence;
pub mod public_url;
mod refusal;
pub(crate) mod restore;
pub mod role;
pub mod sensor;
pub mod setting;
pub mod token;
pub(crate) mod user;
pub(crate) mod words;

pub use refusal::Refusal;
