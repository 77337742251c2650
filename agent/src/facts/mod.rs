//! What this host says of itself ([`gather`]), and how it is told from a copy ([`machine_id`]).

mod gather;
pub mod machine_id;

pub use self::gather::{gather, gather_in};
