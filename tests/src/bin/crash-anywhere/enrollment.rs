//! `enroll` is killed, and run again.

use std::path::PathBuf;

use telovix_tests::proof::{enrolled_once, telling};
use telovix_tests::strace::{Strike, Trace, watch};
use telovix_tests::world::Created;
use telovix_tests::{Agent, World};

use crate::plan::{Job, Lab, Plan, Target};

const SIGKILL: i32 = 9;

/// What the host that enrolls holds already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// An identity.
    Identity,
    /// A file with the token, which is deleted in the end, and the fingerprint of a CA that is fetched.
    TokenFile,
}

impl Before {
    fn scenario(self) -> &'static str {
        match self {
            Self::Nothing => "first enrollment",
            Self::Identity => "another enrollment",
            Self::TokenFile => "enrollment by file and fingerprint",
        }
    }
}

/// A host that is about to enroll, its token, and how many sensors the Console knows without what that will make.
struct Host {
    agent: Agent,
    token: Created,
    token_file: Option<PathBuf>,
    others: i64,
}

/// The hosts of one job: a new one each time, or the same one again as another sensor.
struct Hosts {
    before: Before,
    standing: Option<Agent>,
}

impl Hosts {
    fn new(lab: &Lab<'_>, before: Before) -> Self {
        let standing = (before == Before::Identity).then(|| {
            let agent = lab.world.enroll(&lab.name());
            lab.consumer.watch(agent.state_dir());
            agent.clone().token(&lab.world.once().token).run().expect(0);
            agent
        });
        Self { before, standing }
    }

    fn next(&self, lab: &Lab<'_>) -> Host {
        let agent = self.standing.clone().unwrap_or_else(|| {
            let name = lab.name();
            let agent = match self.before {
                Before::Nothing | Before::Identity => lab.world.enroll(&name),
                Before::TokenFile => lab.world.enroll_pinned(&name),
            };
            lab.consumer.watch(agent.state_dir());
            agent
        });
        let (token, others) = (lab.world.once(), lab.world.db().sensors());
        let agent = agent.args(["--new-sensor"]);
        if self.before == Before::TokenFile {
            let file = lab.world.write("token", &token.token);
            let agent = agent.env("TELOVIX_ENROLLMENT_TOKEN_FILE", &file);
            return Host { agent, token, token_file: Some(file), others };
        }
        Host { agent: agent.token(&token.token), token, token_file: None, others }
    }

    /// Runs the command once more, to its end, and looks at what there is.
    fn finish(&self, lab: &Lab<'_>, host: &Host, killed: &str) {
        lab.consumer.look_now(host.agent.state_dir());
        let again = host.agent.run();
        assert_eq!(again.code, Some(0), "{}: after {killed}: {}", self.before.scenario(), again.report());
        telling(killed, || enrolled_once(&lab.world, &host.agent, &host.token, host.others));
        if let Some(file) = &host.token_file {
            assert!(!file.exists(), "after {killed}: the file of a token that is used up is still there");
        }
        if self.standing.is_none() {
            self.let_go(lab, &host.agent);
        }
    }

    fn let_go(&self, lab: &Lab<'_>, agent: &Agent) {
        lab.consumer.let_go(agent.state_dir());
        std::fs::remove_dir_all(agent.state_dir()).expect("it is ours");
    }

    fn end(self, lab: &Lab<'_>) {
        if let Some(agent) = &self.standing {
            self.let_go(lab, agent);
        }
    }
}

pub(crate) fn jobs(plan: &Plan, lab: &Lab<'_>) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for before in [Before::Nothing, Before::Identity] {
        for call in plan.calls(before.scenario(), &baseline(lab, before)) {
            jobs.push(Box::new(move |lab| every_one_of(lab, before, &call)));
        }
    }
    let before = Before::TokenFile;
    for call in plan.demanded_calls(before.scenario(), &baseline(lab, before)) {
        jobs.push(Box::new(move |lab| every_one_of(lab, before, &call)));
    }
    jobs
}

fn baseline(lab: &Lab<'_>, before: Before) -> Trace {
    let hosts = Hosts::new(lab, before);
    let host = hosts.next(lab);
    host.agent.run_under_strace(&watch("all", &lab.trace())).expect(0);
    hosts.finish(lab, &host, "nothing");
    hosts.end(lab);
    Trace::read(&lab.trace())
}

fn every_one_of(lab: &Lab<'_>, before: Before, call: &Target) {
    let hosts = Hosts::new(lab, before);
    for at in lab.places(&call.name) {
        let host = hosts.next(lab);
        let struck = killed_at(lab, &host, &call.name, at);
        let killed = if struck { lab.struck(before.scenario()) } else { "nothing".to_owned() };
        hosts.finish(lab, &host, &format!("{killed}, number {at} of {}", call.name));
        if !struck {
            lab.is_through(before.scenario(), call, at);
            break;
        }
    }
    hosts.end(lab);
}

/// Whether the kill struck; where it did not, the command went through.
fn killed_at(lab: &Lab<'_>, host: &Host, call: &str, at: usize) -> bool {
    let run = host.agent.run_under_strace(&Strike::kill(call, at).words(&lab.trace()));
    let struck = run.signal == Some(SIGKILL);
    assert!(struck || run.code == Some(0), "{call} {at}: {}", run.report());
    struck
}

/// The agent is killed, started again, killed again somewhere else, and started once more.
pub(crate) fn doubles(lab: &Lab<'_>, wanted: usize) -> Vec<Job> {
    if wanted == 0 {
        return Vec::new();
    }
    let counts: Vec<(String, usize)> = baseline(lab, Before::Nothing)
        .counts()
        .into_iter()
        .filter(|(call, _)| !["execve", "exit_group"].contains(&call.as_str()))
        .collect();
    let calls: usize = counts.iter().map(|(_, count)| count).sum();
    // The same places in each run: a linear congruence, by Knuth.
    let mut seed = 7u64;
    let mut draw = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut place = usize::try_from(seed >> 33).expect("31 bits") % calls;
        let found = counts.iter().find(|(_, count)| {
            let here = place < *count;
            place = if here { place } else { place - count };
            here
        });
        (found.expect("below the sum").0.clone(), place + 1)
    };
    let job = |(first, second): ((String, usize), (String, usize)), before| -> Job {
        Box::new(move |lab| {
            let hosts = Hosts::new(lab, before);
            let host = hosts.next(lab);
            let mut killed = String::new();
            for (call, at) in [first, second] {
                if killed_at(lab, &host, &call, at) {
                    killed.push_str(&lab.struck("killed twice"));
                }
                killed.push_str(&format!(" {call} {at}; "));
            }
            hosts.finish(lab, &host, &killed);
            hosts.end(lab);
        })
    };
    (0..wanted)
        .map(|n| job((draw(), draw()), if n % 2 == 0 { Before::Nothing } else { Before::Identity }))
        .collect()
}

/// A host whose first enrollment was killed at this call, with the token in hand.
pub(crate) fn cut_short(world: &World, lab: &Lab<'_>, call: &str, at: usize) -> (Agent, Created, i64) {
    let (token, others) = (world.once(), world.db().sensors());
    let agent = world.enroll(&lab.name()).token(&token.token);
    let run = agent.run_under_strace(&Strike::kill(call, at).words(&lab.trace()));
    assert_eq!(run.signal, Some(SIGKILL), "{call} {at}: {}", run.report());
    (agent, token, others)
}
