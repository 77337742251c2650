//! A compatible Console: what a sensor enrolls with, for trying, testing, loading and torturing agents.
//!
//! # The story
//!
//! An operator sets a Console up once. That makes a certificate authority, a first administrator and a licence, in one
//! transaction. Afterwards the operator makes enrollment tokens, each good for one host or for the nodes of one cluster.
//!
//! A host that holds a token sends it with a certificate request. In one transaction the Console looks the token up by its
//! hash, gathers what it knows about the host, asks a pure function what follows, records the sensor, signs a client
//! certificate, spends the token and writes an audit record; the host is told only when all of that is on disk. When
//! the answer gets lost, the same request is answered with the same certificate. From then on the host speaks by mutual
//! TLS: a heartbeat every few seconds, a renewal now and then, a decommission at the end.
//!
//! # The layers
//!
//! ```text
//! domain <- db, ca <- service <- api <- ui <- serve <- app <- cli, main
//! ```
//!
//! - [`domain`] holds the rules, without clock, database or network;
//! - [`db`] stores, and lets many changes share one durable commit; [`ca`] signs;
//! - [`service`] opens a transaction per call, and is what operators and tests call in process;
//! - [`api`] knows paths, headers and bodies; [`ui`] the pages that people look at; [`serve`] knows connections and TLS;
//! - [`app`] puts the parts together; [`cli`] is the command line.
//!
//! A module imports only modules to its left. [`clock`], [`config`], `files` and [`fault`] stand beside them: the only
//! places that know the time, the environment, how files are written, and how to fail on purpose.
//!
//! # In a test
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use telovix_console_stub::app::{App, Options};
//! use telovix_console_stub::config::DataDir;
//!
//! let app = App::open(Options::new(DataDir::new("/tmp/console"))).await?;
//! let console = app.console().clone();
//! // console.set_up(…).await?; console.create_token(…).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! app.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

pub mod config;

pub mod clock;

pub mod fault;

mod files;

pub mod domain;

pub mod db;

pub mod ca;

pub mod service;

pub mod api;

pub mod ui;

pub mod serve;

pub mod app;

pub mod cli;
