//! What operators ask for: renewals, the end, and the way back.

use super::life::second;
use super::*;

#[test]
fn renew_by_command() {
    let mut rig = Rig::active();
    let renew_at = rig.report().renew_at.unwrap();
    rig.send(Input::Renew(Urgency::WhenDue));
    assert_eq!(rig.effects, [Effect::CommandDone(CommandResult::NotDue { renew_at })]);
    rig.send(Input::Renew(Urgency::Now));
    assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Renewing));
    rig.fail(unreachable());
    assert!(matches!(rig.effects[0], Effect::CommandDone(CommandResult::RenewFailed(_))));
    rig.wake();
    assert_eq!(rig.call(), Call::Renew, "the answer may have been lost: it goes on");
    rig.send(Input::Renew(Urgency::Now));
    assert_eq!(rig.effects, []);
    let next = second(&rig, token(1));
    rig.answer(Outcome::Renewed(next.clone()));
    rig.answer(Outcome::Accepted(accepted()));
    rig.send(Input::Published);
    let done = CommandResult::Renewed { generation: 2, not_after: next.not_after };
    assert!(rig.wanted(&Effect::CommandDone(done)));

    let mut rig = Rig::started(None, disk(Current::Nothing));
    rig.send(Input::Renew(Urgency::Now));
    assert!(matches!(rig.effects[..], [Effect::CommandDone(CommandResult::CannotRenew { .. })]));
}

#[test]
fn a_renewal_by_command_waits_neither_for_its_back_off_nor_for_a_refusal_nor_for_the_call_under_way() {
    // Due, and waiting after a failure: no need to force it.
    let mut rig = Rig::renewing();
    rig.fail(Failure { retry_after: Some(Duration::from_secs(600)), ..unreachable() });
    assert_eq!(rig.calls(), None);
    rig.send(Input::Renew(Urgency::WhenDue));
    assert_eq!(rig.effects.last(), Some(&Effect::Call(Call::Renew)));
    // Refused for good: whoever forces it may know better.
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    assert_eq!(rig.calls(), None);
    rig.send(Input::Renew(Urgency::Now));
    assert_eq!(rig.effects.last(), Some(&Effect::Call(Call::Renew)));
    // A heartbeat is under way: after it, and not answered before.
    let mut rig = Rig::active();
    rig.wake();
    assert_eq!(rig.call(), Call::Heartbeat);
    rig.send(Input::Renew(Urgency::Now));
    assert!(!rig.effects.iter().any(|effect| matches!(effect, Effect::CommandDone(_))), "{:?}", rig.effects);
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.call(), Call::Renew);
}

#[test]
fn a_command_is_answered_whatever_happens_to_its_renewal() {
    let answered = |rig: &Rig| {
        rig.effects
            .iter()
            .filter(|effect| matches!(effect, Effect::CommandDone(result) if !matches!(result, CommandResult::Decommissioned { .. })))
            .count()
    };
    let asked = || {
        let mut rig = Rig::active();
        rig.send(Input::Renew(Urgency::Now));
        rig
    };
    let mut rig = asked();
    rig.send(Input::Decommission);
    assert_eq!(answered(&rig), 1);
    let mut rig = asked();
    rig.send(Input::Stop);
    assert_eq!((answered(&rig), rig.wanted(&Effect::CancelCall)), (1, true));
    let mut rig = asked();
    rig.answer(Outcome::Renewed(second(&rig, token(1))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(answered(&rig), 1, "{:?}", rig.effects);
    let mut rig = asked();
    rig.answer(Outcome::Renewed(second(&rig, token(1))));
    rig.send(Input::FilesChanged);
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorRevoked)));
    assert_eq!(answered(&rig), 1, "{:?}", rig.effects);
}

#[test]
fn decommission_and_the_way_back() {
    let mut rig = Rig::active();
    rig.wake();
    rig.send(Input::Decommission);
    assert_eq!(
        rig.effects,
        [Effect::CancelCall, Effect::Call(Call::Decommission)],
        "a shutdown does not wait"
    );
    rig.answer(Outcome::Decommissioned);
    assert!(rig.wanted(&Effect::CommandDone(CommandResult::Decommissioned { untold: None })));
    assert!(rig.wanted(&Effect::SetReady(false)));
    assert_eq!((rig.state(), rig.deadline()), (StateName::Decommissioned, None));
    rig.send(Input::FilesChanged);
    rig.send(Input::Token(Some(token(1))));
    rig.advance(LIFE.unsigned_abs());
    rig.send(Input::Tick);
    assert_eq!(rig.effects, [], "no further call");
    rig.send(Input::Decommission);
    assert_eq!(
        rig.effects,
        [Effect::CommandDone(CommandResult::Decommissioned { untold: None })],
        "idempotent"
    );
    rig.send(Input::Token(Some(token(2))));
    assert_eq!(rig.effects.last(), Some(&Effect::Load), "a new token brings it back");

    // A failure never blocks a shutdown.
    let mut rig = Rig::active();
    rig.send(Input::Decommission);
    rig.fail(unreachable());
    let untold = Some(fault(Code::ConsoleUnreachable));
    assert!(rig.wanted(&Effect::CommandDone(CommandResult::Decommissioned { untold })));
    assert_eq!(rig.state(), StateName::Decommissioned);
    // Nor does having nothing to retire.
    let mut rig = Rig::enrolling();
    rig.send(Input::Decommission);
    assert!(matches!(
        rig.effects[..2],
        [Effect::CancelCall, Effect::CommandDone(CommandResult::Decommissioned { untold: Some(_) })]
    ));
    // Nor does an identity that the Console does not accept: it is not asked.
    let mut rig = Rig::active();
    rig.send(Input::Token(None));
    rig.lose();
    assert_eq!(rig.state(), StateName::Lost);
    rig.send(Input::Decommission);
    assert!(matches!(rig.effects[0], Effect::CommandDone(CommandResult::Decommissioned { untold: Some(_) })));
    assert_eq!(rig.calls(), None);
}

/// Neither the token that paid for the retired identity nor the one that was there when it retired is a new one.
#[test]
fn a_token_that_was_known_brings_no_retired_node_back() {
    let paid = intact();
    let mut rig = Rig::started(Some(token(2)), disk(paid));
    rig.send(Input::Decommission);
    loop {
        match rig.calls() {
            Some(Call::Decommission) => rig.answer(Outcome::Decommissioned),
            Some(Call::ProbeClock) => rig.answer(Outcome::ClockRead),
            Some(other) => panic!("{other:?}"),
            None => break,
        };
    }
    assert_eq!(rig.state(), StateName::Decommissioned);
    for number in [1, 2] {
        rig.send(Input::Token(Some(token(number))));
        assert_eq!((&rig.effects[..], rig.state()), (&[][..], StateName::Decommissioned), "{number}");
    }
    rig.send(Input::Token(Some(token(3))));
    assert_eq!(rig.effects.last(), Some(&Effect::Load));
}

#[test]
fn a_stopped_machine_starts_nothing() {
    let mut rig = Rig::active();
    rig.wake();
    rig.send(Input::Stop);
    assert_eq!(rig.effects, [Effect::CancelCall]);
    rig.advance(Duration::from_secs(3600));
    for input in [Input::Tick, Input::FilesChanged, Input::Token(Some(token(2)))] {
        rig.send(input);
        assert_eq!((&rig.effects[..], rig.deadline()), (&[][..], None));
    }
}
