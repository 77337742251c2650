//! Ten thousand machines in virtual time, for what only a crowd shows: an outage and its end, and renewals.
//!
//! Everything else that a life brings is asserted with the real daemon and the real Console by `tests/tests/month`, and in
//! every order by `tests/tests/model`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

const HOSTS: usize = 10_000;

struct Host {
    machine: Machine,
    held: Identity,
    committed: Option<Identity>,
    ready: bool,
    /// The one thing that it waits for: an answer, or its deadline.
    next: Input,
}

struct Fleet {
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Duration, usize)>>,
    random: Random,
    steps: u64,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        Self { hosts: Vec::new(), queue: BinaryHeap::new(), random: Random(seed), steps: 0 }
    }

    /// A host with an identity whose process starts at `at`.
    fn add(&mut self, at: Duration, from: Timestamp, life: SignedDuration) {
        let serial = self.hosts.len().to_be_bytes().to_vec();
        let held =
            Identity { not_before: from, not_after: from + life, serial, ..identity(1, from, token(1)) };
        let (machine, next) = (Machine::new(Settings::default()), Input::Started(None));
        self.queue.push(Reverse((at, self.hosts.len())));
        self.hosts.push(Host { machine, held, committed: None, ready: false, next });
    }

    /// Lets them live; `console` says what comes of a call. It carries effects out as the driver does.
    fn run_until(
        &mut self,
        until: Duration,
        mut console: impl FnMut(Duration, usize, &Host, &Call) -> Outcome,
    ) {
        while let Some(Reverse((at, number))) = self.queue.pop().filter(|Reverse((at, _))| *at <= until) {
            let host = &mut self.hosts[number];
            let mut given = Some(std::mem::replace(&mut host.next, Input::Tick));
            let mut answer = None;
            let wall = start() + at;
            let mut now = Now { wall, mono: Duration::from_secs(1000) + at, random: 0 };
            while let Some(input) = given.take() {
                self.steps += 1;
                now.random = self.random.next();
                for effect in host.machine.step(now, input) {
                    match effect {
                        Effect::Load => {
                            given = Some(Input::Loaded(Box::new(disk(Current::Intact(host.held.clone())))));
                        }
                        Effect::Publish { .. } => {
                            host.held = host.committed.take().expect("it was committed");
                            given = Some(Input::Published);
                        }
                        Effect::SetReady(ready) => host.ready = ready,
                        Effect::Call(call) => {
                            let outcome = console(at, number, host, &call);
                            if let Outcome::Renewed(identity) = &outcome {
                                host.committed = Some(identity.clone());
                            }
                            let is_lost = matches!(outcome, Outcome::Failed(_));
                            let server_date = (!is_lost).then_some(wall);
                            let input = Input::Answered(Box::new(Answer { server_date, outcome }));
                            assert!(answer.replace(input).is_none(), "one connection at a time");
                        }
                        Effect::NotifyConsumers { .. } | Effect::StateChanged { .. } => {}
                        Effect::CancelCall
                        | Effect::ForgetRenewal
                        | Effect::DiscardCopied
                        | Effect::TokenSpent { .. }
                        | Effect::CommandDone(_) => panic!("{effect:?}"),
                    }
                }
            }
            let deadline = host.machine.next_deadline(now);
            let wait = match answer {
                Some(answer) => {
                    assert_eq!(deadline, None, "it waits for an answer");
                    host.next = answer;
                    Duration::from_millis(20)
                }
                None => deadline.expect("it has something to wait for"),
            };
            assert!(wait > Duration::ZERO, "what is due is done at once");
            self.queue.push(Reverse((at + wait, number)));
        }
    }
}

/// Heartbeats every 15 s, two hours without a Console.
#[test]
fn ten_thousand_hosts_come_back_from_a_two_hour_outage_without_a_stampede() {
    // A back-off waits five minutes at most; what follows is a healthy fleet again, and tells nothing.
    let (from, until, end) = (30usize, 30 + 7200usize, 30 + 7200 + 330usize);
    let mut fleet = Fleet::new(7);
    for _ in 0..HOSTS {
        // A healthy fleet: its hosts started at any time.
        let began = fleet.random.within(Duration::from_secs(15));
        fleet.add(began, start(), LIFE);
    }
    // Arrivals per second, and when each host was answered first after the outage.
    let (mut arrivals, mut back) = (vec![0u32; end + 2], vec![None; HOSTS]);
    fleet.run_until(Duration::from_secs(end as u64), |at, number, _, call| {
        assert_eq!(*call, Call::Heartbeat);
        let second = usize::try_from(at.as_secs()).unwrap();
        arrivals[second] += 1;
        if (from..until).contains(&second) {
            return Outcome::Failed(unreachable());
        }
        if second >= until {
            back[number].get_or_insert(second);
        }
        Outcome::Accepted(accepted())
    });
    let last = back.iter().map(|back| back.expect("all are back")).max().unwrap() - until;
    assert!(last <= 600, "the last came back after {last} s");
    assert!(fleet.hosts.iter().all(|host| host.ready), "an outage is no loss");
    // The recovery: from the end of the outage until the last is back.
    let recovery = &arrivals[until..=until + last];
    let mean = f64::from(recovery.iter().sum::<u32>()) / recovery.len() as f64;
    let peak = f64::from(*recovery.iter().max().unwrap());
    let during = &arrivals[until - 3600..until];
    let outage = f64::from(during.iter().sum::<u32>()) / during.len() as f64;
    println!(
        "{} steps; back after {last} s; recovery: mean {mean:.0}/s, peak {peak:.0}/s, ratio {:.2}; during the outage {outage:.0}/s",
        fleet.steps,
        peak / mean
    );
    assert!(peak <= 2.0 * mean, "peak {peak}, mean {mean}");
    assert!(arrivals[until..end].iter().all(|count| f64::from(*count) <= 2.0 * mean));
    assert!(outage < 100.0, "an outage is not hammered at: {outage} per second");
}

#[test]
fn renewals_of_a_fleet_enrolled_in_one_minute_spread_over_a_tenth_of_the_life() {
    let life = SignedDuration::from_hours(24);
    let mut fleet = Fleet::new(11);
    for _ in 0..HOSTS {
        let enrolled = start() + fleet.random.within(Duration::from_secs(60));
        // The hours before tell nothing: when to renew is read off the certificate.
        fleet.add(Duration::from_secs(14 * 3600), enrolled, life);
    }
    let mut renewed = Vec::new();
    // Until the first of them would renew for the second time.
    fleet.run_until(Duration::from_secs(20 * 3600), |at, _, host, call| match call {
        Call::Renew => {
            renewed.push(at);
            let from = start() + at;
            let serial = [host.held.serial.as_slice(), &[2]].concat();
            let (not_before, not_after) = (from, from + life);
            Outcome::Renewed(Identity { generation: 2, serial, not_before, not_after, ..host.held.clone() })
        }
        Call::Heartbeat | Call::Prove { .. } => {
            Outcome::Accepted(Accepted { interval: Duration::from_secs(3600), ..accepted() })
        }
        Call::Enroll { .. } | Call::ProbeClock | Call::Decommission => panic!("{call:?}"),
    });
    assert_eq!(renewed.len(), HOSTS, "each once");
    let spread = (renewed[HOSTS - 1] - renewed[0]).as_secs_f64() / life.as_secs_f64();
    let mut per_minute = std::collections::HashMap::new();
    for at in renewed {
        *per_minute.entry(at.as_secs() / 60).or_insert(0u32) += 1;
    }
    let busiest = *per_minute.values().max().unwrap();
    println!("{} steps; spread {spread:.4} of the life; busiest minute {busiest} of {HOSTS}", fleet.steps);
    assert!(spread >= 0.1, "{spread}");
    assert!(busiest < 2 * HOSTS as u32 / 144, "evenly: {busiest} in one minute");
}
