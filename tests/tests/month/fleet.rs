//! The hosts, their Console, the operator who helps those that wait, and the watch over all of them.

use std::path::PathBuf;
use std::time::Duration;

use telovix_agent::machine::{Actor, LastError, Report, StateName};
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::problem::Advice;
use telovix_contract::states::TokenType;
use telovix_tests::sim::{By, Sim, SimConsole, SimHost};

use super::ledger::Ledger;
use super::spell::{Happening, LIFE_HOURS, Spell, Weather};

/// Between heartbeats, in seconds.
pub(crate) const HEARTBEAT: u64 = 600;
/// How far the time moves at once in bad weather and after it.
const STEP: Duration = Duration::from_secs(10);
/// The same while nothing is wrong.
const LONG_STEP: Duration = Duration::from_secs(60);
/// Longest that a host may take from the end of bad weather until it is well or waits: what a call that the Console
/// seemed to lack waits here, a tenth of a certificate's life and a tenth more, a heartbeat, and the deadlines of calls.
const SETTLED_AFTER: Duration = Duration::from_secs(LIFE_HOURS * 360 * 11 / 10 + HEARTBEAT * 11 / 10 + 120);
/// How long a Console is honest before every host that waits for nobody is accepted (docs/contract.md section 6).
const HONEST_PAUSE: Duration = Duration::from_secs(900);

/// What a host may wait for an operator with (docs/operations.md).
const REASONS: [&str; 7] = [
    "credential_lost",
    "invalid_sensor_trust",
    "sensor_revoked",
    "enrollment_token_used",
    "enrollment_token_expired",
    "invalid_enrollment_token",
    "sensor_binding_mismatch",
];

/// Those of them with which an identity is lost: only what the Console took away, or an outage that outlived it, is.
const LOSSES: [&str; 3] = ["credential_lost", "invalid_sensor_trust", "sensor_revoked"];

/// How a host enrolls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pays {
    /// With a token for one host, that somebody gives it.
    Once,
    /// With its cluster's token, that stays.
    Cluster,
}

pub(crate) struct Host {
    pub(crate) name: &'static str,
    pays: Pays,
    pub(crate) sim: SimHost,
    /// Id of the token that it was given last.
    token: String,
    /// What it publishes, as last seen.
    published: Option<(PathBuf, [u8; 32])>,
    /// How many it has published.
    pub(crate) certificates: u64,
    /// Since when the Console does not trust what it publishes, unix seconds.
    untrusted: Option<i64>,
    /// How often the Console has taken its record away, as of the last spell.
    taken: i64,
}

pub(crate) struct Fleet {
    pub(crate) sim: Sim,
    pub(crate) console: SimConsole,
    pub(crate) hosts: Vec<Host>,
    pub(crate) ledger: Ledger,
    weather: Weather,
    is_up: bool,
}

impl Fleet {
    /// Four hosts in good weather: each way to pay with each way to trust.
    pub(crate) async fn start(sim: Sim, seed: u64) -> Self {
        let console = SimConsole::start(&sim).await;
        console.set(Setting::CertificateHours, &LIFE_HOURS.to_string()).await;
        console.set(Setting::HeartbeatSeconds, &HEARTBEAT.to_string()).await;
        let mut hosts = Vec::new();
        for (name, pays, by) in [
            ("once-file", Pays::Once, By::File),
            ("once-pin", Pays::Once, By::Fingerprint),
            ("cluster-file", Pays::Cluster, By::File),
            ("cluster-pin", Pays::Cluster, By::Fingerprint),
        ] {
            let sim = SimHost::knowing(&sim, &console, name, by, "cluster_name = \"c1\"");
            let (token, published, untrusted) = (String::new(), None, None);
            hosts.push(Host { name, pays, sim, token, published, certificates: 0, untrusted, taken: 0 });
        }
        let weather = Weather::new(seed);
        let mut fleet = Self { sim, console, hosts, ledger: Ledger::default(), weather, is_up: true };
        for host in 0..fleet.hosts.len() {
            fleet.give(host).await;
            fleet.hosts[host].sim.run();
        }
        fleet.until("the first enrollment", Self::all_are_well).await;
        fleet
    }

    /// Lives through this much time.
    pub(crate) async fn live(&mut self, time: Duration) {
        while self.sim.clock().elapsed() < time {
            let spell = self.weather.next(self.hosts.len());
            let (began, connections) = (self.sim.clock().elapsed(), self.sim.wire().connections());
            self.endure(&spell).await;
            self.recover(&spell).await;
            let length = self.sim.clock().elapsed() - began;
            let connections = self.sim.wire().connections() - connections;
            self.ledger.spell(&spell, length, connections, self.hosts.len());
            if spell.outage {
                let days = self.sim.clock().elapsed().as_secs() / (24 * 3600);
                println!(
                    "after {days} days and {} spells, an outage was the last: all are well",
                    spell.number
                );
            }
            let until = self.sim.clock().elapsed() + self.weather.lull();
            while self.sim.clock().elapsed() < until.min(time) {
                self.step(LONG_STEP).await;
            }
        }
    }

    async fn endure(&mut self, spell: &Spell) {
        let began = self.sim.clock().elapsed();
        self.console.chaos(&spell.json());
        let mut happenings = spell.happenings.iter().peekable();
        while self.sim.clock().elapsed() - began < spell.length {
            self.step(STEP).await;
            while let Some((_, what)) =
                happenings.next_if(|(at, _)| *at <= self.sim.clock().elapsed() - began)
            {
                self.happen(*what).await;
            }
        }
        self.ledger.strikes(spell.strikes(&self.console.chaos_left()));
        self.console.chaos("[]");
        if !self.is_up {
            self.happen(Happening::ConsoleComesBack).await;
        }
    }

    /// Bad weather is over: each host is well by itself or waits with a reason, and with what the operator does for those,
    /// they are well, too.
    async fn recover(&mut self, spell: &Spell) {
        let settled = |fleet: &mut Self| {
            let waits = |host: &Host| reason(&host.sim.report()).is_some();
            (0..fleet.hosts.len()).all(|n| fleet.is_well(n) || waits(&fleet.hosts[n]))
        };
        self.within(HONEST_PAUSE, &spell.shown(), settled).await;
        let shown = spell.shown();
        for n in 0..self.hosts.len() {
            let report = self.hosts[n].sim.report();
            let Some(why) = reason(&report).filter(|_| !self.is_well(n)) else { continue };
            assert!(!self.hosts[n].sim.is_ready(), "{shown}: ready, and it waits: {report:?}");
            let taken = self.taken(self.hosts[n].name);
            let lost = LOSSES.contains(&why) && !spell.outage;
            assert!(!lost || taken > self.hosts[n].taken, "{shown}: lost, and nobody took it: {report:?}");
            self.ledger.waited(why, spell.outage);
            self.help(n, &report, &shown).await;
        }
        self.until(&format!("{shown}, and the operator has helped"), Self::all_are_well).await;
        self.check(&shown);
        for n in 0..self.hosts.len() {
            self.hosts[n].taken = self.taken(self.hosts[n].name);
        }
    }

    /// What stands in docs/operations.md.
    async fn help(&mut self, n: usize, report: &Report, shown: &str) {
        let mut report = report.clone();
        if report.state == StateName::Decommissioned {
            self.hosts[n].sim.crash().await;
            self.hosts[n].sim.run();
            let is_back =
                |fleet: &mut Self| fleet.is_well(n) || reason(&fleet.hosts[n].sim.report()).is_some();
            self.until(&format!("{shown}, and a retired node starts again"), is_back).await;
            if self.is_well(n) {
                return;
            }
            // The Console has forgotten it meanwhile.
            report = self.hosts[n].sim.report();
        }
        let host = &self.hosts[n];
        let code = report.last_error.as_ref().map(|error| error.code.as_str());
        let stands = "SELECT count(*) FROM enrollment_tokens WHERE id = ?1";
        if host.pays == Pays::Cluster && self.console.ask(stands, [host.token.clone()]) == Some(1) {
            assert_eq!(code, Some("sensor_revoked"), "{shown}: a cluster's token pays again: {report:?}");
        }
        // A revoked record stands in the way of another until somebody approves, or deletes it. It need not be the one whose
        // identity the host holds, where that was forgotten and the next one revoked before it was proven.
        let revoked = "SELECT id FROM sensors WHERE node_name = ?1 AND revoked_at IS NOT NULL";
        let sensor: Option<String> = self.console.ask(revoked, [host.name]);
        assert!(sensor.is_some() || code != Some("sensor_revoked"), "{shown}: nobody revoked it: {report:?}");
        if let Some(sensor) = sensor {
            let sensor = sensor.parse().expect("an id");
            let gone = self.console.console().judge_sensor(sensor, Verdict::Delete, Origin::default());
            gone.await.expect("an operator may");
        }
        self.give(n).await;
    }

    /// Makes a token that fits and gives it to the host.
    async fn give(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        let cluster_id = Some("c1".parse().expect("a name"));
        let draft = match host.pays {
            Pays::Cluster => {
                TokenDraft { kind: Some(TokenType::Cluster), cluster_id, ..TokenDraft::default() }
            }
            Pays::Once => {
                let own = host.published.as_ref().and_then(|_| host.sim.report().sensor_id);
                let sql = "SELECT count(*) FROM sensors WHERE id = ?1 AND revoked_at IS NULL";
                let sensor_id = own.filter(|id| self.console.ask(sql, [id.to_string()]) == Some(1));
                TokenDraft { ttl_seconds: Some(24 * 3600), sensor_id, ..TokenDraft::default() }
            }
        };
        let made = self.console.console().create_token(draft, Origin::default()).await;
        let made = made.expect("a token can be made");
        if host.pays == Pays::Once {
            self.ledger.once_tokens.push(made.id.to_string());
        }
        host.token = made.id.to_string();
        host.sim.give(made.token.expose());
    }

    async fn happen(&mut self, what: Happening) {
        let runs = |host: &Host| host.sim.report().state != StateName::Decommissioned;
        let name = match what {
            Happening::ConsoleDies => {
                self.console.crash().await;
                self.is_up = false;
                "the Console died"
            }
            Happening::ConsoleComesBack => {
                self.console.restart().await;
                self.is_up = true;
                return;
            }
            Happening::DaemonDies(n) => {
                self.hosts[n].sim.crash().await;
                self.hosts[n].sim.run();
                "a daemon died"
            }
            Happening::Retires(n) if runs(&self.hosts[n]) && self.hosts[n].sim.is_ready() => {
                // Whoever asked has gone.
                drop(self.hosts[n].sim.decommission());
                "a node retired"
            }
            Happening::RenewalIsAskedFor(n) => {
                let Some(sensor) = self.hosts[n].sim.report().sensor_id else { return };
                let asked = self.console.console().ask_renewal(sensor, 600, Origin::default()).await;
                if asked.is_err() {
                    return;
                }
                "a renewal was asked for"
            }
            Happening::TokenComes(n) if self.hosts[n].pays == Pays::Once && runs(&self.hosts[n]) => {
                self.give(n).await;
                "a token came"
            }
            // Only a cluster's token is there to pay again.
            Happening::FilesGo(n) if self.hosts[n].pays == Pays::Cluster && runs(&self.hosts[n]) => {
                std::fs::remove_dir_all(self.hosts[n].sim.state_dir()).expect("ours");
                self.hosts[n].published = None;
                "a state directory was deleted"
            }
            Happening::Retires(_) | Happening::TokenComes(_) | Happening::FilesGo(_) => return,
        };
        self.ledger.happened(name);
    }

    /// Passes time until `done`, for as long as anything may take.
    async fn until(&mut self, what: &str, done: impl FnMut(&mut Self) -> bool) {
        self.within(SETTLED_AFTER, what, done).await;
    }

    async fn within(&mut self, limit: Duration, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let began = self.sim.clock().elapsed();
        while !done(self) {
            let took = self.sim.clock().elapsed() - began;
            if took > limit {
                let reports: Vec<_> = self.hosts.iter().map(|host| (host.name, host.sim.report())).collect();
                panic!("{what}: not settled after {took:?}: {reports:#?}");
            }
            self.step(STEP).await;
        }
        self.ledger.longest = self.ledger.longest.max(self.sim.clock().elapsed() - began);
    }

    async fn step(&mut self, length: Duration) {
        self.sim.pass(length, length).await;
        for n in 0..self.hosts.len() {
            self.watch(n);
        }
    }

    /// Nobody says that a Console accepts it after that Console has ceased to, nor with a certificate that is over.
    fn watch(&mut self, n: usize) {
        let (report, now) = (self.hosts[n].sim.report(), self.sim.clock().unix());
        let trusted = self.is_trusted(n);
        let host = &mut self.hosts[n];
        let name = host.name;
        if trusted {
            host.untrusted = None;
            return;
        }
        let since = *host.untrusted.get_or_insert(now);
        if !host.sim.is_ready() {
            return;
        }
        let heard = report.last_contact.expect("who is ready has heard so").as_second();
        assert!(heard <= since, "{name}: accepted at {heard}, not trusted since {since}: {report:?}");
        let over = report.not_after.expect("it has a certificate").as_second();
        assert!(over >= now, "{name}: ready with a certificate that is over: {report:?}");
        self.ledger.not_heard_yet = self.ledger.not_heard_yet.max(now - since);
    }

    fn is_trusted(&mut self, n: usize) -> bool {
        let host = &mut self.hosts[n];
        let current = std::fs::read_link(host.sim.state_dir().join("current")).ok();
        if host.published.as_ref().map(|(name, _)| name) != current.as_ref() {
            let pair = host.sim.pair().unwrap_or_else(|error| panic!("{}: {error}", host.name));
            host.published = pair.zip(current).map(|(pair, name)| (name, pair.fingerprint));
            host.certificates += u64::from(host.published.is_some());
        }
        let held = host.published.as_ref();
        held.is_some_and(|(_, fingerprint)| self.console.trusts(fingerprint))
    }

    /// The Console accepts it, and it says so. That a token or a successor beside the identity in use was refused is no failure of that
    /// identity: the answer to it may have been lost, and what it brought been superseded since.
    fn is_well(&mut self, n: usize) -> bool {
        let host = &self.hosts[n].sim;
        let report = host.report();
        let is_beside =
            |error: &LastError| matches!(error.code.advice(), Advice::Refused | Advice::CredentialLost);
        let is_accepted = report.state == StateName::Active
            && host.is_ready()
            && report.last_error.as_ref().is_none_or(is_beside);
        is_accepted && self.is_trusted(n)
    }

    fn all_are_well(&mut self) -> bool {
        (0..self.hosts.len()).all(|n| self.is_well(n))
    }
}

/// Why a host waits for a person, where it does.
fn reason(report: &Report) -> Option<&'static str> {
    match report.state {
        StateName::Decommissioned => return Some("decommissioned"),
        StateName::Lost | StateName::Refused | StateName::Active | StateName::Renewing => {}
        StateName::Starting | StateName::Unenrolled | StateName::Enrolling | StateName::AwaitingApproval => {
            return None;
        }
    }
    let error = report.last_error.as_ref()?;
    // A first refusal of the identity is asked again before it is believed, and whoever is refused goes on asking.
    let is_doubted = report.state != StateName::Lost && error.code.as_str() == "invalid_sensor_trust";
    let waits = report.waiting_for != Actor::Agent && !is_doubted && !error.action.is_empty();
    REASONS.into_iter().find(|code| waits && *code == error.code.as_str())
}
