//! Disks that refuse, files that are none, formats and numbers of other times.

use std::path::Path;

use super::*;

#[test]
fn a_newer_format_is_not_damage_and_nothing_is_touched() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    let held = answer(|_| {});
    enroll(&mut store, &held, &token(2));
    let file = dir.path().join("generations/000002").join(layout::STATE);
    let ours = fs::read_to_string(&file).unwrap();
    fs::write(&file, r#"{"version": 99, "written_by": "7.2.0", "sensor": {"id": 1}}"#).unwrap();
    for refused in [store.load(now()).map(|_| ()), Store::peek(dir.path()).load(now()).map(|_| ())] {
        let Err(error @ StoreError::Newer { .. }) = refused else { panic!("version 99 was taken") };
        assert!(error.to_string().contains("install telovix-agent 7.2.0 again"), "{error}");
        assert_eq!(error.code().exit() as u8, 8);
    }
    for version in ["2", "2.5", "5000000000", "\"99\"", "\" 2.1.0\""] {
        fs::write(&file, format!("{{\"version\": {version}, \"written_by\": [7]}}")).unwrap();
        let refused = store.load(now());
        assert!(matches!(refused, Err(StoreError::Newer { .. })), "{version}: {refused:?}");
    }
    drop(store);
    fs::write(dir.path().join(layout::LOCK), "").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { .. })));
    assert_eq!(fs::read_link(dir.path().join("current")).unwrap(), Path::new("generations/000002"));
    assert_eq!(fs::read(dir.path().join(layout::LOCK)).unwrap(), b"", "the lock was written to");
    fs::write(&file, ours).unwrap();
    assert_eq!(sensor(&Store::open(dir.path()).unwrap()), (held.sensor_id, vec![]), "the newer one is back");
}

#[test]
fn what_is_under_way_in_a_newer_format_is_kept() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (made, paid) = (answer(|_| {}), token(1));
    store.begin(made.key(), &request(&paid, "edge-1"), paid.hash_as_given()).unwrap();
    let file = dir.path().join("pending/request.json");
    let text = fs::read_to_string(&file).unwrap().replace("\"version\": 1", "\"version\": 2");
    fs::write(&file, text).unwrap();
    drop(store);
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { .. })));
}

#[test]
fn what_is_no_file_is_damage_and_never_a_wait() {
    for name in [layout::STATE, layout::KEY, layout::CERTIFICATE] {
        let dir = TempDir::new().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let old = answer(|_| {});
        enroll(&mut store, &old, &token(1));
        enroll(&mut store, &answer(|_| {}), &token(2));
        let file = dir.path().join("generations/000002").join(name);
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let (id, mended) = sensor(&store);
        assert!(id == old.sensor_id && mended.iter().any(|note| note.contains("regular file")), "{mended:?}");
    }
    let dir = TempDir::new().unwrap();
    nix::unistd::mkfifo(&dir.path().join(layout::LOCK), nix::sys::stat::Mode::from_bits_truncate(0o600))
        .unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not a file") && error.contains("rm -r"), "{error}");
}

#[test]
fn empty_and_stray_directories_are_no_generations() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    fs::create_dir(dir.path().join("generations/000777")).unwrap();
    fs::write(dir.path().join("generations/000002"), "no directory").unwrap();
    let held = answer(|_| {});
    assert_eq!(enroll(&mut store, &held, &token(2)).number(), 3);
    assert_eq!(generation::numbers(&store.layout()).unwrap(), [1, 3], "the predecessor stays");
    assert_eq!(sensor(&store), (held.sensor_id, vec![]));
}

#[test]
fn what_a_damaged_file_holds_is_not_shown_as_it_is() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    let file = dir.path().join("generations/000001").join(layout::STATE);
    let hidden = "\u{3164}\u{202e}".repeat(400);
    fs::write(&file, serde_json::json!({"version": format!("x{hidden}")}).to_string()).unwrap();
    let Loaded::Lost(loss) = store.load(now()).unwrap() else { panic!("it was taken") };
    let said = loss.reason.to_string();
    assert!(said.contains("is damaged") && said.chars().count() < 600, "{said}");
    assert!(said.chars().all(telovix_contract::text::is_plain), "{}", said.escape_unicode());
}

#[test]
fn numbers_go_on_past_six_digits() {
    let dir = TempDir::new().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    enroll(&mut store, &answer(|_| {}), &token(1));
    fs::rename(dir.path().join("generations/000001"), dir.path().join("generations/999999")).unwrap();
    fs::remove_file(dir.path().join("current")).unwrap();
    sensor(&store);
    for number in [1_000_000, 1_000_001] {
        let held = answer(|_| {});
        assert_eq!(enroll(&mut store, &held, &token(2)).number(), number);
        assert_eq!(sensor(&store), (held.sensor_id, vec![]));
    }
    assert_eq!(Layout::number("0999999"), None);
}

#[test]
fn errors_of_file_systems_that_lack_something_have_their_own_remedy() {
    use nix::errno::Errno;
    for (operation, errno, remedy) in [
        ("lock", Errno::ENOLCK, "local_lock=flock"),
        ("lock", Errno::ENOSYS, "has no locks"),
        ("make the link", Errno::EPERM, "mfsymlinks"),
        ("sync", Errno::EINVAL, "another one"),
        ("write", Errno::ENOSPC, "make room"),
        ("write", Errno::EDQUOT, "make room"),
        ("write", Errno::EROFS, "remount"),
        ("create", Errno::EACCES, "as the user"),
        ("create", Errno::EPERM, "security module"),
        ("create", Errno::EMFILE, "ulimit"),
        ("create", Errno::ENFILE, "LimitNOFILE"),
        ("write", Errno::EFBIG, "LimitFSIZE"),
        ("read", Errno::ESTALE, "mount it again"),
        ("read", Errno::ENOTDIR, "move it away"),
        ("read", Errno::ELOOP, "move it away"),
    ] {
        let error = StoreError::io(operation, Path::new("/x"))(errno.into()).to_string();
        assert!(error.contains(remedy), "{error}");
    }
}
