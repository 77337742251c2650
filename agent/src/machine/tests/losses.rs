//! Every way of losing the identity, and what follows: mended, rolled back, re-enrolled, or waiting
//! with a reason.

use super::*;

const ENROLLED_AGAIN: fn(&str) -> Call =
    |reason| Call::Enroll { replaces: Some(sensor(1)), reason: EnrollReason::Lost(reason.to_owned()) };

#[test]
fn files_that_are_missing_torn_unreadable_swapped_or_do_not_chain() {
    for reason in [
        "client.key.pem is missing",
        "client.cert.pem is torn",
        "sensor-state.json cannot be read",
        "the certificate is for another key than the one that this host made",
        "the certificate does not chain to the Console CA that came with it",
    ] {
        // The token that paid was for one use: asked all the same, for a Console that was restored may not know, and said.
        let mut rig = Rig::active();
        rig.look(disk(Current::Lost(loss(reason))));
        assert!(rig.wanted(&Effect::SetReady(false)), "{reason}");
        assert_eq!((rig.state(), rig.call()), (StateName::Lost, ENROLLED_AGAIN(reason)), "{reason}");
        rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
        assert!(rig.report().reason.contains(reason), "{:?}", rig.report());
        assert_eq!((rig.state(), rig.code().as_str()), (StateName::Lost, "credential_lost"));
        assert!((540..=600).contains(&rig.wake().as_secs()), "{reason}");
        rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
        rig.send(Input::Token(Some(token(2))));
        assert_eq!(rig.call(), ENROLLED_AGAIN(reason), "it names the sensor");

        // A cluster's token pays for the same node again, at once.
        let mut rig = Rig::active();
        rig.look(disk(Current::Lost(Loss { token_type: Some(TokenType::Cluster), ..loss(reason) })));
        assert_eq!(rig.call(), ENROLLED_AGAIN(reason));
        assert_eq!(rig.state(), StateName::Enrolling);

        // So does a token that is there already and did not pay for this identity.
        let mut rig = Rig::started(Some(token(2)), disk(Current::Lost(loss(reason))));
        assert_eq!(rig.call(), Call::ProbeClock);
        rig.answer(Outcome::ClockRead);
        assert_eq!(rig.call(), ENROLLED_AGAIN(reason));
    }
}

#[test]
fn what_the_store_mends_is_said_and_consumers_hear_of_it() {
    let mut rig = Rig::active();
    let note = "client.key.pem had mode 0644; it is 0600 again".to_owned();
    let ready_since = Some(start());
    rig.look(Loaded { notes: vec![note.clone()], ready_since, ..disk(intact()) });
    assert_eq!(rig.effects, [], "the identity is the same");
    assert_eq!(rig.report().notes, [note]);

    // An earlier process published it and did not live to tell anybody.
    for (told, expected) in [(false, true), (true, false)] {
        let rig = Rig::started(None, Loaded { told, ready_since, ..disk(intact()) });
        assert_eq!(rig.wanted(&Effect::NotifyConsumers { generation: 1 }), expected, "told: {told}");
    }
    // Rolled back to the previous generation: another certificate, so consumers are told, and the Console is asked.
    let mut rig = Rig::active_with(identity(2, start(), token(1)));
    rig.look(Loaded { notes: vec!["went back to generation 1".to_owned()], ready_since, ..disk(intact()) });
    assert!(rig.wanted(&Effect::NotifyConsumers { generation: 1 }));
    assert_eq!(rig.call(), Call::Heartbeat);
}

/// The answer to a renewal was lost, and the old certificate's time was over before the Console could be reached again.
#[test]
fn a_superseded_certificate_asks_for_its_lost_successor_before_it_gives_up() {
    for answered in [true, false] {
        let mut rig = Rig::renewing();
        while rig.calls() != Some(Call::Heartbeat) {
            if rig.calls() == Some(Call::Renew) {
                rig.answer(Outcome::Failed(unreachable()));
            } else {
                rig.wake();
            }
        }
        rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
        assert_eq!(rig.call(), Call::Renew);
        if answered {
            rig.answer(Outcome::Renewed(Identity { generation: 2, ..identity(2, rig.now.wall, token(1)) }));
            assert_eq!(rig.call(), Call::Prove { generation: 2 });
        } else {
            rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
            assert_eq!(rig.state(), StateName::Lost, "the second like answer");
        }
    }
}

#[test]
fn notes_are_few_and_none_twice() {
    let mut rig = Rig::active();
    for number in 0..100 {
        let notes = vec![format!("mended {}", number / 2)];
        rig.look(Loaded { notes, ..disk(intact()) });
    }
    assert_eq!(rig.report().notes.len(), 8);
    assert_eq!(rig.report().notes[7], "mended 49");
}

#[test]
fn a_wiped_directory_with_a_new_token_is_a_clean_enrollment() {
    let mut rig = Rig::active();
    rig.look(disk(Current::Nothing));
    assert_eq!(rig.state(), StateName::Enrolling, "whether the token may pay is not known any more");
    let wanted = EnrollReason::Lost("its files are gone".to_owned());
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: wanted });
    // The vendor chart's init container does it before the agent starts.
    let mut rig = Rig::started(Some(token(2)), disk(Current::Nothing));
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::First });
}

#[test]
fn a_wiped_sensor_ready_comes_back() {
    let mut rig = Rig::active();
    rig.ready = None;
    rig.look(disk(intact()));
    assert_eq!(rig.effects, [Effect::SetReady(true)]);
}

/// Renewed before a token is spent; if the Console refuses to renew it, a token is presented.
#[test]
fn an_expired_certificate_is_renewed_and_else_replaced() {
    for (token_type, state) in [
        (Some(TokenType::Once), StateName::Lost),
        (Some(TokenType::Cluster), StateName::Enrolling),
        (None, StateName::Enrolling),
    ] {
        let mut rig = Rig::active_with(Identity { token_type, ..identity(1, start(), token(1)) });
        rig.advance(LIFE.unsigned_abs());
        rig.send(Input::Tick);
        assert_eq!((rig.call(), rig.state()), (Call::Renew, StateName::Lost), "{token_type:?}");
        assert!(rig.wanted(&Effect::SetReady(false)));
        // Nobody there: nothing is spent for that.
        for _ in 0..5 {
            rig.fail(unreachable());
            rig.wake();
            assert_eq!(rig.call(), Call::Renew, "{token_type:?}");
        }
        let mut renewed = Rig { machine: rig.machine.clone(), effects: Vec::new(), ..rig };
        renewed.answer(Outcome::Renewed(identity(2, renewed.now.wall, token(1))));
        renewed.answer(Outcome::Accepted(accepted()));
        renewed.send(Input::Published);
        assert_eq!(renewed.state(), StateName::Active);
        // Too late, so it says twice, one heartbeat apart.
        rig.answer(Outcome::Failed(refusal(ErrorCode::CertificateExpired)));
        assert_eq!(rig.calls(), None, "{token_type:?}");
        assert!((13..=17).contains(&rig.wake().as_secs()));
        assert_eq!(rig.call(), Call::Renew, "{token_type:?}");
        rig.answer(Outcome::Failed(refusal(ErrorCode::CertificateExpired)));
        assert_eq!(rig.state(), state, "{token_type:?}");
        assert!(is_enroll(&rig.call()));
        rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
        assert!(rig.wake().as_secs() <= 300);
        assert_eq!(rig.call(), Call::Renew, "asked again, whatever was said");
    }
}

#[test]
fn an_accepted_generation_becomes_current_again() {
    // The Console was restored: it knows the one before.
    let older = identity(1, start(), token(1));
    let current = Loaded {
        others: vec![identity(3, start(), token(1)), older.clone()],
        ..disk(Current::Intact(identity(2, start(), token(1))))
    };
    let mut rig = Rig::started(None, current);
    rig.answer(Outcome::Accepted(accepted()));
    rig.wake();
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(rig.call(), Call::Prove { generation: 3 }, "newest first");
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(rig.call(), Call::Prove { generation: 1 });
    let mut refused = Rig { machine: rig.machine.clone(), effects: Vec::new(), ..rig };
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.effects, [Effect::Publish { generation: 1 }]);
    rig.send(Input::Published);
    assert_eq!((rig.state(), rig.report().generation), (StateName::Active, Some(1)));
    // None is accepted: asked once more one heartbeat later, and each once per verdict.
    refused.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!((refused.calls(), refused.state()), (None, StateName::Refused));
    assert!((13..=17).contains(&refused.wake().as_secs()));
    assert_eq!(refused.call(), Call::Heartbeat);
    refused.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert_eq!(refused.call(), Call::Prove { generation: 3 });
}

#[test]
fn a_copied_state_directory_never_speaks_with_the_copied_identity() {
    let copied = Identity { made_on: MadeOn::AnotherHost, ..identity(1, start(), token(1)) };
    let committed = Some(Identity { made_on: MadeOn::AnotherHost, ..identity(2, start(), token(1)) });
    let loaded = Loaded { committed, ready_since: Some(start()), ..disk(Current::Intact(copied.clone())) };
    let mut rig = Rig::started(Some(token(1)), loaded.clone());
    assert_eq!(rig.effects[..2], [Effect::DiscardCopied, Effect::SetReady(false)]);
    assert_eq!(rig.state(), StateName::Lost);
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::Cloned });
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    assert_eq!((rig.state(), rig.code().as_str()), (StateName::Lost, "identity_copied"));
    rig.look(loaded);
    assert!(!rig.wanted(&Effect::DiscardCopied), "once");
    rig.send(Input::Renew(Urgency::Now));
    assert!(matches!(rig.effects[..], [Effect::CommandDone(CommandResult::CannotRenew { .. })]));
    rig.send(Input::Token(Some(token(2))));
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::Cloned });

    // The template was enrolled with a cluster's token, which every clone holds: all of them enroll at once.
    let cluster = Identity { token_type: Some(TokenType::Cluster), ..copied };
    let mut rig = Rig::started(Some(token(1)), disk(Current::Intact(cluster)));
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::Cloned });
    rig.answer(Outcome::Enrolled(identity(2, start(), token(1))));
    assert_eq!(rig.effects.last(), Some(&Effect::Publish { generation: 2 }), "nothing of its own to protect");

    // Torn on top of it: the sensor is not named either.
    let torn = Loss { made_on: MadeOn::AnotherHost, ..loss("torn") };
    let mut rig = Rig::started(Some(token(2)), disk(Current::Lost(torn)));
    rig.answer(Outcome::ClockRead);
    assert_eq!(rig.call(), Call::Enroll { replaces: None, reason: EnrollReason::Cloned });
}

#[test]
fn another_name_role_or_cluster() {
    let changed = || Some("the node name is b now, and this host enrolled with a".to_owned());
    // A token for one use cannot pay for it: said, and nothing else.
    let mut rig = Rig::active();
    rig.send(Input::ConfigChanged(Settings::default()));
    let identity = Identity { changed: changed(), ..identity(1, start(), token(1)) };
    rig.loaded(Loaded { ready_since: Some(start()), ..disk(Current::Intact(identity.clone())) });
    assert_eq!((&rig.effects[..], rig.state()), (&[][..], StateName::Active));
    assert!(rig.report().notes[0].contains("this takes effect when the host enrolls again"));
    // A cluster's can.
    let cluster = Identity { token_type: Some(TokenType::Cluster), ..identity };
    rig.look(disk(Current::Intact(cluster)));
    let reason = EnrollReason::Changed(changed().unwrap());
    assert_eq!(rig.call(), Call::Enroll { replaces: Some(sensor(1)), reason });
    // The Console refuses, and the identity that stands goes on.
    rig.answer(Outcome::Failed(refusal(ErrorCode::RoleNotAllowed)));
    assert_eq!(rig.state(), StateName::Active);
    assert_eq!(rig.code(), "role_not_allowed");
    rig.only_heartbeats_for(Duration::from_secs(500));
    rig.wake_until(is_enroll, Duration::from_secs(100));
}

#[test]
fn the_disk_that_cannot_be_read_is_no_loss() {
    let mut rig = Rig::active();
    rig.send(Input::FilesChanged);
    rig.send(Input::LoadFailed(fault(Code::StateIoError)));
    assert_eq!((&rig.effects[..], rig.state()), (&[][..], StateName::Active));
    assert_eq!(rig.code(), "state_io_error");
    assert!(rig.wake() <= Duration::from_secs(1));
    assert_eq!(rig.effects, [Effect::Load]);
}

#[test]
fn two_hosts_that_push_each_other_out_slow_down() {
    let mut rig =
        Rig::active_with(Identity { token_type: Some(TokenType::Cluster), ..identity(1, start(), token(1)) });
    let mut waits = Vec::new();
    for generation in 2..16 {
        // What was current before is not what this is about.
        rig.machine.spares.clear();
        rig.lose();
        let waited = match rig.calls() {
            Some(call) if is_enroll(&call) => Duration::ZERO,
            Some(other) => panic!("{other:?}"),
            None => rig.wake_until(is_enroll, Duration::from_secs(300)),
        };
        waits.push(waited);
        rig.answer(Outcome::Enrolled(Identity {
            token_type: Some(TokenType::Cluster),
            ..identity(generation, rig.now.wall, token(1))
        }));
        rig.answer(Outcome::Accepted(accepted()));
        rig.send(Input::Published);
    }
    assert_eq!(waits[..2], [Duration::ZERO, Duration::ZERO], "a single loss is mended at once");
    assert!(waits[8..].iter().max().unwrap().as_secs() > 30, "{waits:?}");
}

/// Nobody would be asked for the time any more, and a date that was wrong once would hide for ever what to do.
#[test]
fn an_identity_that_is_not_accepted_is_said_first_whatever_the_clock_is() {
    for code in [ErrorCode::InvalidSensorTrust, ErrorCode::SensorRevoked] {
        let mut rig = Rig::active();
        rig.skew = SignedDuration::from_mins(-15);
        rig.wake();
        assert_eq!(rig.call(), Call::Heartbeat);
        rig.answer(Outcome::Failed(refusal(code)));
        rig.send(Input::Token(None));
        if code == ErrorCode::InvalidSensorTrust {
            rig.wake();
            rig.answer(Outcome::Failed(refusal(code)));
        }
        let error = rig.report().last_error.unwrap();
        let next = Some(rig.now.wall + rig.deadline().unwrap());
        assert_eq!((error.code.as_str(), error.next_attempt), (code.as_str(), next));
        assert_eq!(rig.report().clock_skew_seconds, Some(900));
    }
}

/// Console and host had a wrong clock when it was issued; what it replaced is in force, and the Console may accept it.
#[test]
fn of_an_identity_that_is_not_in_force_yet_the_one_before_is_used() {
    let early = Loss {
        about_time: Some((
            start() + SignedDuration::from_hours(48),
            start() + SignedDuration::from_hours(768),
        )),
        ..loss("early")
    };
    let others = vec![identity(1, start(), token(1))];
    let mut rig =
        Rig::started(Some(token(2)), Loaded { others: others.clone(), ..disk(Current::Lost(early.clone())) });
    assert_eq!(rig.call(), Call::ProbeClock, "it may be this host's clock");
    rig.answer(Outcome::ClockRead);
    rig.loaded(Loaded { others, ..disk(Current::Lost(early)) });
    assert_eq!(rig.call(), Call::Prove { generation: 1 });
    // Refused: the token is presented, and the identity asked for again beside it.
    rig.answer(Outcome::Failed(refusal(ErrorCode::InvalidSensorTrust)));
    assert!(is_enroll(&rig.call()));
    rig.answer(Outcome::Failed(refusal(ErrorCode::EnrollmentTokenUsed)));
    let waited = rig.wake_until(|call| *call == Call::Prove { generation: 1 }, Duration::from_secs(600));
    assert!((150..=300).contains(&waited.as_secs()), "{waited:?}");
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!(rig.effects, [Effect::Publish { generation: 1 }]);
}
