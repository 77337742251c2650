//! The state directory: what is kept, mended, refused.
#![expect(clippy::disallowed_methods, reason = "the tests spoil files by hand")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use telovix_contract::states::{TokenType, TrustState};
use telovix_contract::{EnrollmentToken, SensorId};
use tempfile::TempDir;

use super::*;
use crate::testpki::{Answer, answer, now};
use crate::verify;

use self::owner::{chown, of_somebody};

mod commit;
mod disk;
mod foreign;
mod owner;

fn token(n: u8) -> EnrollmentToken {
    EnrollmentToken::from_bytes(&[n; 32])
}

fn state(answer: &Answer, paid: &EnrollmentToken) -> SensorState {
    SensorState {
        version: STATE_VERSION,
        sensor_id: answer.sensor_id,
        node_name: "edge-1".parse().unwrap(),
        node_role: "amf".parse().unwrap(),
        cluster_name: None,
        install_id: None,
        console_url: "https://c.example".into(),
        token_sha256: paid.hash_as_given(),
        token_type: Some(TokenType::Once),
        machine_id_sha256: None,
        machine_id_source: None,
        trust_state: TrustState::Trusted,
        heartbeat_interval_seconds: 15,
        enrolled_at: now(),
    }
}

fn request(token: &EnrollmentToken, name: &str) -> EnrollRequest {
    serde_json::from_value(serde_json::json!({
        "enrollment_token": token.expose(), "csr_pem": "x", "node_name": name,
    }))
    .unwrap()
}

/// Enrolls: pending, commit, publish.
fn enroll(store: &mut Store, answer: &Answer, paid: &EnrollmentToken) -> Generation {
    store.begin(answer.key(), &request(paid, "edge-1"), paid.hash_as_given()).unwrap();
    let verified = verify::check(answer.claim(), answer.key(), now()).unwrap();
    let generation = store.commit(verified, state(answer, paid)).unwrap();
    store.publish(&generation).unwrap();
    generation
}

fn sensor(store: &Store) -> (SensorId, Vec<String>) {
    match store.load(now()).unwrap() {
        Loaded::Intact { generation, mended, .. } => (generation.verified().sensor_id(), mended),
        other @ (Loaded::Nothing | Loaded::Lost(_)) => panic!("not intact: {other:?}"),
    }
}

#[test]
fn an_enrollment_ends_published_and_swept() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert!(matches!(store.load(now()).unwrap(), Loaded::Nothing));
    let first = answer(|_| {});
    enroll(&mut store, &first, &token(1));
    assert_eq!(sensor(&store), (first.sensor_id, vec![]));
    assert!(store.pending().unwrap().is_none());
    let hash = fs::read_to_string(dir.path().join(layout::TOKEN_HASH)).unwrap();
    assert_eq!(hash, format!("{}\n", token(1).hash_as_given()));
    for (name, mode) in layout::GENERATION_FILES {
        let found = fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    let key = fs::read_to_string(dir.path().join(layout::KEY)).unwrap();
    assert_eq!(key, *first.key.to_pem());
}

#[test]
fn eight_generations_stay_and_older_ones_go() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for n in 1..=11 {
        enroll(&mut store, &answer(|_| {}), &token(n));
    }
    assert_eq!(generation::numbers(&store.layout()).unwrap(), [4, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn what_is_never_published_does_not_pile_up() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let first = answer(|_| {});
    enroll(&mut store, &first, &token(1));
    let mut swept = Vec::new();
    for _ in 2..=20 {
        let other = answer(|_| {});
        let verified = verify::check(other.claim(), other.key(), now()).unwrap();
        store.commit(verified, state(&other, &token(1))).unwrap();
        swept.extend(store.sweep(Some(1)).unwrap());
    }
    assert_eq!(generation::numbers(&store.layout()).unwrap(), [1, 14, 15, 16, 17, 18, 19, 20]);
    assert_eq!(sensor(&store), (first.sensor_id, vec![]));
    assert_eq!(swept, (2..=13).collect::<Vec<_>>());
}

#[test]
fn missing_links_are_linked_again() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    for name in [layout::KEY, layout::CERTIFICATE, layout::CA, layout::STATE] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join(layout::POLICY_KEY).with_extension("x"), "unrelated").unwrap();
    let (id, mended) = sensor(&Store::peek(dir.path()));
    assert_eq!((id, mended.len()), (held.sensor_id, 1));
    assert!(!dir.path().join(layout::KEY).exists(), "a look must not mend");
    assert_eq!(sensor(&store).1.len(), 1);
    assert_eq!(sensor(&store), (held.sensor_id, vec![]));
}

#[test]
fn wrong_modes_are_mended_and_said() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    let file = |name| dir.path().join("generations/000001").join(name);
    let mode = |name| fs::metadata(file(name)).unwrap().permissions().mode() & 0o7777;
    fs::set_permissions(file(layout::KEY), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(file(layout::CERTIFICATE), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(sensor(&Store::peek(dir.path())).1, Vec::<String>::new(), "a look mends nothing");
    let (id, mended) = sensor(&store);
    assert_eq!((id, mended.len()), (held.sensor_id, 2), "{mended:?}");
    assert!(mended[0].contains("0644") && mended[0].contains("renew --force"), "{mended:?}");
    assert_eq!((mode(layout::KEY), mode(layout::CERTIFICATE)), (0o600, 0o644));
    assert_eq!(sensor(&store).1, Vec::<String>::new());
}

#[test]
fn a_missing_current_is_found_again() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    fs::remove_file(dir.path().join("current")).unwrap();
    let (id, mended) = sensor(&store);
    assert!(id == held.sensor_id && mended[0].contains("`current` was missing"), "{mended:?}");
    assert_eq!(sensor(&store).1, Vec::<String>::new());
}

#[test]
fn a_missing_current_is_found_again_while_another_enrollment_is_under_way() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    let (made, paid) = (answer(|_| {}), token(2));
    store.begin(made.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    for committed in [false, true] {
        if committed {
            let verified = verify::check(made.claim(), made.key(), now()).unwrap();
            store.commit(verified, state(&made, &paid)).unwrap();
        }
        fs::remove_file(dir.path().join("current")).unwrap();
        assert_eq!(sensor(&store).0, held.sensor_id, "committed: {committed}");
    }
}

/// What a disk that fails looks like: it is there and cannot be opened (here because this user may not).
#[test]
fn what_cannot_be_read_just_now_is_neither_lost_nor_rolled_back() {
    let (dir, mut store) = of_somebody();
    enroll(&mut store, &answer(|_| {}), &token(1));
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(2));
    let place = dir.path().join("state/generations/000002");
    let owner = fs::metadata(&place).unwrap();
    chown(&place, (nix::unistd::geteuid().as_raw(), 0), 0o000);
    assert!(matches!(store.load(now()), Err(StoreError::Io { path, .. }) if path.starts_with(&place)));
    chown(&place, (owner.uid(), owner.gid()), 0o700);
    assert_eq!(sensor(&store), (held.sensor_id, vec![]));
}

#[test]
fn a_torn_generation_falls_back_to_the_previous_one() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (old, new) = (answer(|_| {}), answer(|_| {}));
    enroll(&mut store, &old, &token(1));
    enroll(&mut store, &new, &token(2));
    let file = dir.path().join("generations/000002").join(layout::CERTIFICATE);
    fs::write(&file, &new.certificate[..100]).unwrap();
    let (id, mended) = sensor(&store);
    assert_eq!(id, old.sensor_id);
    assert!(mended[0].contains("went back to generation 1"), "{mended:?}");
}

#[test]
fn without_an_intact_one_the_loss_names_the_file_and_the_sensor() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    let key = dir.path().join("generations/000001").join(layout::KEY);
    fs::write(&key, "").unwrap();
    let Loaded::Lost(loss) = store.load(now()).unwrap() else { panic!("an empty key was taken") };
    assert_eq!(loss.sensor_id, Some(held.sensor_id));
    let reason = loss.reason.to_string();
    assert!(reason.contains(layout::KEY) && reason.contains("damaged: empty"), "{reason}");
}

#[test]
fn a_swapped_key_is_no_identity() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    let key = dir.path().join("generations/000001").join(layout::KEY);
    fs::write(&key, answer(|_| {}).key.to_pem().as_bytes()).unwrap();
    let Loaded::Lost(loss) = store.load(now()).unwrap() else { panic!("a foreign key was taken") };
    assert!(loss.reason.to_string().contains("for another key"), "{}", loss.reason);
}

#[test]
fn an_expired_identity_is_lost_and_its_older_predecessor_is_no_help() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for n in 1..=2 {
        enroll(&mut store, &answer(|_| {}), &token(n));
    }
    let later = now() + jiff::SignedDuration::from_hours(24 * 40);
    let Loaded::Lost(loss) = store.load(later).unwrap() else { panic!("an expired identity was taken") };
    assert!(matches!(loss.reason, LossReason::Identity(verify::VerifyError::Expired { .. })));
}

#[test]
fn a_pending_enrollment_comes_back_with_its_key_and_without_its_token() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (made, paid) = (answer(|_| {}), token(7));
    store.begin(made.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    let pending = store.pending().unwrap().unwrap();
    assert_eq!(pending.key.public_der(), made.key.public_der());
    assert_eq!(pending.request(&paid).unwrap(), request(&paid, "edge-1"));
    assert!(pending.says_the_same_as(&request(&paid, "edge-1")));
    assert!(!pending.says_the_same_as(&request(&paid, "edge-2")));
    let text = fs::read_to_string(dir.path().join("pending/request.json")).unwrap();
    assert!(!text.contains(paid.expose()) && !text.contains(&paid.expose()[4..]), "{text}");
    fs::write(dir.path().join("pending/request.json"), "{").unwrap();
    assert!(matches!(store.pending(), Err(StoreError::Corrupt { .. })));
    fs::remove_file(dir.path().join("pending/request.json")).unwrap();
    assert!(matches!(store.pending(), Err(StoreError::Corrupt { .. })), "half of it was removed");
}

#[test]
fn discarding_one_errand_leaves_the_other_alone() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = enroll(&mut store, &answer(|_| {}), &token(1));
    let (made, paid) = (answer(|_| {}), token(2));
    store.begin(made.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    let renewal = RenewRequest { csr_pem: "x".into() };
    store.begin_renewal(answer(|_| {}).key(), &renewal, &held).unwrap();
    let verified = verify::check(made.claim(), made.key(), now()).unwrap();
    store.commit(verified, state(&made, &paid)).unwrap();
    store.discard(PendingKind::Renewal).unwrap();
    assert!(store.pending_renewal().unwrap().is_none());
    assert!(store.pending().unwrap().is_some(), "that was for another key");
    store.discard(PendingKind::Enrollment).unwrap();
    assert!(store.pending().unwrap().is_none());
    assert_eq!(store.others(held.number(), now()).unwrap().len(), 1, "it may be accepted yet");
}

#[test]
fn a_renewal_of_what_an_enrollment_replaced_is_not_gone_on_with() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let first = enroll(&mut store, &answer(|_| {}), &token(1));
    let renewal = RenewRequest { csr_pem: "x".into() };
    store.begin_renewal(answer(|_| {}).key(), &renewal, &first).unwrap();
    store.settle(&first).unwrap();
    assert!(store.pending_renewal().unwrap().is_some(), "it is of the identity that stands");
    enroll(&mut store, &answer(|_| {}), &token(2));
    assert!(store.pending_renewal().unwrap().is_none());
}

#[test]
fn consumers_are_told_of_each_identity_once() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let first = enroll(&mut store, &answer(|_| {}), &token(1));
    assert!(!store.was_told(&first));
    store.set_told(&first).unwrap();
    assert!(Store::peek(dir.path()).was_told(&first));
    let second = enroll(&mut store, &answer(|_| {}), &token(2));
    assert!(!store.was_told(&second));
}

#[test]
fn a_second_agent_is_kept_out_and_told_of_the_first() {
    let dir = TempDir::new().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { holder: Some(pid), .. } if pid == std::process::id()));
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_directory_that_others_can_write_is_refused_with_the_remedy() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("0770") && error.contains("chmod 700"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was made there");
}

#[test]
fn reset_leaves_nothing_but_the_lock() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    store.set_ready(Some(now())).unwrap();
    assert_eq!(store.ready_since(), Some(now()));
    store.reset().unwrap();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}

fn publication(owner: Option<u32>, group: Option<u32>, key: u32, cert: u32) -> Publication {
    use crate::config::{Origin, PublishSettings, Sourced};
    let set = |value| Sourced::new(value, Origin::Default);
    let settings = PublishSettings {
        owner: owner.map(set),
        group: group.map(set),
        key_mode: set(key),
        cert_mode: set(cert),
    };
    Publication::from(&settings)
}

#[test]
fn published_files_are_made_for_their_consumers() {
    let dir = TempDir::new().unwrap();
    let state_dir = dir.path().join("state");
    // Somebody else's where that is allowed, our own otherwise.
    let root = nix::unistd::geteuid().is_root();
    let (uid, gid) =
        if root { (4321, 4322) } else { (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()) };
    let publication = publication(Some(uid), Some(gid), 0o440, 0o640);
    let mut store = Store::open_as(&state_dir, publication).unwrap();
    let made = answer(|_| {});
    enroll(&mut store, &made, &token(1));
    let seen = |name: &str| {
        let meta = fs::metadata(state_dir.join(name)).unwrap();
        (meta.mode() & 0o777, meta.uid(), meta.gid())
    };
    assert_eq!(seen(layout::KEY), (0o440, uid, gid));
    for name in [layout::CERTIFICATE, layout::CA, layout::POLICY_KEY] {
        assert_eq!(seen(name), (0o640, uid, gid), "{name}");
    }
    let me = nix::unistd::geteuid().as_raw();
    assert_eq!((seen(layout::STATE).0, seen(layout::STATE).1), (0o600, me), "the state is the agent's own");
    for name in ["", "generations", "current"] {
        assert_eq!(seen(name), (0o711, me, gid), "{name}");
    }
    assert_eq!(store.keeps_out(&publication), None);
    assert_eq!(sensor(&store).0, made.sensor_id);
}

#[test]
fn directories_of_earlier_times_that_keep_consumers_out_are_told() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    assert_eq!(store.keeps_out(&Publication::default()), None);
    let for_group = publication(None, Some(4322), 0o640, 0o644);
    let told = store.keeps_out(&for_group).unwrap();
    assert!(told.contains("chgrp 4322") && told.contains("chmod 710"), "{told}");
    let for_owner = publication(Some(4321), None, 0o600, 0o644);
    let told = store.keeps_out(&for_owner).unwrap();
    assert!(!told.contains("chgrp") && told.contains("chmod 711"), "{told}");
}
