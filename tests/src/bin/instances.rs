//! Three Console stubs on one PostgreSQL database under parallel load; `tests/system/postgres.sh` gives it a server.
//!
//! `instances STOP START`: two shell commands that stop and start the server; the address of an empty database on it stands
//! in `TELOVIX_TEST_DATABASE_URL`, because it holds a password. Every check is an
//! assertion: exit status 0 means that thousands of attempts spent one token once, passed no cap and left the audit chain
//! whole, that a killed instance and a stopped database cost nobody anything, and that all three agree on everything.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use telovix_contract::paths;
use telovix_tests::client::{Answer, Client};
use telovix_tests::csr::{self, Wish};
use telovix_tests::run::Program;
use telovix_tests::{Place, bins, wait};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Attempts under way at once.
const AT_ONCE: usize = 600;
/// Sensors that the licence allows.
const LICENCE: usize = 160;
/// Longest that anything waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = std::env::var("TELOVIX_TEST_DATABASE_URL");
    let ([stop, start], Ok(url)) = (&arguments[..], url) else {
        eprintln!("usage: TELOVIX_TEST_DATABASE_URL=URL instances STOP_COMMAND START_COMMAND");
        std::process::exit(2);
    };
    let fleet = Fleet::start(&url);
    fleet.one_token_and_1200_hosts();
    fleet.a_cluster_token_for_ten_and_240_nodes();
    fleet.a_rule_for_25_and_240_nodes();
    fleet.an_instance_is_killed_under_load();
    fleet.the_licence_and_240_nodes();
    fleet.every_instance_knows_every_host();
    fleet.the_database_goes_away_and_comes_back(stop, start);
    fleet.the_audit_trail_is_whole();
}

/// An instance's process; ended by its own id.
struct Instance {
    child: Child,
    client: Client,
}

impl Instance {
    fn start(place: &Place, url: &str, name: &str, ca: Option<&str>) -> Self {
        let log = std::fs::File::create(place.path().join(format!("{name}.log"))).expect("a log");
        let mut child = Command::new(bins::console_stub())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(place.path().join(name))
            .env_clear()
            .env("TELOVIX_DATABASE_URL", url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the stub can be started");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the stub speaks");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{name} did not start: {line:?}"));
        // Each writes the CA file into its own directory, out of the database that they share.
        let own = std::fs::read_to_string(place.path().join(name).join("console-ca.cert.pem"));
        let own = own.expect("every instance has the CA file");
        assert!(ca.is_none_or(|ca| ca == own), "the instances have different CAs");
        Self { child, client: Client::new(address, &own) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Fleet {
    place: Place,
    url: String,
    ca: String,
    instances: Vec<Instance>,
    runtime: Runtime,
}

/// How attempts ended, and how many had to be made again because nobody answered.
type Ends = BTreeMap<String, usize>;

impl Fleet {
    fn start(url: &str) -> Self {
        let place = Place::new();
        let password = place.write("password", "correct horse battery staple\n");
        let made = Program::new(bins::console_stub())
            .args([
                "setup",
                "--output",
                "json",
                "--admin-email",
                "admin@example.com",
                "--admin-password-file",
            ])
            .args([&password])
            .args(["--server-name", "127.0.0.1", "--trial-nodes", &LICENCE.to_string(), "--data-dir"])
            .args([place.path().join("one")])
            .env("TELOVIX_DATABASE_URL", url)
            .run();
        let ca_file = made.expect(0).json()["ca_file"].as_str().expect("a CA file").to_owned();
        let ca = std::fs::read_to_string(ca_file).expect("setup wrote it");
        let names = ["one", "two", "three"];
        let instances = names.map(|name| Instance::start(&place, url, name, Some(&ca))).into();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Self { place, url: url.to_owned(), ca, instances, runtime: runtime.expect("a runtime") }
    }

    /// A command of the stub, in a data directory that no server uses; gives what it prints.
    fn stub(&self, command: &[&str]) -> Value {
        let data = self.place.path().join("operator");
        let run = Program::new(bins::console_stub()).args(command).args(["--output", "json", "--data-dir"]);
        run.args([data]).env("TELOVIX_DATABASE_URL", &self.url).run().expect(0).json()
    }

    fn cluster_token(&self, cluster: &str, more: &[&str]) -> String {
        let command = [&["token", "create", "--type", "cluster", "--cluster-id", cluster], more].concat();
        self.stub(&command)["token"].as_str().expect("a token").to_owned()
    }

    fn count(&self, list: &[&str], fits: impl Fn(&Value) -> bool) -> usize {
        let (mut found, mut cursor) = (0, None::<String>);
        loop {
            let mut command = [list, &["--limit", "200"]].concat();
            if let Some(cursor) = &cursor {
                command.extend(["--cursor", cursor]);
            }
            let page = self.stub(&command);
            found += page["data"].as_array().expect("rows").iter().filter(|row| fits(row)).count();
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return found;
            }
        }
    }

    fn sensors_of(&self, cluster: &str) -> usize {
        self.count(&["sensor", "list"], |row| row["cluster_id"] == cluster)
    }

    /// Sends all at once, in turn to the three, each until somebody answers; says how they ended.
    fn rush(
        &self,
        what: &str,
        bodies: Vec<Value>,
        under_way: impl FnOnce(&AtomicUsize),
    ) -> (Ends, Vec<Answer>) {
        let begin = Instant::now();
        let (done, slots) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(AT_ONCE)));
        let clients: Vec<Client> = self.instances.iter().map(|instance| instance.client.clone()).collect();
        let count = bodies.len();
        let attempts: Vec<_> = bodies
            .into_iter()
            .enumerate()
            .map(|(at, body)| {
                let (done, slots, mut clients) = (Arc::clone(&done), Arc::clone(&slots), clients.clone());
                clients.rotate_left(at % 3);
                self.runtime.spawn(async move {
                    let _slot = slots.acquire_owned().await.expect("never closed");
                    let ended = answered(&clients, &body).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    ended
                })
            })
            .collect();
        under_way(&done);
        let (mut ends, mut answers, mut again) = (Ends::new(), Vec::new(), 0);
        for attempt in attempts {
            let (answer, tries) = self.runtime.block_on(attempt).expect("no panic");
            *ends
                .entry(format!("{} {}", answer.status, answer.error()).trim_end().to_owned())
                .or_default() += 1;
            again += tries - 1;
            answers.push(answer);
        }
        println!(
            "{what}: {count} attempts in {:.1} s, {again} made again: {ends:?}",
            begin.elapsed().as_secs_f32()
        );
        (ends, answers)
    }

    fn one_token_and_1200_hosts(&self) {
        let made = self.stub(&["token", "create", "--ttl", "1h"]);
        let token = made["token"].as_str().expect("a token");
        let bodies = (0..1200).map(|n| request(token, &format!("host-{n}"), None)).collect();
        let (ends, _) = self.rush("one token", bodies, |_| ());
        assert_eq!(ends, expected(&[("201", 1), ("409 enrollment_token_used", 1199)]));
        let used = |row: &Value| row["id"] == made["id"] && row["status"] == "used" && row["use_count"] == 1;
        assert_eq!(self.count(&["token", "list"], used), 1);
        assert_eq!(self.count(&["sensor", "list"], |_| true), 1);
    }

    fn a_cluster_token_for_ten_and_240_nodes(&self) {
        let token = self.cluster_token("west", &["--max-nodes", "10"]);
        let bodies = (0..240).map(|n| request(&token, &format!("w-{n}"), Some("west"))).collect();
        let (ends, _) = self.rush("a cluster token for ten", bodies, |_| ());
        assert_eq!(ends, expected(&[("201", 10), ("403 max_nodes_exceeded", 230)]));
        assert_eq!(self.sensors_of("west"), 10);
    }

    fn a_rule_for_25_and_240_nodes(&self) {
        self.stub(&["settings", "set", "approval_mode", "cluster"]);
        self.stub(&["rule", "create", "--cluster-id", "east", "--label", "east", "--max-nodes", "25"]);
        let token = self.cluster_token("east", &[]);
        let bodies = (0..240).map(|n| request(&token, &format!("e-{n}"), Some("east"))).collect();
        let (ends, _) = self.rush("an auto-approve rule for 25", bodies, |_| ());
        assert_eq!(ends, expected(&[("201", 25), ("202", 215)]));
        assert_eq!(self.sensors_of("east"), 25);
        self.stub(&["settings", "set", "approval_mode", "none"]);
    }

    /// SIGKILL in the middle; whoever was not answered asks another instance, and gets what the dead one may have given.
    fn an_instance_is_killed_under_load(&self) {
        let token = self.cluster_token("north", &["--max-nodes", "100"]);
        let bodies = (0..300).map(|n| request(&token, &format!("n-{n}"), Some("north"))).collect();
        let victim = Pid::from_raw(i32::try_from(self.instances[2].child.id()).expect("a pid"));
        let (ends, _) = self.rush("one instance killed", bodies, |done| {
            wait::until(PATIENCE, "the load", || (done.load(Ordering::Relaxed) >= 20).then_some(()));
            kill(victim, Signal::SIGKILL).expect("the process is ours");
        });
        assert_eq!(ends, expected(&[("201", 100), ("403 max_nodes_exceeded", 200)]));
        assert_eq!(self.sensors_of("north"), 100);
    }

    fn the_licence_and_240_nodes(&self) {
        let left = LICENCE - self.count(&["sensor", "list"], |_| true);
        let token = self.cluster_token("south", &[]);
        let bodies = (0..240).map(|n| request(&token, &format!("s-{n}"), Some("south"))).collect();
        let (ends, _) = self.rush("the licence", bodies, |_| ());
        assert_eq!(ends, expected(&[("201", left), ("403 NodeLimitExceeded", 240 - left)]));
        assert_eq!(self.count(&["sensor", "list"], |_| true), LICENCE);
        assert_eq!(self.stub(&["license", "show"])["protected_nodes"], LICENCE);
    }

    /// What one instance signed, another takes in a mutual-TLS heartbeat, and renews. The killed one is not asked.
    fn every_instance_knows_every_host(&self) {
        let freed = self.stub(&["sensor", "list", "--limit", "1"])["data"][0]["sensor_id"].clone();
        self.stub(&["sensor", "delete", freed.as_str().expect("an id")]);
        let made = self.stub(&["token", "create"]);
        let (key, pem) = csr::make(Wish::Plain, "everywhere");
        let token = made["token"].as_str().expect("a token");
        let body = json!({"enrollment_token": token, "csr_pem": pem, "node_name": "everywhere"});
        let enrolled = self.instances[0].client.post(paths::ENROLL, &body).expect("an answer");
        let enrolled = enrolled.json();
        let certificate = enrolled["control_plane_certificate_pem"].as_str().expect("a certificate");
        for instance in &self.instances[..2] {
            let address = instance.client.address();
            let host = Client::with_identity(address, &self.ca, certificate, &key.serialize_pem());
            assert_eq!(host.post(paths::HEARTBEAT, &json!({})).expect("an answer").status, 200);
        }
    }

    fn the_database_goes_away_and_comes_back(&self, stop: &str, start: &str) {
        let body = request("tse_unknown", "late", None);
        let refused = |status: u16| {
            let clients = self.instances[..2].iter().map(|instance| &instance.client);
            let answers = clients.map(|client| client.post(paths::ENROLL, &body).ok());
            answers.map(|answer| answer.filter(|answer| answer.status == status)).collect::<Option<Vec<_>>>()
        };
        assert_eq!(refused(401).expect("an answer")[0].error(), "invalid_enrollment_token");
        shell(stop);
        for answer in refused(503).expect("503 and nothing else while the database is away") {
            assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"), "{answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("127.0.0.1"), "{answer:?}");
        }
        for instance in &self.instances[..2] {
            assert_eq!(instance.client.get(paths::HEALTHZ).expect("an answer").status, 200, "it lives");
            assert_eq!(
                instance.client.get(paths::READYZ).expect("an answer").status,
                503,
                "and is not ready"
            );
        }
        shell(start);
        wait::until(PATIENCE, "the instances to come back", || refused(401));
        println!("the database away: 503 with Retry-After; back: served again by the same processes");
    }

    fn the_audit_trail_is_whole(&self) {
        let report = self.stub(&["audit", "verify"]);
        assert_eq!(report["intact"], true, "{report}");
        // More than 2,200 attempts, every one of them on record.
        assert!(report["records"].as_i64().is_some_and(|records| records > 2000), "{report}");
        println!("the audit trail: {} records, intact", report["records"]);
    }
}

/// An answer that decides; with how many tries it took. 429 and 503 are worth another, at the next instance.
async fn answered(clients: &[Client], body: &Value) -> (Answer, usize) {
    let text = body.to_string();
    let begin = Instant::now();
    for (tries, client) in (1..).zip(clients.iter().cycle()) {
        let headers = [("content-type", "application/json")];
        match client.call("POST", paths::ENROLL, &headers, text.as_bytes()).await {
            Ok(answer) if answer.status != 503 && answer.status != 429 => return (answer, tries),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        assert!(begin.elapsed() < 3 * PATIENCE, "nobody answers {text}");
    }
    unreachable!("there is always a next instance")
}

fn request(token: &str, node: &str, cluster: Option<&str>) -> Value {
    let mut body =
        json!({"enrollment_token": token, "csr_pem": csr::make(Wish::Plain, node).1, "node_name": node});
    if let Some(cluster) = cluster {
        body["cluster_name"] = json!(cluster);
    }
    body
}

fn expected(pairs: &[(&str, usize)]) -> Ends {
    pairs.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect()
}

fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status().expect("a shell");
    assert!(status.success(), "{command} ended with {status}");
}
