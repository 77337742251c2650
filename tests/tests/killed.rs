//! The Console is killed again and again in the middle of its work, and comes back with all that it ever promised.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use telovix_contract::paths;
use telovix_tests::client::{Answer, Client};
use telovix_tests::csr::{self, Wish};
use telovix_tests::world::Created;
use telovix_tests::{World, wait};
use x509_parser::pem::Pem;

const KILLS: usize = 50;
const ONE_TIME: usize = 40;
const LIMIT: Duration = Duration::from_secs(120);

/// Asks until there is an answer: the same bytes, as a host does (docs/contract.md section 3, "Repeat").
fn until_answered(client: &Client, body: &Value, answered: &AtomicUsize) -> Answer {
    let answer = wait::until(LIMIT, "an answer", || {
        client.post(paths::ENROLL, body).ok().filter(|answer| answer.status != 503)
    });
    answered.fetch_add(1, Ordering::SeqCst);
    answer
}

fn body(token: &str, node: &str, cluster: Option<&str>) -> Value {
    let csr_pem = csr::make(Wish::Plain, node).1;
    json!({"enrollment_token": token, "csr_pem": csr_pem, "node_name": node, "cluster_name": cluster})
}

fn fingerprint(answer: &Answer) -> [u8; 32] {
    let json = answer.json();
    let pem = json["control_plane_certificate_pem"].as_str().expect("a certificate");
    let (_, first) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let Pem { contents, .. } = first;
    Sha256::digest(contents).into()
}

#[test]
fn fifty_kills_under_load_lose_nothing_that_was_promised() {
    let world = World::terms().setup(&["--trial-nodes", "100000"]).start();
    let cluster = world.token(&["--type", "cluster", "--cluster-id", "c"]).token;
    let once: Vec<_> = (0..ONE_TIME).map(|_| world.once()).collect();
    let client = world.client();
    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let promised = Mutex::new(Vec::<(String, [u8; 32])>::new());
    let promise = |answer: &Answer| {
        let id = answer.json()["sensor_id"].as_str().expect("an id").to_owned();
        promised.lock().expect("nobody panicked").push((id, fingerprint(answer)));
    };

    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (client, cluster, answered, done, promise) = (&client, &cluster, &answered, &done, &promise);
            scope.spawn(move || {
                for n in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let node = format!("node-{worker}-{n}");
                    let answer = until_answered(client, &body(cluster, &node, Some("c")), answered);
                    assert_eq!(answer.status, 201, "{}", answer.error());
                    promise(&answer);
                }
            });
        }
        // Two hosts for each one-time token, at the same time.
        let (client, once, answered, promise) = (&client, &once, &answered, &promise);
        let racers: Vec<_> = (0..2)
            .map(|racer| {
                scope.spawn(move || {
                    let ask = |(n, token): (usize, &Created)| {
                        let body = body(&token.token, &format!("racer-{racer}-{n}"), None);
                        until_answered(client, &body, answered)
                    };
                    once.iter().enumerate().map(ask).collect::<Vec<Answer>>()
                })
            })
            .collect();

        for kill in 0..KILLS {
            // After some more answers, never the same number of them: in the middle of whatever comes next.
            let target = answered.load(Ordering::SeqCst) + 1 + (kill * 7) % 11;
            wait::until(LIMIT, "work to be done", || {
                (answered.load(Ordering::SeqCst) >= target).then_some(())
            });
            world.kill();
            world.restart();
        }
        let runs: Vec<Vec<Answer>> = racers.into_iter().map(|one| one.join().expect("no panic")).collect();
        done.store(true, Ordering::SeqCst);
        for (n, token) in once.iter().enumerate() {
            let mut statuses = [runs[0][n].status, runs[1][n].status];
            statuses.sort_unstable();
            assert_eq!(statuses, [201, 409], "one-time token {n} ({})", token.id);
            runs.iter().map(|run| &run[n]).filter(|answer| answer.status == 201).for_each(promise);
        }
    });

    let promised = promised.into_inner().expect("nobody panicked");
    let db = world.db();
    for (sensor, fingerprint) in &promised {
        let sql = "SELECT count(*) FROM certificates WHERE fingerprint = ?1 AND sensor_id = ?2";
        let found: i64 = db.one(sql, (fingerprint.as_slice(), sensor));
        assert_eq!(found, 1, "a certificate of sensor {sensor} was handed out and is not in the database");
    }
    let sensors: BTreeSet<&String> = promised.iter().map(|(sensor, _)| sensor).collect();
    println!("{KILLS} kills, {} answers, {} sensors", answered.load(Ordering::SeqCst), sensors.len());
    assert_eq!(db.sensors(), i64::try_from(sensors.len()).expect("few"), "a sensor that nobody heard of");
    assert_eq!(db.certificates(), db.sensors());
    assert_eq!(db.audited("sensor_enrolled", "success"), sensors.len());
    for token in &once {
        assert_eq!((db.token_status(&token.id).as_str(), db.token_uses(&token.id)), ("used", 1));
    }
    assert_eq!(db.integrity(), "ok");
    world.stub(&["audit", "verify"], &[]).expect(0);
}
