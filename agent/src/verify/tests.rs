//! One test a defect: each claim is sound but for one thing, and the error names that thing.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Eku, IsCa, KeyUsagePurpose as Ku, SanType,
};
use telovix_contract::SensorId;

use super::*;
use crate::config::KeyType;
use crate::testpki::{Answer, answer, authority, day, now};

fn verdict(answer: &Answer) -> Result<Verified, VerifyError> {
    check(answer.claim(), answer.key(), now())
}

fn spoilt(spoil: impl FnOnce(&mut CertificateParams)) -> VerifyError {
    verdict(&answer(spoil)).expect_err("a spoilt identity was taken")
}

#[test]
fn a_sound_identity_is_taken_and_tells_its_dates() {
    let answer = answer(|_| {});
    let verified = verdict(&answer).unwrap();
    assert_eq!(verified.sensor_id(), answer.sensor_id);
    assert_eq!(verified.not_after().as_second() - verified.not_before().as_second(), 30 * 86_400);
    assert_eq!((verified.chain().len(), verified.ca().len()), (1, 1));
    assert_eq!(verified.certificate_pem(), answer.certificate);
    assert_eq!(verified.ca_pem(), answer.ca);
    assert_eq!(verified.policy_key_pem(), answer.policy_key);
}

#[test]
fn the_serial_number_is_told_as_openssl_shows_it() {
    let answer = answer(|p| p.serial_number = Some(vec![0x0a, 0xbc, 0x01].into()));
    let verified = verdict(&answer).unwrap();
    assert_eq!((verified.serial(), verified.serial_hex().as_str()), (&[0x0a, 0xbc, 0x01][..], "0abc01"));
}

#[test]
fn a_bundle_with_root_and_issuer_is_taken() {
    let mut answer = answer(|_| {});
    answer.ca = format!("{}{}", authority().0, answer.ca);
    assert_eq!(verdict(&answer).unwrap().ca().len(), 2);
}

#[test]
fn a_bundle_of_sixteen_is_taken_whole_and_one_of_seventeen_is_refused() {
    let mut answer = answer(|_| {});
    let one = answer.ca.clone();
    answer.ca = one.repeat(16);
    assert_eq!(verdict(&answer).unwrap().ca().len(), 16);
    answer.ca = one.repeat(17);
    assert!(verdict(&answer).unwrap_err().to_string().contains("more certificates than"));
}

#[test]
fn for_another_key() {
    let answer = answer(|_| {});
    let other = KeyPair::generate(KeyType::P256).unwrap();
    assert_eq!(check(answer.claim(), other, now()).unwrap_err(), VerifyError::OtherKey);
}

#[test]
fn from_another_ca() {
    let mut answer = answer(|_| {});
    answer.ca = authority().0;
    assert!(matches!(verdict(&answer), Err(VerifyError::Chain { .. })));
}

#[test]
fn expired_and_not_yet_valid_tell_both_times() {
    let expired = spoilt(|p| p.not_after = day(-1) + ::time::Duration::hours(1));
    assert!(matches!(expired, VerifyError::Expired { .. }) && expired.is_about_time());
    assert!(expired.to_string().contains("2026-05-31T01:00:00Z"), "{expired}");
    let early = spoilt(|p| p.not_before = day(1));
    assert!(matches!(early, VerifyError::NotYetValid { .. }) && early.is_about_time());
    assert!(early.to_string().contains("2026-06-01T00:00:00Z"), "{early}");
    // And the whole life, by which the Console's clock may yet find it in force.
    let at = |offset| Timestamp::from_second(day(offset).unix_timestamp()).unwrap();
    assert_eq!(early.life(), Some((at(1), at(29))));
    assert!(!spoilt(|p| p.extended_key_usages = vec![]).is_about_time());
}

#[test]
fn the_first_and_the_last_second_are_a_part_of_the_life() {
    for (from, until) in [(0, 29), (-1, 0)] {
        verdict(&answer(|p| (p.not_before, p.not_after) = (day(from), day(until)))).unwrap();
    }
    let none = spoilt(|p| (p.not_before, p.not_after) = (day(0), day(0)));
    assert!(none.to_string().contains("invalid validity period"), "{none}");
}

#[test]
fn a_ca() {
    assert_eq!(spoilt(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), VerifyError::IsCa);
}

#[test]
fn not_for_clients() {
    assert_eq!(spoilt(|p| p.extended_key_usages = vec![]), VerifyError::NotForClients);
    assert_eq!(spoilt(|p| p.extended_key_usages = vec![Eku::ServerAuth]), VerifyError::NotForClients);
}

#[test]
fn for_more_than_clients() {
    for more in [Eku::ServerAuth, Eku::Any, Eku::CodeSigning, Eku::TimeStamping, Eku::OcspSigning] {
        let error = spoilt(|p| p.extended_key_usages = vec![Eku::ClientAuth, more.clone()]);
        assert!(matches!(error, VerifyError::TooMuch(_)), "{more:?}: {error}");
    }
    assert!(matches!(spoilt(|p| p.extended_key_usages = vec![Eku::Any]), VerifyError::TooMuch(_)));
    for more in [Ku::KeyCertSign, Ku::CrlSign] {
        let error = spoilt(|p| p.key_usages = vec![Ku::DigitalSignature, more]);
        assert!(error.to_string().contains("signing certificates"), "{error}");
    }
    // What a consumer of another kind may want does no harm.
    verdict(&answer(|p| {
        p.extended_key_usages =
            vec![Eku::ClientAuth, Eku::EmailProtection, Eku::Other(vec![1, 3, 6, 1, 4, 1, 99999, 1])];
    }))
    .unwrap();
}

#[test]
fn a_life_without_a_defined_end_is_taken_and_can_be_planned_with() {
    let end = ::time::OffsetDateTime::new_utc(
        ::time::Date::from_calendar_date(9999, ::time::Month::December, 31).unwrap(),
        ::time::Time::from_hms(23, 59, 59).unwrap(),
    );
    let verified = verdict(&answer(|p| p.not_after = end)).unwrap();
    assert_eq!(verified.not_after().to_string(), "9999-01-01T00:00:00Z");
    assert!(verified.not_after().checked_add(jiff::SignedDuration::from_hours(24)).is_ok());
}

#[test]
fn nothing_that_stood_around_the_certificates_is_kept() {
    let clean = answer(|_| {});
    let noise = "red \u{1b}[31m\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let trusted = authority().0.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let dirty = Answer {
        sensor_id: clean.sensor_id,
        certificate: format!("{noise}{}", clean.certificate.replace('\n', "\r\n")),
        ca: format!("{noise}{}{trusted}", clean.ca.replace('\n', " ")),
        policy_key: format!("{noise}{}", clean.policy_key),
        key: clean.key(),
    };
    let verified = verdict(&dirty).unwrap();
    assert_eq!(verified.certificate_pem(), clean.certificate);
    assert_eq!(
        (verified.ca_pem(), verified.policy_key_pem()),
        (clean.ca.as_str(), clean.policy_key.as_str())
    );
}

#[test]
fn what_the_answer_leaves_out_the_certificate_says() {
    let answer = answer(|_| {});
    let claim = Claim { sensor_id: None, policy_key_pem: " \n", ..answer.claim() };
    let verified = check(claim, answer.key(), now()).unwrap();
    assert_eq!((verified.sensor_id(), verified.policy_key_pem()), (answer.sensor_id, ""));
}

#[test]
fn for_another_sensor_or_none_or_two() {
    let uri = |id: SensorId| SanType::URI(id.to_uri().try_into().unwrap());
    let other = spoilt(|p| p.subject_alt_names = vec![uri(SensorId::random())]);
    assert!(matches!(other, VerifyError::OtherSensor { .. }));
    assert_eq!(spoilt(|p| p.subject_alt_names = vec![]), VerifyError::SensorUris { found: 0 });
    let two = spoilt(|p| p.subject_alt_names.push(uri(SensorId::random())));
    assert_eq!(two, VerifyError::SensorUris { found: 2 });
}

#[test]
fn torn_parts_are_named() {
    let whole = answer(|_| {});
    let torn = |spoil: fn(&mut Answer)| {
        let mut answer = Answer {
            sensor_id: whole.sensor_id,
            certificate: whole.certificate.clone(),
            ca: whole.ca.clone(),
            policy_key: whole.policy_key.clone(),
            key: whole.key(),
        };
        spoil(&mut answer);
        verdict(&answer).unwrap_err().to_string()
    };
    assert_eq!(
        torn(|a| a.certificate.clear()),
        "the certificate cannot be read: no certificate in PEM there"
    );
    assert!(torn(|a| a.certificate.truncate(200)).starts_with("the certificate cannot be read"));
    assert!(torn(|a| a.ca = "nonsense".into()).starts_with("the Console's CA cannot be read"));
    assert!(torn(|a| a.policy_key = "x".into()).starts_with("the policy signing key cannot be read"));
}

#[test]
fn a_policy_key_of_another_kind_or_length() {
    use base64::Engine as _;
    let of = |algorithm: u8, length: u8| {
        let mut der = vec![0x30, length + 10, 0x30, 5, 6, 3, 0x2b, 0x65, algorithm, 3, length + 1, 0];
        der.resize(der.len() + usize::from(length), 7);
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    let given = |policy_key: String| verdict(&Answer { policy_key, ..answer(|_| {}) });
    // RFC 8410: 112 is Ed25519, 110 is X25519 with keys as long.
    given(of(112, 32)).unwrap();
    let p256 = rcgen::KeyPair::generate().unwrap().public_key_pem();
    for wrong in [p256, of(110, 32), of(112, 31)] {
        assert!(given(wrong).unwrap_err().to_string().contains("not an Ed25519 key"));
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(der in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        use base64::Engine as _;
        let whole = answer(|_| {});
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let claim = Claim { certificate_pem: &pem, ..whole.claim() };
        proptest::prop_assert!(check(claim, whole.key(), now()).is_err());
    }
}
