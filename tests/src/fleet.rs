//! The load tool: agents that are simulated, TLS and requests that are real. `fleet --help` is its manual.
//!
//! A run has three parts. Everything that is not the Console's work is done first: tokens, keys, requests, and agents that
//! only heartbeat or renew are enrolled. Then the clock starts, and `drive` makes calls in one of its two loops while
//! `tally` counts them. At the end, or at Ctrl-C, `report` says what was measured, and what it cost to measure it.

mod agents;
mod args;
pub mod cost;
mod drive;
mod jobs;
mod report;
mod tally;
mod tokens;
mod wire;

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Map, Value};
use telovix_agent::tls::ServerTrust;
use tokio::sync::watch;

pub use args::{Fleet, Work};

use agents::{Agent, Identity, keep, kept};
use args::{AgentArgs, Connections, EnrollArgs, GetArgs, LoadArgs, TokenArgs};
use cost::Cost;
use drive::{Course, Ended, Job};
use jobs::{Duty, Enrolling, Reading, Serving};
use report::Findings;
use tally::Tally;
use tokens::Tokens;
use wire::{Ask, Fault, Wire, settings, trust};

/// Length of a run where neither length nor count is given.
const USUAL: Duration = Duration::from_secs(10);
/// Most keys and requests that are made beforehand.
const MOST_PREPARED: usize = 200_000;

/// Runs the tool; gives its exit status.
pub fn run(fleet: &Fleet) -> u8 {
    let threads = fleet.work.load().threads;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Fault(error.to_string())),
    };
    let ended = runtime.block_on(work(&fleet.work));
    // What still hangs on a silent server is not waited for.
    runtime.shutdown_background();
    ended.unwrap_or_else(|fault| failed(&fault))
}

fn failed(fault: &Fault) -> u8 {
    eprintln!("fleet: {fault}");
    1
}

/// What every kind of work needs.
struct Ground {
    wire: Wire,
    trust: ServerTrust,
    anonymous: Arc<ClientConfig>,
    stop: watch::Receiver<bool>,
    prepared: Map<String, Value>,
}

async fn work(work: &Work) -> Result<u8, Fault> {
    let (load, target) = (work.load(), work.target());
    let wire = Wire::new(&target.console_url, load.timeout).await;
    let wire = wire.map_err(|error| Fault(error.to_string()))?;
    let ca_pem = match (&target.ca_file, &target.ca_fingerprint) {
        (Some(path), _) => {
            std::fs::read_to_string(path).map_err(|error| Fault(format!("{}: {error}", path.display())))?
        }
        (None, Some(fingerprint)) => wire.fetch_ca(fingerprint).await?,
        (None, None) => return Err(Fault("give --ca-file or --ca-fingerprint".to_owned())),
    };
    let trust = trust(&ca_pem)?;
    let anonymous = settings(&trust, None)?;
    let ground = Ground { wire, trust, anonymous, stop: interrupts(), prepared: Map::new() };
    match work {
        Work::Enroll(args) => enroll(work, args, ground).await,
        Work::Heartbeat(args) => serve(work, args, Duty::Beat, ground).await,
        Work::Renew(args) => serve(work, args, Duty::Renew, ground).await,
        Work::Get(args) => get(work, args, ground).await,
    }
}

async fn enroll(work: &Work, args: &EnrollArgs, mut ground: Ground) -> Result<u8, Fault> {
    let wanted = planned(&args.load);
    if wanted.is_none() && args.tokens.api_key_file.is_some() {
        return Err(Fault(
            "--api-key-file needs --count, or --rate with --duration: how many tokens?".to_owned(),
        ));
    }
    let job = enrolling(&args.tokens, wanted, args.load.connections, &mut ground).await?;
    let job = Enrolling { enrolled: args.keep.is_some().then(Arc::default), ..job };
    let enrolled = job.enrolled.clone();
    let status = measure(work, job, &ground).await?;
    if let Some((path, enrolled)) = args.keep.as_ref().zip(enrolled) {
        let identities: Vec<Identity> =
            enrolled.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        keep(path, &identities).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
    }
    Ok(status)
}

/// The job of enrolling, with the requests of the first `wanted` hosts made.
async fn enrolling(
    args: &TokenArgs,
    wanted: Option<usize>,
    connections: Connections,
    ground: &mut Ground,
) -> Result<Enrolling, Fault> {
    let tokens = Tokens::get(args, wanted.unwrap_or(0), &ground.wire, &ground.anonymous).await?;
    let most = tokens.enough_for().unwrap_or(usize::MAX).min(MOST_PREPARED);
    let made = wanted.or(tokens.enough_for()).unwrap_or(0).min(most);
    let random = || format!("fleet-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let prefix = args.node_prefix.clone().unwrap_or_else(random);
    ground.prepared.insert("tokens".to_owned(), tokens.word().into());
    ground.prepared.insert("enrollment_requests".to_owned(), made.into());
    let job = Enrolling {
        wire: ground.wire.clone(),
        anonymous: Arc::clone(&ground.anonymous),
        cluster: args.cluster.clone(),
        tokens,
        prefix,
        ready: Mutex::default(),
        lines: (connections == Connections::Kept).then(Arc::default),
        enrolled: None,
    };
    let newcomers: Result<VecDeque<_>, Fault> = (0..made).map_while(|number| job.newcomer(number)).collect();
    *job.ready.lock().unwrap_or_else(PoisonError::into_inner) = (newcomers?, made);
    Ok(job)
}

async fn serve(work: &Work, args: &AgentArgs, duty: Duty, mut ground: Ground) -> Result<u8, Fault> {
    let identities = match &args.identities {
        Some(path) => {
            let found = kept(path).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
            found.into_iter().take(args.agents).collect()
        }
        None => enroll_beforehand(args, &mut ground).await?,
    };
    let made: Result<Vec<_>, Fault> =
        identities.into_iter().map(|identity| Agent::new(identity, &ground.trust)).collect();
    let mut agents = made?;
    if agents.is_empty() {
        return Err(Fault("there is no agent to work".to_owned()));
    }
    let count = agents.len();
    ground.prepared.insert("agents".to_owned(), count.into());
    if duty == Duty::Renew {
        let renewals = planned(&args.load).unwrap_or(0).min(MOST_PREPARED).div_ceil(count);
        agents.iter_mut().for_each(|agent| agent.prepare(renewals));
        ground.prepared.insert("renewal_requests".to_owned(), (renewals * count).into());
    }
    let job = Serving {
        wire: ground.wire.clone(),
        trust: Arc::new(ground.trust.clone()),
        duty,
        keeps: args.load.connections == Connections::Kept,
        count,
        agents: Arc::new(Mutex::new(agents.into())),
    };
    measure(work, job, &ground).await
}

/// Enrolls agents before the clock starts, several at a time.
async fn enroll_beforehand(args: &AgentArgs, ground: &mut Ground) -> Result<Vec<Identity>, Fault> {
    let job = enrolling(&args.tokens, Some(args.agents), Connections::New, ground).await?;
    let enrolled = Arc::default();
    let job = Enrolling { enrolled: Some(Arc::clone(&enrolled)), ..job };
    let tally = Arc::new(Tally::new(Instant::now()));
    let (job, start, stop) = (Arc::new(job), Instant::now(), ground.stop.clone());
    let course = Course { job, tally: Arc::clone(&tally), start, stop };
    let load = LoadArgs { rate: None, count: Some(args.agents), ..args.load.clone() };
    course.run(&load, None).await;
    if let Some((kind, _)) = tally.now().errors.first_key_value() {
        return Err(Fault(format!("an agent could not be enrolled beforehand: {kind}")));
    }
    let mut identities = enrolled.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(identities.drain(..).collect())
}

async fn get(work: &Work, args: &GetArgs, ground: Ground) -> Result<u8, Fault> {
    let mut ask = Ask::get(&args.path);
    if let Some(path) = &args.headers_file {
        let text =
            std::fs::read_to_string(path).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        ask.headers.extend(lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
    }
    let key = args.api_key_file.as_deref().map(tokens::api_key).transpose()?;
    let job = Reading {
        wire: ground.wire.clone(),
        anonymous: Arc::clone(&ground.anonymous),
        ask,
        key: key.map(Arc::new),
        lines: (args.load.connections == Connections::Kept).then(Arc::default),
    };
    measure(work, job, &ground).await
}

/// How many calls a run will make, where that can be told.
fn planned(load: &LoadArgs) -> Option<usize> {
    let by_time =
        load.rate.zip(load.duration).map(|(rate, time)| (rate * time.as_secs_f64()).ceil() as usize);
    match (load.count, by_time) {
        (Some(count), Some(by_time)) => Some(count.min(by_time)),
        (one, other) => one.or(other),
    }
}

/// The part with the clock.
async fn measure(work: &Work, job: impl Job, ground: &Ground) -> Result<u8, Fault> {
    let load = work.load();
    let duration = load.duration.or_else(|| load.count.is_none().then_some(USUAL));
    let (before, start) = (Cost::now(), Instant::now());
    let tally = Arc::new(Tally::new(start + load.warm_up));
    let progress = (!load.quiet).then(|| tokio::spawn(progress(work.word(), Arc::clone(&tally), start)));
    let course = Course { job: Arc::new(job), tally: Arc::clone(&tally), start, stop: ground.stop.clone() };
    let ended = course.run(load, duration).await;
    if let Some(progress) = progress {
        progress.abort();
    }
    let cost = (before, Cost::now());
    let findings = Findings { work, counts: tally.now(), ended, prepared: ground.prepared.clone(), cost };
    if !load.quiet {
        eprintln!("{}", findings.summary());
    }
    let text = format!("{:#}\n", findings.json());
    match &load.output {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| Fault(format!("{}: {error}", path.display())))?;
        }
        None => {
            let written = std::io::stdout().write_all(text.as_bytes());
            written.map_err(|error| Fault(format!("standard output: {error}")))?;
        }
    }
    Ok(match (ended, findings.error_share() <= load.max_error_share) {
        (Ended::Interrupted, _) => 130,
        (Ended::Count | Ended::Duration | Ended::Supplies, true) => 0,
        (Ended::Count | Ended::Duration | Ended::Supplies, false) => 1,
    })
}

/// Says once a second how it goes.
async fn progress(work: &'static str, tally: Arc<Tally>, start: Instant) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut before = 0;
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let (succeeded, failed, warm_up) = tally.brief();
        let all = succeeded + failed + warm_up;
        let (at, rate) = (start.elapsed().as_secs(), all - before);
        eprintln!(
            "{work}: {at} s, {rate}/s; {succeeded} succeeded, {failed} failed, {warm_up} in the warm-up"
        );
        before = all;
    }
}

/// Becomes true at the first Ctrl-C; a second one ends the process.
fn interrupts() -> watch::Receiver<bool> {
    let (say, hear) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = say.send(true);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
        // Where signals cannot be heard, nobody is told anything.
        std::future::pending::<()>().await;
        drop(say);
    });
    hear
}
