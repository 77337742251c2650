//! What has to hold: in every state, at the end of every history, and what has to be reachable.

use stateright::Property;
use telovix_agent::machine::StateName;

use super::console::Key;
use super::history::History;
use super::host::Host;
use super::words::now;
use super::world::{CALM, Seen, World};

pub(crate) const ONE_SENSOR: &str = "a one-time token makes at most one sensor and pays once";
pub(crate) const ONE_KEY: &str = "a token that has paid is presented with no other key";
pub(crate) const NOT_SHARED: &str = "two machines never hold one sensor";
pub(crate) const NOT_LOST: &str = "an identity that stands can be used, or its successor is at hand";
pub(crate) const OLD_WORKS: &str = "the old certificate works until the new one was seen";
pub(crate) const PROVEN_FIRST: &str = "what stands is replaced only by what the Console has accepted";
pub(crate) const SAME_SENSOR: &str = "renewed or enrolled again, a host stays the sensor that it was";
pub(crate) const HOLDS_ITS_OWN: &str =
    "in the end, whom the Console issued an identity holds it and is believed";
pub(crate) const TOKEN_WORKS: &str = "in the end, no good token was left lying";
pub(crate) const TOKEN_PAID_FOR: &str =
    "a token that is used has paid for a certificate, once nothing is under way";
pub(crate) const SAYS_SO: &str = "in the end, a host says that it is well when it is, and only then";

pub(crate) const ENROLLED: &str = "a host is enrolled";
pub(crate) const RENEWED: &str = "a renewal is through";
pub(crate) const RE_ENROLLED: &str = "a host is enrolled again as the sensor that it was";
pub(crate) const REPEATED: &str = "a lost answer is repeated, and its host is well";
pub(crate) const LOSER_TOLD: &str = "one host is enrolled, and the other was told that the token is used";
pub(crate) const EXPIRED: &str = "a token expires unused, and its host was told";
pub(crate) const FULL: &str = "a host that found the licence full is enrolled when it was raised";
pub(crate) const LATE_REQUEST: &str = "a request that was given up arrives all the same";

/// All of them; a scenario names which reachable ones it expects.
pub(crate) fn all() -> Vec<Property<History>> {
    vec![
        Property::always(ONE_SENSOR, |_, world: &World| one_sensor(world)),
        Property::always(ONE_KEY, |_, world: &World| !world.past.iter().any(|past| past.paid_twice)),
        Property::always(NOT_SHARED, |_, world: &World| not_shared(world)),
        Property::always(NOT_LOST, |_, world: &World| not_lost(world)),
        Property::always(OLD_WORKS, |_, world: &World| old_works(world)),
        Property::always(TOKEN_PAID_FOR, |_, world: &World| !world.is_quiet() || used_tokens_paid(world)),
        Property::always(PROVEN_FIRST, |_, world: &World| !world.past.iter().any(|past| past.unproven)),
        Property::always(SAME_SENSOR, |_, world: &World| same_sensor(world)),
        Property::always(HOLDS_ITS_OWN, |_, world: &World| !world.is_over() || holds_its_own(world)),
        Property::always(TOKEN_WORKS, |_, world: &World| !world.is_over() || no_token_left(world)),
        Property::always(SAYS_SO, |_, world: &World| !world.is_over() || says_so(world)),
        Property::sometimes(ENROLLED, |_, world: &World| ends_well(world)),
        Property::sometimes(RENEWED, |_, world: &World| ends_well(world) && world.seen.has(Seen::RENEWED)),
        Property::sometimes(RE_ENROLLED, |_, world: &World| {
            ends_well(world) && world.seen.has(Seen::RE_ENROLLED)
        }),
        Property::sometimes(REPEATED, |_, world: &World| ends_well(world) && world.seen.has(Seen::REPEATED)),
        Property::sometimes(LOSER_TOLD, |_, world: &World| {
            ends_well(world) && world.seen.has(Seen::TOLD_USED)
        }),
        Property::sometimes(EXPIRED, |_, world: &World| {
            world.is_over() && world.seen.has(Seen::TOLD_EXPIRED) && world.console.sensors.is_empty()
        }),
        Property::sometimes(FULL, |_, world: &World| ends_well(world) && world.seen.has(Seen::TOLD_FULL)),
        Property::sometimes(LATE_REQUEST, |_, world: &World| {
            ends_well(world) && world.seen.has(Seen::LATE_REQUEST)
        }),
    ]
}

fn one_sensor(world: &World) -> bool {
    let console = &world.console;
    (0..console.tokens.len()).all(|token| {
        let made = console.sensors.iter().filter(|row| usize::from(row.made_by) == token).count();
        let paid = console.enrollments.iter().filter(|row| usize::from(row.token) == token).count();
        made <= 1 && paid <= 1
    })
}

fn used_tokens_paid(world: &World) -> bool {
    let console = &world.console;
    console
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, row)| row.used)
        .all(|(token, _)| console.enrollments.iter().any(|row| usize::from(row.token) == token))
}

/// The identity that stands on this host, and was made on it.
fn own(host: &Host) -> Option<&super::disk::Generation> {
    host.disk.current().filter(|current| current.made_on == host.machine_id)
}

fn not_shared(world: &World) -> bool {
    let holders: Vec<_> = world.hosts.iter().filter_map(own).map(|current| current.sensor).collect();
    holders.iter().enumerate().all(|(at, sensor)| !holders[..at].contains(sensor))
}

/// The certificate is believed; or a committed one is that will take its place; or the answer that would bring one is still
/// to be had, for a key that is on the disk.
fn not_lost(world: &World) -> bool {
    let (console, at) = (&world.console, world.at);
    world.hosts.iter().all(|host| {
        let Some(current) = own(host) else {
            return host.disk.current.is_none() || host.disk.current().is_some();
        };
        let believed = console.believes(at, current.certificate);
        let successor =
            || host.disk.committed_before().is_some_and(|found| console.believes(at, found.certificate));
        let enrollment = || {
            host.disk
                .pending
                .is_some_and(|pending| host.token == Some(pending.token) && is_repeated(world, pending.key))
        };
        believed || successor() || enrollment()
    })
}

/// Whether the answer to the enrollment of this key is still to be had.
fn is_repeated(world: &World, key: Key) -> bool {
    let row = world.console.enrollments.iter().find(|row| row.key == key);
    row.is_some_and(|row| world.at - row.used_at < telovix_contract::enroll::REPEAT_WINDOW_SECONDS)
}

fn old_works(world: &World) -> bool {
    let console = &world.console;
    (0..console.sensors.len()).all(|sensor| {
        let sensor = u8::try_from(sensor).expect("few");
        let Some(newest) = console.newest_of(sensor).map(|newest| console.row(newest)) else { return true };
        let seen = |row: &&super::console::CertificateRow| {
            row.sensor == sensor && row.credential.first_seen_at.is_some()
        };
        let old = console.certificates.iter().filter(seen).max_by_key(|row| row.generation);
        newest.credential.first_seen_at.is_some() || old.is_none_or(|old| old.credential.ended_at.is_none())
    })
}

fn same_sensor(world: &World) -> bool {
    world.hosts.iter().zip(&world.past).all(|(host, past)| {
        own(host).is_none_or(|current| past.sensor.is_none_or(|sensor| sensor == current.sensor))
    })
}

/// Whether a host stands well: its identity is believed, and it is ready.
fn is_well(world: &World, host: &Host) -> bool {
    own(host).is_some_and(|current| world.console.believes(world.at, current.certificate)) && host.disk.ready
}

fn holds_its_own(world: &World) -> bool {
    let console = &world.console;
    world.hosts.iter().zip(&world.past).all(|(host, past)| {
        // Whose directory was deleted, keys and all, is owed what was issued to a later key.
        let before = past.wiped.unwrap_or(0);
        let issued = console.enrollments.iter().any(|row| row.key.0 == host.number && row.key.1 > before);
        let owed = issued || (past.sensor.is_some() && past.wiped.is_none());
        !owed || is_well(world, host)
    })
}

fn no_token_left(world: &World) -> bool {
    world.hosts.iter().all(|host| {
        host.token.is_none_or(|token| {
            let row = &world.console.tokens[usize::from(token)];
            let room = world.console.sensors.len() < usize::from(world.console.licence);
            row.used || world.at >= row.expires_at || !(room || row.bound_to.is_some())
        })
    })
}

fn says_so(world: &World) -> bool {
    world.hosts.iter().all(|host| {
        let Some(process) = &host.process else { return false };
        let says = process.machine.report(now(world.at)).state;
        let well = says == StateName::Active;
        well == is_well(world, host)
    })
}

fn ends_well(world: &World) -> bool {
    world.calm == CALM && world.is_over() && world.hosts.iter().any(|host| is_well(world, host))
}
