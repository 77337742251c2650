//! The searches: the protocol as it is keeps every law, and each mistake breaks the law that it should.
//!
//! Every run visits all states within its [`Budget`]; the floors say that it did not visit a few by accident. With
//! `TELOVIX_MODEL=deep` the budgets are larger (`tests/system/long/model.sh`).

use super::flaw::Flaw;
use super::history::History;
use super::laws::*;
use super::world::{Budget, World};

const NONE: Budget = Budget {
    crashes: 0,
    losses: 0,
    lies: 0,
    console_crashes: 0,
    outages: 0,
    days: 0,
    weeks: 0,
    forced_renewals: 0,
    re_enrollments: 0,
    wipes: 0,
    upgrades: 0,
    clones: 0,
    licences: 0,
};
/// One of each of what goes wrong by itself.
const TROUBLE: Budget = Budget { crashes: 1, losses: 1, console_crashes: 1, ..NONE };
/// More sensors than any history makes.
const PLENTY: u8 = 9;

fn is_deep() -> bool {
    match std::env::var("TELOVIX_MODEL").as_deref() {
        Err(_) => false,
        Ok("deep") => true,
        Ok(other) => panic!("TELOVIX_MODEL is `deep` or nothing, and not `{other}`"),
    }
}

/// Hosts with these machine ids and the same one-time token in hand.
fn fresh(machine_ids: &[u8], left: Budget) -> World {
    World::new(machine_ids, PLENTY, left)
}

/// A host that enrolled in good weather.
fn enrolled(left: Budget) -> World {
    let mut world = fresh(&[1], NONE);
    while !world.is_over() {
        let mut acts = Vec::new();
        world.acts(&mut acts);
        let act = acts.first().copied().expect("something goes on");
        world.act(act, Flaw::None);
    }
    (world.left, world.calm) = (left, 0);
    world
}

/// Visits every state within the budget, or within the larger one where that is asked for.
fn explore(
    name: &str,
    begin: fn(Budget) -> World,
    budgets: [Budget; 2],
    floors: [usize; 2],
    reachable: &[&'static str],
) {
    let which = usize::from(is_deep());
    let history = History { begin: begin(budgets[which]), flaw: Flaw::None, reachable: reachable.to_vec() };
    let explored = history.explore(name);
    assert!(explored.states >= floors[which], "{name}: only {explored:?}");
    assert!(explored.depth >= 20, "{name}: only {explored:?}");
}

/// A mistake is found, by the law that it breaks.
#[track_caller]
fn finds(flaw: Flaw, law: &'static str, begin: &World) {
    let history = |flaw| History { begin: begin.clone(), flaw, reachable: Vec::new() };
    assert!(history(flaw).breaks(law).is_some(), "{flaw:?} breaks no law");
}

#[test]
fn two_hosts_race_with_one_token() {
    let deep = Budget { losses: 2, ..TROUBLE };
    let reachable = [ENROLLED, REPEATED, LOSER_TOLD, LATE_REQUEST];
    explore("race", |left| fresh(&[1, 2], left), [TROUBLE, deep], [30_000, 120_000], &reachable);
}

#[test]
fn a_disk_is_cloned_in_the_middle_of_an_enrollment() {
    let quick = Budget { crashes: 1, losses: 1, clones: 1, ..NONE };
    let deep = Budget { clones: 1, ..TROUBLE };
    let reachable = [ENROLLED, REPEATED, LOSER_TOLD];
    explore("clone", |left| fresh(&[1, 2], left), [quick, deep], [15_000, 80_000], &reachable);
}

#[test]
fn a_token_expires_while_its_host_cannot_reach_the_console() {
    let quick = Budget { losses: 2, outages: 1, ..NONE };
    let deep = Budget { losses: 3, outages: 2, ..TROUBLE };
    explore(
        "expiry",
        |left| fresh(&[1], left),
        [quick, deep],
        [1_500, 300_000],
        &[ENROLLED, REPEATED, EXPIRED],
    );
}

#[test]
fn an_agent_is_upgraded_in_the_middle_of_an_enrollment() {
    let quick = Budget { upgrades: 1, ..TROUBLE };
    let deep = Budget { upgrades: 2, crashes: 2, losses: 2, console_crashes: 1, ..NONE };
    explore("upgrade", |left| fresh(&[1], left), [quick, deep], [20_000, 350_000], &[ENROLLED, REPEATED]);
}

#[test]
fn a_full_licence_is_raised() {
    let begin = |left| World::new(&[1], 0, left);
    let quick = Budget { licences: 1, crashes: 1, losses: 1, ..NONE };
    let deep = Budget { licences: 1, losses: 2, ..TROUBLE };
    explore("licence", begin, [quick, deep], [3_000, 35_000], &[ENROLLED, REPEATED, FULL]);
}

#[test]
fn a_certificate_is_renewed_in_its_time() {
    let quick = Budget { weeks: 1, outages: 1, crashes: 1, losses: 1, ..NONE };
    let deep = Budget { weeks: 1, outages: 1, losses: 2, ..TROUBLE };
    let reachable = [ENROLLED, RENEWED, REPEATED];
    explore("renewal", enrolled, [quick, deep], [15_000, 300_000], &reachable);
}

#[test]
fn a_certificate_is_renewed_by_hand() {
    let quick = Budget { forced_renewals: 1, outages: 1, crashes: 1, losses: 1, ..NONE };
    let deep = Budget { forced_renewals: 1, outages: 1, losses: 2, ..TROUBLE };
    let reachable = [ENROLLED, RENEWED, REPEATED];
    explore("forced", enrolled, [quick, deep], [15_000, 250_000], &reachable);
}

#[test]
fn a_host_is_enrolled_again() {
    let quick = Budget { re_enrollments: 1, wipes: 1, crashes: 1, losses: 1, ..NONE };
    let deep = Budget { re_enrollments: 1, wipes: 1, outages: 1, ..TROUBLE };
    explore("again", enrolled, [quick, deep], [25_000, 500_000], &[ENROLLED, RE_ENROLLED, REPEATED]);
}

#[test]
fn a_renewal_and_another_enrollment_meet() {
    let quick = Budget { forced_renewals: 1, re_enrollments: 1, losses: 1, ..NONE };
    let deep = Budget { outages: 1, crashes: 1, ..quick };
    explore("meet", enrolled, [quick, deep], [6_000, 500_000], &[ENROLLED, RENEWED, RE_ENROLLED, REPEATED]);
}

#[test]
fn an_enrollment_is_lied_to() {
    let quick = Budget { lies: 1, crashes: 1, losses: 1, ..NONE };
    let deep = Budget { lies: 2, losses: 1, ..TROUBLE };
    explore("lies first", |left| fresh(&[1], left), [quick, deep], [10_000, 150_000], &[ENROLLED, REPEATED]);
}

#[test]
fn an_identity_is_lied_to() {
    let quick = Budget { lies: 2, weeks: 1, crashes: 1, ..NONE };
    let deep = Budget { lies: 3, weeks: 1, losses: 1, crashes: 1, ..NONE };
    explore("lies", enrolled, [quick, deep], [35_000, 1_000_000], &[ENROLLED, RENEWED, REPEATED]);
}

#[test]
fn lies_meet_another_enrollment() {
    let quick = Budget { lies: 1, re_enrollments: 1, crashes: 1, ..NONE };
    let deep = Budget { losses: 1, ..quick };
    explore("lies again", enrolled, [quick, deep], [7_000, 30_000], &[ENROLLED, RE_ENROLLED]);
}

#[test]
fn an_agent_that_takes_one_refusal_for_the_last_word_is_found() {
    finds(Flaw::BelievesForEver, HOLDS_ITS_OWN, &enrolled(Budget { lies: 1, ..NONE }));
    finds(Flaw::BelievesForEver, HOLDS_ITS_OWN, &fresh(&[1], Budget { lies: 1, ..NONE }));
}

#[test]
fn a_console_that_spends_the_token_before_it_issues_is_found() {
    finds(Flaw::SpendsBeforeIssuing, TOKEN_PAID_FOR, &fresh(&[1], TROUBLE));
}

#[test]
fn a_console_that_spends_the_token_on_a_refusal_is_found() {
    let begin = World::new(&[1], 0, Budget { licences: 1, ..NONE });
    finds(Flaw::RefusalSpends, TOKEN_PAID_FOR, &begin);
}

#[test]
fn a_console_that_does_not_repeat_its_answer_is_found() {
    finds(Flaw::NoRepeat, HOLDS_ITS_OWN, &fresh(&[1], TROUBLE));
}

#[test]
fn a_console_that_takes_any_key_for_the_one_that_paid_is_found() {
    finds(Flaw::AnyKeyRepeats, ONE_SENSOR, &fresh(&[1, 2], NONE));
}

#[test]
fn a_console_that_ends_the_old_certificate_at_once_is_found() {
    finds(Flaw::OldDiesAtOnce, OLD_WORKS, &enrolled(Budget { forced_renewals: 1, ..NONE }));
}

#[test]
fn an_agent_that_draws_a_new_key_each_time_is_found() {
    finds(Flaw::NewKeyEachTime, HOLDS_ITS_OWN, &fresh(&[1], TROUBLE));
    finds(Flaw::NewKeyEachTime, ONE_KEY, &fresh(&[1], TROUBLE));
}

#[test]
fn an_agent_that_sends_before_it_saves_is_found() {
    finds(Flaw::SendsBeforeSaving, HOLDS_ITS_OWN, &fresh(&[1], TROUBLE));
}

#[test]
fn an_agent_that_publishes_before_the_proof_is_found() {
    finds(Flaw::PublishesUnproven, PROVEN_FIRST, &enrolled(Budget { forced_renewals: 1, ..NONE }));
}

#[test]
fn an_agent_that_takes_a_copied_key_is_found() {
    finds(Flaw::TakesCopiedKey, NOT_SHARED, &fresh(&[1, 2], Budget { clones: 1, ..NONE }));
}

/// This is how it was, until this search and then `crash.rs` found it.
#[test]
fn an_agent_that_removes_its_request_before_it_replaces_it_is_found() {
    let begin = fresh(&[1], Budget { upgrades: 1, crashes: 1, losses: 1, ..NONE });
    finds(Flaw::RemovesBeforeReplacing, HOLDS_ITS_OWN, &begin);
}

#[test]
fn an_agent_that_deletes_the_token_before_it_has_paid_is_found() {
    finds(Flaw::DeletesTokenEarly, HOLDS_ITS_OWN, &fresh(&[1], TROUBLE));
}

/// What the contract does not promise: an answer is repeated for a day and no longer, and hosts without a machine id cannot
/// be told from each other.
#[test]
fn the_limits_that_the_contract_names_are_where_it_names_them() {
    let day = Budget { losses: 1, days: 1, ..NONE };
    finds(Flaw::None, HOLDS_ITS_OWN, &fresh(&[1], day));
    finds(Flaw::None, NOT_SHARED, &fresh(&[1, 1], Budget { clones: 1, ..NONE }));
}
