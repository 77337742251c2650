//! Where something was measured: without it no number means anything.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::stat::median;

/// Flushes of the disk that are timed.
const FLUSHES: usize = 50;

/// The machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// What the processor calls itself.
    pub processor: String,
    /// How many there are.
    pub processors: usize,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// Where the databases lie: the file system's type.
    pub file_system: String,
    /// A write of 4 KiB and fdatasync(2) there, milliseconds, median.
    pub flush_ms: f64,
    /// Processes that wanted a processor on average in the minute before the run: more than 0.5 is a busy machine.
    pub load_before: f64,
}

impl Machine {
    /// This one, with the databases in this folder.
    pub fn here(folder: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: String, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            line.split_once([':', '=']).map_or("?", |(_, value)| value).trim().trim_matches('"').to_owned()
        };
        let memory = after(read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            processor: after(read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(0, Into::into),
            memory_bytes: kilobytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: after(read("/etc/os-release"), "PRETTY_NAME"),
            file_system: file_system(folder),
            flush_ms: flush_ms(folder),
            load_before: load(),
        }
    }
}

/// Processes that wanted a processor, on average of the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// The type of the file system that is mounted nearest above a folder.
fn file_system(folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        folder.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    // Of two that are mounted on one place, the later one is seen.
    above.max_by_key(|(length, _)| *length).map_or_else(|| "?".to_owned(), |(_, kind)| kind)
}

fn flush_ms(folder: &Path) -> f64 {
    let path = folder.join("flush");
    let mut file = File::create(&path).expect("the folder can be written");
    let times = (0..FLUSHES).map(|_| {
        let begin = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("the disk takes a page");
        begin.elapsed().as_secs_f64() * 1000.0
    });
    let median = median(times.collect::<Vec<_>>());
    let _ = fs::remove_file(path);
    median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_name_and_a_disk() {
        let place = crate::Place::new();
        let here = Machine::here(place.path());
        assert!(here.processors > 0 && here.memory_bytes > 1 << 20, "{here:?}");
        assert!(here.flush_ms > 0.0 && here.file_system != "?", "{here:?}");
        assert_eq!(file_system(Path::new("/proc/self")), "proc");
    }
}
