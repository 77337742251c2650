//! Renewals that were begun and whose outcome is not known: they are gone on with until it is.

use telovix_contract::session::RenewalWindow;

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

/// It came to its end with a certificate, whatever became of that.
#[test]
fn a_renewal_whose_certificate_was_thrown_away_is_begun_no_more() {
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
    assert_eq!(rig.state(), StateName::Active);
    rig.only_heartbeats_for(Duration::from_secs(3600));
    // In its time, by a Console that lacked the path a day ago.
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(failure(Code::NoSuchPath)));
    rig.wake_until(is_renew, Duration::from_secs(100_000));
    thrown_away(&mut rig);
    assert_eq!((rig.state(), rig.report().notes), (StateName::Renewing, Vec::new()));
}
