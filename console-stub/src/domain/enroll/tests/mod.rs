//! The rules of docs/contract.md sections 3, 4 and 6, one test each, on the pure decision.

mod records;

use super::*;
use crate::domain::approval::{Facts, Mode, Pending, Rule};
use crate::domain::licence::Term;
use crate::domain::sensor::MachineId;

const NOW: i64 = 1_000_000;

fn token(kind: TokenType) -> TokenRecord {
    TokenRecord {
        id: crate::domain::token::TokenId::random(),
        kind,
        status: TokenStatus::Pending,
        label: None,
        cluster_id: (kind == TokenType::Cluster).then(|| "ran-east".parse().unwrap()),
        sensor_id: None,
        replace_host: false,
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
    let facts = Facts {
        node_name: "edge-1".parse().unwrap(),
        cluster_name: Some("ran-east".parse().unwrap()),
        install_id: None,
        role: telovix_contract::NodeRole::default(),
        sensor_id: None,
        machine_id: None,
        tags: telovix_contract::Tags::default(),
        flavor: telovix_contract::Flavor::default(),
    };
    Attempt { now: NOW, facts, second_record: SecondRecord::Welcome }
}

fn holding(sensor_id: Option<SensorId>) -> Attempt {
    Attempt { facts: Facts { sensor_id, ..attempt().facts }, ..attempt() }
}

fn on(machine: &str) -> Attempt {
    Attempt { facts: Facts { machine_id: Some(id(machine)), ..attempt().facts }, ..attempt() }
}

fn id(digit: &str) -> MachineId {
    digit.repeat(64).parse().unwrap()
}

fn known(token: TokenRecord) -> Known {
    Known {
        token: Some(token),
        earlier: None,
        own: None,
        proved: None,
        held: None,
        node: NodeCount::New,
        slots: Slots { limit: 10, taken: 0, ..Slots::default() },
        mode: Mode::Nobody,
        rules: Vec::new(),
        reservation: Reservation::Free,
    }
}

/// A record of the attempt's node that was heard of a minute ago.
fn own(standing: Standing) -> Own {
    let facts = attempt().facts;
    Own {
        id: SensorId::random(),
        standing,
        node_name: facts.node_name,
        cluster: facts.cluster_name,
        role: facts.role.to_string(),
        machine: None,
        heard_at: NOW - 60,
        certificate_until: NOW + 3600,
        heartbeat: 15,
        replaced_at: [None, None],
    }
}

fn row(ruling: Ruling, ask: Ask) -> Reservation {
    Reservation::Mine(Pending { ruling, reason: ask.reason, facts: ask.facts })
}

#[track_caller]
fn asked(attempt: &Attempt, known: &Known) -> Ask {
    let decision = decide(attempt, known);
    let (Decision::Wait(ask) | Decision::InUse(ask)) = decision else { panic!("{decision:?}") };
    ask
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
    let held = holding(Some(SensorId::random()));
    let standing = |held: Option<Standing>| Known { held: held.map(own), ..known(token(TokenType::Once)) };
    let made = plan(&held, &standing(Some(Standing::Active)));
    assert_eq!(made.record, RecordPlan::New);
    assert!(made.warnings[0].contains("delete the old one"), "{:?}", made.warnings);
    let unwanted = Attempt { second_record: SecondRecord::Unwanted, ..held };
    for speaks in [Standing::Active, Standing::Disabled, Standing::Decommissioned] {
        assert_eq!(code(&unwanted, &standing(Some(speaks))), "sensor_binding_mismatch");
    }
    // Nothing renews a record that is gone, so that another is not a second.
    let made = plan(&unwanted, &standing(None));
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::New, 1));
    assert!(made.warnings[0].contains("does not know"), "{:?}", made.warnings);
    // A host that says nothing, and proves it.
    let proved = Known { proved: Some(own(Standing::Active)), ..standing(None) };
    assert_eq!(plan(&attempt(), &proved).warnings.len(), 1);
    assert_eq!(
        code(&Attempt { second_record: SecondRecord::Unwanted, ..attempt() }, &proved),
        "sensor_binding_mismatch"
    );
    let without = Attempt { second_record: SecondRecord::Unwanted, ..attempt() };
    plan(&without, &known(token(TokenType::Once)));
}

#[test]
fn section_4_a_cluster_token_asks_for_its_cluster() {
    let facts = known(token(TokenType::Cluster));
    assert_eq!(plan(&attempt(), &facts).token, TokenPlan::CountNode);
    for cluster_name in [None, Some("ran-west".parse().unwrap())] {
        let there = Attempt { facts: Facts { cluster_name, ..attempt().facts }, ..attempt() };
        assert_eq!(code(&there, &facts), "cluster_mismatch");
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
    let disabled = Known { own: Some(own(Standing::Disabled)), ..known(token(TokenType::Cluster)) };
    assert_eq!(code(&attempt(), &disabled), "sensor_disabled");
    for (standing, word) in [(Standing::Revoked, "sensor_revoked"), (Standing::Disabled, "sensor_disabled")] {
        let earlier = Some(Earlier { sensor: SensorId::random(), standing, used_at: NOW - 1 });
        assert_eq!(code(&attempt(), &Known { earlier, ..known(token(TokenType::Once)) }), word);
    }
}

/// The repeat rule: the same answer for 24 h after use, even when the token has expired since.
#[test]
fn section_3_a_repeat_is_the_same_enrollment_for_24_hours() {
    let (sensor, standing) = (SensorId::random(), Standing::Active);
    let used = TokenRecord { status: TokenStatus::Used, used_at: Some(NOW), ..token(TokenType::Once) };
    let full = Slots { limit: 0, taken: 0, ..Slots::default() };
    let facts = Known {
        earlier: Some(Earlier { sensor, standing, used_at: NOW }),
        slots: full,
        ..known(used.clone())
    };
    let day = 24 * 3600;
    for now in [NOW, NOW + 3600, NOW + day - 1] {
        let decision = decide(&Attempt { now, ..attempt() }, &facts);
        assert_eq!(decision, Decision::Repeat(sensor, SlotPlan::Keep));
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
        earlier: Some(Earlier { sensor: sensor.id, standing: sensor.standing, used_at: NOW }),
        own: Some(sensor.clone()),
        node: NodeCount::Counted,
        ..known(cluster)
    };
    assert_eq!(decide(&attempt(), &facts), Decision::Repeat(sensor.id, SlotPlan::Keep));
    let later = Attempt { now: NOW + 24 * 3600, ..attempt() };
    assert_eq!(plan(&later, &facts).record, RecordPlan::Update(sensor.id, Claim::Silent));
}

#[test]
fn section_4_a_decommissioned_node_comes_back_by_a_repeat_if_a_slot_is_left() {
    let (sensor, standing) = (SensorId::random(), Standing::Decommissioned);
    let earlier = Some(Earlier { sensor, standing, used_at: NOW });
    let facts = Known { earlier, ..known(token(TokenType::Cluster)) };
    assert_eq!(decide(&attempt(), &facts), Decision::Repeat(sensor, SlotPlan::Take));
    let full = Known { slots: Slots { limit: 1, taken: 1, ..Slots::default() }, ..facts };
    assert_eq!(code(&attempt(), &full), "NodeLimitExceeded");
}

/// What is approved is what comes in.
#[test]
fn section_4_an_approval_holds_for_what_the_operator_saw() {
    let asks = Known { mode: Mode::All, ..known(token(TokenType::Once)) };
    let ask = asked(&attempt(), &asks);
    assert_eq!((ask.reason, ask.record), (Reason::New, None));
    let approved = Known { reservation: row(Ruling::Approved, ask), ..asks.clone() };
    assert_eq!(plan(&attempt(), &approved).record, RecordPlan::New);
    let mut other = attempt();
    other.facts.role = "amf".parse().unwrap();
    assert_ne!(asked(&other, &approved).facts, ask.facts);
    // Nor does a change of mode let in who waits; a rule does.
    let waits = Known { mode: Mode::Nobody, reservation: row(Ruling::Waiting, ask), ..asks.clone() };
    assert_eq!(decide(&attempt(), &waits), Decision::Wait(ask));
    let id = RuleId::random();
    let rule = Rule { id, allowed_roles: Vec::new(), max_nodes: None, node_count: 0, counted: false };
    assert_eq!(plan(&attempt(), &Known { rules: vec![rule], ..waits }).rule, Some(id));
    let denied = Known { reservation: row(Ruling::Denied, ask), ..asks };
    assert_eq!(code(&other, &denied), "enrollment_denied");
}

/// A waiting enrollment reserves its token for its key; its expiry no longer matters; a denial ends it.
#[test]
fn section_3_a_waiting_enrollment_reserves_its_token() {
    let late = Attempt { now: NOW + 3600, ..attempt() };
    for kind in [TokenType::Once, TokenType::Cluster] {
        let asks = Known { mode: Mode::All, ..known(token(kind)) };
        let ask = asked(&attempt(), &asks);
        let held = |ruling| Known { reservation: row(ruling, ask), ..asks.clone() };
        assert_eq!(decide(&late, &held(Ruling::Waiting)), Decision::Wait(ask));
        plan(&late, &held(Ruling::Approved));
        assert_eq!(code(&late, &held(Ruling::Denied)), "enrollment_denied");
        let taken = Known { reservation: Reservation::Taken, ..asks.clone() };
        assert_eq!(code(&attempt(), &taken), "enrollment_token_used");
        let revoked = TokenRecord { status: TokenStatus::Revoked, ..token(kind) };
        let revoked = Known { token: Some(revoked), ..held(Ruling::Waiting) };
        assert_eq!(code(&late, &revoked), "enrollment_token_revoked");
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
