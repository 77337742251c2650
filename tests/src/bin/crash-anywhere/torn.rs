//! The first start after a torn write: files cut in half or empty, replacements half done, links that lead nowhere. It is
//! killed, too.

use std::fs;
use std::path::Path;

use telovix_tests::Agent;
use telovix_tests::proof::{enrolled_once, telling};
use telovix_tests::strace::{Strike, Trace, watch};
use telovix_tests::world::Created;

use crate::enrollment::cut_short;
use crate::plan::{Job, Lab, Plan, Target};

const SIGKILL: i32 = 9;
/// Where not every place is struck, fewer are than elsewhere: most of what such a start does is an enrollment's.
const THINNED: usize = 4;

/// What is torn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tear {
    /// The request of an enrollment, before it had its name.
    Request,
    /// The request of an enrollment that has not left.
    Pending,
    /// A generation, before it had its number.
    Generation,
    /// A generation that is not current yet.
    Committed,
    /// The generation that is current; a token for its sensor is at hand.
    Current,
    /// The link `current` is gone.
    Link,
    /// What is replaced by a rename.
    Replacements,
}

const TEARS: [Tear; 7] = [
    Tear::Request,
    Tear::Pending,
    Tear::Generation,
    Tear::Committed,
    Tear::Current,
    Tear::Link,
    Tear::Replacements,
];

impl Tear {
    fn scenario(self) -> &'static str {
        match self {
            Self::Request => "start after a torn .pending.new/",
            Self::Pending => "start after a torn pending/",
            Self::Generation => "start after a torn generations/.new/",
            Self::Committed => "start after a torn unpublished generation",
            Self::Current => "start after a torn current generation",
            Self::Link => "start after a lost link current",
            Self::Replacements => "start after torn replacements",
        }
    }

    /// A host in that state, its token, and how many sensors the Console knows without the one that this makes.
    fn prepare(self, lab: &Lab<'_>) -> (Agent, Created, i64) {
        let cut_at = |call, at| cut_short(&lab.world, lab, call, at);
        // By name: the n-th rename of a first enrollment gives something its place.
        let (pending, generation, current) = (1, 2, 8);
        match self {
            Self::Request => {
                let found = cut_at("rename", pending);
                tear(&found.0.state_dir().join(".pending.new"));
                found
            }
            Self::Pending => {
                // The first connection asks for the time; the request leaves on the second.
                let found = cut_at("connect", 2);
                tear(&found.0.state_dir().join("pending"));
                found
            }
            Self::Generation => {
                let found = cut_at("rename", generation);
                tear(&found.0.state_dir().join("generations/.new"));
                found
            }
            Self::Committed => {
                let found = cut_at("rename", current);
                tear(&found.0.state_dir().join("generations/000001"));
                found
            }
            Self::Current => {
                let (agent, ..) = enrolled(lab);
                tear(&agent.state_dir().join("generations/000001"));
                let sensor: String =
                    lab.world.db().one("SELECT id FROM sensors ORDER BY rowid DESC LIMIT 1", []);
                let token = lab.world.token(&["--type", "once", "--sensor-id", &sensor]);
                let agent = lab.world.enroll(&name_of(&agent)).token(&token.token);
                (agent, token, lab.world.db().sensors() - 1)
            }
            Self::Link => {
                let found = enrolled(lab);
                fs::remove_file(found.0.state_dir().join("current")).expect("it was there");
                found
            }
            Self::Replacements => {
                let found = enrolled(lab);
                let at = |name: &str| found.0.state_dir().join(name);
                std::os::unix::fs::symlink("generations/000009", at(".current.new")).expect("a link");
                std::os::unix::fs::symlink("nowhere", at(".client.key.pem.new")).expect("a link");
                fs::write(at(".enrollment-token-hash.new"), "0123").expect("a file");
                fs::write(at(".sensor-ready.new"), "").expect("a file");
                fs::write(at(".sensor-ready"), "").expect("a file");
                found
            }
        }
    }

    /// Whether what consumers read is whole: then one of them is there from the beginning.
    fn leaves_consumers_alone(self) -> bool {
        match self {
            Self::Current | Self::Link => false,
            Self::Request | Self::Pending | Self::Generation | Self::Committed | Self::Replacements => true,
        }
    }
}

fn enrolled(lab: &Lab<'_>) -> (Agent, Created, i64) {
    let (token, others) = (lab.world.once(), lab.world.db().sensors());
    let agent = lab.world.enroll(&lab.name()).token(&token.token);
    agent.run().expect(0);
    (agent, token, others)
}

fn name_of(agent: &Agent) -> String {
    let name = agent.state_dir().file_name().expect("a host's folder has its name");
    name.to_str().expect("UTF-8").to_owned()
}

/// As after a power cut: names are there, and bytes are not. Half of the first file, nothing of the second, and so on.
fn tear(folder: &Path) {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() >= 2, "{} has no files to tear", folder.display());
    for (n, file) in files.iter().enumerate() {
        let length = fs::metadata(file).expect("it is there").len();
        let file = fs::OpenOptions::new().write(true).open(file).expect("it is ours");
        file.set_len(if n % 2 == 0 { length / 2 } else { 0 }).expect("it can be cut");
    }
}

pub(crate) fn jobs(plan: &Plan, lab: &Lab<'_>) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for kind in TEARS {
        for call in plan.demanded_calls(kind.scenario(), &baseline(lab, kind)) {
            jobs.push(Box::new(move |lab| every_one_of(lab, kind, &call)));
        }
    }
    jobs
}

fn baseline(lab: &Lab<'_>, kind: Tear) -> Trace {
    let (agent, token, others) = kind.prepare(lab);
    let run = agent.run_under_strace(&watch("all", &lab.trace()));
    assert_eq!(run.code, Some(0), "{}: {}", kind.scenario(), run.report());
    telling(kind.scenario(), || enrolled_once(&lab.world, &agent, &token, others));
    Trace::read(&lab.trace())
}

fn every_one_of(lab: &Lab<'_>, kind: Tear, call: &Target) {
    for at in lab.fewer_places(&call.name, THINNED) {
        let (agent, token, others) = kind.prepare(lab);
        if kind.leaves_consumers_alone() {
            lab.consumer.watch(agent.state_dir());
        }
        let run = agent.run_under_strace(&Strike::kill(&call.name, at).words(&lab.trace()));
        let struck = run.signal == Some(SIGKILL);
        assert!(struck || run.code == Some(0), "{}, {} {at}: {}", kind.scenario(), call.name, run.report());
        let killed = if struck { lab.struck(kind.scenario()) } else { "nothing".to_owned() };
        if kind.leaves_consumers_alone() {
            lab.consumer.look_now(agent.state_dir());
        }
        let again = agent.run();
        assert_eq!(again.code, Some(0), "{} and {killed} {at}: {}", kind.scenario(), again.report());
        let after = format!("{} and {killed}, number {at} of {}", kind.scenario(), call.name);
        telling(&after, || enrolled_once(&lab.world, &agent, &token, others));
        lab.consumer.let_go(agent.state_dir());
        fs::remove_dir_all(agent.state_dir()).expect("it is ours");
        if !struck {
            lab.is_through(kind.scenario(), call, at);
            break;
        }
    }
}
