//! Changes of real files, however they come about.
#![expect(clippy::disallowed_methods, reason = "the tests change files behind the watcher's back")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;

/// Longer than any event takes, and shorter than the poll: what comes within it came from the kernel.
const SOON: Duration = Duration::from_secs(20);

struct Bench {
    dir: TempDir,
    watcher: Watcher,
}

impl Bench {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::new().unwrap();
        prepare(dir.path());
        let watcher = Watcher::new(watched(dir.path()));
        assert_eq!(watcher.blind(), None);
        Self { dir, watcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn seen(&mut self) -> Change {
        tokio::time::timeout(SOON, self.watcher.changed()).await.expect("the watcher is deaf")
    }

    /// That nothing is left to be said.
    #[track_caller]
    fn quiet(&mut self) {
        self.watcher.look();
        assert_eq!(self.watcher.found.pop_first(), None);
    }
}

fn watched(dir: &Path) -> Watched {
    Watched {
        state_dir: dir.join("state"),
        tokens: vec![dir.join("secrets/token")],
        config: vec![dir.join("etc/agent.toml"), dir.join("etc/agent.toml.d")],
    }
}

fn folders(dir: &Path) {
    for name in ["state/generations/000001", "secrets", "etc/agent.toml.d"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    fs::write(dir.join("state/generations/000001/client.key.pem"), "key").unwrap();
    symlink("generations/000001", dir.join("state/current")).unwrap();
    symlink("current/client.key.pem", dir.join("state/client.key.pem")).unwrap();
    fs::write(dir.join("secrets/token"), "one").unwrap();
    fs::write(dir.join("etc/agent.toml"), "x").unwrap();
}

/// Puts a file in the place of another, as editors and careful programs do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_token_is_seen_in_every_way_that_it_can_come() {
    let mut bench = Bench::new(folders);
    let token = bench.path("secrets/token");
    for _ in 0..2 {
        fs::write(&token, "two").unwrap();
        assert_eq!(bench.seen().await, Change::Token);
        replace(&token, "three");
        assert_eq!(bench.seen().await, Change::Token);
        fs::set_permissions(&token, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(bench.seen().await, Change::Token);
        fs::remove_file(&token).unwrap();
        assert_eq!(bench.seen().await, Change::Token);
    }
    bench.quiet();
}

/// A Kubernetes volume: the files are links through `..data`, which is swapped by a rename.
#[tokio::test]
async fn a_secret_volume_is_seen_at_every_swap() {
    fn swap(volume: &Path, number: u32) {
        let name = format!("..{number}");
        fs::create_dir(volume.join(&name)).unwrap();
        fs::write(volume.join(&name).join("token"), "same-size").unwrap();
        let _ = fs::remove_file(volume.join("..data_tmp"));
        symlink(&name, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(volume.join(format!("..{}", number - 1))).unwrap();
        }
    }
    let mut bench = Bench::new(|dir| {
        fs::create_dir_all(dir.join("secrets")).unwrap();
        swap(&dir.join("secrets"), 1);
        symlink("..data/token", dir.join("secrets/token")).unwrap();
    });
    for number in 2..5 {
        swap(&bench.path("secrets"), number);
        assert_eq!(bench.seen().await, Change::Token);
    }
    bench.quiet();
}

#[tokio::test]
async fn the_identity_is_seen_at_the_top_and_behind_the_link() {
    let mut bench = Bench::new(folders);
    let behind = bench.path("state/generations/000001/client.key.pem");
    fs::OpenOptions::new().write(true).open(&behind).unwrap().set_len(0).unwrap();
    assert_eq!(bench.seen().await, Change::State);
    fs::remove_file(bench.path("state/client.key.pem")).unwrap();
    assert_eq!(bench.seen().await, Change::State);
    fs::create_dir(bench.path("state/generations/000002")).unwrap();
    symlink("generations/000002", bench.path("state/.current.new")).unwrap();
    fs::rename(bench.path("state/.current.new"), bench.path("state/current")).unwrap();
    assert_eq!(bench.seen().await, Change::State);
    fs::write(bench.path("state/generations/000002/client.cert.pem"), "c").unwrap();
    assert_eq!(bench.seen().await, Change::State);
    fs::write(bench.path("state").join(layout::TOKEN_HASH), "h").unwrap();
    assert_eq!(bench.seen().await, Change::State);
    bench.quiet();
}

#[tokio::test]
async fn a_directory_that_is_made_again_is_watched_again() {
    let mut bench = Bench::new(folders);
    for _ in 0..3 {
        fs::remove_dir_all(bench.path("secrets")).unwrap();
        assert_eq!(bench.seen().await, Change::Token);
        fs::create_dir(bench.path("secrets")).unwrap();
        fs::write(bench.path("secrets/token"), "again").unwrap();
        assert_eq!(bench.seen().await, Change::Token);
        replace(&bench.path("secrets/token"), "and again");
        assert_eq!(bench.seen().await, Change::Token);
    }
    // Away and back at once, and another directory by a rename.
    fs::rename(bench.path("secrets"), bench.path("old")).unwrap();
    fs::create_dir(bench.path("next")).unwrap();
    fs::write(bench.path("next/token"), "other").unwrap();
    fs::rename(bench.path("next"), bench.path("secrets")).unwrap();
    assert_eq!(bench.seen().await, Change::Token);
    fs::write(bench.path("secrets/token"), "last").unwrap();
    assert_eq!(bench.seen().await, Change::Token);
    fs::write(bench.path("old/token"), "nobody's").unwrap();
    bench.quiet();
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for() {
    let mut bench = Bench::new(|_| {});
    fs::create_dir_all(bench.path("state")).unwrap();
    assert_eq!(bench.seen().await, Change::State);
    fs::create_dir_all(bench.path("secrets")).unwrap();
    fs::write(bench.path("secrets/token"), "t").unwrap();
    assert_eq!(bench.seen().await, Change::Token);
    fs::create_dir_all(bench.path("etc/agent.toml.d")).unwrap();
    assert_eq!(bench.seen().await, Change::Config);
    fs::write(bench.path("etc/agent.toml.d/10.toml"), "x").unwrap();
    assert_eq!(bench.seen().await, Change::Config);
}

#[tokio::test]
async fn several_changes_are_given_one_after_the_other_and_noise_is_none() {
    let mut bench = Bench::new(folders);
    for at in 0..20 {
        fs::write(bench.path("secrets/unrelated"), format!("{at}")).unwrap();
        fs::write(bench.path("state/unrelated"), format!("{at}")).unwrap();
        fs::write(bench.path("etc/agent.toml"), format!("{at}")).unwrap();
        fs::write(bench.path("secrets/token"), format!("{at}")).unwrap();
    }
    let both = BTreeSet::from([bench.seen().await, bench.seen().await]);
    assert_eq!(both, BTreeSet::from([Change::Token, Change::Config]));
    bench.quiet();
}

#[test]
fn noise_ends_when_it_was_quiet_or_has_lasted_long_enough() {
    let begin = Instant::now();
    let ms = Duration::from_millis;
    // Each is heard at the next listening; the look comes so long after the first event.
    for (events, look) in [(0..1, 50), (0..25, 80), (0..99, 150), (0..10_000, 500)] {
        let mut debounce = Debounce::begin(begin);
        let mut heard = Duration::ZERO;
        let ended = loop {
            let now = debounce.listen;
            let last = ms(events.end - 1).min(now - begin);
            match debounce.go_on(last > heard, now) {
                Some(next) => debounce = next,
                None => break now - begin,
            }
            heard = now - begin;
        };
        assert_eq!(ended, ms(look), "{events:?}");
    }
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// Somebody keeps a log beside the configuration and writes into it all the time.
#[tokio::test]
async fn a_busy_neighbour_wakes_it_seldom_and_hides_nothing() {
    let mut bench = Bench::new(folders);
    let (log, over) = (bench.path("etc/log"), Arc::new(AtomicBool::new(false)));
    let ended = Arc::clone(&over);
    let writer = std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            fs::write(&log, "a line").unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let (began, before) = (Instant::now(), sleeps());
    let early = tokio::time::timeout(MAX_DEBOUNCE, bench.watcher.changed()).await;
    assert!(early.is_err(), "nothing has changed: {early:?}");
    let times = sleeps() - before;
    // Each pause is twice as long as the one before, up to two seconds; a few times in each, to wait and to hear.
    let most = 4 * (8 + began.elapsed().as_secs() / 2);
    assert!(times <= most, "woken {times} times, of {most}");

    fs::write(bench.path("etc/agent.toml"), "changed").unwrap();
    assert_eq!(bench.seen().await, Change::Config);
    over.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}

#[tokio::test]
async fn another_configuration_watches_other_things() {
    let mut bench = Bench::new(folders);
    let mut other = watched(bench.dir.path());
    other.tokens = vec![bench.path("elsewhere/token")];
    fs::write(bench.path("etc/agent.toml"), "changed just before").unwrap();
    bench.watcher.watch(other);
    assert_eq!(bench.seen().await, Change::Config);
    fs::write(bench.path("secrets/token"), "nobody's").unwrap();
    bench.quiet();
    fs::create_dir(bench.path("elsewhere")).unwrap();
    fs::write(bench.path("elsewhere/token"), "ours").unwrap();
    assert_eq!(bench.seen().await, Change::Token);
}

/// Without events, and where no event can tell: a parent was moved away with all that is in it.
#[tokio::test(start_paused = true)]
async fn the_poll_finds_what_events_do_not() {
    let dir = TempDir::new().unwrap();
    folders(dir.path());
    let mut watcher = Watcher::new(watched(dir.path()));
    watcher.inotify.fail();
    assert!(watcher.blind().is_some());
    fs::write(dir.path().join("secrets/token"), "unseen").unwrap();
    let began = Instant::now();
    assert_eq!(watcher.changed().await, Change::Token);
    assert!(began.elapsed() <= POLL_BLIND + QUIET, "{:?}", began.elapsed());
    // The look that found it also asked the kernel again.
    assert_eq!(watcher.blind(), None);
}
