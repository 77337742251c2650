//! State directories, as a disk gives them back: what is whole is taken, what is not is said to be lost, and nothing in
//! between.
//!
//! The parts of the input are the files of [`FILES`]; `@KEY@`, `@CERT@`, `@CA@`, `@POLICY@` and `@CSR@` in them stand for
//! those of a good identity, and a part that is empty for a file that is missing.

use std::path::Path;
use std::sync::LazyLock;

use telovix_agent::store::{Loaded, Pending, SensorState, Store, StoreError};
use telovix_contract::EnrollmentToken;

use crate::certificate::PKI;
use crate::kit::{fit_for_a_log, key, now, parts, scratch, the_same_again};

/// The files, in the order of the input's parts.
pub const FILES: [&str; 12] = [
    "generations/000001/sensor-state.json",
    "generations/000001/client.key.pem",
    "generations/000001/client.cert.pem",
    "generations/000001/console-ca.cert.pem",
    "generations/000001/policy-signing.pub",
    "pending/request.json",
    "pending/client.key.pem",
    ".sensor-ready",
    ".enrollment-token-hash",
    ".consumers-told",
    "renewal/request.json",
    "renewal/client.key.pem",
];
/// The key of [`PKI`]'s host.
const HOST: u8 = 3;

static GOOD: LazyLock<[(&str, String); 4]> = LazyLock::new(|| {
    let [certificate, ca, policy] = PKI.good();
    [("@KEY@", key(HOST).to_pem().to_string()), ("@CERT@", certificate), ("@CA@", ca), ("@POLICY@", policy)]
});

/// Writes the input to a state directory and starts an agent on it, as far as reading goes.
///
/// # Panics
/// When it fails where it should say that something is lost, or takes what does not hold.
pub fn run(data: &[u8]) {
    let dir = scratch("state");
    let _ = std::fs::remove_dir_all(&dir);
    let parts: [Vec<u8>; FILES.len()] = parts(data).map(filled);
    lay_out(&dir, &parts);
    let seen = whole(&Store::peek(&dir));
    under_way(&Store::peek(&dir));
    let store = match Store::open(&dir) {
        Ok(store) => store,
        Err(StoreError::Newer { .. }) => {
            assert!(!seen, "who looks and who works see two things");
            return;
        }
        Err(error) => panic!("a directory of ours: {error}"),
    };
    let first = whole(&store);
    assert_eq!(seen, first, "who looks and who works see two things");
    let Ok(Loaded::Intact { generation, mended, .. }) = store.load(now()) else {
        assert!(!first);
        return;
    };
    assert!(mended.is_empty(), "mended twice: {mended:?}");
    let state = generation.state();
    assert!(state.version <= 1 && state.sensor_id == generation.verified().sensor_id());
    the_same_again::<SensorState>(state);
    let _ = store.was_told(&generation);
}

fn filled(part: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(part) {
        Ok(text) => {
            GOOD.iter().fold(text.to_owned(), |text, (mark, pem)| text.replace(mark, pem)).into_bytes()
        }
        Err(_) => part.to_owned(),
    }
}

fn lay_out(dir: &Path, parts: &[Vec<u8>; FILES.len()]) {
    use std::os::unix::fs::DirBuilderExt as _;
    let make = |path: &Path| {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).expect("a directory can be made");
    };
    make(dir);
    make(&dir.join("generations/000001"));
    make(&dir.join("pending"));
    make(&dir.join("renewal"));
    for (name, part) in FILES.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
        std::fs::write(dir.join(name), part).expect("a file can be written");
    }
    std::os::unix::fs::symlink("generations/000001", dir.join("current")).expect("a link can be made");
}

/// Whether there is an identity. A file that is torn is no failure of the disk.
fn whole(store: &Store) -> bool {
    let _ = (store.ready_since(), store.paid_by());
    match store.load(now()) {
        Ok(Loaded::Intact { .. }) => true,
        Ok(Loaded::Lost(loss)) => {
            fit_for_a_log(&loss.reason.to_string(), 1000);
            assert_eq!(loss.sensor_id, loss.state.map(|state| state.sensor_id));
            false
        }
        Ok(Loaded::Nothing) => panic!("there is a generation"),
        Err(StoreError::Newer { .. }) => false,
        Err(error) => panic!("a torn file is no reason to stop: {error}"),
    }
}

/// An enrollment and a renewal, each of which may be under way.
fn under_way(store: &Store) {
    for found in [store.pending(), store.pending_renewal()] {
        match found {
            Ok(Some(pending)) => readable(&pending),
            Ok(None) => panic!("there is a directory"),
            Err(StoreError::Corrupt { .. } | StoreError::Newer { .. }) => {}
            Err(error) => panic!("a torn file is no reason to stop: {error}"),
        }
    }
}

fn readable(pending: &Pending) {
    let token = EnrollmentToken::from_bytes(&[9; 32]);
    if let Ok(request) = pending.request(&token) {
        assert_eq!(request.enrollment_token, token);
        let asked = pending.asked().expect("less than the whole");
        assert_eq!(asked.node_name, request.node_name);
    }
    if let Ok(request) = pending.renewal() {
        the_same_again(&request);
    }
    let _ = (pending.asked(), pending.is_of_another_machine(&[]));
}
