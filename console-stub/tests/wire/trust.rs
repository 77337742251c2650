//! Client certificates over real TLS: judged per call, renewed, replaced, refused (docs/contract.md sections 2 and 3).

use crate::world::{Reply, World, body, call, csr, host, key};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::sensors::Verdict;
use telovix_contract::paths;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn renewal(node: &str, key: &KeyPair) -> String {
    json!({"csr_pem": csr(node, key)}).to_string()
}

async fn renew(world: &World, (certificate, key): (&str, &KeyPair), new: &KeyPair) -> Reply {
    call(world, paths::RENEW, certificate, key, &renewal("edge-1", new)).await
}

fn certificate(reply: &Reply) -> String {
    reply.text("control_plane_certificate_pem").to_owned()
}

fn audited(world: &World, action: &str) -> i64 {
    world.count(&format!("SELECT count(*) FROM audit WHERE action_type = '{action}'"))
}

#[tokio::test]
async fn section_3_the_old_certificate_works_until_its_successor_is_seen() {
    let world = World::start(10).await;
    let (old, old_key, id) = host(&world, "edge-1").await;
    let new_key = key();
    let renewed = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!((renewed.status, renewed.text("trust_state")), (200, "rotated"));
    assert_eq!(renewed.text("sensor_id"), id.to_string());
    // The answer was lost, for days.
    world.clock.advance(9 * DAY);
    assert_eq!(world.heartbeat(&old, &old_key).await.status, 200);
    let again = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!((again.status, &again.body), (200, &renewed.body));
    assert_eq!(audited(&world, "auto_certificate_renewal_initiated"), 1);

    let new = certificate(&renewed);
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    assert_eq!(world.heartbeat(&old, &old_key).await.refusal(), (401, "invalid_sensor_trust"));
    let late = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!(late.refusal(), (401, "invalid_sensor_trust"));

    assert_eq!(renew(&world, (&new, &new_key), &new_key).await.refusal(), (422, "invalid_csr"));
    let foreign = call(&world, paths::RENEW, &new, &new_key, &renewal("edge-2", &key())).await;
    assert_eq!(foreign.refusal(), (422, "invalid_csr"));
}

#[tokio::test]
async fn section_3_a_further_successor_ends_an_unseen_one_and_nothing_else() {
    let world = World::start(10).await;
    let (old, old_key, _) = host(&world, "edge-1").await;
    let (lost_key, new_key) = (key(), key());
    let lost = certificate(&renew(&world, (&old, &old_key), &lost_key).await);
    let new = certificate(&renew(&world, (&old, &old_key), &new_key).await);
    assert_eq!(world.heartbeat(&lost, &lost_key).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(world.heartbeat(&old, &old_key).await.status, 200);
    assert_eq!(world.heartbeat(&new, &new_key).await.status, 200);
    assert_eq!(world.heartbeat(&old, &old_key).await.refusal(), (401, "invalid_sensor_trust"));
}

/// docs/contract.md section 3: five minutes, or a tenth of the life where that is shorter.
#[tokio::test]
async fn section_3_a_certificate_is_back_dated_five_minutes() {
    let world = World::start(10).await;
    let (pem, _, _) = host(&world, "edge-1").await;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.validity().not_before.timestamp(), world.console.now() - 300);
    assert_eq!(parsed.validity().not_after.timestamp(), world.console.now() + 720 * HOUR);
}

/// A host that was switched off for six weeks.
#[tokio::test]
async fn section_3_an_expired_certificate_renews_and_does_nothing_else() {
    let world = World::start(10).await;
    let (old, old_key, _) = host(&world, "edge-1").await;
    world.clock.advance(42 * DAY);
    for path in [paths::HEARTBEAT, paths::DECOMMISSION] {
        let refused = call(&world, path, &old, &old_key, "").await;
        assert_eq!(refused.refusal(), (401, "certificate_expired"), "{path}");
    }
    let new_key = key();
    let renewed = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let again = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!(again.body, renewed.body, "a lost answer is repeated");
    assert_eq!(audited(&world, "sensor_certificate_renewed_late"), 1);
    assert_eq!(audited(&world, "auto_certificate_renewal_initiated"), 0);
    assert_eq!(world.heartbeat(&certificate(&renewed), &new_key).await.status, 200);
    let replaced = renew(&world, (&old, &old_key), &new_key).await;
    assert_eq!(replaced.refusal(), (401, "invalid_sensor_trust"));
}

#[tokio::test]
async fn section_3_how_late_a_renewal_may_be_is_a_setting() {
    let world = World::start(10).await;
    let (old, old_key, id) = host(&world, "edge-1").await;
    world.clock.advance(60 * DAY);
    let too_late = renew(&world, (&old, &old_key), &key()).await;
    assert_eq!(too_late.refusal(), (401, "invalid_sensor_trust"));
    let set = async |hours: &str| {
        world
            .console
            .change_setting(Setting::RenewExpiredHours, hours.to_owned(), Origin::default())
            .await
            .unwrap();
    };
    set("721").await;
    let disable = world.console.judge_sensor(id, Verdict::Disable, Origin::default());
    disable.await.unwrap();
    assert_eq!(renew(&world, (&old, &old_key), &key()).await.refusal(), (403, "sensor_disabled"));
    world.console.judge_sensor(id, Verdict::Enable, Origin::default()).await.unwrap();
    assert_eq!(renew(&world, (&old, &old_key), &key()).await.status, 200);

    set("0").await;
    let (other, other_key, id) = host(&world, "edge-1").await;
    world.clock.advance(30 * DAY);
    let never = renew(&world, (&other, &other_key), &key()).await;
    assert_eq!(never.refusal(), (401, "invalid_sensor_trust"));
    set("720").await;
    world.console.judge_sensor(id, Verdict::Revoke, Origin::default()).await.unwrap();
    assert_eq!(renew(&world, (&other, &other_key), &key()).await.refusal(), (403, "sensor_revoked"));
}

#[tokio::test]
async fn section_6_a_call_without_a_certificate_is_told_so() {
    let world = World::start(10).await;
    for path in [paths::HEARTBEAT, paths::RENEW, paths::DECOMMISSION] {
        let reply = world.client(None).send("POST", path, b"", &[]).await.unwrap();
        assert_eq!(reply.refusal(), (401, "client_certificate_required"), "{path}");
    }
    // The listener for sensors alone requires one in the handshake.
    assert!(world.sensor_client(None).send("POST", paths::HEARTBEAT, b"", &[]).await.is_err());
    let (certificate, key, _) = host(&world, "edge-1").await;
    world.clock.advance(31 * DAY);
    let client = world.sensor_client(Some((&certificate, &key)));
    let late = client.send("POST", paths::HEARTBEAT, b"", &[]).await.unwrap();
    assert_eq!(late.refusal(), (401, "certificate_expired"));
}

/// The Console's clock was ahead when it signed.
#[tokio::test]
async fn section_2_a_certificate_of_the_future_is_known_and_accepted() {
    let world = World::start(10).await;
    world.clock.advance(20 * DAY);
    let (made, made_key, _) = host(&world, "edge-1").await;
    world.clock.advance(-20 * DAY);
    assert_eq!(world.heartbeat(&made, &made_key).await.status, 200);
}

/// A certificate in the issuer's name, with every flaw but the one under test; signed by `signer`.
fn made(issuer_der: &[u8], signer: &KeyPair, days: (i64, i64)) -> (String, KeyPair) {
    let mut ca = CertificateParams::default();
    let (_, parsed) = X509Certificate::from_der(issuer_der).unwrap();
    ca.distinguished_name = DistinguishedName::new();
    for part in parsed.subject().iter_attributes() {
        let kind = if part.attr_type().to_id_string() == "2.5.4.3" {
            DnType::CommonName
        } else {
            DnType::OrganizationName
        };
        ca.distinguished_name.push(kind, part.as_str().unwrap());
    }
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "edge-1");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    (leaf.not_before, leaf.not_after) = (now + Duration::days(days.0), now + Duration::days(days.1));
    let pem = leaf.signed_by(&key, &Issuer::new(ca, signer)).unwrap().pem();
    (pem, key)
}

/// Path validation looks at dates before signatures: that a certificate has expired must not hide that it is forged.
#[tokio::test]
async fn section_2_a_forged_certificate_is_refused_in_the_handshake_expired_or_not() {
    let world = World::start(10).await;
    let own = world.console.authority().unwrap();
    let forger = KeyPair::generate().unwrap();
    for anchor in own.anchors() {
        for days in [(-60, -30), (-1, 30), (30, 60)] {
            let (forged, key) = made(anchor, &forger, days);
            for client in [world.client(Some((&forged, &key))), world.sensor_client(Some((&forged, &key)))] {
                for path in [paths::HEARTBEAT, paths::RENEW, paths::ENROLL] {
                    let sent = client.send("POST", path, b"{}", &[]).await;
                    assert!(sent.is_err(), "{days:?}: {sent:?}");
                }
            }
        }
    }
    // Signed by itself, in the issuer's name.
    let (_, parsed) = X509Certificate::from_der(&own.anchors()[1]).unwrap();
    let mut selfmade = CertificateParams::default();
    let name = parsed.subject().iter_common_name().next().unwrap().as_str().unwrap();
    selfmade.distinguished_name.push(DnType::CommonName, name);
    selfmade.not_before = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    selfmade.not_after = OffsetDateTime::from_unix_timestamp(1_750_000_000).unwrap();
    let pem = selfmade.self_signed(&forger).unwrap().pem();
    assert!(world.client(Some((&pem, &forger))).send("POST", paths::RENEW, b"{}", &[]).await.is_err());
}

#[tokio::test]
async fn section_5_a_refused_certificate_is_audited_once_an_hour() {
    let world = World::start(10).await;
    let (certificate, held, id) = host(&world, "edge-1").await;
    world.console.judge_sensor(id, Verdict::Revoke, Origin::default()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (403, "sensor_revoked"));
    }
    let noted = format!(
        "SELECT count(*) FROM audit WHERE action_type = 'sensor_certificate_refused' AND outcome = 'failure' \
         AND sensor_id = '{id}' AND detail LIKE 'reason=sensor_revoked %certificate_serial=%' AND client_ip = '127.0.0.1'"
    );
    assert_eq!(world.count(&noted), 1);
    world.console.judge_sensor(id, Verdict::Delete, Origin::default()).await.unwrap();
    world.clock.advance(HOUR);
    assert_eq!(world.heartbeat(&certificate, &held).await.refusal(), (401, "invalid_sensor_trust"));
    assert_eq!(audited(&world, "sensor_certificate_refused"), 2);

    // Shown at enrollment it proves nothing, keeps nobody out, and is audited.
    world.clock.advance(HOUR);
    let enroll = |token: &str, node: &str, key: &KeyPair| body(token, node, key).to_string();
    let new = enroll(&world.once().await, "edge-2", &key());
    let made = call(&world, paths::ENROLL, &certificate, &held, &new).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(audited(&world, "sensor_certificate_refused"), 3);
}

/// What the host holds at enrollment is proved by the handshake, expired or not.
#[tokio::test]
async fn section_3_the_certificate_shown_at_enrollment_proves_its_key() {
    let world = World::start(10).await;
    let (certificate, held, id) = host(&world, "edge-1").await;
    world.clock.advance(31 * DAY);
    let token = world.once().await;
    let request = body(&token, "edge-2", &key()).to_string();
    let made = call(&world, paths::ENROLL, &certificate, &held, &request).await;
    assert_eq!(made.status, 201, "{made:?}");
    let proved = format!("SELECT count(*) FROM audit WHERE detail LIKE '%proved_the_key_of={id}%'");
    assert_eq!(world.count(&proved), 1);
}
