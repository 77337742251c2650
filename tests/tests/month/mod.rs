//! A month with a Console that has bad days: every act of its chaos mode against real daemons, in simulated time.
//!
//! Spells of bad weather come and go at random: two kinds of acts out of a shuffled deck, on every exchange, so often or
//! always, besides restarts of the Console, crashes of daemons, retirements, new tokens and deleted state directories in the middle of it; now and
//! then an outage that outlives the certificates. After each, every host has to be trusted again by itself, or to wait for
//! an operator with a reason that `docs/operations.md` knows; the operator of this test then does what stands there, and
//! that has to be enough.
//!
//! This is the one simulation of a life. What needs ten thousand hosts is in `agent/src/machine/tests/fleet.rs`, and what needs
//! every order of events in `tests/tests/model`.
//!
//! `tests/system/bad-days.sh` runs three days, in the gate, and `tests/system/long/month.sh` a month (`TELOVIX_MONTH` is the number of
//! days, and `TELOVIX_SEED` draws another one).

mod acts;
mod fleet;
mod ledger;
mod spell;

use std::time::Duration;

use telovix_tests::sim::simulate;

use self::fleet::Fleet;

/// Days, unless it is said otherwise.
const DAYS: u64 = 3;
/// Any number; always the same one in the gate.
const SEED: u64 = 1;

#[test]
#[ignore = "takes half a minute; tests/system/bad-days.sh runs it"]
fn bad_days_cost_no_host_its_place() {
    let days = number("TELOVIX_MONTH").unwrap_or(DAYS);
    let seed = number("TELOVIX_SEED").unwrap_or(SEED);
    println!("{days} days, seed {seed}");
    simulate(async |sim| {
        let began = std::time::Instant::now();
        let mut fleet = Fleet::start(sim, seed).await;
        fleet.live(Duration::from_secs(days * 24 * 3600)).await;
        fleet.settle_accounts(days);
        println!("{days} days in {} s", began.elapsed().as_secs());
    });
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and {text:?} is not")))
}
