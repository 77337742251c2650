//! A fleet and an outage; a fleet and its renewals.

use super::sim::{Ask, Certificate, Reply, Said, Sim, World, quickly};
use super::*;

/// Arrivals per second at a Console that is away for a time.
struct Outage {
    from: Timestamp,
    until: Timestamp,
    arrivals: Vec<u32>,
    /// When each host was answered first after the outage.
    back: Vec<Option<u32>>,
}

impl World for Outage {
    fn call(&mut self, at: Timestamp, host: usize, ask: &Ask<'_>) -> Reply {
        assert_eq!(*ask.call, Call::Heartbeat);
        let second = usize::try_from(at.duration_since(start()).as_secs()).unwrap();
        self.arrivals[second] += 1;
        if (self.from..self.until).contains(&at) {
            return quickly(Outcome::Failed(unreachable()));
        }
        if at >= self.until {
            self.back[host].get_or_insert(second as u32);
        }
        quickly(Outcome::Accepted(accepted()))
    }
}

/// 10,000 hosts, heartbeats every 15 s, two hours without a Console (issue 3, "How we will know").
#[test]
fn ten_thousand_hosts_come_back_from_a_two_hour_outage_without_a_stampede() {
    const HOSTS: usize = 10_000;
    // A back-off waits five minutes at most; what follows is a healthy fleet again, and tells nothing.
    let (from, until, end) = (30usize, 30 + 7200usize, 30 + 7200 + 330usize);
    let at = |second: usize| start() + Duration::from_secs(second as u64);
    let world =
        Outage { from: at(from), until: at(until), arrivals: vec![0; end + 2], back: vec![None; HOSTS] };
    let mut sim = Sim::new(world, 7);
    for host in 0..HOSTS {
        let mut held = identity(1, start(), token(1));
        held.serial = host.to_be_bytes().to_vec();
        held.not_before = start();
        held.not_after = start() + LIFE;
        // A healthy fleet: its hosts started at any time.
        let began = sim.random.within(Duration::from_secs(15));
        sim.add(began, None, Some(held));
    }
    sim.run_until(Duration::from_secs(end as u64));
    let Outage { arrivals, back, .. } = &sim.world;
    let last = back.iter().map(|back| back.expect("all are back")).max().unwrap() as usize - until;
    assert!(last <= 600, "the last came back after {last} s");
    assert!(sim.hosts.iter().all(|host| host.ready), "an outage is no loss");
    // The recovery: from the end of the outage until the last is back.
    let recovery = &arrivals[until..=until + last];
    let mean = f64::from(recovery.iter().sum::<u32>()) / recovery.len() as f64;
    let peak = f64::from(*recovery.iter().max().unwrap());
    let during = &arrivals[until - 3600..until];
    let outage = f64::from(during.iter().sum::<u32>()) / during.len() as f64;
    println!(
        "{} steps; back after {last} s; recovery: mean {mean:.0}/s, peak {peak:.0}/s, ratio {:.2}; during the outage {outage:.0}/s",
        sim.steps,
        peak / mean
    );
    assert!(peak <= 2.0 * mean, "peak {peak}, mean {mean}");
    assert!(arrivals[until..end].iter().all(|count| f64::from(*count) <= 2.0 * mean));
    assert!(outage < 100.0, "an outage is not hammered at: {outage} per second");
}

/// Renews whoever asks, and notes when.
struct Renewer {
    life: SignedDuration,
    renewed: Vec<Timestamp>,
}

impl World for Renewer {
    fn call(&mut self, at: Timestamp, host: usize, ask: &Ask<'_>) -> Reply {
        match ask.call {
            Call::Renew => {
                self.renewed.push(at);
                let certificate = Certificate {
                    sensor: host as u32,
                    serial: ask.key,
                    from: at,
                    until: at + self.life,
                    token_type: TokenType::Once,
                };
                Reply { after: Duration::from_millis(50), said: Said::Issued(certificate) }
            }
            Call::Heartbeat | Call::Prove { .. } => {
                quickly(Outcome::Accepted(Accepted { interval: Duration::from_secs(3600), ..accepted() }))
            }
            Call::Enroll { .. } | Call::ProbeClock | Call::Decommission => panic!("{:?}", ask.call),
        }
    }
}

#[test]
fn renewals_of_a_fleet_enrolled_in_one_minute_spread_over_a_tenth_of_the_life() {
    const HOSTS: usize = 10_000;
    let life = SignedDuration::from_hours(24);
    let mut sim = Sim::new(Renewer { life, renewed: Vec::new() }, 11);
    for host in 0..HOSTS {
        let from = start() + sim.random.within(Duration::from_secs(60));
        let mut held = identity(1, from, token(1));
        (held.not_before, held.not_after) = (from, from + life);
        held.serial = (host as u64 + 1).to_be_bytes().to_vec();
        sim.add(from.duration_since(start()).unsigned_abs(), None, Some(held));
    }
    // Until the first of them would renew for the second time.
    sim.run_until(Duration::from_secs(20 * 3600));
    let renewed = &sim.world.renewed;
    assert_eq!(renewed.len(), HOSTS, "each once");
    let (first, last) = (renewed[0], renewed[HOSTS - 1]);
    let spread = last.duration_since(first).as_secs_f64() / life.as_secs_f64();
    let mut per_minute = std::collections::HashMap::new();
    for at in renewed {
        *per_minute.entry(at.duration_since(start()).as_secs() / 60).or_insert(0u32) += 1;
    }
    let busiest = *per_minute.values().max().unwrap();
    println!("{} steps; spread {spread:.4} of the life; busiest minute {busiest} of {HOSTS}", sim.steps);
    assert!(spread >= 0.1, "{spread}");
    assert!(busiest < 2 * HOSTS as u32 / 144, "evenly: {busiest} in one minute");
}
