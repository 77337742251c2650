//! The successor that is not current yet: what becomes of it, and what of the identity that stands.

use super::life::second;
use super::*;

/// A host that was given a token of its own for another sensor, and has to prove what it got.
fn proving_another_sensor() -> Rig {
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Enrolled(Identity { sensor_id: sensor(2), ..second(&rig, token(2)) }));
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
    rig
}

#[test]
fn a_refusal_of_another_sensor_says_nothing_of_the_one_that_stands() {
    for code in [ErrorCode::SensorDisabled, ErrorCode::SensorRevoked] {
        let mut rig = proving_another_sensor();
        rig.answer(Outcome::Failed(refusal(code)));
        assert!(!rig.wanted(&Effect::SetReady(false)), "{code:?}");
        assert_ne!(rig.state(), StateName::Refused, "{code:?}");
        assert!(rig.report().accepted);
    }
}

#[test]
fn a_refusal_is_not_held_against_a_successor_where_the_configuration_changed_meanwhile() {
    let mut rig = Rig::renewing();
    let next = second(&rig, token(1));
    rig.answer(Outcome::Renewed(next.clone()));
    rig.send(Input::ConfigChanged(Settings::default()));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    assert_eq!(rig.effects, [Effect::Load]);
    let loaded = Loaded { committed: Some(next), ..disk(intact()) };
    rig.loaded(loaded);
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
    // Without a change it is.
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused));
    let next = rig.report().last_error.unwrap().next_attempt.unwrap().duration_since(rig.now.wall);
    assert!((540..=600).contains(&next.as_secs()), "{next:?}");
    assert!(rig.wake_until_proof(2, Duration::from_secs(600)).as_secs() >= 540);
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    // Another configuration lets it be asked once more.
    rig.send(Input::ConfigChanged(Settings { node_name: "edge-2".into(), ..Settings::default() }));
    rig.loaded(disk(intact()));
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
}

/// docs/contract.md section 3: a successor never silences anything.
#[test]
fn nothing_waits_for_a_successor_whose_proof_fails() {
    for failure in [failure(Code::ConsoleNotTrusted), refusal(ErrorCode::Forbidden), unreachable()] {
        let mut rig = Rig::renewing();
        rig.answer(Outcome::Renewed(second(&rig, token(1))));
        rig.fail(failure.clone());
        // The same request is repeated beside the proof, and the identity in use beats on.
        let mut beats = 0;
        while rig.calls() != Some(Call::Renew) {
            match rig.calls() {
                Some(Call::Heartbeat) => {
                    beats += 1;
                    rig.answer(Outcome::Accepted(accepted()));
                }
                Some(Call::Prove { .. }) => {
                    rig.fail(failure.clone());
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    rig.wake();
                }
            }
            assert!(!rig.wanted(&Effect::ForgetRenewal), "the key stays");
        }
        assert!(beats >= 8, "{beats}");
        rig.fail(unreachable());
        // A new token is presented at once, and so is an operator's order.
        rig.send(Input::Renew(Urgency::Now));
        assert_eq!(rig.call(), Call::Prove { generation: 2 });
        rig.fail(failure.clone());
        assert!(rig.wanted(&Effect::CommandDone(CommandResult::RenewFailed(failure.fault.clone()))));
        while rig.calls().is_some() {
            rig.fail(unreachable());
        }
        rig.send(Input::Token(Some(token(2))));
        assert!(is_enroll(&rig.call()));
        // Its time over, the old one is never replaced by what was not proven.
        rig.fail(unreachable());
        rig.advance(Duration::from_secs(300 * 3600));
        rig.send(Input::Tick);
        assert!(
            !rig.effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })),
            "{:?}",
            rig.effects
        );
    }
}

/// A process was cut short before it published; the next one knows whether it was a renewal by the token that paid.
#[test]
fn what_an_earlier_process_left_is_a_renewal_where_the_same_token_paid() {
    for (paid_by, renewal) in [(token(1), true), (token(2), false)] {
        let committed = Some(identity(2, start(), paid_by));
        let mut rig = Rig::started(Some(paid_by), Loaded { committed, ..disk(intact()) });
        assert_eq!(rig.call(), Call::Prove { generation: 2 });
        rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
        assert_eq!(rig.call(), Call::Heartbeat);
        rig.answer(Outcome::Accepted(accepted()));
        let error = rig.report().last_error.unwrap();
        assert_eq!(error.code.as_str(), "invalid_sensor_trust");
        let next = error.next_attempt.unwrap().duration_since(rig.now.wall).as_secs();
        assert_eq!(
            (540..=600).contains(&next),
            !renewal,
            "a token that is spent on nothing is refused: {next}"
        );
        if renewal {
            rig.wake_until(is_renew, Duration::from_secs(300));
        } else {
            rig.wake_until(is_enroll, Duration::from_secs(600));
        }
    }
}

#[test]
fn a_successor_that_became_current_by_itself_is_none_any_more() {
    let renewed = || {
        let mut rig = Rig::renewing();
        let next = second(&rig, token(1));
        rig.answer(Outcome::Renewed(next.clone()));
        rig.send(Input::FilesChanged);
        rig.fail(unreachable());
        assert_eq!(rig.effects, [Effect::Load]);
        (rig, next)
    };
    let (mut rig, next) = renewed();
    rig.loaded(disk(Current::Intact(next)));
    assert_eq!((rig.call(), rig.report().generation), (Call::Heartbeat, Some(2)));
    // A predecessor that came back leaves it to be proven.
    let (mut rig, next) = renewed();
    let older = Current::Intact(identity(9, start(), token(1)));
    rig.loaded(Loaded { committed: Some(next), ..disk(older) });
    assert_eq!(rig.report().generation, Some(9));
    rig.wake_until_proof(2, Duration::from_secs(60));
}

/// Nothing stood that a proof could have been asked for before it was published.
#[test]
fn a_first_identity_whose_ca_does_not_vouch_for_the_console_is_asked_for_again() {
    let mut rig = Rig::enrolling();
    let first = identity(1, start(), token(1));
    rig.answer(Outcome::Enrolled(first.clone()));
    rig.send(Input::Published);
    rig.answer(Outcome::Failed(failure(Code::ConsoleNotTrusted)));
    let again = Call::Enroll { replaces: Some(sensor(1)), reason: EnrollReason::NotVouched };
    assert_eq!(rig.call(), again, "at once");
    // The same answer once more: minutes apart, and the heartbeats beside it.
    rig.answer(Outcome::Enrolled(first));
    assert_eq!(rig.machine.candidate, None);
    while rig.call_or_wake() == Call::Heartbeat {
        rig.answer(Outcome::Failed(failure(Code::ConsoleNotTrusted)));
    }
    assert_eq!(rig.call(), again);
    let waited = rig.now.wall.duration_since(start());
    assert!((150..=600).contains(&waited.as_secs()), "{waited:?}");
    let mended = Identity { generation: 2, ..identity(1, start(), token(1)) };
    rig.answer(Outcome::Enrolled(mended));
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
    // One that was accepted once is no such identity: a stranger answers in the Console's place.
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(1))));
    rig.wake();
    rig.answer(Outcome::Failed(failure(Code::ConsoleNotTrusted)));
    assert_eq!(rig.call_or_wake(), Call::Heartbeat);
}
