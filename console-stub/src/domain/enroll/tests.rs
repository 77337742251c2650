//! The rules of docs/contract.md sections 3, 4 and 6, one test each, on the pure decision.

use super::*;
use crate::domain::licence::Term;

const NOW: i64 = 1_000_000;

fn token(kind: TokenType) -> TokenRecord {
    TokenRecord {
        id: crate::domain::token::TokenId::random(),
        kind,
        status: TokenStatus::Pending,
        label: None,
        cluster_id: (kind == TokenType::Cluster).then(|| "ran-east".parse().unwrap()),
        sensor_id: None,
        max_nodes: None,
        node_count: 0,
        use_count: 0,
        created_at: NOW - 60,
        expires_at: NOW + 60,
        used_at: None,
        reserved_at: None,
    }
}

fn attempt() -> Attempt {
    Attempt {
        now: NOW,
        cluster_name: Some("ran-east".parse().unwrap()),
        sensor_id: None,
        second_record: SecondRecord::Welcome,
    }
}

fn known(token: TokenRecord) -> Known {
    Known {
        token: Some(token),
        earlier: None,
        own: None,
        held: None,
        node: NodeCount::New,
        slots: Slots { limit: 10, taken: 0, ..Slots::default() },
        approval: Approval::NotNeeded,
        reservation: Reservation::Free,
    }
}

fn own(standing: Standing) -> Own {
    Own { id: SensorId::random(), standing }
}

#[track_caller]
fn plan(attempt: &Attempt, known: &Known) -> Plan {
    let decision = decide(attempt, known);
    let Decision::Enroll(plan) = decision else { panic!("{decision:?}") };
    plan
}

#[track_caller]
fn code(attempt: &Attempt, known: &Known) -> &'static str {
    let decision = decide(attempt, known);
    let Decision::Refuse(refusal) = decision else { panic!("{decision:?}") };
    refusal.code.as_str()
}

#[test]
fn section_6_unknown_expired_revoked_used() {
    let unknown = Known { token: None, ..known(token(TokenType::Once)) };
    assert_eq!(code(&attempt(), &unknown), "invalid_enrollment_token");
    let late = Attempt { now: NOW + 60, ..attempt() };
    assert_eq!(code(&late, &known(token(TokenType::Once))), "enrollment_token_expired");
    assert_eq!(code(&late, &known(token(TokenType::Cluster))), "enrollment_token_expired");
    for (status, word) in [
        (TokenStatus::Expired, "enrollment_token_expired"),
        (TokenStatus::Revoked, "enrollment_token_revoked"),
        (TokenStatus::Used, "enrollment_token_used"),
    ] {
        assert_eq!(code(&attempt(), &known(TokenRecord { status, ..token(TokenType::Once) })), word);
    }
    // Used stays used after its time has passed.
    let used = TokenRecord { status: TokenStatus::Used, ..token(TokenType::Once) };
    assert_eq!(code(&late, &known(used)), "enrollment_token_used");
}

#[test]
fn section_4_a_plain_token_makes_a_new_record_and_is_used_up() {
    let made = plan(&attempt(), &known(token(TokenType::Once)));
    assert_eq!((made.record, made.slot, made.token), (RecordPlan::New, SlotPlan::Take, TokenPlan::UseUp));
    assert_eq!(made.warnings, Vec::<String>::new());
}

#[test]
fn section_4_a_plain_token_warns_a_host_that_holds_an_identity() {
    let held = Attempt { sensor_id: Some(SensorId::random()), ..attempt() };
    let standing = |held| Known { held, ..known(token(TokenType::Once)) };
    let made = plan(&held, &standing(Some(Standing::Active)));
    assert_eq!(made.record, RecordPlan::New);
    assert!(made.warnings[0].contains("delete the old one"), "{:?}", made.warnings);
    let unwanted = Attempt { second_record: SecondRecord::Unwanted, ..held };
    for speaks in [Standing::Active, Standing::Disabled, Standing::Decommissioned] {
        assert_eq!(code(&unwanted, &standing(Some(speaks))), "sensor_binding_mismatch");
    }
    // Nothing renews a record that is revoked or gone, so that another is not a second.
    for (gone, said) in [(Some(Standing::Revoked), "delete the old one"), (None, "does not know")] {
        let made = plan(&unwanted, &standing(gone));
        assert_eq!((made.record, made.warnings.len()), (RecordPlan::New, 1));
        assert!(made.warnings[0].contains(said), "{:?}", made.warnings);
    }
    let without = Attempt { second_record: SecondRecord::Unwanted, ..attempt() };
    plan(&without, &known(token(TokenType::Once)));
}

#[test]
fn section_4_a_re_enrollment_token_updates_its_own_record() {
    let bound = own(Standing::Active);
    let token = TokenRecord { sensor_id: Some(bound.id), ..token(TokenType::Once) };
    let facts = Known { own: Some(bound), ..known(token) };
    for sensor_id in [None, Some(bound.id)] {
        let made = plan(&Attempt { sensor_id, second_record: SecondRecord::Unwanted, ..attempt() }, &facts);
        assert_eq!(
            (made.record, made.slot, made.token),
            (RecordPlan::Update(bound.id), SlotPlan::Keep, TokenPlan::UseUp)
        );
        assert!(made.warnings.is_empty());
    }
    let other = Attempt { sensor_id: Some(SensorId::random()), ..attempt() };
    assert_eq!(code(&other, &facts), "sensor_binding_mismatch");
    assert_eq!(code(&attempt(), &Known { own: None, ..facts }), "sensor_binding_mismatch");
}

#[test]
fn section_4_a_cluster_token_asks_for_its_cluster() {
    let facts = known(token(TokenType::Cluster));
    assert_eq!(plan(&attempt(), &facts).token, TokenPlan::CountNode);
    for cluster_name in [None, Some("ran-west".parse().unwrap())] {
        assert_eq!(code(&Attempt { cluster_name, ..attempt() }, &facts), "cluster_mismatch");
    }
    let once = TokenRecord { cluster_id: Some("ran-west".parse().unwrap()), ..token(TokenType::Once) };
    assert_eq!(code(&attempt(), &known(once)), "cluster_mismatch");
}

#[test]
fn section_4_max_nodes_counts_nodes_and_not_uses() {
    let full = TokenRecord { max_nodes: Some(2), node_count: 2, use_count: 9, ..token(TokenType::Cluster) };
    assert_eq!(code(&attempt(), &known(full.clone())), "max_nodes_exceeded");
    let again = Known { node: NodeCount::Counted, own: Some(own(Standing::Active)), ..known(full.clone()) };
    assert_eq!(plan(&attempt(), &again).token, TokenPlan::CountUse);
    let one_left = TokenRecord { node_count: 1, ..full };
    assert_eq!(plan(&attempt(), &known(one_left)).token, TokenPlan::CountNode);
}

#[test]
fn section_4_a_cluster_node_gets_its_own_record_back() {
    let mine = own(Standing::Active);
    let facts = Known { own: Some(mine), ..known(token(TokenType::Cluster)) };
    let made = plan(&Attempt { sensor_id: Some(mine.id), ..attempt() }, &facts);
    assert_eq!((made.record, made.slot), (RecordPlan::Update(mine.id), SlotPlan::Keep));
    assert!(made.warnings.is_empty());
    let other = plan(&Attempt { sensor_id: Some(SensorId::random()), ..attempt() }, &facts);
    assert_eq!((other.record, other.warnings.len()), (RecordPlan::Update(mine.id), 1));
}

#[test]
fn section_4_the_licence_limits_new_slots_only() {
    let slots = Slots { limit: 3, taken: 3, ..Slots::default() };
    let fresh = Known { slots, ..known(token(TokenType::Once)) };
    assert_eq!(code(&attempt(), &fresh), "NodeLimitExceeded");
    let active = Known { slots, own: Some(own(Standing::Active)), ..known(token(TokenType::Cluster)) };
    assert_eq!(plan(&attempt(), &active).slot, SlotPlan::Keep);
    let retired = Known { own: Some(own(Standing::Decommissioned)), ..active };
    assert_eq!(code(&attempt(), &retired), "NodeLimitExceeded");
    let room = Known { slots: Slots { limit: 4, taken: 3, ..Slots::default() }, ..retired };
    assert_eq!(plan(&attempt(), &room).slot, SlotPlan::Take);
}

#[test]
fn section_6_revoked_and_disabled_nodes_stay_off() {
    for (standing, word) in [(Standing::Revoked, "sensor_revoked"), (Standing::Disabled, "sensor_disabled")] {
        let facts = Known { own: Some(own(standing)), ..known(token(TokenType::Cluster)) };
        assert_eq!(code(&attempt(), &facts), word);
        let earlier = Some(Earlier { sensor: own(standing), used_at: NOW - 1 });
        assert_eq!(code(&attempt(), &Known { earlier, ..known(token(TokenType::Once)) }), word);
    }
}

/// The repeat rule: the same answer for 24 h after use, even when the token has expired since.
#[test]
fn section_3_a_repeat_is_the_same_enrollment_for_24_hours() {
    let sensor = own(Standing::Active);
    let used = TokenRecord { status: TokenStatus::Used, used_at: Some(NOW), ..token(TokenType::Once) };
    let full = Slots { limit: 0, taken: 0, ..Slots::default() };
    let facts = Known { earlier: Some(Earlier { sensor, used_at: NOW }), slots: full, ..known(used.clone()) };
    let day = 24 * 3600;
    for now in [NOW, NOW + 3600, NOW + day - 1] {
        let decision = decide(&Attempt { now, ..attempt() }, &facts);
        assert_eq!(decision, Decision::Repeat(sensor.id, SlotPlan::Keep));
    }
    assert_eq!(code(&Attempt { now: NOW + day, ..attempt() }, &facts), "enrollment_token_used");
    // Another key finds no earlier enrollment.
    assert_eq!(code(&attempt(), &Known { earlier: None, ..facts }), "enrollment_token_used");
}

#[test]
fn section_3_a_cluster_tokens_repeat_uses_nothing_and_becomes_an_enrollment_after_a_day() {
    let sensor = own(Standing::Active);
    let cluster = TokenRecord { expires_at: NOW + 30 * 24 * 3600, ..token(TokenType::Cluster) };
    let facts = Known {
        earlier: Some(Earlier { sensor, used_at: NOW }),
        own: Some(sensor),
        node: NodeCount::Counted,
        ..known(cluster)
    };
    assert_eq!(decide(&attempt(), &facts), Decision::Repeat(sensor.id, SlotPlan::Keep));
    let later = Attempt { now: NOW + 24 * 3600, ..attempt() };
    assert_eq!(plan(&later, &facts).record, RecordPlan::Update(sensor.id));
}

#[test]
fn section_4_a_decommissioned_node_comes_back_by_a_repeat_if_a_slot_is_left() {
    let sensor = own(Standing::Decommissioned);
    let facts = Known { earlier: Some(Earlier { sensor, used_at: NOW }), ..known(token(TokenType::Cluster)) };
    assert_eq!(decide(&attempt(), &facts), Decision::Repeat(sensor.id, SlotPlan::Take));
    let full = Known { slots: Slots { limit: 1, taken: 1, ..Slots::default() }, ..facts };
    assert_eq!(code(&attempt(), &full), "NodeLimitExceeded");
}

#[test]
fn section_3_operators_may_have_a_say() {
    let waiting = Known { approval: Approval::Waiting, ..known(token(TokenType::Once)) };
    assert_eq!(decide(&attempt(), &waiting), Decision::Wait);
    let denied = Known { approval: Approval::Denied, ..waiting };
    assert_eq!(code(&attempt(), &denied), "enrollment_denied");
    let rule = RuleId::random();
    let covered = Known { approval: Approval::ByRule(rule), ..denied.clone() };
    assert_eq!(plan(&attempt(), &covered).rule, Some(rule));
    let outside = Known { approval: Approval::RoleNotAllowed, ..denied };
    assert_eq!(code(&attempt(), &outside), "role_not_allowed");
}

/// A waiting enrollment reserves its token for its key; its expiry no longer matters; a denial ends it.
#[test]
fn section_3_a_waiting_enrollment_reserves_its_token() {
    let late = Attempt { now: NOW + 3600, ..attempt() };
    for kind in [TokenType::Once, TokenType::Cluster] {
        let held = |reservation, approval| Known { reservation, approval, ..known(token(kind)) };
        let waiting = held(Reservation::Mine(Ruling::Waiting), Approval::Waiting);
        assert_eq!(decide(&late, &waiting), Decision::Wait);
        plan(&late, &held(Reservation::Mine(Ruling::Approved), Approval::Approved));
        let denied = held(Reservation::Mine(Ruling::Denied), Approval::Denied);
        assert_eq!(code(&late, &denied), "enrollment_denied");
        assert_eq!(code(&attempt(), &held(Reservation::Taken, Approval::Waiting)), "enrollment_token_used");
        let revoked = TokenRecord { status: TokenStatus::Revoked, ..token(kind) };
        assert_eq!(code(&late, &Known { token: Some(revoked), ..waiting }), "enrollment_token_revoked");
    }
    let reserved = TokenRecord { reserved_at: Some(NOW), ..token(TokenType::Once) };
    assert_eq!(reserved.status_at(NOW + 3600), TokenStatus::Pending);
}

#[test]
fn section_4_a_node_key_tells_the_three_names_apart() {
    let key = |c: &str, i: Option<&str>, n: &str| {
        node_key(&c.parse().unwrap(), i.map(|i| i.parse().unwrap()).as_ref(), &n.parse().unwrap())
    };
    assert_eq!(key("c", Some("i"), "n"), "c/i/n");
    assert_ne!(key("c", None, "n"), key("c", Some("n"), "n"));
}

/// When the licence's time is over no new host comes in, and whoever is known goes on.
#[test]
fn section_4_an_expired_licence_refuses_new_hosts_alone() {
    let slots = Slots { limit: 10, taken: 1, term: Term::Expired { ended_at: 0 } };
    let fresh = Known { slots, ..known(token(TokenType::Once)) };
    assert_eq!(code(&attempt(), &fresh), "NodeLimitExceeded");
    for standing in [Standing::Active, Standing::Decommissioned] {
        plan(&attempt(), &Known { slots, own: Some(own(standing)), ..known(token(TokenType::Cluster)) });
    }
    let grace = Slots { term: Term::Grace { ended_at: 0, grace_ends_at: 1 }, ..slots };
    plan(&attempt(), &Known { slots: grace, ..known(token(TokenType::Once)) });
}
