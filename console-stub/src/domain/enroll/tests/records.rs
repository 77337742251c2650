//! Whose record an enrollment gets (docs/contract.md section 4).

use super::*;

/// For whoever proves the key or has the machine id; once nobody is behind the record, for whoever names it.
#[test]
fn section_4_a_re_enrollment_token_works_for_its_sensor() {
    let bound = Own { machine: Some(id("a")), ..own(Standing::Active) };
    let token = TokenRecord { sensor_id: Some(bound.id), ..token(TokenType::Once) };
    let facts = Known { own: Some(bound.clone()), ..known(token.clone()) };
    let unwanted = |attempt: Attempt| Attempt { second_record: SecondRecord::Unwanted, ..attempt };
    let made = plan(&unwanted(on("a")), &facts);
    assert_eq!(
        (made.record, made.slot, made.token),
        (RecordPlan::Update(bound.id, Claim::Token), SlotPlan::Keep, TokenPlan::UseUp)
    );
    let proved = Known { proved: Some(bound.clone()), ..facts.clone() };
    let made = plan(&unwanted(on("b")), &proved);
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::Update(bound.id, Claim::Key), 0));

    // Named alone: not while it is alive.
    for named in [on("b"), holding(Some(bound.id))] {
        assert_eq!(asked(&named, &facts).reason, Reason::Conflict);
        let later = Attempt { now: NOW + 300, ..named };
        let late = TokenRecord { expires_at: NOW + 900, ..token.clone() };
        let made = plan(&later, &Known { token: Some(late), ..facts.clone() });
        assert_eq!(made.record, RecordPlan::Update(bound.id, Claim::Silent));
    }
    let mut other = on("b");
    other.facts.node_name = "web-2".parse().unwrap();
    assert_eq!(code(&other, &facts), "sensor_binding_mismatch");
    assert_eq!(code(&holding(Some(SensorId::random())), &facts), "sensor_binding_mismatch");
    assert_eq!(code(&attempt(), &Known { own: None, ..facts.clone() }), "sensor_binding_mismatch");

    // New hardware under a new name.
    let any = Known { token: Some(TokenRecord { replace_host: true, ..token }), mode: Mode::All, ..facts };
    let made = plan(&other, &any);
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::Update(bound.id, Claim::Token), 1));
    other.facts.role = "amf".parse().unwrap();
    assert_eq!(asked(&other, &any).reason, Reason::Changed);
}

#[test]
fn section_4_a_cluster_node_gets_its_own_record_back() {
    let mine = Own { certificate_until: NOW, ..own(Standing::Active) };
    let facts = Known { own: Some(mine.clone()), ..known(token(TokenType::Cluster)) };
    let made = plan(&holding(Some(mine.id)), &facts);
    assert_eq!((made.record, made.slot), (RecordPlan::Update(mine.id, Claim::Silent), SlotPlan::Keep));
    assert!(made.warnings.is_empty());
    let other = plan(&holding(Some(SensorId::random())), &facts);
    assert_eq!((other.record, other.warnings.len()), (RecordPlan::Update(mine.id, Claim::Silent), 1));
}

/// A living record goes to whoever proves its key, to its own machine at most twice a day, or by approval.
#[test]
fn section_4_a_name_is_not_an_identity() {
    let mine = Own { machine: Some(id("a")), ..own(Standing::Active) };
    let with = |mine: &Own| Known { own: Some(mine.clone()), ..known(token(TokenType::Cluster)) };
    let claim = |attempt: &Attempt, mine: &Own| {
        let decision = decide(attempt, &with(mine));
        if let Decision::InUse(_) = decision {
            return None;
        }
        let Decision::Enroll(Plan { record: RecordPlan::Update(_, claim), .. }) = decision else {
            panic!("{decision:?}")
        };
        Some(claim)
    };
    for stranger in [on("b"), attempt(), holding(Some(mine.id))] {
        assert_eq!(claim(&stranger, &mine), None);
    }
    assert_eq!(claim(&on("a"), &mine), Some(Claim::Machine));
    let once = Own { replaced_at: [Some(NOW - 5), None], ..mine.clone() };
    assert_eq!(claim(&on("a"), &once), Some(Claim::Machine));
    let day = 24 * 3600;
    for (before, again) in [(NOW - day + 1, None), (NOW - day, Some(Claim::Machine))] {
        let twice = Own { replaced_at: [Some(NOW - 5), Some(before)], ..mine.clone() };
        assert_eq!(claim(&on("a"), &twice), again);
    }
    // Where neither side has a machine id, silence tells.
    let unknown = |silent| Own { heard_at: NOW - silent, ..own(Standing::Active) };
    assert_eq!(claim(&attempt(), &unknown(44)), None);
    assert_eq!(claim(&attempt(), &unknown(45)), Some(Claim::Silent));
    assert_eq!(claim(&on("b"), &unknown(45)), None);
    let slow = |silent| Own { heartbeat: 60, ..unknown(silent) };
    assert_eq!(claim(&attempt(), &slow(179)), None);
    assert_eq!(claim(&attempt(), &slow(180)), Some(Claim::Silent));
    // Nobody is behind it.
    for dead in [
        Own { heard_at: NOW - 360, ..mine.clone() },
        Own { certificate_until: NOW, ..mine.clone() },
        Own { standing: Standing::Decommissioned, ..mine.clone() },
    ] {
        assert_eq!(claim(&on("b"), &dead), Some(Claim::Silent));
    }
    assert_eq!(claim(&on("b"), &Own { heard_at: NOW - 359, ..mine.clone() }), None);
    assert_eq!(claim(&on("b"), &Own { heard_at: NOW - 3600, heartbeat: 1800, ..mine.clone() }), None);

    let ask = asked(&on("b"), &with(&mine));
    assert_eq!((ask.reason, ask.record), (Reason::Conflict, Some(mine.id)));
    let approved = Known { reservation: row(Ruling::Approved, ask), ..with(&mine) };
    let made = plan(&on("b"), &approved);
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::Update(mine.id, Claim::Approval), 1));
    assert_eq!(asked(&on("c"), &approved).reason, Reason::Conflict, "another machine than the one approved");
    let waits = Known { reservation: row(Ruling::Waiting, ask), ..with(&mine) };
    assert_eq!(decide(&on("b"), &waits), Decision::InUse(ask));
    let late = Attempt { now: NOW + 60, ..on("b") };
    assert_eq!(code(&late, &waits), "enrollment_token_expired", "a conflict reserves no token");
}

#[test]
fn section_4_a_cluster_token_never_doubles_a_living_host() {
    let mine = own(Standing::Active);
    let facts = Known { proved: Some(mine.clone()), ..known(token(TokenType::Cluster)) };
    let made = plan(&on("b"), &facts);
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::Update(mine.id, Claim::Key), 0));
    // Another's name, whether or not anybody is behind it.
    let named = Known { own: Some(Own { heard_at: 0, ..own(Standing::Active) }), ..facts.clone() };
    assert_eq!(code(&attempt(), &named), "node_name_in_use");

    // A changed role or name is looked at wherever the mode asks.
    let mut renamed = attempt();
    renamed.facts.node_name = "edge-9".parse().unwrap();
    let mut other_role = attempt();
    other_role.facts.role = "amf".parse().unwrap();
    for changed in [renamed, other_role] {
        assert_eq!(plan(&changed, &facts).record, RecordPlan::Update(mine.id, Claim::Key));
        let asks = Known { mode: Mode::Cluster, ..facts.clone() };
        let ask = asked(&changed, &asks);
        assert_eq!((ask.reason, ask.record), (Reason::Changed, Some(mine.id)));
        plan(&changed, &Known { reservation: row(Ruling::Approved, ask), ..asks });
    }
    plan(&attempt(), &Known { mode: Mode::All, ..facts.clone() });

    // Another cluster's.
    let west = Own { cluster: Some("ran-west".parse().unwrap()), ..mine };
    let foreign = Known { proved: Some(west.clone()), ..facts.clone() };
    let unwanted = |attempt: Attempt| Attempt { second_record: SecondRecord::Unwanted, ..attempt };
    assert_eq!(code(&unwanted(attempt()), &foreign), "sensor_binding_mismatch");
    let made = plan(&attempt(), &foreign);
    assert_eq!((made.record, made.warnings.len()), (RecordPlan::New, 1));
    // What a host only says of itself counts as long as somebody is behind that record.
    let said = Known { proved: None, held: Some(west.clone()), ..facts };
    assert_eq!(code(&unwanted(holding(Some(west.id))), &said), "sensor_binding_mismatch");
    let silent = Known { held: Some(Own { heard_at: 0, ..west.clone() }), ..said };
    assert_eq!(plan(&unwanted(holding(Some(west.id))), &silent).record, RecordPlan::New);
}

/// The same node comes back as a new one, and only after an operator's approval.
#[test]
fn section_4_a_revoked_record_never_comes_back() {
    let gone = own(Standing::Revoked);
    let named = Known { own: Some(gone.clone()), ..known(token(TokenType::Cluster)) };
    let proved = Known { proved: Some(gone.clone()), ..known(token(TokenType::Cluster)) };
    let held = Known { held: Some(gone.clone()), ..known(token(TokenType::Once)) };
    let rule = Rule {
        id: RuleId::random(),
        allowed_roles: Vec::new(),
        max_nodes: None,
        node_count: 0,
        counted: false,
    };
    for facts in [named, proved, held] {
        let host = Attempt { second_record: SecondRecord::Unwanted, ..holding(Some(gone.id)) };
        let facts = Known { rules: vec![rule.clone()], ..facts };
        let ask = asked(&host, &facts);
        assert_eq!((ask.reason, ask.record), (Reason::Revoked, Some(gone.id)));
        let made = plan(&host, &Known { reservation: row(Ruling::Approved, ask), ..facts });
        assert_eq!((made.record, made.slot), (RecordPlan::InsteadOf(gone.id), SlotPlan::Take));
    }
    let bound = TokenRecord { sensor_id: Some(gone.id), ..token(TokenType::Once) };
    assert_eq!(code(&attempt(), &Known { own: Some(gone), ..known(bound) }), "sensor_revoked");
}
