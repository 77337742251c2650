//! The machine, from outside.
