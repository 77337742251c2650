//! Makes the disk fail under the real agent: ENOSPC, EIO and EROFS at each call on the state directory, and real small file
//! systems that are full or read-only; docs/crash-and-disk.md.
//!
//! `bad-disk [--every K] [mounts] [daemon] [enroll] [reads]`. Needs root and strace. Every check is an assertion: exit status 0
//! means that the identity stayed usable, that each error named its file, its cause and what to do, and that all went on by
//! itself when the disk was back.

mod daemon;
mod enroll;
mod mounts;

const PARTS: [&str; 4] = ["mounts", "daemon", "enroll", "reads"];

fn main() {
    let (mut every, mut parts) = (Some(1), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match PARTS.iter().find(|part| **part == word) {
            Some(part) => parts.push(*part),
            None if word == "--every" => every = words.next().and_then(|number| number.parse().ok()),
            None => every = None,
        }
    }
    let Some(every) = every.filter(|every| *every > 0) else {
        eprintln!("usage: bad-disk [--every K] [mounts] [daemon] [enroll] [reads]");
        std::process::exit(2);
    };
    assert!(telovix_tests::strace::program().is_some(), "strace is not installed");
    for part in if parts.is_empty() { PARTS.to_vec() } else { parts } {
        match part {
            "mounts" => mounts::all(),
            "daemon" => daemon::all(every),
            "enroll" => enroll::writes(every),
            _ => enroll::reads(every),
        }
    }
}
