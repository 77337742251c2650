//! The two sides of a contest: a Console or the ceiling, each a process of its own that the load tool calls.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::processes::tree_seconds;
use super::report::Pace;
use crate::place::{Place, made_up_token};
use crate::run::Program;
use crate::world::World;

/// Cluster that simulated agents say they belong to.
const CLUSTER: &str = "bench";
/// Nodes that a Console under load may have: the most that a trial licence allows.
const NODES: &str = "1000000";
/// Longest that one run of the load tool may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest that the calls of one run may take, seconds: whatever is not done by then is not waited for.
const LONGEST_RUN: &str = "30";

/// Where a PostgreSQL server is, and its first process.
#[derive(Debug, Clone)]
pub(super) struct Postgres {
    /// An address whose role may make databases, ending before the database's name.
    pub(super) url: String,
    /// The server's first process, whose children do the work.
    pub(super) pid: u32,
}

/// A server under load.
pub(super) struct Side {
    url: String,
    ca_file: PathBuf,
    token_file: PathBuf,
    place: Place,
    servers: Vec<u32>,
    keeper: Keeper,
}

/// Who ends the server.
enum Keeper {
    Console(Box<World>),
    Ceiling(Child),
}

impl Drop for Keeper {
    fn drop(&mut self) {
        match self {
            Self::Console(_) => {}
            Self::Ceiling(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Side {
    /// A new Console with the embedded database.
    pub(super) fn sqlite() -> Self {
        let world = World::terms().setup(&["--trial-nodes", NODES]).serve(&["--enroll-rate", "0"]).start();
        Self::console(world, &[], Vec::new())
    }

    /// A new Console in a new database of this server.
    pub(super) fn postgres(server: &Postgres) -> Self {
        let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
        let made = Program::new(Path::new("psql"))
            .args([
                "-qAtX",
                "-d",
                &format!("{}/postgres", server.url),
                "-c",
                &format!("CREATE DATABASE {name}"),
            ])
            .run();
        made.expect(0);
        let url = format!("{}/{name}", server.url);
        let world = World::terms()
            .setup(&["--trial-nodes", NODES, "--database-url", &url])
            .serve(&["--enroll-rate", "0", "--database-url", &url])
            .start();
        Self::console(world, &["--database-url", &url], vec![server.pid])
    }

    fn console(world: World, database: &[&str], mut servers: Vec<u32>) -> Self {
        let token = world.token(&[&["--type", "cluster", "--cluster-id", CLUSTER], database].concat()).token;
        servers.push(world.pid());
        let (url, ca_file) = (world.url(), world.ca_file().to_owned());
        Self::new(url, ca_file, &token, servers, Keeper::Console(Box::new(world)))
    }

    /// The ceiling, which is this program in another role; with `checks`, the one that checks requests.
    pub(super) fn ceiling(checks: bool) -> Self {
        let folder = Place::new();
        let ca_file = folder.path().join("ca.pem");
        let own = std::env::current_exe().expect("this executable has a path");
        let mut child = Command::new(own)
            .arg("ceiling")
            .arg(&ca_file)
            .args(checks.then_some("--check"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut line = String::new();
        let said = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
        let (servers, keeper) = (vec![child.id()], Keeper::Ceiling(child));
        assert!(said.is_ok() && line.contains(':'), "the ceiling said {line:?} instead of its address");
        let url = format!("https://{}", line.trim());
        let side = Self::new(url, ca_file.clone(), &made_up_token(7), servers, keeper);
        let _ = side.place.write("ca.pem", &std::fs::read_to_string(ca_file).expect("it wrote its CA"));
        Self { ca_file: side.place.path().join("ca.pem"), ..side }
    }

    fn new(url: String, ca_file: PathBuf, token: &str, servers: Vec<u32>, keeper: Keeper) -> Self {
        let place = Place::new();
        let token_file = place.write("token", token);
        Self { url, ca_file, token_file, place, servers, keeper }
    }

    /// The Console, where it is one.
    pub(super) fn world(&self) -> &World {
        match &self.keeper {
            Keeper::Console(world) => world,
            Keeper::Ceiling(_) => panic!("the ceiling is no Console"),
        }
    }

    /// Enrolls so many agents and gives the file that holds their identities.
    pub(super) fn identities(&self, agents: usize) -> PathBuf {
        let file = self.place.path().join("identities");
        let _ = std::fs::remove_file(&file);
        let (agents, keep) = (agents.to_string(), file.to_str().expect("a UTF-8 name"));
        let _ = self.run("enroll", &self.token(&["--count", &agents, "--keep", keep]));
        file
    }

    /// The file with so many identities that nobody renews: made once.
    pub(super) fn standing(&self, agents: usize) -> PathBuf {
        let standing = self.place.path().join("standing");
        if !standing.exists() {
            std::fs::rename(self.identities(agents), &standing).expect("a file of ours can be renamed");
        }
        standing
    }

    /// Hosts that enroll. `args` say how many and how fast; likewise below.
    pub(super) fn enroll(&self, args: &[&str]) -> Pace {
        self.pace("enroll", &self.token(args))
    }

    /// Agents with these identities that send heartbeats.
    pub(super) fn heartbeat(&self, identities: &Path, args: &[&str]) -> Pace {
        self.pace("heartbeat", &with(identities, args))
    }

    /// Agents with these identities that renew.
    pub(super) fn renew(&self, identities: &Path, args: &[&str]) -> Pace {
        self.pace("renew", &with(identities, args))
    }

    /// A path of the operators' interface, read again and again.
    pub(super) fn get(&self, path: &str, api_key: &Path, args: &[&str]) -> Pace {
        let key = api_key.to_str().expect("a UTF-8 name");
        self.pace("get", &[&["--path", path, "--api-key-file", key], args].concat().map_owned())
    }

    fn token(&self, args: &[&str]) -> Vec<String> {
        let token = self.token_file.to_str().expect("a UTF-8 name");
        [&["--cluster", CLUSTER, "--cluster-token-file", token], args].concat().map_owned()
    }

    /// What one run of the load tool came to, with what it cost the servers.
    fn pace(&self, work: &str, args: &[String]) -> Pace {
        let before = self.server_seconds();
        let found = self.run(work, args);
        let spent = self.server_seconds() - before;
        let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        let calls = number("/calls/succeeded");
        Pace {
            calls: calls as u64,
            failed: number("/calls/failed") as u64,
            per_second: number("/calls/succeeded_per_second"),
            per_core_second: if spent > 0.0 { calls / spent } else { 0.0 },
            p50_ms: number("/latency_ms/p50"),
            p99_ms: number("/latency_ms/p99"),
            p999_ms: number("/latency_ms/p999"),
            tool_processors: number("/own_cost/processors_used"),
        }
    }

    fn server_seconds(&self) -> f64 {
        self.servers.iter().map(|pid| tree_seconds(*pid)).sum()
    }

    fn run(&self, work: &str, args: &[String]) -> Value {
        let own = std::env::current_exe().expect("this executable has a path");
        let ca = self.ca_file.to_str().expect("a UTF-8 name");
        let run = Program::new(&own)
            .args(["fleet", work, "--console-url", &self.url, "--ca-file", ca, "--quiet"])
            .args(["--duration", LONGEST_RUN, "--max-error-share", "0.01"])
            .args(args)
            .limit(LIMIT)
            .run();
        run.expect(0).json()
    }
}

fn with(identities: &Path, args: &[&str]) -> Vec<String> {
    let file = identities.to_str().expect("a UTF-8 name");
    [&["--identities", file, "--agents", "100000"], args].concat().map_owned()
}

/// Words that outlive what they were borrowed from.
trait MapOwned {
    fn map_owned(self) -> Vec<String>;
}

impl MapOwned for Vec<&str> {
    fn map_owned(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}
