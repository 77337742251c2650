//! Real small file systems: full, and read-only, under a daemon that runs and under one that starts.

use std::path::{Path, PathBuf};
use std::process::Command;

use telovix_tests::World;
use telovix_tests::daemon::Daemon;
use telovix_tests::proof::is_accepted;

use crate::daemon::{ask, fails_well, generation, goes_on, is_ready, renewed, stop};

/// A file system on a directory; gone when this is dropped.
struct Mount {
    place: PathBuf,
}

impl Mount {
    /// Mounts, or says why that cannot be done here.
    fn new(place: &Path, words: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(place).expect("it can be made");
        let mount = Self { place: place.to_owned() };
        run("mount", &[words, &[mount.path()]].concat())?;
        run("chmod", &["0700", mount.path()])?;
        Ok(mount)
    }

    fn path(&self) -> &str {
        self.place.to_str().expect("UTF-8")
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), self.path()]).expect("it can be mounted again");
    }

    /// Takes all room there is; gives the file that does.
    fn fill(&self) -> PathBuf {
        let filler = self.place.join("filler");
        std::fs::write(&filler, vec![0; 64 << 20]).expect_err("there is an end to it");
        // What the cache of the file system still had room for.
        for n in 0..64 {
            let _ = std::fs::write(self.place.join(format!("filler-{n}")), [0; 16]);
        }
        filler
    }

    fn empty(&self) {
        for entry in std::fs::read_dir(&self.place).expect("it is there").flatten() {
            if entry.file_name().to_string_lossy().starts_with("filler") {
                std::fs::remove_file(entry.path()).expect("it is ours");
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.path()]);
    }
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(words).output().map_err(|e| format!("{program}: {e}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

pub(crate) fn all() {
    let world = World::new();
    world.stub(&["settings", "set"], &["heartbeat_seconds", "5"]).expect(0);
    on(&world, "tmpfs", |place| Mount::new(place, &["-t", "tmpfs", "-o", "size=256k", "tmpfs"]));
    on(&world, "ext4", |place| {
        let image = world.folder().join("image");
        std::fs::File::create(&image).and_then(|file| file.set_len(4 << 20)).expect("a file");
        let image = image.to_str().expect("UTF-8");
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^has_journal", image])?;
        Mount::new(place, &["-o", "loop", image])
    });
}

/// One host on one kind of file system.
fn on(world: &World, kind: &str, mount: impl Fn(&Path) -> Result<Mount, String>) {
    let mut daemon = Daemon::prepare(world, kind, "");
    let disk = match mount(&daemon.state_dir()) {
        Ok(disk) => disk,
        // Containers have no loop devices; that something can be mounted at all is what bad-disk.sh has made sure of.
        Err(why) if kind == "ext4" && !Path::new("/dev/loop-control").exists() => {
            return println!("{kind}: cannot be mounted here: {why}");
        }
        Err(why) => panic!("{kind}: cannot be mounted here: {why}"),
    };
    let below = [disk.path().to_owned()];
    daemon.run();
    daemon.enroll(&world.once().token);
    renewed(&daemon);

    let before = generation(&daemon.status().expect("it answers"));
    disk.fill();
    fails_well(&ask(&daemon), &below, "No space left on device");
    is_ready(&daemon);
    is_accepted(world, &daemon.state_dir());
    stop(&mut daemon);
    daemon.run();
    daemon.until_state("active");
    // Its predecessor was asked to renew; this one is.
    fails_well(&ask(&daemon), &below, "No space left on device");
    disk.empty();
    goes_on(&daemon, before);
    println!("{kind}: full under a daemon, started full, went on by itself when there was room");

    let before = generation(&daemon.status().expect("it answers"));
    disk.remount("ro");
    fails_well(&ask(&daemon), &below, "Read-only file system");
    is_ready(&daemon);
    is_accepted(world, &daemon.state_dir());
    disk.remount("rw");
    goes_on(&daemon, before);

    let before = generation(&daemon.status().expect("it answers"));
    disk.remount("ro");
    stop(&mut daemon);
    daemon.run();
    daemon.until_state("active");
    fails_well(&ask(&daemon), &below, "Read-only file system");
    is_ready(&daemon);
    disk.remount("rw");
    goes_on(&daemon, before);
    is_accepted(world, &daemon.state_dir());
    println!("{kind}: read-only under a daemon, started read-only, went on by itself when it could write");
    stop(&mut daemon);
    drop(disk);
}
