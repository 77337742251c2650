//! Three days with a Console that drops, delays, truncates, refuses to work and restarts at random.

use super::console::{Console, Good};
use super::sim::{Ask, Random, Reply, Said, Sim, World, serial_of};
use super::*;

const HOSTS: usize = 200;
const HOURS: u64 = 72;
/// Short lives, so that every host renews many times.
const LIFE_HERE: SignedDuration = SignedDuration::from_hours(6);

/// A Console behind a bad network.
struct Chaos {
    console: Console,
    random: Random,
    /// When it is down, in order.
    down: Vec<(Timestamp, Timestamp)>,
    /// From here on nothing goes wrong.
    calm: Timestamp,
    faults: u32,
}

impl World for Chaos {
    fn call(&mut self, at: Timestamp, host: usize, ask: &Ask<'_>) -> Reply {
        let dice = if at < self.calm { self.random.below(100) } else { 99 };
        let is_down = self.down.iter().any(|(from, until)| (*from..*until).contains(&at));
        let delay = if dice % 7 == 0 { Duration::from_secs(20) } else { Duration::from_millis(200) };
        let after = self.random.within(delay);
        let lost = |after| Reply { after, said: Said::Outcome(Outcome::Failed(unreachable())) };
        self.faults += u32::from(is_down || dice < 35);
        match dice {
            _ if is_down => lost(Duration::from_millis(5)),
            // Dropped on the way: nothing was done.
            0..10 => lost(Duration::from_secs(10)),
            10..22 => {
                let (code, asked) = match dice {
                    10..14 => (ErrorCode::RateLimited, Some(Duration::from_secs(self.random.below(60)))),
                    14..18 => (ErrorCode::InternalError, None),
                    _ => (ErrorCode::NotReady, Some(Duration::from_secs(5))),
                };
                let failure = Failure { retry_after: asked, ..refusal(code) };
                Reply { after, said: Said::Outcome(Outcome::Failed(failure)) }
            }
            // Done, and the answer is lost, or torn on the way back.
            22..35 => {
                let _ = self.console.handle(at, host, ask);
                lost(after)
            }
            _ => {
                let said = match self.console.handle(at, host, ask) {
                    Ok(Good::Issued(certificate)) => Said::Issued(certificate),
                    Ok(Good::Waiting) => Said::Outcome(Outcome::Waiting(Duration::from_secs(60))),
                    Ok(Good::Accepted) => Said::Outcome(Outcome::Accepted(Accepted {
                        interval: Duration::from_secs(300),
                        ..accepted()
                    })),
                    Ok(Good::Date) => Said::Outcome(Outcome::ClockRead),
                    Err(code) => Said::Outcome(Outcome::Failed(refusal(code))),
                };
                Reply { after, said }
            }
        }
    }
}

fn chaos(seed: u64) -> Sim<Chaos> {
    let mut random = Random(seed);
    let end = start() + Duration::from_secs(HOURS * 3600);
    let mut console = Console::new(LIFE_HERE);
    let mut down = Vec::new();
    let mut at = start();
    while at < end {
        at += Duration::from_secs(600 + random.below(3 * 3600));
        // Most are restarts; some last, but for less than the overlap of two certificates.
        let length = if random.below(4) == 0 { 60 + random.below(2400) } else { 5 + random.below(60) };
        down.push((at, at + Duration::from_secs(length)));
        at += Duration::from_secs(length);
    }
    let cluster = TokenFacts::of(&EnrollmentToken::from_bytes(&[255; 32]));
    console.add_token(cluster, TokenType::Cluster, 0, start());
    let mut tokens = Vec::new();
    for host in 0..HOSTS {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&host.to_be_bytes());
        let token = TokenFacts::of(&EnrollmentToken::from_bytes(&bytes));
        let approved = start() + Duration::from_secs(if host % 10 == 0 { 3600 } else { 0 });
        console.add_token(token, TokenType::Once, host, approved);
        tokens.push(if host % 4 == 3 { cluster } else { token });
    }
    let calm = end - SignedDuration::from_mins(20);
    let mut sim = Sim::new(Chaos { console, random: Random(seed ^ 1), down, calm, faults: 0 }, seed ^ 2);
    sim.world.down.retain(|(_, until)| *until < calm);
    for token in tokens {
        let began = sim.random.within(Duration::from_secs(600));
        sim.add(began, Some(token), None);
    }
    // Processes die, too: each about eight times.
    for _ in 0..HOSTS * 8 {
        let host = usize::try_from(random.below(HOSTS as u64)).unwrap();
        let at = random.within(Duration::from_secs(HOURS * 3600 - 1300));
        sim.restart(at, host);
        // A host with its cluster's token loses its files now and then.
        if host % 4 == 3 {
            sim.wipe(random.within(Duration::from_secs(HOURS * 3600 - 1300)), host);
        }
    }
    sim
}

#[test]
fn three_days_with_a_console_that_drops_delays_truncates_and_restarts() {
    let mut sim = chaos(2026);
    let mut largest = 0;
    for hour in 1..=HOURS {
        sim.run_until(Duration::from_secs(hour * 3600));
        if hour % 6 != 0 {
            continue;
        }
        let sizes = sim.hosts.iter().map(|host| format!("{:?}", host.machine).len());
        largest = largest.max(sizes.max().unwrap());
        // What a machine remembers does not grow with what it has lived through.
        assert!(largest < 8192, "hour {hour}: {largest} bytes");
    }
    let now = sim.now();
    for (number, host) in sim.hosts.iter().enumerate() {
        let report = host.machine.report(now);
        let shown = format!("host {number}: {report:?}");
        assert!(matches!(report.state, StateName::Active | StateName::Renewing), "{shown}");
        assert!(host.ready, "{shown}");
        let held = host.disk.current.as_ref().expect("an identity");
        let newest = host.disk.committed.as_ref().unwrap_or(held);
        let console = &sim.world.console;
        assert!(
            console.trusts(now.wall, serial_of(held)) || console.trusts(now.wall, serial_of(newest)),
            "{shown}"
        );
        assert_eq!(console.sensors_of(number), 1, "no sensor is doubled: {shown}");
        assert!(host.disk.current.as_ref().is_some_and(|held| held.generation > 8), "it renewed: {shown}");
    }
    let counts = &sim.world.console.counts;
    println!("{} steps, {} faults, {counts:?}, largest {largest} bytes", sim.steps, sim.world.faults);
    assert_eq!(counts.spent_twice, 0);
    assert_eq!(counts.not_trusted, 0, "no identity was ever lost");
    assert!(sim.world.faults > 50_000);
}
