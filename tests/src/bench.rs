//! The benchmarks: one command, `tests/bench`, that measures everything beside its ceiling. `docs/benchmarks.md` has the
//! method and what was found.
//!
//! A run is one report in JSON ([`report`]); tables ([`tables`]) and pictures ([`draw`]) are made from it and from nothing
//! else. The sides of a contest take turns, so that a slow minute of the machine is in both. Everything listens on
//! loopback, has a limit to its time, and ends with the run.

pub mod ceiling;
mod contests;
pub mod draw;
mod fill;
mod host;
pub mod machine;
mod plan;
mod processes;
pub mod report;
mod rows;
mod side;
mod stat;
pub mod tables;

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bins;
use crate::fleet::Fleet;
use crate::place::Place;
use machine::Machine;
use plan::Plan;
use report::{Report, Size};
use side::{Postgres, Side};

/// What the agent's binary was to be at most, bytes.
const GOAL_BINARY: u64 = 4_000_000;
/// What the agent's image was to be at most.
const GOAL_IMAGE: u64 = 5_000_000;

/// Measures the Console and the agent beside this program, each against its ceiling; `docs/benchmarks.md`.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub struct Bench {
    /// What to do.
    #[command(subcommand)]
    pub role: Role,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Measure.
    Run(RunArgs),
    /// Make tables and pictures of a report.
    Draw(DrawArgs),
    /// Be the ceiling: a server that shakes hands and signs, and does nothing else.
    Ceiling {
        /// Check certificate requests as the Console does before signing.
        #[arg(long)]
        check: bool,
        /// Where to write the CA that clients are to trust.
        ca_file: PathBuf,
    },
    /// The load tool.
    Fleet(Box<Fleet>),
}

/// How to measure.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A little of everything in seconds, to see that it works; the numbers are worth nothing.
    #[arg(long)]
    quick: bool,
    /// A PostgreSQL server whose role may make databases, without the database's name: postgres://USER@127.0.0.1:PORT
    #[arg(long, value_name = "URL", requires = "postgres_pid")]
    postgres: Option<String>,
    /// That server's first process.
    #[arg(long, value_name = "PID", requires = "postgres")]
    postgres_pid: Option<u32>,
    /// The agent's binary as it is in the image, for its size and its memory.
    #[arg(long, value_name = "FILE")]
    agent_static: Option<PathBuf>,
    /// The agent's image as an archive, for its size.
    #[arg(long, value_name = "FILE")]
    agent_image: Option<PathBuf>,
    /// Measure this part again and leave the rest of the report as it is; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Where the report goes.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// A part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Console against ceiling, and times at half load.
    Contests,
    /// Calls a second by the number of clients.
    Clients,
    /// The agent.
    Agent,
    /// Times by the rows in the database.
    Rows,
}

/// What to make of a report.
#[derive(Debug, Args)]
pub struct DrawArgs {
    /// The report.
    report: PathBuf,
    /// Folder for the pictures.
    folder: PathBuf,
    /// Document that the tables are put into; printed where absent.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

/// Does what was asked for.
///
/// # Panics
/// When something under measurement does not do its work: no number is better than a wrong one.
pub fn run(bench: &Bench) -> Result<u8, Box<dyn Error>> {
    match &bench.role {
        Role::Run(args) => measure(args)?,
        Role::Draw(args) => draw_all(args)?,
        Role::Ceiling { check, ca_file } => ceiling::run(ca_file, *check)?,
        Role::Fleet(fleet) => return Ok(crate::fleet::run(fleet)),
    }
    Ok(0)
}

fn measure(args: &RunArgs) -> Result<(), Box<dyn Error>> {
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let parts = if args.only.is_empty() { Part::value_variants() } else { &args.only };
    let place = Place::new();
    let (now, load) = (jiff::Timestamp::now().to_string(), machine::load());
    let mut report = if args.only.is_empty() {
        Report::new(args.quick, now.clone(), Machine::here(place.path()))
    } else {
        serde_json::from_str(&std::fs::read_to_string(&args.output)?)?
    };
    report.sizes = sizes(args)?;
    if parts.contains(&Part::Contests) || parts.contains(&Part::Clients) {
        fight(args, &plan, parts, &mut report);
    }
    if parts.contains(&Part::Agent) {
        report.agent = Some(host::agent(&plan, &builds(args)));
    }
    if parts.contains(&Part::Rows) {
        (report.by_rows, report.rows) = rows::by_rows(&plan);
    }
    for part in &args.only {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        report.again.insert(name.clone(), now.clone());
        report.again_load.insert(name, load);
    }
    if args.only.is_empty() {
        report.took_seconds = plan.elapsed();
    }
    std::fs::write(&args.output, format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    println!("{}", tables::tables(&report));
    Ok(())
}

/// What is measured against the ceiling.
fn fight(args: &RunArgs, plan: &Plan, parts: &[Part], report: &mut Report) {
    let server = args.postgres.clone().zip(args.postgres_pid).map(|(url, pid)| Postgres { url, pid });
    let [ceiling, checking] = [false, true].map(Side::ceiling);
    let sqlite = Side::sqlite();
    let postgres = server.as_ref().map(Side::postgres);
    let engines = [("SQLite", Some(&sqlite)), ("PostgreSQL", postgres.as_ref())];
    let engines: Vec<(&str, &Side)> =
        engines.into_iter().filter_map(|(name, side)| side.map(|side| (name, side))).collect();
    if parts.contains(&Part::Contests) {
        (report.contests, report.half_load) = (Vec::new(), Vec::new());
        for (engine, console) in &engines {
            let (contests, half_load) = contests::contests(plan, engine, console, &ceiling, &checking);
            report.contests.extend(contests);
            report.half_load.extend(half_load);
        }
    }
    if parts.contains(&Part::Clients) {
        let sides: Vec<(&str, &Side)> = [("ceiling", &ceiling)].into_iter().chain(engines).collect();
        report.by_clients = contests::by_clients(plan, "enroll", &sides);
        report.by_clients.extend(contests::by_clients(plan, "heartbeat", &sides));
    }
}

/// The builds of the agent, by name; the one beside this program first.
fn builds(args: &RunArgs) -> Vec<(String, PathBuf)> {
    let own = Some(bins::agent().to_owned());
    let builds = [
        ("for hosts, which all else is measured with", own),
        ("static, for the image", args.agent_static.clone()),
    ];
    builds.into_iter().filter_map(|(name, file)| Some((name.to_owned(), file?))).collect()
}

fn sizes(args: &RunArgs) -> std::io::Result<Vec<Size>> {
    let size = |name: String, file: &Path, goal_bytes| {
        Ok::<_, std::io::Error>(Size { name, bytes: file.metadata()?.len(), goal_bytes })
    };
    let mut sizes = Vec::new();
    for (name, file) in builds(args) {
        sizes.push(size(format!("`telovix-agent`, {name}"), &file, Some(GOAL_BINARY))?);
    }
    if let Some(file) = &args.agent_image {
        sizes.push(size("image of `telovix-agent`, as an archive".to_owned(), file, Some(GOAL_IMAGE))?);
    }
    sizes.push(size(
        "`telovix-console-stub`, which all is measured with".to_owned(),
        bins::console_stub(),
        None,
    )?);
    Ok(sizes)
}

fn draw_all(args: &DrawArgs) -> Result<(), Box<dyn Error>> {
    let report: Report = serde_json::from_str(&std::fs::read_to_string(&args.report)?)?;
    std::fs::create_dir_all(&args.folder)?;
    for (name, picture) in draw::pictures(&report)? {
        std::fs::write(args.folder.join(name), picture)?;
    }
    let tables = tables::tables(&report);
    match &args.document {
        None => println!("{tables}"),
        Some(document) => {
            let text = std::fs::read_to_string(document)?;
            let text = tables::placed(&text, &tables).ok_or("the document has no marks for the tables")?;
            std::fs::write(document, text)?;
        }
    }
    Ok(())
}
