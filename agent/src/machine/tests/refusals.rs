//! A refusal is of what was presented, not of what came meanwhile.

use super::*;

#[test]
fn a_refusal_is_held_against_what_was_presented_and_not_against_what_came_meanwhile() {
    let mut rig = Rig::enrolling();
    rig.send(Input::Token(Some(token(2))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    assert!(is_enroll(&rig.call()), "the other token at once");
    rig.send(Input::Token(Some(token(3))));
    rig.answer(Outcome::Waiting(Duration::from_secs(600)));
    assert!(is_enroll(&rig.call()), "nor does it wait for the other one's approval");
    rig.send(Input::ConfigChanged(Settings::default()));
    rig.answer(Outcome::Failed(refusal(ErrorCode::RoleNotAllowed)));
    assert_eq!(rig.effects, [Effect::Load]);
    rig.loaded(disk(Current::Nothing));
    assert!(is_enroll(&rig.call()), "the other configuration at once");
    // Perhaps of another Console.
    rig.send(Input::ConfigChanged(Settings::default()));
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    rig.loaded(disk(Current::Nothing));
    assert!(is_enroll(&rig.call()));
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused));
}

#[test]
fn nor_against_an_identity_whose_configuration_changed_meanwhile() {
    let beating = {
        let mut rig = Rig::active();
        rig.wake();
        rig
    };
    for (mut rig, wanted) in [(beating, Call::Heartbeat), (Rig::renewing(), Call::Renew)] {
        assert_eq!(rig.call(), wanted);
        rig.send(Input::ConfigChanged(Settings::default()));
        rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
        assert_eq!(rig.effects, [Effect::Load], "{wanted:?}");
        rig.loaded(disk(intact()));
        assert_eq!(rig.call(), wanted);
        rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
        assert_eq!(rig.calls(), None, "{wanted:?}");
    }
}
