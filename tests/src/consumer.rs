//! A program that uses the identity: it reads key and certificate all the time, in the ways that docs/operations.md
//! promises, and says whether what it found belongs together.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use sha2::{Digest as _, Sha256};

const KEY: &str = "client.key.pem";
const CERTIFICATE: &str = "client.cert.pem";
/// How often a consumer looks again before it gives up.
const LOOKS: usize = 3;

/// A key and a certificate, PEM.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The first way: opens the directory `current` once and takes both files out of it. Where they go away under its hands
/// (two publications later), it begins again.
pub fn through_current(state: &Path) -> Option<Pair> {
    (0..LOOKS).find_map(|_| {
        let folder = File::open(state.join("current")).ok()?;
        let read = |name: &str| {
            let file = openat(&folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
            let mut bytes = Vec::new();
            File::from(file).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        Some((read(KEY)?, read(CERTIFICATE)?))
    })
}

/// One look by the published names, one after the other: what a program does that knows nothing of generations.
pub fn by_name(state: &Path) -> Option<Pair> {
    Some((std::fs::read(state.join(KEY)).ok()?, std::fs::read(state.join(CERTIFICATE)).ok()?))
}

/// Whether the certificate is for the key. Remembers what it has seen.
#[derive(Debug, Default)]
pub struct Judge(HashMap<[u8; 32], bool>);

impl Judge {
    /// Whether these two belong together.
    pub fn belong(&mut self, (key, certificate): &Pair) -> bool {
        let mut hash = Sha256::new();
        hash.update(u64::try_from(key.len()).unwrap_or_default().to_le_bytes());
        hash.update(key);
        hash.update(certificate);
        *self.0.entry(hash.finalize().into()).or_insert_with(|| {
            let key = std::str::from_utf8(key).ok().and_then(|pem| rcgen::KeyPair::from_pem(pem).ok());
            let Some(key) = key else { return false };
            let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(certificate) else { return false };
            pem.parse_x509().is_ok_and(|leaf| {
                rcgen::PublicKeyData::subject_public_key_info(&key) == leaf.public_key().raw
            })
        })
    }
}

/// What a consumer saw.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    /// Looks at a host, by both ways.
    pub looks: u64,
    /// Looks that found a pair.
    pub pairs: u64,
    /// Looks at a host that had no identity yet.
    pub nothing_yet: u64,
    /// By names: the first look found two that do not belong together, and a second one was needed.
    pub looked_twice: u64,
    /// By names: the first look found one of the two or none, though there is an identity.
    pub gaps: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

struct Host {
    state: PathBuf,
    had_one: bool,
}

/// The consumer, on a thread of its own.
pub struct Consumer {
    hosts: Arc<Mutex<Vec<Host>>>,
    sights: Arc<Mutex<Sights>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Starts to look, again and again with this pause in between.
    pub fn new(pause: Duration) -> Self {
        let (hosts, sights) =
            (Arc::new(Mutex::new(Vec::<Host>::new())), Arc::new(Mutex::new(Sights::default())));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, found, end) = (Arc::clone(&hosts), Arc::clone(&sights), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut judge = Judge::default();
            while !end.load(Ordering::Relaxed) {
                let mut hosts = theirs.lock().expect("nobody panics with it");
                let mut sights = found.lock().expect("nobody panics with it");
                hosts.iter_mut().for_each(|host| look(host, &mut judge, &mut sights));
                let idle = hosts.is_empty();
                drop((hosts, sights));
                // Whoever waits for the locks has them first.
                std::thread::yield_now();
                std::thread::sleep(if idle { Duration::from_millis(1) } else { pause });
            }
        });
        Self { hosts, sights, stop, thread: Some(thread) }
    }

    /// Looks at this host from now on, until it is let go.
    pub fn watch(&self, state: &Path) {
        let host = Host { state: state.to_owned(), had_one: false };
        self.hosts.lock().expect("the consumer is alive").push(host);
    }

    /// Looks at this host no more.
    pub fn let_go(&self, state: &Path) {
        self.hosts.lock().expect("the consumer is alive").retain(|host| host.state != state);
    }

    /// Looks at this host once more, and returns when that is done: what stands there now is seen for certain.
    ///
    /// # Panics
    /// When the consumer has panicked, or the host is not watched.
    pub fn look_now(&self, state: &Path) {
        let mut hosts = self.hosts.lock().expect("the consumer is alive");
        let mut sights = self.sights.lock().expect("the consumer is alive");
        let host = hosts.iter_mut().find(|host| host.state == state).expect("it is watched");
        look(host, &mut Judge::default(), &mut sights);
    }

    /// What it has seen so far.
    pub fn sights(&self) -> Sights {
        self.sights.lock().expect("the consumer is alive").clone()
    }
}

fn look(host: &mut Host, judge: &mut Judge, sights: &mut Sights) {
    sights.looks += 2;
    // Whether there was one before this look began: from then on there is always one.
    let had_one = host.had_one;
    let missing = |way: &str, sights: &mut Sights| {
        if had_one {
            sights.violations.push(format!("{}: nothing, {way}", host.state.display()));
        } else {
            sights.nothing_yet += 1;
        }
    };
    match through_current(&host.state) {
        Some(pair) if judge.belong(&pair) => {
            sights.pairs += 1;
            host.had_one = true;
        }
        Some(_) => sights.violations.push(format!("{}: no pair through `current`", host.state.display())),
        None => missing("through `current`", sights),
    }
    let mut last = None;
    for turn in 0..LOOKS {
        last = by_name(&host.state);
        match &last {
            Some(pair) if judge.belong(pair) => break,
            Some(_) if turn == 0 => sights.looked_twice += 1,
            None if turn == 0 && had_one => sights.gaps += 1,
            Some(_) | None => {}
        }
    }
    match last {
        Some(pair) if judge.belong(&pair) => sights.pairs += 1,
        Some(_) => {
            sights.violations.push(format!("{}: no pair by name in three looks", host.state.display()));
        }
        None => missing("by name in three looks", sights),
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
