//! Renewals: when they are asked for, and what becomes of one whose outcome is not known or not worth having.

use telovix_contract::session::RenewalWindow;

use super::life::second;
use super::*;

/// The Console has made the successor, forgets that it asked for it, and ends the old certificate an hour later.
#[test]
fn a_renewal_that_was_begun_early_is_brought_to_its_end() {
    let mut rig = Rig::active();
    let window = RenewalWindow { start: rig.now.wall, end: rig.now.wall + SignedDuration::from_secs(60) };
    rig.wake();
    rig.answer(Outcome::Accepted(Accepted { renew_between: Some(window), ..accepted() }));
    rig.wake_until(is_renew, Duration::from_secs(120));
    rig.fail(unreachable());
    // The window is gone with the next heartbeat, and the renewal is not.
    rig.wake_until(is_renew, Duration::from_secs(5));
    assert_eq!(rig.state(), StateName::Renewing);
    // Not even where the old certificate has become worth nothing meanwhile, or the path is missing for a time.
    let missing = refusal(ErrorCode::NotFound);
    rig.answer(Outcome::Failed(missing));
    rig.wake();
    assert_eq!(rig.call(), Call::Heartbeat);
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Refused));
    // It says for certain.
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(rig.state(), StateName::Lost);
}

#[test]
fn a_renewal_that_an_earlier_process_began_is_brought_to_its_end() {
    let begun = Loaded { renewal_begun: true, ..disk(intact()) };
    let mut rig = Rig::started(Some(token(1)), begun);
    rig.wake_until(is_renew, Duration::from_secs(1));
    rig.answer(Outcome::Renewed(identity(2, start(), token(1))));
    assert_eq!(rig.call(), Call::Prove { generation: 2 });
}

/// A renewal may have been begun that nobody wrote down: where one is due, it is asked for before anything is given up.
#[test]
fn a_certificate_that_is_refused_when_its_renewal_is_due_is_renewed_before_it_counts_as_lost() {
    let mut rig = Rig::active();
    let left = rig.report().renew_at.unwrap().duration_since(rig.now.wall).unsigned_abs();
    rig.advance(left - Duration::from_secs(8));
    rig.send(Input::Tick);
    assert_eq!(rig.call(), Call::Heartbeat);
    rig.advance(Duration::from_secs(10));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Refused));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(rig.state(), StateName::Lost);
}

#[test]
fn a_renewal_whose_certificate_was_set_aside_is_asked_for_again() {
    let thrown_away = |rig: &mut Rig| {
        assert_eq!(rig.call_or_wake(), Call::Renew);
        rig.answer(Outcome::Renewed(identity(2, rig.now.wall, token(1))));
        assert_eq!((rig.call(), rig.code().as_str()), (Call::Prove { generation: 2 }, ""));
        rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
        assert_eq!(rig.call(), Call::Heartbeat);
        rig.answer(Outcome::Accepted(accepted()));
    };
    // By hand, before its time.
    let mut rig = Rig::active();
    rig.send(Input::Renew(Urgency::Now));
    rig.fail(unreachable());
    thrown_away(&mut rig);
    assert_eq!(rig.state(), StateName::Renewing);
    // It is asked for again, with the same key; and with another one where that brings the same certificate.
    assert!(rig.wake_until(is_renew, Duration::from_secs(300)).as_secs() >= 150);
    rig.answer(Outcome::Renewed(identity(2, start(), token(1))));
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert!(rig.wanted(&Effect::ForgetRenewal));
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.state(), StateName::Active);
    rig.only_heartbeats_for(Duration::from_secs(3600));
    // In its time, by a Console that lacked the path a day ago.
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    rig.wake_until(is_renew, Duration::from_secs(100_000));
    thrown_away(&mut rig);
    assert_eq!((rig.state(), rig.report().notes), (StateName::Renewing, Vec::new()));
}

#[test]
fn a_window_for_renewal_brings_it_forward_once() {
    let mut rig = Rig::active();
    let own = rig.report().renew_at.unwrap();
    let in_hours = |rig: &Rig, hours| rig.now.wall + SignedDuration::from_hours(hours);
    let window = RenewalWindow { start: in_hours(&rig, 2), end: in_hours(&rig, 4) };
    let asked = Accepted { renew_between: Some(window), ..accepted() };
    let drawn = {
        rig.wake();
        rig.answer(Outcome::Accepted(asked));
        rig.report().renew_at.unwrap()
    };
    assert!((window.start..window.end).contains(&drawn));
    for _ in 0..20 {
        rig.wake();
        rig.answer(Outcome::Accepted(asked));
        assert_eq!(rig.report().renew_at, Some(drawn), "drawn once");
    }
    rig.wake();
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.report().renew_at, Some(own), "the Console took it back");
    // A window that has passed means soon; and one from before this certificate means nothing.
    for (window, soon) in [
        (RenewalWindow { start: in_hours(&rig, 0) - SignedDuration::from_secs(60), end: rig.now.wall }, true),
        (RenewalWindow { start: in_hours(&rig, -9), end: in_hours(&rig, -8) }, false),
        // It ended in the moment in which the certificate was made.
        (RenewalWindow { start: start() - SignedDuration::from_secs(60), end: start() }, false),
        (RenewalWindow { start: in_hours(&rig, 900), end: in_hours(&rig, 901) }, false),
    ] {
        rig.wake();
        rig.answer(Outcome::Accepted(Accepted { renew_between: Some(window), ..accepted() }));
        let planned = rig.report().renew_at.unwrap().duration_since(rig.now.wall);
        assert_eq!(planned <= SignedDuration::from_mins(5), soon, "{planned:?}");
    }
}

/// A Console that asks for a renewal in every answer.
#[test]
fn renewals_that_are_always_asked_for_have_a_floor() {
    let mut rig = Rig::active();
    let (mut renewals, from) = (0, rig.now.mono);
    while rig.now.mono - from < Duration::from_secs(6 * 3600) {
        let soon = rig.now.wall + SignedDuration::from_secs(1);
        let window = RenewalWindow { start: soon, end: soon };
        let asked = || Outcome::Accepted(Accepted { renew_between: Some(window), ..accepted() });
        match rig.calls() {
            Some(Call::Renew) => {
                renewals += 1;
                rig.answer(Outcome::Renewed(identity(1 + renewals, rig.now.wall, token(1))));
            }
            Some(Call::Prove { .. }) => {
                rig.answer(asked());
                rig.send(Input::Published);
            }
            Some(_) => {
                rig.answer(asked());
            }
            None => {
                rig.wake();
            }
        }
    }
    assert!((5..=7).contains(&renewals), "{renewals}");
    // By hand there is none.
    while rig.calls().is_some() {
        rig.answer(Outcome::Accepted(accepted()));
    }
    rig.send(Input::Renew(Urgency::Now));
    assert_eq!(rig.call(), Call::Renew);
}

#[test]
fn a_successor_that_ends_soon_is_set_aside() {
    for (left, is_taken) in [(Duration::from_secs(35), true), (Duration::from_secs(33), false)] {
        let mut rig = Rig::renewing();
        let successor = Identity { not_after: rig.now.wall + left, ..second(&rig, token(1)) };
        rig.answer(Outcome::Renewed(successor));
        assert_eq!(rig.calls() == Some(Call::Prove { generation: 2 }), is_taken, "{left:?}");
        if !is_taken {
            assert!(rig.report().last_error.unwrap().message.contains("it was set aside"));
            assert!(rig.wake_until(is_renew, Duration::from_secs(3600)).as_secs() >= 3200, "hourly");
        }
    }
}
