//! What happened, counted, and the accounts that have to balance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::acts::{EXCHANGES, Kind, Reach};
use super::fleet::{Fleet, HEARTBEAT};
use super::spell::Spell;

#[derive(Default)]
pub(crate) struct Ledger {
    /// Ids of tokens for one host.
    pub(crate) once_tokens: Vec<String>,
    /// Longest wait from the end of bad weather, or the operator's help, until all was well or waited.
    pub(crate) longest: Duration,
    /// Longest that a host said ready while it could not have heard of a refusal, seconds.
    pub(crate) not_heard_yet: i64,
    struck: BTreeMap<Kind, BTreeMap<&'static str, u64>>,
    reasons: BTreeMap<(bool, &'static str), u64>,
    happened: BTreeMap<&'static str, u64>,
    spells: u64,
    outages: u64,
    most_connections: f64,
}

impl Ledger {
    pub(crate) fn strikes(&mut self, strikes: Vec<(Kind, &'static str, u64)>) {
        for (kind, exchange, times) in strikes {
            *self.struck.entry(kind).or_default().entry(exchange).or_default() += times;
        }
    }

    pub(crate) fn waited(&mut self, why: &'static str, outage: bool) {
        *self.reasons.entry((outage, why)).or_default() += 1;
    }

    pub(crate) fn happened(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    /// A spell is over and all is well: nobody was hammered meanwhile.
    pub(crate) fn spell(&mut self, spell: &Spell, length: Duration, connections: u64, hosts: usize) {
        self.spells += 1;
        self.outages += u64::from(spell.outage);
        // Full jitter up to five minutes: ten steps to get there, and then one attempt in 150 s on average, by each of the
        // three kinds of calls that can fail side by side, an enrollment being two connections more. Besides, a heartbeat
        // each. What succeeds in between begins anew.
        let (seconds, hosts) = (length.as_secs(), u64::try_from(hosts).expect("few"));
        let most = hosts * (seconds / HEARTBEAT + 3 * (10 + seconds / 150) + 60);
        assert!(connections <= most, "{}: {connections} connections, {most} allowed", spell.shown());
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = connections as f64 / most as f64;
        self.most_connections = self.most_connections.max(share);
    }

    fn struck(&self, kind: Kind) -> u64 {
        self.struck.get(&kind).map_or(0, |by| by.values().sum())
    }

    fn print(&self) {
        println!("{} spells, {} of them outages", self.spells, self.outages);
        for kind in Kind::ALL {
            let name = format!("{kind:?}");
            let by = self.struck.get(&kind).into_iter().flatten().filter(|(_, times)| **times > 0);
            let by: Vec<String> = by.map(|(exchange, times)| format!("{exchange} {times}")).collect();
            println!("  {name:<16} {:>6} strikes: {}", self.struck(kind), by.join(", "));
        }
        println!("  besides: {:?}", self.happened);
        for ((outage, why), times) in &self.reasons {
            let when = if *outage { "an outage" } else { "a spell" };
            println!("  after {when} {times:>3} hosts waited for an operator: {why}");
        }
        println!(
            "  all well or waiting after at most {} s; at most {:.0} % of the connections that the back-off allows; ready for at \
             most {} s before it could hear that it was not",
            self.longest.as_secs(),
            self.most_connections * 100.0,
            self.not_heard_yet
        );
    }
}

impl Fleet {
    /// After each spell, when all is well.
    pub(crate) fn check(&self, shown: &str) {
        for host in &self.hosts {
            let live = "SELECT count(*) FROM sensors WHERE node_name = ?1 AND revoked_at IS NULL";
            assert_eq!(self.console.ask(live, [host.name]), Some(1), "{shown}: sensors of {}", host.name);
            let made = self.records(host.name, "count(DISTINCT sensor_id)", "sensor_enrolled");
            let taken = self.taken(host.name);
            // Each was the first, or came after one that the Console had taken away.
            assert!(made <= 1 + taken, "{shown}: {made} records of {}, {taken} taken away", host.name);
        }
        assert_eq!(self.console.tokens_spent_twice(), 0, "{shown}");
    }

    /// How many records of this node the Console has deleted or revoked.
    pub(crate) fn taken(&self, node_name: &str) -> i64 {
        let of = |action| self.records(node_name, "count(DISTINCT sensor_id)", action);
        of("sensor_deleted") + of("sensor_revoked")
    }

    /// From the audit trail, which forgets nothing.
    fn records(&self, node_name: &str, what: &str, action: &str) -> i64 {
        let sql = format!(
            "SELECT {what} FROM audit WHERE action_type = ?1 AND outcome = 'success' AND ' ' || detail || ' ' LIKE ?2"
        );
        self.console.ask(&sql, (action, format!("% node_name={node_name} %"))).unwrap_or(0)
    }

    /// At the end: prints the month, and insists that it was one.
    pub(crate) fn settle_accounts(&self, days: u64) {
        self.ledger.print();
        let all =
            |action: &str| self.console.ask("SELECT count(*) FROM audit WHERE action_type = ?1", [action]);
        println!(
            "  {:?} enrollments of {} hosts, {:?} renewals, {:?} refused enrollments, {} tokens for one host, {} connections",
            all("sensor_enrolled").unwrap_or(0),
            self.hosts.len(),
            all("auto_certificate_renewal_initiated").unwrap_or(0),
            all("sensor_enrollment_refused").unwrap_or(0),
            self.ledger.once_tokens.len(),
            self.sim.wire().connections()
        );
        for id in &self.ledger.once_tokens {
            let sql = "SELECT count(*) FROM audit WHERE action_type = 'sensor_enrolled' AND ' ' || detail || ' ' LIKE ?1";
            let used = self.console.ask(sql, [format!("% token_id={id} %")]);
            assert!(used <= Some(1), "the token {id} made {used:?} identities");
        }
        let least = |kind: Kind| match kind.reach() {
            // In a few days one of them may hardly meet a request.
            _ if days < 10 => 1,
            Reach::Weather | Reach::Handshakes => 2 * days,
            Reach::OneSensor | Reach::AllSensors => days.div_ceil(3),
        };
        let rare = Kind::ALL.into_iter().filter(|kind| self.ledger.struck(*kind) < least(*kind));
        let rare: Vec<_> = rare.map(|kind| (kind, self.ledger.struck(kind), least(kind))).collect();
        assert!(rare.len() <= if days < 10 { 2 } else { 0 }, "struck, and wanted, in {days} days: {rare:?}");
        if days >= 30 {
            for (exchange, _) in EXCHANGES {
                let struck: u64 =
                    self.ledger.struck.values().map(|by| by.get(exchange).copied().unwrap_or(0)).sum();
                assert!(struck >= 10, "{exchange} was struck {struck} times");
            }
            assert!(self.ledger.outages >= 2);
        }
        // Two thirds of six hours, so that each host needs six a day.
        let few = self.hosts.iter().find(|host| host.certificates < 3 * days);
        assert!(
            few.is_none(),
            "{:?} certificates in {days} days",
            few.map(|host| (host.name, host.certificates))
        );
        let renewals = all("auto_certificate_renewal_initiated").unwrap_or(0);
        let least = i64::try_from(days).expect("few") * 4;
        assert!(renewals >= least, "{renewals} renewals in {days} days");
    }
}
