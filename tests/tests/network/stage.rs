//! What all exchanges share: the cases, the world in which they run, and the table of what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use telovix_tests::sim::{Blow, By, Harm, Sim, SimConsole, SimHost, Tape, Way};

/// Longest that a host may take to be well again: what it waits after a fault of the server's certificate, which a
/// flipped byte can look like, its jitter, a heartbeat and the deadlines of a call.
pub(crate) const WELL_AGAIN: Duration = Duration::from_secs(300 + 30 + 15 + 65);
/// A heartbeat more than its interval.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Most connections for one exchange, the harmed one included: itself, its repeat, a look at the Console's clock where a
/// certificate seemed wrong, the proof of what it brought, a heartbeat or two while waiting; and what comes before and after
/// it in a first contact.
pub(crate) const MOST_CONNECTIONS: u64 = 7;

/// What is said of a host that waits for an operator.
pub(crate) const WAITING: &str = "bootstrap_pending";

/// The exchange that nobody hears of when it fails.
pub(crate) const CLOCK: &str = "look at the clock";

/// What to run of all cases.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    /// Every n-th case.
    Sample(usize),
    /// Every place of every kind.
    Places,
    /// Every n-th byte, besides.
    Bytes(u64),
}

pub(crate) fn extent(sample: usize) -> Extent {
    match std::env::var("TELOVIX_NETWORK").as_deref() {
        Err(_) => Extent::Sample(sample),
        Ok("all") => Extent::Places,
        Ok(number) => Extent::Bytes(number.parse().expect("TELOVIX_NETWORK is `all` or a number of bytes")),
    }
}

/// The cases for one exchange, of which this was a clean run.
pub(crate) fn cases(tape: &Tape, extent: Extent, exchange: &str) -> Vec<Blow> {
    let mut cases = Vec::new();
    for way in [Way::Up, Way::Down] {
        for at in places(tape, way, extent) {
            cases.extend(Harm::ALL.map(|harm| Blow { way, at, harm }));
        }
    }
    if let Extent::Sample(every) = extent {
        // Another part for each exchange; 7 harms and this step have no common divisor.
        let first = exchange.len() % every;
        cases = cases.into_iter().skip(first).step_by(every).collect();
    }
    cases
}

fn places(tape: &Tape, way: Way, extent: Extent) -> BTreeSet<u64> {
    let mut places = BTreeSet::new();
    let records = tape.records(way);
    assert!(records.len() >= 3, "a TLS connection has more records: {records:?}");
    for record in &records {
        let inside = record.from + 5;
        let body = record.to - inside;
        places.extend([record.from, record.from + 1, record.from + 3, inside - 1, inside, inside + 1]);
        if body > 64 {
            places.extend([1, 2, 4, 6, 7].map(|eighth| inside + body * eighth / 8));
        }
        places.extend([record.to.saturating_sub(1), record.to]);
    }
    if let (Extent::Bytes(every), Some(last)) = (extent, records.last()) {
        places.extend((0..last.to).step_by(usize::try_from(every).expect("small")));
    }
    places
}

/// What is said of a connection that was harmed so; empty where nothing needs to be.
pub(crate) fn causes(harm: Harm) -> &'static [&'static str] {
    match harm {
        // After the last byte that counts nothing is lost.
        Harm::Cut | Harm::Reset => &["connection_broken", "tls_handshake_failed", "console_unreachable"],
        Harm::Stall | Harm::Drip => {
            &["deadline_exceeded", "connection_broken", "tls_handshake_failed", "request_timeout"]
        }
        Harm::Trickle => &[],
        Harm::Flip | Harm::Garbage => &[
            "tls_handshake_failed",
            "connection_broken",
            "deadline_exceeded",
            "console_not_trusted",
            "request_timeout",
        ],
    }
}

/// How a row of the table came out.
#[derive(Default)]
pub(crate) struct Row {
    cases: usize,
    /// Blows that met nothing: this run's bytes ended before the place of the one that was taken as a pattern.
    missed: usize,
    harmless: usize,
    causes: BTreeMap<String, usize>,
    most_connections: u64,
    longest: Duration,
}

/// One world for all cases of an exchange.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    pub(crate) console: SimConsole,
    rows: BTreeMap<(Way, Harm), Row>,
    struck: u64,
}

impl Stage {
    pub(crate) async fn new(sim: Sim) -> Self {
        let console = SimConsole::start(&sim).await;
        Self { sim, console, rows: BTreeMap::new(), struck: 0 }
    }

    /// A host with a token, on which nothing runs yet.
    pub(crate) async fn new_host(&self, name: &str, by: By) -> SimHost {
        let host = SimHost::knowing(&self.sim, &self.console, name, by, "");
        host.give(&self.console.once().await);
        host
    }

    pub(crate) async fn enrolled(&self, name: &str) -> SimHost {
        let mut host = self.new_host(name, By::File).await;
        host.run();
        self.until_well(&host, name).await;
        host
    }

    pub(crate) async fn until_well(&self, host: &SimHost, what: &str) -> Duration {
        let took = self.sim.until(WELL_AGAIN, || host.is_well()).await;
        took.unwrap_or_else(|| panic!("{what}: not well after {WELL_AGAIN:?}: {:?}", host.report()))
    }

    /// Passes time until the next connection has come and gone.
    pub(crate) async fn until_connected(&self, before: u64, what: &str) {
        let came = self.sim.until(WELL_AGAIN, || self.sim.wire().connections() > before).await;
        assert!(came.is_some(), "{what}: no connection");
    }

    /// Takes down what is said right after a blow.
    pub(crate) fn heard(&mut self, blow: Blow, trouble: Option<String>, what: &str) {
        let row = self.struck_by(blow);
        match trouble {
            None => row.harmless += 1,
            Some(cause) => {
                let known = causes(blow.harm).contains(&cause.as_str());
                assert!(known, "{what}: `{cause}` does not name the cause");
                *row.causes.entry(cause).or_default() += 1;
            }
        }
    }

    /// A blow whose trouble was over, by another attempt, before anybody could look.
    pub(crate) fn is_through(&mut self, blow: Blow) {
        self.struck_by(blow);
    }

    fn struck_by(&mut self, blow: Blow) -> &mut Row {
        let struck = self.sim.wire().struck();
        let missed = usize::from(struck == std::mem::replace(&mut self.struck, struck));
        let row = self.rows.entry((blow.way, blow.harm)).or_default();
        row.cases += 1;
        row.missed += missed;
        row
    }

    /// Insists that all is as if nothing had been.
    pub(crate) async fn recovers(&mut self, host: &SimHost, blow: Blow, before: u64, what: &str) {
        self.sim.wire().heal();
        let took = self.until_well(host, what).await;
        let connections = self.sim.wire().connections() - before;
        assert!(connections <= MOST_CONNECTIONS, "{what}: {connections} connections");
        let row = self.rows.entry((blow.way, blow.harm)).or_default();
        row.most_connections = row.most_connections.max(connections);
        row.longest = row.longest.max(took);
        let pair = host.pair().unwrap_or_else(|error| panic!("{what}: {error}"));
        let pair = pair.unwrap_or_else(|| panic!("{what}: nothing is published"));
        assert!(
            self.console.trusts(&pair.fingerprint),
            "{what}: the Console does not know what is published"
        );
        assert_eq!(self.console.tokens_spent_twice(), 0, "{what}");
    }

    pub(crate) fn sensors(&self) -> i64 {
        self.console.ask("SELECT count(*) FROM sensors", []).expect("a number")
    }

    pub(crate) fn print(&self, exchange: &str) {
        println!("{exchange}");
        let (mut all, mut missed) = (0, 0);
        for ((way, harm), row) in &self.rows {
            all += row.cases;
            missed += row.missed;
            println!(
                "  {way:<5?} {harm:<8?} {:>5} cases, {:>2} met nothing, {:>4} harmless, at most {} connections, well after at most {:>3} s {:?}",
                row.cases,
                row.missed,
                row.harmless,
                row.most_connections,
                row.longest.as_secs(),
                row.causes
            );
            // What is harmed in its last byte is not harmed; more than that would be a wire that does nothing.
            let hurts = !matches!(harm, Harm::Trickle) && exchange != CLOCK;
            // Few places: where they fall hangs on the lengths of signatures, and two of the last bytes can be among them.
            let harmed = row.harmless * 2 <= row.cases || (row.cases < 10 && row.harmless < row.cases);
            assert!(!hurts || harmed, "{exchange}, {harm:?}: nothing was harmed");
        }
        // Signatures differ in length by a byte or two, so that the last place of a way is not always there.
        assert!(missed * 10 <= all, "{exchange}: {missed} of {all} blows met nothing");
        println!("  {all} cases");
    }
}
