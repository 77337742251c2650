//! Files under the published names that this agent did not make.

use super::*;
use crate::testpki::day;
use crate::verify::Naming;

/// Lays an identity out as the vendor's sensor does: files under the names, and no links.
fn lay_out(dir: &TempDir, of: &Answer) {
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put(layout::KEY, &of.key.to_pem());
    put(layout::CERTIFICATE, &of.certificate);
    put(layout::CA, &of.ca);
    put(layout::POLICY_KEY, &of.policy_key);
}

fn kept(dir: &TempDir, set: u32, name: &str) -> String {
    fs::read_to_string(dir.path().join(format!("kept-aside/{set:06}")).join(name)).unwrap()
}

#[test]
fn an_identity_in_files_of_somebody_else_is_found_and_adopted() {
    let dir = TempDir::new().unwrap();
    let theirs = answer(|_| {});
    lay_out(&dir, &theirs);
    let mut store = Store::open(dir.path()).unwrap();
    let found = store.foreign(now()).unwrap().unwrap();
    assert_eq!((found.names.len(), found.state.is_none()), (4, true));
    let identity = found.identity.unwrap();
    assert_eq!(identity.sensor_id(), theirs.sensor_id);
    let place = store.adopt(identity, state(&theirs, &token(1))).unwrap().unwrap();
    assert!(place.ends_with("kept-aside/000001"));
    assert_eq!(sensor(&store), (theirs.sensor_id, vec![]));
    assert!(store.foreign(now()).unwrap().is_none() && dir.path().join(layout::KEY).is_symlink());
    assert_eq!(kept(&dir, 1, layout::KEY), *theirs.key.to_pem(), "nothing is overwritten");
}

/// What the files are, with this state beside them.
fn found(theirs: &Answer, state: &str) -> Result<(SensorId, Naming), String> {
    let dir = TempDir::new().unwrap();
    lay_out(&dir, theirs);
    fs::remove_file(dir.path().join(layout::POLICY_KEY)).unwrap();
    fs::write(dir.path().join(layout::STATE), state).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let identity = store.foreign(now()).unwrap().unwrap().identity;
    identity.map(|identity| (identity.sensor_id(), identity.naming()))
}

#[test]
fn whose_files_are_may_stand_in_the_state_beside_them() {
    let nameless = answer(|p| p.subject_alt_names = vec![]);
    let id = nameless.sensor_id;
    let beside = format!(r#"{{"version": "4.1", "sensor_id": "{id}", "more": null}}"#);
    assert_eq!(found(&nameless, &beside), Ok((id, Naming::Beside)));
    assert!(found(&nameless, "{}").unwrap_err().contains("names 0 sensors"));
    let named = answer(|_| {});
    assert_eq!(found(&named, "no state of ours"), Ok((named.sensor_id, Naming::Required)));
    assert!(found(&named, &beside).unwrap_err().contains("is for sensor"), "the two contradict each other");
}

#[test]
fn files_that_only_their_dates_speak_against_are_an_identity() {
    for (from, until) in [(-40, -3), (3, 40)] {
        let theirs = answer(|p| (p.not_before, p.not_after) = (day(from), day(until)));
        assert_eq!(found(&theirs, "{}"), Ok((theirs.sensor_id, Naming::Required)));
        let other = Answer { ca: answer(|_| {}).ca, ..theirs };
        assert!(
            found(&other, "{}").unwrap_err().contains("does not chain"),
            "the rest is judged all the same"
        );
    }
}

#[test]
fn files_of_a_later_version_are_not_touched() {
    let dir = TempDir::new().unwrap();
    let theirs = answer(|_| {});
    lay_out(&dir, &theirs);
    let later = SensorState { version: STATE_VERSION + 1, ..state(&theirs, &token(1)) };
    fs::write(dir.path().join(layout::STATE), serde_json::to_string(&later).unwrap()).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(store.foreign(now()), Err(StoreError::Newer { .. })));
}

#[test]
fn files_that_are_no_identity_are_kept_when_one_takes_their_place() {
    let dir = TempDir::new().unwrap();
    let (theirs, other, ours) = (answer(|_| {}), answer(|_| {}), answer(|_| {}));
    lay_out(&dir, &theirs);
    fs::write(dir.path().join(layout::CA), &other.ca).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let found = store.foreign(now()).unwrap().unwrap();
    assert!(found.identity.is_err() && found.pair.is_some(), "{:?}", found.identity);
    enroll(&mut store, &ours, &token(1));
    assert_eq!(sensor(&store), (ours.sensor_id, vec![]));
    assert_eq!(kept(&dir, 1, layout::KEY), *theirs.key.to_pem());
    assert_eq!(kept(&dir, 1, layout::CERTIFICATE), theirs.certificate);
}

#[test]
fn a_backup_that_followed_links_is_the_same_identity() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    // As `cp -rL` and `tar -h` leave it.
    for name in layout::names() {
        let place = dir.path().join(name);
        let text = fs::read_to_string(&place).unwrap();
        fs::remove_file(&place).unwrap();
        fs::write(&place, text).unwrap();
    }
    let current = dir.path().join("current");
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    for name in layout::names() {
        fs::copy(dir.path().join("generations/000001").join(name), current.join(name)).unwrap();
    }
    let (id, mended) = sensor(&store);
    assert_eq!((id, mended.len()), (held.sensor_id, 2), "{mended:?}");
    assert_eq!(sensor(&store), (held.sensor_id, vec![]));
    assert!(dir.path().join("kept-aside/000001/current").join(layout::KEY).exists());
}

#[test]
fn what_is_put_in_place_of_a_link_is_kept_once_and_not_without_end() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    let put = |text: &str| {
        fs::remove_file(dir.path().join(layout::CERTIFICATE)).unwrap();
        fs::write(dir.path().join(layout::CERTIFICATE), text).unwrap();
    };
    for _ in 0..3 {
        put("the same again");
        let (id, mended) = sensor(&store);
        assert!(id == held.sensor_id && !mended.is_empty());
    }
    assert_eq!(fs::read_dir(dir.path().join("kept-aside")).unwrap().count(), 1);
    for n in 0..20 {
        put(&format!("another {n}"));
        sensor(&store);
        if dir.path().join(layout::CERTIFICATE).is_symlink() {
            continue;
        }
        let Loaded::Intact { unmended, .. } = store.load(now()).unwrap() else { panic!("it is intact") };
        assert!(unmended[0].contains("remove what nobody needs"), "{unmended:?}");
        return;
    }
    panic!("there is no end of what is kept");
}
