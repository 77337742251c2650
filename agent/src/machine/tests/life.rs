//! The good days: first enrollment, approval, renewal, new tokens, and a Console that lacks something.

use super::*;

pub(super) fn second(rig: &Rig, paid_by: TokenFacts) -> Identity {
    identity(2, rig.now.wall, paid_by)
}

#[test]
fn a_first_enrollment() {
    let mut rig = Rig::enrolling();
    assert_eq!(rig.state(), StateName::Enrolling);
    rig.answer(Outcome::Enrolled(identity(1, start(), token(1))));
    assert_eq!(rig.effects, [Effect::Publish { generation: 1 }], "nothing stands that could be harmed");
    rig.send(Input::Published);
    assert_eq!(rig.call(), Call::Heartbeat, "the first heartbeat at once");
    assert!(rig.wanted(&Effect::NotifyConsumers { generation: 1 }));
    rig.answer(Outcome::Accepted(accepted()));
    let spent = Effect::TokenSpent { token: token(1).hash(), token_type: Some(TokenType::Once) };
    assert_eq!(rig.effects, [Effect::SetReady(true), spent]);
    assert!(
        (13_500..=16_500).contains(&rig.deadline().unwrap().as_millis()),
        "fifteen seconds, and not in step with others"
    );
    let report = rig.report();
    assert_eq!(report.last_contact, Some(rig.now.wall));
    assert_eq!((report.last_error, report.generation), (None, Some(1)));
}

#[test]
fn one_line_for_each_change_of_state() {
    let mut rig = Rig::enrolling();
    let mut lines = Vec::new();
    let mut note = |rig: &Rig| {
        for effect in &rig.effects {
            if let Effect::StateChanged { from, to, reason } = effect {
                assert!(!reason.is_empty());
                lines.push((*from, *to));
            }
        }
    };
    rig.answer(Outcome::Waiting(Duration::from_secs(30)));
    note(&rig);
    rig.wake();
    rig.answer(Outcome::Waiting(Duration::from_secs(30)));
    note(&rig);
    rig.wake();
    rig.answer(Outcome::Enrolled(identity(1, start(), token(1))));
    note(&rig);
    rig.send(Input::Published);
    note(&rig);
    rig.answer(Outcome::Accepted(accepted()));
    note(&rig);
    use StateName::{Active, AwaitingApproval, Enrolling};
    assert_eq!(lines, [(Enrolling, AwaitingApproval), (AwaitingApproval, Enrolling), (Enrolling, Active)]);
}

#[test]
fn an_approval_is_waited_for_and_a_denial_ends_it() {
    let mut rig = Rig::enrolling();
    rig.answer(Outcome::Waiting(Duration::from_secs(60)));
    assert_eq!(rig.state(), StateName::AwaitingApproval);
    assert_eq!(rig.report().waiting_for, crate::machine::Actor::ConsoleOperator);
    assert!((60..=66).contains(&rig.wake().as_secs()));
    assert!(is_enroll(&rig.call()));
    rig.fail(unreachable());
    assert_eq!(rig.state(), StateName::AwaitingApproval, "a network that fails ends no waiting");
    rig.wake();
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentDenied)));
    assert_eq!((rig.state(), rig.calls()), (StateName::Refused, None));
    // Another token waits for nobody, whatever held the one before.
    for held_up in
        [Outcome::Waiting(Duration::from_secs(600)), Outcome::Failed(refusal(ErrorCode::SensorDisabled))]
    {
        let mut rig = Rig::enrolling();
        rig.answer(held_up);
        rig.send(Input::Token(Some(token(2))));
        assert!(is_enroll(&rig.call()));
        assert_eq!(rig.state(), StateName::Enrolling);
    }
    // A Console that asks for no wait, or for a year, is not taken at its word.
    let mut rig = Rig::enrolling();
    rig.answer(Outcome::Waiting(Duration::ZERO));
    assert!(rig.wake() >= Duration::from_secs(1));
    rig.answer(Outcome::Waiting(Duration::MAX));
    assert!(rig.wake() <= Duration::from_secs(600));
}

#[test]
fn without_a_token_nothing_happens() {
    let mut rig = Rig::started(None, disk(Current::Nothing));
    assert_eq!((rig.state(), rig.deadline()), (StateName::Unenrolled, None));
    assert_eq!(rig.code(), "unenrolled");
    rig.send(Input::Token(Some(token(1))));
    assert_eq!(rig.call(), Call::ProbeClock);
}

#[test]
fn a_renewal() {
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Renewed(second(&rig, token(1))));
    assert_eq!(rig.effects, [Effect::Call(Call::Prove { generation: 2 })]);
    rig.answer(Outcome::Failed(failure(Code::NotAConsole)));
    assert_eq!(rig.state(), StateName::Renewing);
    assert_eq!(rig.report().generation, Some(1), "the old one stands until the new one is proven");
    // And beats on, so that the Console does not take this host for gone.
    let from = rig.now.mono;
    assert!(rig.wake() <= Duration::from_secs(16) && rig.call() == Call::Heartbeat);
    rig.wake_until(|call| *call == Call::Prove { generation: 2 }, Duration::from_secs(300));
    assert!(rig.now.mono - from >= Duration::from_secs(150));
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!((&rig.effects[..], rig.code().as_str()), (&[Effect::Publish { generation: 2 }][..], ""));
    rig.send(Input::PublishFailed(fault(Code::StateIoError)));
    assert_eq!(rig.effects, [Effect::Load], "is it still there?");
    let committed = Some(second(&rig, token(1)));
    rig.loaded(Loaded { committed, ready_since: Some(start()), ..disk(intact()) });
    assert_eq!(rig.calls(), None, "no call with the identity that the Console has seen replaced");
    assert_eq!(rig.code(), "state_io_error");
    rig.wake();
    assert_eq!(rig.effects, [Effect::Publish { generation: 2 }]);
    rig.send(Input::Published);
    assert!(rig.wanted(&Effect::NotifyConsumers { generation: 2 }));
    assert_eq!((rig.state(), rig.code()), (StateName::Active, String::new()));
    assert!(rig.report().renew_at.unwrap() > rig.now.wall);
}

#[test]
fn a_certificate_that_is_issued_and_then_not_accepted_is_set_aside() {
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Renewed(second(&rig, token(1))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(rig.call(), Call::Heartbeat, "does the old one still work?");
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.state(), StateName::Renewing);
    assert!(rig.wake_until(is_renew, Duration::from_secs(300)).as_secs() >= 150);

    // The same after an enrollment: the token is spent on it.
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Enrolled(second(&rig, token(2))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    rig.answer(Outcome::Accepted(accepted()));
    rig.only_heartbeats_for(Duration::from_secs(500));
    assert_eq!(rig.state(), StateName::Active);
    assert!(rig.report().last_error.unwrap().message.contains("did not accept it"));
    rig.wake_until(is_enroll, Duration::from_secs(100));
}

#[test]
fn a_candidate_that_is_refused_for_now_is_kept_until_another_token_comes() {
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Enrolled(second(&rig, token(2))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorDisabled)));
    assert_eq!((rig.state(), rig.calls()), (StateName::Refused, None));
    let waited = rig.wake_until(|call| *call == Call::Prove { generation: 2 }, Duration::from_secs(300));
    assert!(waited.as_secs() >= 150);
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorDisabled)));
    // The enrollment that brought it is asked for again beside its proof.
    assert!(is_enroll(&rig.call()));
    rig.fail(unreachable());
    rig.send(Input::Token(Some(token(3))));
    assert!(is_enroll(&rig.call()));
}

#[test]
fn heartbeats_keep_within_bounds_and_do_not_beat_in_step() {
    let mut rig = Rig::active();
    for (asked, least, most) in [(0, 0.9, 1.1), (60, 54.0, 66.0), (86_400, 270.0, 330.0)] {
        let mut waits = Vec::new();
        for _ in 0..50 {
            rig.wake();
            let interval = Duration::from_secs(asked);
            rig.answer(Outcome::Accepted(Accepted { interval, ..accepted() }));
            waits.push(rig.deadline().unwrap().as_secs_f64());
        }
        assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{asked}: {waits:?}");
        waits.dedup();
        assert!(waits.len() > 40);
    }
}

#[test]
fn an_answer_without_trust_is_no_acceptance() {
    let mut rig = Rig::active();
    rig.wake();
    rig.answer(Outcome::Accepted(Accepted { trust_state: TrustState::TrustRevoked, ..accepted() }));
    assert!(rig.wanted(&Effect::SetReady(false)));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Refused, "trust_revoked"));
    assert!((3240..=3600).contains(&rig.wake().as_secs()), "hourly, and not with every heartbeat");
    rig.answer(Outcome::Accepted(Accepted { trust_state: TrustState::Rotated, ..accepted() }));
    assert!(rig.wanted(&Effect::SetReady(true)));
}

#[test]
fn a_console_without_renewal_is_lived_with() {
    // With a token for one use: said, and tried again.
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    assert_eq!(rig.state(), StateName::Active);
    assert!(rig.report().notes[0].contains("give this host a token before"), "{:?}", rig.report().notes);
    // With a cluster's: enrolled again, the old one kept until the new one is proven.
    let cluster = Identity { token_type: Some(TokenType::Cluster), ..identity(1, start(), token(1)) };
    let mut rig = Rig::renewing_with(cluster);
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    assert_eq!(rig.call(), Call::Enroll { replaces: Some(sensor(1)), reason: EnrollReason::NoRenewal });
    assert_eq!(rig.state(), StateName::Renewing);
    rig.answer(Outcome::Enrolled(second(&rig, token(1))));
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
    // One that renewed before does not lack it now.
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Renewed(second(&rig, token(1))));
    rig.answer(Outcome::Accepted(accepted()));
    rig.send(Input::Published);
    rig.answer(Outcome::Accepted(accepted()));
    rig.jump_to_renewal();
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    assert_eq!((rig.state(), rig.report().notes), (StateName::Renewing, Vec::new()));
    assert!(rig.wake_until(is_renew, Duration::from_secs(300)).as_secs() >= 150);
}

#[test]
fn a_console_without_heartbeat_is_lived_with() {
    let missing = || Outcome::Failed(failure(Code::NoSuchPath));
    let mut rig = Rig::started(None, disk(intact()));
    rig.answer(missing());
    assert!(rig.wanted(&Effect::SetReady(true)) && rig.state() == StateName::Active);
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Enrolled(second(&rig, token(2))));
    rig.answer(missing());
    assert_eq!(rig.effects, [Effect::Publish { generation: 2 }], "that it chains has to do");
    rig.send(Input::Published);
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Active));
    assert!((540..=600).contains(&rig.wake().as_secs()));
    // Where it worked a moment ago, a proxy is likelier to blame than the Console.
    let mut rig = Rig::active();
    rig.wake();
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    assert_eq!((&rig.effects[..], rig.state()), (&[][..], StateName::Active));
    assert!(rig.report().notes.is_empty(), "it is not called missing");
    assert!((150..=300).contains(&rig.wake().as_secs()));
    // Another process heard it, which counts as much.
    let heard = Heard { heartbeat: true, renewal: true };
    let mut rig = Rig::started(None, Loaded { heard, ..disk(intact()) });
    rig.answer(missing());
    assert!(rig.report().notes.is_empty() && !rig.wanted(&Effect::SetReady(true)));
    assert!((150..=300).contains(&rig.wake().as_secs()));
    // And it proves nothing of a successor, nor does it take a refusal back.
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Enrolled(second(&rig, token(2))));
    rig.answer(missing());
    assert!(!rig.wanted(&Effect::Publish { generation: 2 }));
    let waited = rig.wake_until(|call| *call == Call::Prove { generation: 2 }, Duration::from_secs(3600));
    assert!((150..=300).contains(&waited.as_secs()), "{waited:?}");
    let mut rig = Rig::active();
    rig.wake();
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorDisabled)));
    assert!(rig.wanted(&Effect::SetReady(false)));
    rig.wake();
    rig.answer(missing());
    assert!(!rig.wanted(&Effect::SetReady(true)));
    assert_eq!(rig.state(), StateName::Refused);
}

#[test]
fn a_new_token_on_an_enrolled_host() {
    let mut rig = Rig::active();
    rig.send(Input::Token(None));
    rig.send(Input::Token(Some(token(1))));
    assert_eq!(rig.effects, [], "the token that paid for it is no news");
    rig.send(Input::Token(Some(token(2))));
    assert_eq!(rig.call(), Call::Enroll { replaces: Some(sensor(1)), reason: EnrollReason::NewToken });
    assert_eq!(rig.state(), StateName::Renewing);
    rig.answer(Outcome::Waiting(Duration::from_secs(60)));
    assert_eq!(rig.state(), StateName::Renewing);
    assert_eq!(rig.report().waiting_for, crate::machine::Actor::ConsoleOperator);
    let beats = {
        let mut beats = 0;
        loop {
            rig.wake();
            if is_enroll(&rig.call()) {
                break beats;
            }
            assert_eq!(rig.call(), Call::Heartbeat);
            beats += 1;
            rig.answer(Outcome::Accepted(accepted()));
            if rig.calls().is_some_and(|call| is_enroll(&call)) {
                break beats;
            }
        }
    };
    assert!(beats >= 3, "the old identity beats on: {beats}");
    // The Console refuses the plain token, because this host has a record already.
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorBindingMismatch)));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Active, "sensor_binding_mismatch"));
    rig.only_heartbeats_for(Duration::from_secs(500));
    // With another setting (--new-sensor) it may be asked again.
    rig.send(Input::ConfigChanged(Settings::default()));
    rig.loaded(disk(intact()));
    assert!(is_enroll(&rig.call()));
}

#[test]
fn an_enrollment_that_was_cut_short_is_finished() {
    let committed = Some(identity(2, start(), token(1)));
    let rig = Rig::started(Some(token(2)), Loaded { committed: committed.clone(), ..disk(Current::Nothing) });
    assert_eq!(rig.effects.last(), Some(&Effect::Publish { generation: 2 }));
    let rig = Rig::started(None, Loaded { committed, ..disk(intact()) });
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
}

#[test]
fn a_restart_without_network_leaves_readiness_alone() {
    let mut rig = Rig::started(None, Loaded { ready_since: Some(start()), ..disk(intact()) });
    assert_eq!(rig.report().last_contact, Some(start()));
    rig.fail(unreachable());
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::SetReady(_))));
}

#[test]
fn an_answer_that_does_not_belong_to_the_call_is_a_failure_of_the_call() {
    let mut rig = Rig::enrolling();
    rig.answer(Outcome::Decommissioned);
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Enrolling, "internal"));
    // And an answer that nobody waits for is none.
    rig.answer(Outcome::Enrolled(identity(1, start(), token(1))));
    rig.send(Input::Published);
    assert_eq!(rig.effects, []);
    // Nor does it end what is under way.
    let mut rig = Rig::active();
    rig.send(Input::FilesChanged);
    assert_eq!(rig.effects, [Effect::Load]);
    rig.answer(Outcome::Accepted(accepted()));
    rig.send(Input::FilesChanged);
    assert_eq!(rig.effects, []);
}

/// What held an enrollment up says nothing of the next one.
#[test]
fn an_enrollment_that_came_to_its_end_leaves_no_wait_behind() {
    let cluster = Identity { token_type: Some(TokenType::Cluster), ..identity(1, start(), token(1)) };
    let mut rig = Rig::enrolling();
    rig.answer(Outcome::Waiting(Duration::from_secs(30)));
    for _ in 0..9 {
        rig.wake();
        rig.fail(unreachable());
    }
    rig.wake();
    rig.answer(Outcome::Enrolled(cluster));
    rig.send(Input::Published);
    rig.lose();
    assert!(is_enroll(&rig.call()));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Enrolling, "invalid_sensor_trust"));
    rig.fail(unreachable());
    assert!(rig.wake() <= Duration::from_secs(1), "it is the first failure of this one");
}

#[test]
fn a_token_is_the_same_in_either_spelling() {
    let padded: EnrollmentToken =
        format!("{}=", EnrollmentToken::from_bytes(&[1; 32]).expose()).parse().unwrap();
    assert_eq!(TokenFacts::of(&padded), token(1));
    assert!(token(1).matches(&padded.hash_as_given()) && token(1).matches(&padded.hash()));
    assert!(!token(2).matches(&padded.hash_as_given()));
}
