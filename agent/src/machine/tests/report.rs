//! What people and probes see: every field of the report, and the sentences in it.

use super::life::second;
use super::*;

#[test]
fn the_report_names_the_host_and_the_console_of_the_configuration_in_force() {
    let mut rig = Rig::active();
    assert_eq!(rig.report().node_name.as_deref(), Some("edge-1"));
    rig.send(Input::ConfigChanged(Settings {
        node_name: "edge-2".into(),
        node_role: "upf".into(),
        cluster_name: Some("ran-east".into()),
        console_url: Some("https://console.example:15483".into()),
    }));
    let report = rig.report();
    assert_eq!(report.node_name.as_deref(), Some("edge-2"));
    assert_eq!(report.node_role.as_deref(), Some("upf"));
    assert_eq!(report.cluster_name.as_deref(), Some("ran-east"));
    assert_eq!(report.console_url.as_deref(), Some("https://console.example:15483"));
}

#[test]
fn the_report_says_whether_the_console_accepts_and_how_far_the_clock_is() {
    let rig = Rig::enrolling();
    assert_eq!((rig.report().accepted, rig.report().clock_skew_seconds), (false, Some(0)));
    let rig = Rig::started(None, disk(Current::Nothing));
    assert_eq!(rig.report().clock_skew_seconds, None, "nobody was asked");
    let mut rig = Rig::active();
    assert_eq!((rig.report().accepted, rig.report().clock_skew_seconds), (true, Some(0)));
    rig.skew = SignedDuration::from_secs(-90);
    rig.wake();
    rig.answer(Outcome::Failed(refusal(ErrorCode::SensorDisabled)));
    assert_eq!((rig.report().accepted, rig.report().clock_skew_seconds), (false, Some(90)));
    rig.skew = SignedDuration::from_secs(30);
    rig.wake();
    rig.answer(Outcome::Accepted(accepted()));
    assert_eq!((rig.report().accepted, rig.report().clock_skew_seconds), (true, Some(-30)));
}

#[test]
fn the_next_attempt_is_told_on_the_wall_clock_and_only_where_there_will_be_one() {
    let next = |rig: &Rig| rig.report().last_error.unwrap().next_attempt;
    let mut rig = Rig::active();
    rig.wake();
    rig.fail(unreachable());
    assert_eq!(next(&rig), Some(rig.now.wall + rig.deadline().unwrap()));
    for code in [ErrorCode::SensorDisabled, ErrorCode::InvalidRequest] {
        let mut rig = Rig::active();
        rig.wake();
        rig.answer(Outcome::Failed(refusal(code)));
        let expected = Some(rig.now.wall + rig.deadline().unwrap());
        assert_eq!((rig.state(), next(&rig)), (StateName::Refused, expected));
    }
}

#[test]
fn what_to_do_about_a_missing_token_says_which_kind() {
    let action = |rig: &Rig| rig.report().last_error.unwrap().action;
    let rig = Rig::started(None, disk(Current::Nothing));
    assert!(action(&rig).starts_with("create a token in the Console"), "{}", action(&rig));
    let rig = Rig::started(None, disk(Current::Lost(loss("torn"))));
    assert!(action(&rig).starts_with("create a re-enrollment token for this sensor"), "{}", action(&rig));
}

#[test]
fn the_reason_of_an_enrollment_is_a_sentence() {
    let rig = Rig::enrolling();
    assert_eq!(rig.report().reason, "this host has no identity yet");
    // An identity stands, and nobody has to approve anything yet.
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    assert_eq!((rig.state(), rig.report().reason.as_str()), (StateName::Renewing, "a new token was given"));
    assert_eq!(rig.report().waiting_for, Actor::Agent);
    rig.answer(Outcome::Enrolled(second(&rig, token(2))));
    assert_eq!(rig.report().reason, "proving the new certificate");
    for (reason, said) in [
        (EnrollReason::Lost("torn".into()), "the identity was lost: torn"),
        (EnrollReason::Cloned, "the identity here was made on another machine"),
        (EnrollReason::Changed("another role".into()), "the configuration changed: another role"),
        (EnrollReason::NotAccepted("revoked".into()), "the Console does not accept the identity: revoked"),
        (EnrollReason::Expired(start()), "the certificate expired at 2026-11-02T10:00:00Z"),
        (EnrollReason::NoRenewal, "the certificate is due and the Console does not renew it"),
    ] {
        assert_eq!(reason.to_string(), said);
    }
}

#[test]
fn a_heartbeat_that_fails_is_the_reason_and_one_that_is_missing_is_none() {
    let mut rig = Rig::active();
    assert_eq!(rig.report().reason, "the Console accepts the identity");
    rig.wake();
    rig.fail(unreachable());
    assert_eq!(
        (rig.state(), rig.report().reason.as_str()),
        (StateName::Active, "it says console_unreachable")
    );
    let mut rig = Rig::started(None, disk(intact()));
    rig.fail(failure(Code::NoSuchPath));
    assert_eq!(rig.report().reason, "the identity stands; this Console has no heartbeat");
}

#[test]
fn an_enrollment_that_nobody_wants_any_more_is_no_trouble() {
    let mut rig = Rig::active();
    rig.send(Input::Token(Some(token(2))));
    assert!(is_enroll(&rig.call()));
    rig.fail(unreachable());
    assert_eq!(rig.code(), "console_unreachable");
    // The token that stands paid already.
    rig.send(Input::Token(Some(token(1))));
    assert_eq!((rig.state(), rig.report().last_error), (StateName::Active, None));
}

#[test]
fn whoever_can_mend_it_is_named() {
    use Actor::{Agent, ConsoleOperator, HostOperator};
    for (failure, who) in [
        (unreachable(), Agent),
        (refusal(ErrorCode::RateLimited), Agent),
        (refusal(ErrorCode::SensorDisabled), ConsoleOperator),
        (refusal(ErrorCode::NodeLimitExceeded), ConsoleOperator),
        (failure(Code::NoSuchPath), ConsoleOperator),
        // A disk is tried again and again like a network, and yet nobody else makes room on it.
        (failure(Code::StateIoError), HostOperator),
        (failure(Code::NotAConsole), HostOperator),
        (refusal(ErrorCode::EnrollmentTokenUsed), HostOperator),
        (refusal(ErrorCode::InvalidSensorTrust), HostOperator),
        (refusal(ErrorCode::SensorRevoked), HostOperator),
    ] {
        assert_eq!(failure.fault.code.actor(), who, "{failure:?}");
    }
}

#[test]
fn a_renewal_that_fails_or_is_refused_is_seen_beside_an_identity_that_is_accepted() {
    for code in [ErrorCode::EnrollmentDenied, ErrorCode::InternalError] {
        let mut rig = Rig::renewing();
        rig.answer(Outcome::Failed(refusal(code)));
        let report = rig.report();
        assert!(report.accepted, "{report:?}");
        let failed = report.renewal_error.unwrap();
        assert_eq!((failed.code, failed.next_attempt.is_some()), (Code::Console(code), true));
        assert!(report.reason.contains(&failed.message), "{}", report.reason);
    }
    assert_eq!(Rig::active().report().renewal_error, None);
}
