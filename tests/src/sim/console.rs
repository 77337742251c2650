//! The Console of a simulation: the real one, in this process, by the simulated clock.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{OptionalExtension as _, Params};
use rustls::time_provider::TimeProvider;
use telovix_console_stub::app::{App, Options};
use telovix_console_stub::clock::Clock;
use telovix_console_stub::config::DataDir;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::{Setting, Vertical};
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::fault::chaos::Chaos;
use telovix_console_stub::service::Console;
use telovix_console_stub::service::setup::{Grant, Setup};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Sim, SimClock, Wire};
use crate::Place;
use crate::serving::LOOPBACK;

/// A Console that serves behind the wire, or is down.
pub struct SimConsole {
    place: Place,
    clock: Arc<SimClock>,
    wire: Wire,
    chaos: Chaos,
    ca_pem: String,
    ca_fingerprint: String,
    console: Console,
    serving: Option<JoinHandle<()>>,
    reader: rusqlite::Connection,
}

impl SimConsole {
    /// One that is set up and serves.
    pub async fn start(sim: &Sim) -> Self {
        // The database waits for its disk at every commit, and a simulation has no disk to prove.
        let place = Place::in_memory();
        let chaos = Chaos::parse(b"[]").expect("no rules are rules");
        let app = open(&place, sim.clock(), &chaos).await;
        let console = app.console().clone();
        let setup = Setup {
            admin_email: "admin@example.com".to_owned(),
            admin_password: "correct horse battery staple".to_owned().into(),
            server_names: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
            licence: Grant::Trial(100_000),
            licence_trust: None,
            public_url: None,
            vertical: Vertical::Standard,
        };
        let made = console.set_up(setup).await.expect("it can be set up");
        let (ca_pem, ca_fingerprint) = (made.ca_pem, made.ca_fingerprint.to_string());
        let reader = rusqlite::Connection::open(data(&place).database()).expect("the database");
        reader.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
        let (clock, wire) = (Arc::clone(sim.clock()), sim.wire().clone());
        let mut made =
            Self { place, clock, wire, chaos, ca_pem, ca_fingerprint, console, serving: None, reader };
        made.serve(app).await;
        made
    }

    /// A folder for hosts.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The CA, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The CA's fingerprint, `sha256:` and 64 digits.
    pub fn ca_fingerprint(&self) -> &str {
        &self.ca_fingerprint
    }

    /// The Console itself, for what operators do.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Rules for its bad days; none for good ones.
    pub fn chaos(&self, rules: &str) {
        self.chaos.replace(rules.as_bytes()).unwrap_or_else(|error| panic!("{error}: {rules}"));
    }

    /// The rules as they stand, with what is left of each, JSON.
    pub fn chaos_left(&self) -> String {
        self.chaos.left()
    }

    /// Gives a setting a value.
    pub async fn set(&self, setting: Setting, value: &str) {
        let done = self.console.change_setting(setting, value.to_owned(), Origin::default()).await;
        done.expect("the setting takes it");
    }

    /// Makes a token.
    pub async fn token(&self, draft: TokenDraft) -> String {
        let made = self.console.create_token(draft, Origin::default()).await;
        made.expect("a token can be made").token.expose().to_owned()
    }

    /// Makes a one-time token.
    pub async fn once(&self) -> String {
        self.token(TokenDraft::default()).await
    }

    /// Ends it in the middle of whatever it does.
    pub async fn crash(&mut self) {
        self.wire.lead_to(None);
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // Cancelled, as asked.
            let _ = serving.await;
        }
    }

    /// Starts it again on the same data.
    pub async fn restart(&mut self) {
        self.crash().await;
        let app = open(&self.place, &self.clock, &self.chaos).await;
        self.console = app.console().clone();
        self.serve(app).await;
    }

    /// The first column of the first row, from the database itself; `None` where there is no row.
    pub fn ask<T: FromSql>(&self, sql: &str, params: impl Params) -> Option<T> {
        let found = self.reader.query_row(sql, params, |row| row.get(0)).optional();
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Whether the Console takes a certificate of this fingerprint now, by its own database.
    pub fn trusts(&self, fingerprint: &[u8]) -> bool {
        let sql = "SELECT count(*) FROM certificates c JOIN sensors s ON s.id = c.sensor_id WHERE c.fingerprint = ?1 \
                   AND s.revoked_at IS NULL AND s.disabled_at IS NULL AND c.not_after >= ?2 \
                   AND c.ended_at IS NULL";
        self.ask(sql, (fingerprint, self.clock.unix())) == Some(1)
    }

    /// Tokens that made more than one sensor or were counted more than once.
    pub fn tokens_spent_twice(&self) -> i64 {
        let sql = "SELECT count(*) FROM enrollment_tokens WHERE token_type = 'once' AND (use_count > 1 OR \
                   (SELECT count(DISTINCT sensor_id) FROM enrollments WHERE token_id = enrollment_tokens.id) > 1)";
        self.ask(sql, []).unwrap_or(0)
    }

    async fn serve(&mut self, app: App) {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a free port");
        self.wire.lead_to(Some(listener.local_addr().expect("a bound socket has an address")));
        self.serving = Some(tokio::spawn(async move {
            app.serve(listener, std::future::pending()).await.expect("the Console serves");
        }));
    }
}

fn data(place: &Place) -> DataDir {
    DataDir::new(place.path().join("console"))
}

async fn open(place: &Place, clock: &Arc<SimClock>, chaos: &Chaos) -> App {
    let clock = Clock::new(Arc::clone(clock) as Arc<dyn TimeProvider>).beside(clock.clone());
    let options = Options { clock, chaos: chaos.clone(), ..Options::new(data(place)) };
    App::open(options).await.expect("the Console can be opened")
}
