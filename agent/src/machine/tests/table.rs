//! docs/contract.md section 6, row by row: every code, in every phase.

use super::*;

/// What has to follow from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Again within a second, then longer.
    BackOff,
    /// The Console's word: again after 2.5 to 5 minutes.
    Slowly,
    /// Not the Console's word: the same, and no verdict.
    Later,
    /// Refused: again after ten minutes, at once with another token or configuration.
    Refused,
    /// The credential is lost.
    Lost,
    /// Final.
    Revoked,
    /// Without it, and again within ten minutes.
    Missing,
    /// Of a certificate in force: acted on at the second like answer, ten minutes later.
    Expired,
}

use Then::{BackOff, Expired, Later, Lost, Missing, Refused, Revoked, Slowly};

/// "Minutes apart", in seconds, and how long a refusal is left alone.
const MINUTES: std::ops::RangeInclusive<u64> = 150..=300;
const TEN_MINUTES: std::ops::RangeInclusive<u64> = 540..=600;

/// Code, and what follows while enrolling, on a heartbeat, and while renewing.
const TABLE: &[(&str, Then, Then, Then)] = &[
    ("invalid_request", Refused, Refused, Refused),
    ("invalid_csr", Refused, Refused, Refused),
    ("invalid_enrollment_token", Refused, Refused, Refused),
    ("enrollment_token_expired", Refused, Refused, Refused),
    ("enrollment_token_revoked", Refused, Refused, Refused),
    ("enrollment_token_used", Refused, Refused, Refused),
    ("cluster_mismatch", Refused, Refused, Refused),
    ("sensor_binding_mismatch", Refused, Refused, Refused),
    ("max_nodes_exceeded", Refused, Refused, Refused),
    ("role_not_allowed", Refused, Refused, Refused),
    ("enrollment_denied", Refused, Refused, Refused),
    ("NodeLimitExceeded", Slowly, Slowly, Slowly),
    ("node_name_in_use", Slowly, Slowly, Slowly),
    // No credential is presented while enrolling that could be lost.
    ("invalid_sensor_trust", Later, Lost, Lost),
    ("certificate_expired", Later, Expired, Expired),
    ("client_certificate_required", Later, Later, Later),
    ("sensor_revoked", Refused, Revoked, Revoked),
    ("sensor_disabled", Slowly, Slowly, Slowly),
    ("sensor_approval_pending", Slowly, Slowly, Slowly),
    ("rate_limited", BackOff, BackOff, BackOff),
    ("not_ready", BackOff, BackOff, BackOff),
    ("internal_error", BackOff, BackOff, BackOff),
    ("request_timeout", BackOff, BackOff, BackOff),
    ("too_early", BackOff, BackOff, BackOff),
    ("not_found", Later, Missing, Missing),
    ("method_not_allowed", Later, Missing, Missing),
    ("payload_too_large", Later, Later, Later),
    ("unauthorized", Later, Later, Later),
    ("forbidden", Later, Later, Later),
    ("conflict", Later, Later, Later),
];

#[test]
fn every_code_in_every_phase() {
    for code in ErrorCode::ALL {
        let word = code.as_str();
        let row = TABLE.iter().find(|row| row.0 == word).unwrap_or_else(|| panic!("no row for {word}"));
        let failure = refusal(*code);
        enrolling(&failure, row.1);
        beating(&failure, row.2);
        renewing(&failure, row.3);
    }
}

#[test]
fn what_is_no_answer_is_never_final() {
    for code in Code::OWN {
        let then = match code.advice() {
            Advice::BackOff => [BackOff, BackOff, BackOff],
            Advice::Later => [Later, Later, Later],
            Advice::MissingPath => [Later, Missing, Missing],
            // Not of a call, or with tests of their own: certificate_refused, and what fails on dates.
            Advice::Slowly | Advice::Refused | Advice::CredentialLost | Advice::Revoked | Advice::AskTime => {
                continue;
            }
        };
        let failure = failure(*code);
        enrolling(&failure, then[0]);
        beating(&failure, then[1]);
        renewing(&failure, then[2]);
    }
}

fn enrolling(failure: &Failure, then: Then) {
    let mut rig = Rig::enrolling();
    rig.answer(Outcome::Failed(failure.clone()));
    let shown = format!("enrolling, {}: {:?}", failure.fault.code, rig.report());
    assert_eq!(rig.code(), failure.fault.code.as_str(), "{shown}");
    match then {
        BackOff => {
            assert_eq!(rig.state(), StateName::Enrolling, "{shown}");
            assert!(rig.wake() <= Duration::from_secs(1), "{shown}");
            assert!(is_enroll(&rig.call()), "{shown}");
        }
        Slowly | Later => {
            assert_eq!(rig.state(), StateName::Enrolling, "{shown}");
            assert!(MINUTES.contains(&rig.wake().as_secs()), "{shown}");
            assert!(is_enroll(&rig.call()), "{shown}");
        }
        Refused => {
            assert_eq!(rig.state(), StateName::Refused, "{shown}");
            assert!(rig.machine.is_at_rest(rig.now), "a command says so at once: {shown}");
            refused(&mut rig, Current::Nothing, is_enroll, &shown);
        }
        Lost | Revoked | Missing | Expired => panic!("{shown}"),
    }
}

/// Looks at the disk and the same token do not hasten the next attempt, which comes by itself; another configuration and
/// another token do.
fn refused(rig: &mut Rig, current: Current, wanted: impl Fn(&Call) -> bool, shown: &str) {
    let refusal = rig.report().last_error.unwrap();
    assert_eq!(refusal.next_attempt, Some(rig.now.wall + rig.deadline().unwrap()), "{shown}");
    rig.send(Input::Token(None));
    assert_eq!(rig.calls(), None, "{shown}");
    rig.send(Input::Token(Some(token(1))));
    assert_eq!(rig.calls(), None, "{shown}");
    rig.look(disk(current.clone()));
    assert_eq!(rig.calls(), None, "{shown}");
    let again = || Outcome::Failed(failure(refusal.code));
    for _ in 0..3 {
        assert!(TEN_MINUTES.contains(&rig.wake().as_secs()), "{shown}");
        assert!(wanted(&rig.call()), "{shown}");
        rig.answer(again());
    }
    rig.send(Input::ConfigChanged(Settings::default()));
    assert_eq!(rig.effects.last(), Some(&Effect::Load), "{shown}");
    rig.loaded(disk(current));
    assert!(wanted(&rig.call()), "{shown}");
    rig.answer(again());
    assert_eq!(rig.calls(), None, "{shown}");
    rig.send(Input::Token(Some(token(2))));
    let call = rig.call();
    assert!(is_enroll(&call) || wanted(&call), "{shown}: {call:?}");
}

fn beating(failure: &Failure, then: Then) {
    let mut rig = if then == Missing {
        Rig::started(Some(token(1)), disk(intact()))
    } else {
        let mut rig = Rig::active();
        assert!(rig.wanted(&Effect::SetReady(true)));
        rig.wake();
        rig
    };
    assert_eq!(rig.call(), Call::Heartbeat);
    rig.answer(Outcome::Failed(failure.clone()));
    let shown = format!("heartbeat, {}: {:?}", failure.fault.code, rig.report());
    assert_eq!(rig.code(), failure.fault.code.as_str(), "{shown}");
    assert_eq!(rig.calls(), None, "{shown}");
    match then {
        BackOff => {
            assert_eq!(rig.effects, [], "a network that fails is no change: {shown}");
            assert_eq!(rig.state(), StateName::Active, "{shown}");
            assert!(rig.wake() <= Duration::from_secs(1), "{shown}");
            assert_eq!(rig.call(), Call::Heartbeat);
        }
        Slowly | Later => {
            let is_verdict = then == Slowly;
            assert_eq!(rig.wanted(&Effect::SetReady(false)), is_verdict, "{shown}");
            let state = if is_verdict { StateName::Refused } else { StateName::Active };
            assert_eq!(rig.state(), state, "{shown}");
            assert!(MINUTES.contains(&rig.wake().as_secs()), "{shown}");
            assert_eq!(rig.call(), Call::Heartbeat);
            rig.answer(Outcome::Accepted(accepted()));
            assert_eq!(rig.wanted(&Effect::SetReady(true)), is_verdict, "{shown}");
            assert_eq!(rig.state(), StateName::Active, "{shown}");
        }
        Refused => {
            assert!(rig.wanted(&Effect::SetReady(false)), "{shown}");
            assert_eq!(rig.state(), StateName::Refused, "{shown}");
            refused(&mut rig, intact(), |call: &Call| *call == Call::Heartbeat, &shown);
        }
        Lost => lost(rig, &shown),
        Revoked => revoked(rig, &shown),
        Missing => {
            assert!(rig.wanted(&Effect::SetReady(true)), "it stands without a heartbeat: {shown}");
            assert_eq!(rig.report().notes.len(), 1, "{shown}");
            for _ in 0..4 {
                assert!(TEN_MINUTES.contains(&rig.wake().as_secs()), "{shown}");
                assert_eq!(rig.call(), Call::Heartbeat);
                rig.answer(Outcome::Failed(failure.clone()));
            }
        }
        Expired => {
            assert_eq!(rig.state(), StateName::Refused, "{shown}");
            assert!(TEN_MINUTES.contains(&rig.wake().as_secs()), "{shown}");
            rig.answer(Outcome::Failed(failure.clone()));
            assert_eq!(rig.call(), Call::Renew, "{shown}");
        }
    }
}

fn renewing(failure: &Failure, then: Then) {
    let mut rig = Rig::renewing();
    rig.answer(Outcome::Failed(failure.clone()));
    let shown = format!("renewing, {}: {:?}", failure.fault.code, rig.report());
    assert_eq!(rig.code(), failure.fault.code.as_str(), "{shown}");
    match then {
        BackOff => {
            assert_eq!(rig.state(), StateName::Renewing, "{shown}");
            assert!(rig.wake_until(is_renew, Duration::from_secs(1)) <= Duration::from_secs(1));
        }
        Slowly | Later => {
            assert_eq!(rig.state(), StateName::Renewing, "{shown}");
            let waited = rig.wake_until(is_renew, Duration::from_secs(300));
            assert!(MINUTES.contains(&waited.as_secs()), "{shown}");
        }
        Refused => {
            assert_eq!(rig.state(), StateName::Active, "the old identity stands: {shown}");
            let waited = rig.wake_until(is_renew, Duration::from_secs(3600));
            assert!(waited.as_secs() >= 3240, "hourly: {waited:?}");
            rig.answer(Outcome::Failed(failure.clone()));
            rig.send(Input::ConfigChanged(Settings::default()));
            rig.loaded(disk(intact()));
            assert_eq!(rig.call(), Call::Renew, "{shown}");
        }
        Lost => return lost(rig, &shown),
        Revoked => return revoked(rig, &shown),
        // Too late: as a credential that is lost, where the renewal says so twice.
        Expired => {
            assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused), "{shown}");
            rig.send(Input::Token(None));
            assert!((13..=17).contains(&rig.wake().as_secs()), "{shown}");
            assert_eq!(rig.call(), Call::Heartbeat, "{shown}");
            rig.answer(Outcome::Failed(failure.clone()));
            assert_eq!(rig.call(), Call::Renew, "{shown}");
            rig.answer(Outcome::Failed(failure.clone()));
            assert_eq!((rig.calls(), rig.state()), (None, StateName::Lost), "{shown}");
            return;
        }
        Missing => {
            assert_eq!(rig.state(), StateName::Active, "{shown}");
            assert_eq!(rig.report().notes.len(), 1, "{shown}");
            let waited = rig.wake_until(is_renew, Duration::from_secs(600));
            assert!(TEN_MINUTES.contains(&waited.as_secs()), "{shown}");
        }
    }
    assert!(!rig.wanted(&Effect::SetReady(false)), "a failed renewal never harms the old identity: {shown}");
}

/// The second like answer in a row is believed; and even then the Console is asked again, and may accept it.
fn lost(mut rig: Rig, shown: &str) {
    assert!(rig.wanted(&Effect::SetReady(false)), "{shown}");
    rig.send(Input::Token(None));
    let code = rig.report().last_error.unwrap().code;
    let again = |rig: &mut Rig, wait: std::ops::RangeInclusive<u64>| {
        let next = rig.report().last_error.unwrap().next_attempt;
        assert_eq!(next, Some(rig.now.wall + rig.deadline().unwrap()), "{shown}");
        assert!(wait.contains(&rig.wake().as_secs()), "{shown}");
        assert_eq!(rig.call(), Call::Heartbeat, "{shown}");
    };
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused), "{shown}");
    assert!(!rig.machine.is_at_rest(rig.now), "{shown}");
    again(&mut rig, 13..=16);
    rig.answer(Outcome::Failed(failure(code)));
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Lost), "{shown}");
    assert!(rig.machine.is_at_rest(rig.now), "{shown}");
    for _ in 0..3 {
        again(&mut rig, MINUTES);
        rig.answer(Outcome::Failed(failure(code)));
        assert_eq!((rig.calls(), rig.state()), (None, StateName::Lost), "{shown}");
    }
    let mut accepted_again = Rig { machine: rig.machine.clone(), effects: Vec::new(), ..rig };
    again(&mut accepted_again, MINUTES);
    accepted_again.answer(Outcome::Accepted(accepted()));
    assert!(accepted_again.wanted(&Effect::SetReady(true)), "{shown}");
    assert!(matches!(accepted_again.state(), StateName::Active | StateName::Renewing), "{shown}");
    rig.send(Input::Token(Some(token(2))));
    let wanted = Call::Enroll { replaces: Some(sensor(1)), reason: EnrollReason::NewToken };
    assert_eq!(rig.call(), wanted, "{shown}");
    assert_eq!(rig.state(), StateName::Enrolling, "{shown}");
}

fn revoked(mut rig: Rig, shown: &str) {
    assert!(rig.wanted(&Effect::SetReady(false)), "{shown}");
    for _ in 0..3 {
        assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused), "{shown}");
        let next = rig.report().last_error.unwrap().next_attempt;
        assert_eq!(next, Some(rig.now.wall + rig.deadline().unwrap()), "{shown}");
        assert!((3240..=3600).contains(&rig.wake().as_secs()), "hourly: {shown}");
        assert_eq!(rig.call(), Call::Heartbeat, "{shown}");
        rig.answer(Outcome::Failed(refusal(ErrorCode::SensorRevoked)));
    }
    let mut accepted_again = Rig { machine: rig.machine.clone(), effects: Vec::new(), ..rig };
    accepted_again.wake();
    accepted_again.answer(Outcome::Accepted(accepted()));
    assert!(matches!(accepted_again.state(), StateName::Active | StateName::Renewing), "{shown}");
    rig.send(Input::Token(Some(token(1))));
    assert_eq!(rig.effects, [], "{shown}");
    rig.send(Input::ConfigChanged(Settings::default()));
    rig.loaded(disk(intact()));
    assert_eq!(rig.calls(), None, "final for the token that it was enrolled with: {shown}");
    rig.look(disk(Current::Nothing));
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused), "{shown}");
    assert!((3240..=3600).contains(&rig.wake().as_secs()), "hourly, where the files are gone: {shown}");
    assert!(is_enroll(&rig.call()), "{shown}");
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorRevoked)));
    rig.send(Input::Token(Some(token(2))));
    assert!(is_enroll(&rig.call()), "{shown}");
}

#[test]
fn a_cluster_token_pays_again_where_the_credential_is_lost_and_not_where_it_is_revoked() {
    let paid = || Identity { token_type: Some(TokenType::Cluster), ..identity(1, start(), token(1)) };
    let mut rig = Rig::active_with(paid());
    rig.lose();
    let Call::Enroll { replaces, reason: EnrollReason::NotAccepted(_) } = rig.call() else {
        panic!("{:?}", rig.effects)
    };
    assert_eq!(replaces, Some(sensor(1)));

    let mut rig = Rig::active_with(paid());
    rig.wake();
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorRevoked)));
    assert_eq!((rig.calls(), rig.state()), (None, StateName::Refused));
    rig.advance(Duration::from_secs(3600));
    rig.send(Input::Tick);
    assert_eq!(rig.call(), Call::Heartbeat);
}

#[test]
fn retry_after_is_a_floor_in_every_phase() {
    let asked = Failure { retry_after: Some(Duration::from_secs(60)), ..refusal(ErrorCode::RateLimited) };
    for mut rig in [Rig::enrolling(), Rig::renewing()] {
        rig.answer(Outcome::Failed(asked.clone()));
        let waited =
            rig.wake_until(|call| is_enroll(call) || is_renew(call), Duration::from_secs(70)).as_secs();
        assert!((60..=66).contains(&waited), "{waited}");
    }
    let mut rig = Rig::active();
    rig.wake();
    rig.answer(Outcome::Failed(asked));
    assert!((60..=66).contains(&rig.wake().as_secs()));
    let forever = Failure { retry_after: Some(Duration::MAX), ..refusal(ErrorCode::NodeLimitExceeded) };
    rig.answer(Outcome::Failed(forever));
    assert!(TEN_MINUTES.contains(&rig.wake().as_secs()), "ten minutes at most");
}

#[test]
fn the_daemon_never_gives_up() {
    let mut rig = Rig::enrolling();
    let mut longest = Duration::ZERO;
    for _ in 0..500 {
        rig.answer(Outcome::Failed(unreachable()));
        longest = longest.max(rig.wake());
        assert!(is_enroll(&rig.call()));
    }
    assert!((200..=300).contains(&longest.as_secs()), "{longest:?}");
}

#[test]
fn no_draw_of_the_jitter_makes_a_busy_loop() {
    let mut rig = Rig::enrolling();
    for _ in 0..20 {
        rig.now.random = 0;
        rig.answer(Outcome::Failed(unreachable()));
        assert!(rig.wake() >= Duration::from_millis(100));
    }
}
