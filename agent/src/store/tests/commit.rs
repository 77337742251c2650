//! A generation between its name and its publication.

use super::*;

#[test]
fn a_committed_generation_waits_for_its_publication() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let made = answer(|_| {});
    let paid = token(1);
    store.begin(made.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    let verified = verify::check(made.claim(), made.key(), now()).unwrap();
    store.commit(verified, state(&made, &paid)).unwrap();
    assert!(matches!(store.load(now()).unwrap(), Loaded::Nothing), "unpublished, so not ours yet");
    let found = store.others(0, now()).unwrap();
    store.publish(&found[0]).unwrap();
    assert_eq!(sensor(&store).0, made.sensor_id);
}

#[test]
fn a_generation_has_no_name_before_its_link_is_prepared() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (first, paid) = (answer(|_| {}), token(1));
    store.begin(first.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    // What no disk does by itself, but fails at the same place as one without room: the link cannot be made.
    let stone = dir.path().join(".current.new/stone");
    fs::create_dir_all(&stone).unwrap();
    let verified = || verify::check(first.claim(), first.key(), now()).unwrap();
    let refused = store.commit(verified(), state(&first, &paid)).unwrap_err().to_string();
    assert!(refused.contains(".current.new"), "{refused}");
    assert!(store.others(0, now()).unwrap().is_empty(), "the next attempt would prove it");

    fs::remove_dir_all(stone.parent().unwrap()).unwrap();
    let generation = store.commit(verified(), state(&first, &paid)).unwrap();
    assert_eq!(store.others(0, now()).unwrap().len(), 1);
    store.publish(&generation).unwrap();
    assert_eq!(sensor(&store), (first.sensor_id, vec![]));
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_missing() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (first, paid) = (answer(|_| {}), token(1));
    store.begin(first.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    let around = dir.path().join("generations");
    std::os::unix::fs::symlink("generations", &around).unwrap();
    let verified = verify::check(first.claim(), first.key(), now()).unwrap();
    let refused = store.commit(verified, state(&first, &paid)).unwrap_err().to_string();
    assert!(refused.contains("generations: Too many levels of symbolic links"), "{refused}");
    drop(store);

    let state_dir = around.join("state");
    for refused in [Store::open(&state_dir).map(|_| ()), Store::examine(&state_dir)] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("state: Too many levels of symbolic links"), "{refused}");
    }
}
