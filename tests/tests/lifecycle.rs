//! A host and a Console over time: enrolling again changes nothing, a lost credential comes back as the same sensor, a
//! second record is never made by accident, and a Console's refusals keep what works.

use serde_json::Value;
use telovix_contract::paths;
use telovix_tests::csr::{self, Wish};
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, World};

const REFUSED: i32 = 3;

fn status(agent: &Agent) -> Value {
    agent.clone_for(&["status", "--output", "json"]).run().json()
}

fn sensor(agent: &Agent) -> String {
    status(agent)["sensor_id"].as_str().unwrap().to_owned()
}

#[test]
fn enrolling_again_changes_nothing() {
    let world = World::new();
    let token = world.once();
    let agent = world.enroll("host").token(&token.token);
    agent.run().expect(0);
    let before = Snapshot::of(agent.state_dir(), &[".lock"]);
    for again in [agent.clone(), world.enroll("host")] {
        let run = again.run();
        assert!(run.expect(0).stdout.contains("already enrolled"), "{}", run.report());
        before.assert_same(&Snapshot::of(agent.state_dir(), &[".lock"]), "enrolling again");
    }
    assert_eq!(
        (world.db().sensors(), world.db().certificates(), world.db().token_uses(&token.id)),
        (1, 1, 1)
    );
}

#[test]
fn enrolling_again_while_the_console_is_down_keeps_the_identity() {
    let world = World::new();
    let agent = world.enroll("host");
    agent.clone().token(&world.once().token).run().expect(0);
    world.kill();
    let before = Snapshot::of(agent.state_dir(), &[".lock"]);
    agent.args(["--timeout", "2s"]).run().expect(0);
    before.assert_same(&Snapshot::of(world.host("host").state_dir(), &[".lock"]), "a Console that is down");
}

#[test]
fn a_lost_credential_comes_back_as_the_same_sensor() {
    let world = World::new();
    let agent = world.enroll("host");
    agent.clone().token(&world.once().token).run().expect(0);
    let id = sensor(&agent);
    for name in ["client.key.pem", "client.cert.pem"] {
        std::fs::remove_file(agent.state_dir().join("current").join(name)).unwrap();
    }
    agent.run().expect(2).says(&["the identity was lost", "--token-stdin"]);
    let token = world.token(&["--type", "once", "--sensor-id", &id]);
    agent.clone().token(&token.token).run().expect(0);
    assert_eq!(sensor(&agent), id);
    assert_eq!((world.db().sensors(), world.db().certificates()), (1, 2));
}

#[test]
fn a_second_record_is_made_on_request_alone() {
    let world = World::new();
    let agent = world.enroll("host");
    agent.clone().token(&world.once().token).run().expect(0);
    let id = sensor(&agent);
    let plain = world.once();
    let before = Snapshot::of_state(agent.state_dir());
    let again = agent.clone().token(&plain.token);
    again.run().expect(REFUSED).says(&["sensor_binding_mismatch", "--new-sensor"]);
    before.assert_same(&Snapshot::of_state(agent.state_dir()), "a refused second record");
    assert_eq!((world.db().sensors(), world.db().token_status(&plain.id).as_str()), (1, "pending"));
    agent.clone_for(&["status", "--ready"]).run().expect(0);

    let run = again.args(["--new-sensor"]).run();
    run.expect(0);
    assert_ne!(sensor(&agent), id);
    assert_eq!((world.db().sensors(), world.db().token_status(&plain.id).as_str()), (2, "used"));
    assert!(run.stdout.contains("note"), "the old record is mentioned: {}", run.report());
}

#[test]
fn a_token_for_another_sensor_or_cluster_is_refused_and_stays_usable() {
    let world = World::new();
    let (first, second) = (world.enroll("first"), world.enroll("second"));
    for agent in [&first, &second] {
        agent.clone().token(&world.once().token).run().expect(0);
    }
    let bound = world.token(&["--type", "once", "--sensor-id", &sensor(&second)]);
    first.clone().token(&bound.token).run().expect(REFUSED).says(&["sensor_binding_mismatch"]);
    let cluster = world.token(&["--type", "cluster", "--cluster-id", "prod"]);
    let third = world.enroll("third").token(&cluster.token);
    third
        .clone()
        .args(["--cluster-name", "lab"])
        .run()
        .expect(REFUSED)
        .says(&["cluster_mismatch", "--cluster-name"]);
    assert_eq!(world.db().token_status(&bound.id), "pending");
    second.clone().token(&bound.token).run().expect(0);
    third.args(["--cluster-name", "prod"]).run().expect(0);
    assert_eq!(world.db().sensors(), 3);
}

#[test]
fn a_node_of_a_cluster_gets_its_own_record_back() {
    let world = World::new();
    let token = world.token(&["--type", "cluster", "--cluster-id", "prod", "--max-nodes", "1"]);
    let agent = world.enroll("node").args(["--cluster-name", "prod"]).token(&token.token);
    agent.run().expect(0);
    let id = sensor(&agent);
    agent.clone_for(&["reset", "--yes"]).run().expect(0);
    agent.run().expect(0);
    assert_eq!((sensor(&agent), world.db().sensors()), (id, 1));
    let other = world.enroll("other").args(["--cluster-name", "prod"]).token(&token.token);
    other.run().expect(REFUSED).says(&["max_nodes_exceeded"]);
}

#[test]
fn tokens_that_are_revoked_expired_or_unknown() {
    let world = World::new();
    let revoked = world.once();
    world.stub(&["token", "revoke"], &[&revoked.id]).expect(0);
    let short = world.token(&["--type", "once", "--ttl", "1m"]);
    world.db().expire_token(&short.id);
    let unknown = telovix_tests::place::made_up_token(1);
    for (token, code) in [
        (&revoked.token, "enrollment_token_revoked"),
        (&short.token, "enrollment_token_expired"),
        (&unknown, "invalid_enrollment_token"),
    ] {
        let run = world.enroll("host").token(token).run();
        run.expect(REFUSED).says(&[code, "  do: "]);
    }
    assert_eq!(world.db().sensors(), 0);
}

/// docs/contract.md section 7: the vendor's init container deletes four names and writes the hash of a new token.
#[test]
fn what_the_vendors_init_container_leaves_ends_in_a_clean_enrollment() {
    let world = World::new();
    let token = world.token(&["--type", "cluster", "--cluster-id", "prod"]);
    let agent = world.enroll("node").args(["--cluster-name", "prod"]);
    agent.clone().token(&token.token).run().expect(0);
    let id = sensor(&agent);
    for name in ["client.key.pem", "client.cert.pem", "console-ca.cert.pem", "sensor-state.json"] {
        std::fs::remove_file(agent.state_dir().join(name)).unwrap();
    }
    let new = world.token(&["--type", "cluster", "--cluster-id", "prod"]);
    let hash = new.token.parse::<telovix_contract::EnrollmentToken>().unwrap().hash_as_given();
    std::fs::write(agent.state_dir().join(".enrollment-token-hash"), format!("{hash}\n")).unwrap();
    agent.clone().token(&new.token).run().expect(0);
    assert_eq!((sensor(&agent), world.db().sensors()), (id, 1), "the node's own record");
    assert_eq!(world.db().token_uses(&new.id), 1, "the new token paid");
    assert_eq!(world.db().certificates(), 2);
}

#[test]
fn a_request_that_asks_for_more_gets_a_plain_client_certificate() {
    let world = World::new();
    for wish in Wish::GREEDY {
        let (key, csr_pem) = csr::make(*wish, "greedy");
        let body = serde_json::json!({
            "enrollment_token": world.once().token, "csr_pem": csr_pem, "node_name": "greedy",
        });
        let answer = world.client().post(paths::ENROLL, &body).unwrap();
        assert_eq!(answer.status, 201, "{wish:?}: {}", String::from_utf8_lossy(&answer.body));
        let json = answer.json();
        let pem = json["control_plane_certificate_pem"].as_str().unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&pem.contents).unwrap();
        assert_eq!(leaf.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        assert!(!leaf.is_ca(), "{wish:?}");
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any, "{wish:?}: {usage:?}");
        let key_usage = leaf.key_usage().unwrap().map(|usage| usage.value.key_cert_sign());
        assert_ne!(key_usage, Some(true), "{wish:?}");
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
        let uri = format!("telovix://sensor/{}", json["sensor_id"].as_str().unwrap());
        assert_eq!(format!("{names:?}"), format!("[URI({uri:?})]"), "{wish:?}");
        let subject = leaf.subject().to_string();
        assert!(subject.contains("CN=greedy") && !subject.contains("Operators"), "{wish:?}: {subject}");
        let life = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
        assert_eq!(life, 720 * 3600 + 300, "{wish:?}: 720 h, and five minutes back");
        assert!(leaf.raw_serial().len() == 16, "{wish:?}: a serial number of 128 bits");
    }
}

#[test]
fn a_certificate_of_the_right_ca_that_nobody_knows_is_refused() {
    let world = World::new();
    let (first, second) = (world.enroll("first"), world.enroll("second"));
    first.clone().token(&world.once().token).run().expect(0);
    second.clone().token(&world.once().token).run().expect(0);
    let heartbeat =
        |agent: &Agent| world.client_as(agent).post(paths::HEARTBEAT, &serde_json::json!({})).unwrap();
    assert_eq!(heartbeat(&first).status, 200);
    // Superseded: the sensor has enrolled again, and the successor has been seen.
    let old = world.client_as(&first);
    let token = world.token(&["--type", "once", "--sensor-id", &sensor(&first)]);
    first.clone().token(&token.token).run().expect(0);
    assert_eq!(heartbeat(&first).status, 200);
    let answer = old.post(paths::HEARTBEAT, &serde_json::json!({})).unwrap();
    assert_eq!((answer.status, answer.error().as_str()), (401, "invalid_sensor_trust"));
    assert_eq!(world.client().post(paths::HEARTBEAT, &serde_json::json!({})).unwrap().status, 401);
    assert_eq!(heartbeat(&second).status, 200);
}
