//! Many hosts at the same moment: of one token exactly one identity comes, of a cluster token as many as it allows.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use telovix_contract::paths;
use telovix_tests::World;
use telovix_tests::client::Answer;
use telovix_tests::csr::{self, Wish};

const CLIENTS: usize = 200;

fn request(token: &str, csr_pem: &str, node: &str, cluster: Option<&str>) -> Value {
    let mut body = json!({"enrollment_token": token, "csr_pem": csr_pem, "node_name": node});
    if let Some(cluster) = cluster {
        body["cluster_name"] = json!(cluster);
    }
    body
}

/// How many answers there were of each kind: the status, and the code of a refusal.
fn tally(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(format!("{} {}", answer.status, answer.error()).trim_end().to_owned()).or_default() += 1;
    }
    tally
}

fn expected(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[test]
fn one_token_and_two_hundred_hosts() {
    let world = World::new();
    let token = world.once();
    let bodies = (0..CLIENTS)
        .map(|n| {
            request(&token.token, &csr::make(Wish::Plain, &format!("host-{n}")).1, &format!("host-{n}"), None)
        })
        .collect();
    let answers = world.client().post_all_at_once(paths::ENROLL, bodies);
    assert_eq!(tally(&answers), expected(&[("201", 1), ("409 enrollment_token_used", CLIENTS - 1)]));
    let db = world.db();
    assert_eq!((db.sensors(), db.certificates()), (1, 1));
    assert_eq!((db.token_status(&token.id).as_str(), db.token_uses(&token.id)), ("used", 1));
    assert_eq!(db.audited("sensor_enrolled", "success"), 1);
    assert_eq!(db.integrity(), "ok");
}

#[test]
fn one_host_that_asks_two_hundred_times_at_once() {
    let world = World::new();
    let token = world.once();
    let (_, csr_pem) = csr::make(Wish::Plain, "host");
    let bodies = vec![request(&token.token, &csr_pem, "host", None); CLIENTS];
    let answers = world.client().post_all_at_once(paths::ENROLL, bodies);
    assert_eq!(tally(&answers), expected(&[("201", CLIENTS)]));
    let first = answers[0].json();
    for answer in &answers {
        assert_eq!(answer.json()["sensor_id"], first["sensor_id"]);
        assert_eq!(answer.json()["control_plane_certificate_pem"], first["control_plane_certificate_pem"]);
    }
    let db = world.db();
    assert_eq!((db.sensors(), db.certificates(), db.token_uses(&token.id)), (1, 1, 1));
}

#[test]
fn a_cluster_token_for_ten_and_two_hundred_nodes() {
    let world = World::new();
    let token = world.token(&["--type", "cluster", "--cluster-id", "prod", "--max-nodes", "10"]);
    let body = |n: usize| {
        let node = format!("worker-{n}");
        let mut body = request(&token.token, &csr::make(Wish::Plain, &node).1, &node, Some("prod"));
        body["host"] = json!({"machine_id_sha256": format!("{n:064x}")});
        body
    };
    let bodies: Vec<Value> = (0..CLIENTS).map(body).collect();
    let answers = world.client().post_all_at_once(paths::ENROLL, bodies);
    assert_eq!(tally(&answers), expected(&[("201", 10), ("403 max_nodes_exceeded", CLIENTS - 10)]));
    let db = world.db();
    assert_eq!((db.sensors(), db.certificates(), db.token_nodes(&token.id)), (10, 10, 10));
    assert_eq!(db.token_status(&token.id), "pending", "a cluster token stays usable");

    // A node that is in may come again from its machine, with a new key too: it is the same node, and costs nothing.
    let inside = answers.iter().position(|answer| answer.status == 201).unwrap();
    let again = world.client().post(paths::ENROLL, &body(inside)).unwrap();
    assert_eq!(
        (again.status, again.json()["sensor_id"].clone()),
        (201, answers[inside].json()["sensor_id"].clone())
    );
    assert_eq!((world.db().sensors(), world.db().token_nodes(&token.id)), (10, 10));
}

#[test]
fn the_licence_holds_under_a_rush() {
    let world = World::terms().setup(&["--trial-nodes", "7"]).start();
    let tokens: Vec<_> = (0..30).map(|_| world.once()).collect();
    let bodies = tokens
        .iter()
        .enumerate()
        .map(|(n, token)| {
            let node = format!("host-{n}");
            request(&token.token, &csr::make(Wish::Plain, &node).1, &node, None)
        })
        .collect();
    let answers = world.client().post_all_at_once(paths::ENROLL, bodies);
    assert_eq!(tally(&answers), expected(&[("201", 7), ("403 NodeLimitExceeded", 23)]));
    assert_eq!(world.db().sensors(), 7);
    let pending = tokens.iter().filter(|token| world.db().token_status(&token.id) == "pending").count();
    assert_eq!(pending, 23, "who was turned away keeps the token");
}
