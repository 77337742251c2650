//! Wrong clocks: recognised from the Console's Date, reported with their size; no token spent, no identity thrown away.

use super::*;

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

/// What a look says of an identity whose dates fail by this host's clock.
fn by_dates(identity: &Identity) -> Current {
    Current::Lost(Loss {
        about_time: Some((identity.not_before, identity.not_after)),
        ..loss("its dates do not hold")
    })
}

fn answered_at(rig: &mut Rig, outcome: Outcome, server: Timestamp) {
    let answer = Answer { server_date: Some(server), outcome };
    rig.send(Input::Answered(Box::new(answer)));
}

#[test]
fn a_clock_that_stands_in_1970_at_boot() {
    let held = identity(1, start(), token(1));
    let mut rig = Rig::started(Some(token(2)), disk(Current::Nothing));
    rig.now.wall = Timestamp::UNIX_EPOCH;
    rig.machine = Machine::new(Settings::default());
    rig.send(Input::Started(Some(token(2))));
    rig.loaded(Loaded { ready_since: Some(start()), ..disk(by_dates(&held)) });
    assert_eq!(
        rig.effects,
        [Effect::Call(Call::ProbeClock)],
        "nothing is called lost before the Console is asked"
    );
    assert_eq!(rig.state(), StateName::Starting);
    answered_at(&mut rig, Outcome::ClockRead, start());
    assert_eq!(rig.calls(), None, "the new token is not spent either");
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Starting, "clock_wrong"));
    assert!(rig.report().reason.contains("20759 d 10 h behind"), "{}", rig.report().reason);
    assert!(rig.report().last_error.unwrap().next_attempt.is_some());
    // It asks again now and then, and no more.
    for _ in 0..20 {
        assert!(rig.wake() <= Duration::from_secs(300));
        assert_eq!(rig.call(), Call::ProbeClock);
        let server = start() + rig.now.wall.duration_since(Timestamp::UNIX_EPOCH);
        answered_at(&mut rig, Outcome::ClockRead, server);
    }
    // The clock steps right: the directory is read again, and the identity stands.
    rig.now.wall = start() + hours(1);
    rig.send(Input::Tick);
    assert_eq!(rig.effects, [Effect::Load]);
    rig.loaded(Loaded { ready_since: Some(start()), ..disk(Current::Intact(held)) });
    assert_eq!(rig.state(), StateName::Renewing);
    assert_eq!(
        rig.call(),
        Call::ProbeClock,
        "now the new token may be presented, once the time is confirmed"
    );
}

/// A clock that is ahead spoils no fresh certificate, so only what is at stake keeps the token: the identity.
#[test]
fn a_clock_that_stands_past_the_end_of_the_certificate_at_boot_spends_no_token() {
    let held = identity(1, start(), token(1));
    let dates = Some((held.not_before, held.not_after));
    for (token, token_type) in [(token(2), TokenType::Once), (token(1), TokenType::Cluster)] {
        let over = Loss { about_time: dates, token_type: Some(token_type), ..loss("its dates do not hold") };
        let mut rig = Rig::started(None, disk(Current::Nothing));
        rig.now.wall = start() + hours(9000);
        rig.machine = Machine::new(Settings::default());
        rig.send(Input::Started(Some(token)));
        rig.loaded(disk(Current::Lost(over)));
        assert_eq!(rig.call(), Call::ProbeClock);
        answered_at(&mut rig, Outcome::ClockRead, start());
        assert_eq!(rig.calls(), None, "{token_type:?}");
        assert_eq!((rig.state(), rig.code().as_str()), (StateName::Starting, "clock_wrong"));
    }
}

#[test]
fn a_certificate_that_has_really_expired_at_boot() {
    let held = identity(1, start() - hours(1000), token(1));
    let mut rig = Rig::started(Some(token(1)), disk(Current::Intact(held.clone())));
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.fail(unreachable());
    assert_eq!(rig.state(), StateName::Active, "nobody knows yet");
    rig.wake();
    rig.answer(Outcome::ClockRead);
    // The clock is right: it is lost, and renewed with.
    assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Lost));
    // A Console that tells no time leaves this host's clock to decide.
    let mut rig = Rig::started(None, disk(Current::Intact(held)));
    rig.send(Input::Answered(Box::new(Answer { server_date: None, outcome: Outcome::ClockRead })));
    assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Lost));
}

#[test]
fn a_clock_that_jumps_past_the_end_of_the_certificate() {
    let mut rig = Rig::active();
    rig.set_clock(hours(800));
    rig.send(Input::Tick);
    assert_eq!(rig.effects.last(), Some(&Effect::Load));
    let held = identity(1, start(), token(1));
    rig.loaded(Loaded { ready_since: None, ..disk(by_dates(&held)) });
    assert_eq!((rig.call(), rig.state()), (Call::ProbeClock, StateName::Active));
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.state(), StateName::Active, "kept");
    assert!(rig.report().reason.contains("33 d 8 h ahead of the Console's"), "{}", rig.report().reason);
    assert!(rig.wanted(&Effect::SetReady(true)), "by the Console's time it is in force");
    // Heartbeats are tried; the Console's certificate fails by this clock.
    rig.wake_until(|call| *call == Call::Heartbeat, Duration::from_secs(20));
    rig.fail(failure(Code::ConsoleCertificateDates));
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.answer(Outcome::ClockRead);
    assert!(rig.deadline().unwrap() <= Duration::from_secs(1), "a back-off");
    rig.set_clock(hours(-800));
    rig.send(Input::Tick);
    assert_eq!(rig.effects, [Effect::Load]);
    let good = Loaded { ready_since: Some(start()), ..disk(Current::Intact(held)) };
    rig.loaded(good);
    assert_eq!(
        (rig.call(), rig.state()),
        (Call::Heartbeat, StateName::Active),
        "as soon as the clock is right"
    );
}

#[test]
fn a_server_certificate_that_fails_on_dates_while_enrolling() {
    // The clock is right: the Console's certificate is not. It is asked again, in growing steps, and said.
    let mut rig = Rig::enrolling();
    rig.fail(failure(Code::ConsoleCertificateDates));
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.answer(Outcome::ClockRead);
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Enrolling, "console_certificate_dates"));
    assert!(rig.wake() <= Duration::from_secs(1));
    assert!(is_enroll(&rig.call()));
    // The clock is wrong: that is said instead.
    rig.skew = hours(-3);
    rig.fail(failure(Code::ConsoleCertificateDates));
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.answer(Outcome::ClockRead);
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Enrolling, "clock_wrong"));
    rig.set_clock(hours(-3));
    rig.send(Input::Tick);
    assert!(rig.calls().is_some() || rig.wanted(&Effect::Load), "at once");
}

#[test]
fn a_host_that_is_behind_spends_no_token() {
    let mut rig = Rig::started(Some(token(1)), disk(Current::Nothing));
    rig.skew = SignedDuration::from_mins(182);
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.answer(Outcome::ClockRead);
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Enrolling));
    assert_eq!(
        rig.report().last_error.unwrap().message,
        "this host's clock is 3 h 2 min behind the Console's"
    );
    for _ in 0..10 {
        rig.wake();
        assert_eq!(rig.call(), Call::ProbeClock);
        rig.answer(Outcome::ClockRead);
    }
    // Mended slowly, by an NTP daemon that does not step: noticed at the next reading.
    rig.skew = SignedDuration::from_secs(20);
    rig.wake();
    rig.answer(Outcome::ClockRead);
    assert!(is_enroll(&rig.call()));
}

#[test]
fn a_host_that_is_ahead_renews_by_the_consoles_time() {
    let mut rig = Rig::active();
    rig.set_clock(hours(600));
    rig.send(Input::Tick);
    rig.loaded(Loaded { ready_since: Some(start()), ..disk(intact()) });
    // Whether it is due cannot be known yet; a renewal is harmless.
    assert_eq!(rig.call(), Call::Renew);
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorDisabled)));
    rig.only_heartbeats_for(Duration::from_secs(600));
    assert_eq!(rig.code(), "clock_wrong");
    assert_eq!(rig.state(), StateName::Active);
}

/// The Console's clock is twenty days slow: in the last tenth of the life this host's own clock is enough.
#[test]
fn a_console_that_is_behind_postpones_no_renewal_to_the_end() {
    let mut rig = Rig::active();
    rig.skew = hours(-24 * 20);
    let Identity { not_before, not_after, .. } = rig.machine.current.as_ref().unwrap().identity;
    let tenth = not_after.duration_since(not_before) / 10;
    while rig.call_or_wake() != Call::Renew {
        rig.answer(Outcome::Accepted(Accepted { interval: Duration::from_secs(300), ..accepted() }));
    }
    assert_eq!(rig.code(), "clock_wrong");
    let left = not_after.duration_since(rig.now.wall);
    assert!((left - tenth).unsigned_abs() < Duration::from_secs(60), "{left:#} of {tenth:#}");
}

/// The Console's clock is an hour fast: what it issues is not valid yet here. It is asked for all the same, with the same key, until
/// its time has come or the clocks agree; nothing postpones a renewal to the end.
#[test]
fn an_issued_certificate_that_is_of_the_future() {
    let mut rig = Rig::renewing();
    rig.skew = hours(1);
    for _ in 0..20 {
        rig.answer(Outcome::Failed(failure(Code::IssuedDates)));
        assert_eq!(rig.code(), "clock_wrong");
        assert!(!rig.wanted(&Effect::SetReady(false)) && !rig.wanted(&Effect::ForgetRenewal));
        while rig.calls() != Some(Call::Renew) {
            match rig.calls() {
                Some(Call::Heartbeat) => rig.answer(Outcome::Accepted(accepted())),
                Some(other) => panic!("{other:?}"),
                None => {
                    rig.wake();
                    continue;
                }
            };
        }
    }
    // The clocks agree again, and what was recorded is of the future still: the next one is made with another key.
    rig.skew = SignedDuration::ZERO;
    rig.answer(Outcome::Failed(failure(Code::IssuedDates)));
    rig.wake_until(is_renew, Duration::from_secs(2));
    rig.answer(Outcome::Failed(failure(Code::IssuedDates)));
    assert!(rig.wanted(&Effect::ForgetRenewal));
}

#[test]
fn a_false_date_condemns_nothing() {
    let mut rig = Rig::active();
    rig.wake();
    answered_at(&mut rig, Outcome::Failed(unreachable()), start() + hours(24 * 3650));
    assert_eq!(rig.state(), StateName::Active);
    assert!(!rig.wanted(&Effect::SetReady(false)));
    // By that date the renewal is overdue. Asked for, it does no harm, and the doubt is gone.
    assert_eq!(rig.call(), Call::Renew);
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    rig.wake_until(|call| *call == Call::Heartbeat, Duration::from_secs(20));
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.state(), StateName::Active);
}

#[test]
fn deadlines_move_with_suspend_and_with_steps() {
    let mut rig = Rig::active();
    let renew_at = rig.report().renew_at.unwrap();
    // Suspended past the time of renewal: both clocks went on.
    rig.advance(renew_at.duration_since(rig.now.wall).unsigned_abs() + Duration::from_secs(5));
    rig.send(Input::Tick);
    assert_eq!(rig.call(), Call::Renew);
    // A wait does not move when the wall clock does.
    rig.answer(Outcome::Failed(Failure { retry_after: Some(Duration::from_secs(60)), ..unreachable() }));
    rig.wake_until(|call| *call == Call::Heartbeat, Duration::from_secs(20));
    rig.answer(Outcome::Accepted(accepted()));
    rig.set_clock(SignedDuration::from_secs(20));
    assert!(rig.deadline().unwrap() <= Duration::from_secs(17));
    rig.look(Loaded { ready_since: Some(start()), ..disk(intact()) });
    assert_eq!(rig.calls(), None);
}

#[test]
fn a_certificate_that_is_over_by_the_consoles_clock_too_is_expired_to_the_second() {
    let mut rig = Rig::active();
    rig.set_clock(hours(1));
    rig.send(Input::Tick);
    let held = || disk(intact());
    rig.loaded(Loaded { ready_since: Some(start()), ..held() });
    rig.wake_until(|call| *call == Call::Heartbeat, Duration::from_secs(20));
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.code(), "clock_wrong");
    // One second before the end by the Console's clock, an hour and more after it by this host's.
    let left = rig.report().not_after.unwrap().duration_since(rig.now.wall - hours(1)).unsigned_abs();
    rig.advance(left - Duration::from_secs(1));
    assert_ne!(rig.state(), StateName::Lost);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.state(), StateName::Lost);
    rig.send(Input::Tick);
    assert!(rig.wanted(&Effect::SetReady(false)));
}

#[test]
fn a_token_waits_until_the_console_has_told_its_time() {
    let mut rig = Rig::started(Some(token(1)), disk(Current::Nothing));
    assert_eq!(rig.call(), Call::ProbeClock);
    // The network is not up yet, and this host's clock is four hours behind.
    rig.skew = hours(4);
    for _ in 0..3 {
        rig.fail(unreachable());
        rig.wake();
        assert_eq!(rig.call(), Call::ProbeClock);
    }
    assert_eq!(rig.code(), "console_unreachable");
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.code(), "clock_wrong");
    rig.skew = SignedDuration::ZERO;
    rig.wake();
    rig.answer(Outcome::ClockRead);
    assert!(is_enroll(&rig.call()));
    // It is not asked over and over while the enrollment waits, be the clock unknown or ahead.
    rig.fail(Failure { retry_after: Some(Duration::from_secs(600)), ..unreachable() });
    assert!(rig.wake() >= Duration::from_secs(545));
    assert!(is_enroll(&rig.call()));
    let mut rig = Rig::started(Some(token(1)), disk(Current::Nothing));
    rig.skew = hours(-1);
    rig.answer(Outcome::ClockRead);
    assert!(is_enroll(&rig.call()));
    rig.answer(Outcome::Waiting(Duration::from_secs(600)));
    assert!(rig.wake() >= Duration::from_secs(545));
    assert!(is_enroll(&rig.call()));
}

/// The answer that refuses the token for good has a wrong date, and nobody asks for another one.
#[test]
fn a_refused_token_is_named_before_a_doubt_about_the_clock() {
    let mut rig = Rig::enrolling();
    rig.skew = hours(3);
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Refused, "enrollment_token_used"));
    // With a token that nobody has refused, the clock is what keeps it from being spent.
    rig.send(Input::Token(Some(token(2))));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Enrolling, "clock_wrong"));
}

/// Another answer told the time, and nobody has to be asked for it any more.
#[test]
fn a_failed_question_for_the_time_is_forgotten_where_another_answer_had_it() {
    let mut rig = Rig::active();
    rig.wake();
    rig.fail(failure(Code::ConsoleCertificateDates));
    assert_eq!(rig.call(), Call::ProbeClock);
    rig.fail(unreachable());
    assert_eq!(rig.code(), "console_certificate_dates");
    while rig.call_or_wake() != Call::Heartbeat {
        rig.fail(unreachable());
    }
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.report().last_error, None);
}

/// In the middle of its life a refused renewal waits for an hour, and both clocks may have been wrong then.
#[test]
fn a_renewal_does_not_wait_past_an_end_that_a_set_clock_brought() {
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidRequest)));
    rig.set_clock(hours(800));
    rig.send(Input::Tick);
    rig.loaded(disk(intact()));
    assert_eq!(rig.call(), Call::ProbeClock);
    let now = rig.now.wall;
    answered_at(&mut rig, Outcome::ClockRead, now);
    rig.loaded(disk(intact()));
    let waited = rig.wake_until(is_renew, Duration::from_secs(600));
    assert!(waited >= Duration::from_secs(500), "{waited:?}");
}
