//! Root in the directory of another user.

use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use super::*;

/// Somebody who is not root.
const SOMEBODY: (u32, u32) = (4321, 4322);

/// Changes owner, where this user may, and mode.
pub(super) fn chown(path: &Path, (uid, gid): (u32, u32), mode: u32) {
    if nix::unistd::geteuid().is_root() {
        lchown(path, Some(uid), Some(gid)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A state directory of another user, where root runs the tests; the user's own otherwise.
pub(super) fn of_somebody() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    chown(&state, SOMEBODY, 0o700);
    let store = Store::open(&state).unwrap();
    (dir, store)
}

fn everything(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_symlink() || path.is_file() { vec![path] } else { everything(&path) })
        .collect()
}

#[test]
fn what_root_makes_in_the_directory_of_another_user_is_that_users() {
    let (dir, mut store) = of_somebody();
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(1));
    store.set_ready(Some(now())).unwrap();
    let state = dir.path().join("state");
    let owner = fs::metadata(&state).unwrap().uid();
    for path in everything(&state) {
        assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), owner, "{}", path.display());
    }
    assert_eq!(sensor(&Store::peek(&state)).0, held.sensor_id);
}

/// A user who wants root to change or to read something outside can only put links in its way.
#[test]
fn root_follows_no_link_of_that_user_out_of_the_directory() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (dir, mut store) = of_somebody();
    enroll(&mut store, &answer(|_| {}), &token(1));
    let outside = dir.path().join("outside");
    fs::create_dir_all(outside.join(".new/precious")).unwrap();
    fs::create_dir_all(outside.join("000001")).unwrap();
    chown(&outside, (0, 0), 0o755);
    let secret = outside.join("000001").join(layout::KEY);
    fs::write(&secret, "root's").unwrap();
    chown(&secret, (0, 0), 0o600);
    let state = dir.path().join("state");
    fs::rename(state.join("generations"), state.join("away")).unwrap();
    symlink(&outside, state.join("generations")).unwrap();
    // Whatever root does now ends at what the user may do.
    let _ = store.load(now());
    let made = answer(|_| {});
    let verified = verify::check(made.claim(), made.key(), now()).unwrap();
    assert!(store.commit(verified, super::state(&made, &token(2))).is_err());
    // Of the link, only the link itself.
    store.reset().unwrap();
    assert!(outside.join(".new/precious").exists());
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
    // And this thread is root again.
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
    assert_eq!(acting::current(), None);
}

#[test]
fn a_mode_is_not_changed_through_a_link() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&file, dir.path().join("link")).unwrap();
    assert!(atomic::set_mode(&dir.path().join("link"), 0o644).is_err());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    atomic::set_mode(&file, 0o640).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
}
