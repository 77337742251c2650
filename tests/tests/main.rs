//! The integration suites, in one program: they share one link with agent and Console, and those that wait do it side by side.
//! `cargo test -p telovix-tests --test suites hostile::` runs one of them.

mod alike;
mod benchmarks;
mod clock;
mod config;
mod crash;
mod daemon;
mod doctor;
mod fleet;
mod goes_on;
mod gone;
mod grid;
mod hostile;
mod keys;
mod killed;
mod lifecycle;
mod midway;
mod model;
mod proves;
mod proxy;
mod proxy_forms;
mod races;
mod refusals;
mod resources;
mod restored;
mod rotation;
mod secrets;
mod shown;
mod state_dir;
mod status;
mod tokens;
mod trust;
