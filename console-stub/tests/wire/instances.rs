//! Several instances on one database: what one does counts for all (issue of one-time tokens, caps, licence, sessions,
//! nonces, CA). The same tests on both engines; on SQLite it is one file that several processes have open.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use telovix_console_stub::app::{App, Options};
use telovix_console_stub::config::DataDir;
use telovix_console_stub::db::DbError;
use telovix_console_stub::domain::api_key::{Scope, SignedCall};
use telovix_console_stub::domain::approval::RuleDraft;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::{Setting, Vertical};
use telovix_console_stub::service::enroll::EnrollAnswer;
use telovix_console_stub::service::rotation::Drain;
use telovix_console_stub::service::setup::{Grant, Setup};
use telovix_console_stub::service::users::Presence;
use telovix_console_stub::service::{Console, ServiceError};
use telovix_contract::enroll::EnrollRequest;

use crate::engine::Engine;
use crate::world::{World, body, csr, key};

/// Asks, and asks again for as long as the database has no time for it, as a host does that is answered 503: on a busy
/// machine an instance may wait for the others longer than a statement may last.
async fn enroll(console: &Console, body: Value) -> String {
    let request: EnrollRequest = serde_json::from_value(body).unwrap();
    for _ in 0..100 {
        let hash = request.enrollment_token.hash();
        match console.enroll(hash, request.clone(), None, Origin::default()).await {
            Ok(EnrollAnswer::Enrolled(_)) => return "201".to_owned(),
            Ok(EnrollAnswer::Waiting(_)) => return "202".to_owned(),
            Err(ServiceError::Refused(refusal)) => return refusal.code.as_str().to_owned(),
            Err(ServiceError::Db(DbError::Unavailable(_))) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the database never has time");
}

/// All at once, in turn to the three; how they ended.
async fn spread(consoles: &[Console; 3], bodies: Vec<Value>) -> BTreeMap<String, usize> {
    let tasks: Vec<_> = bodies
        .into_iter()
        .zip(consoles.iter().cycle().cloned())
        .map(|(body, console)| tokio::spawn(async move { enroll(&console, body).await }))
        .collect();
    let mut ends = BTreeMap::new();
    for task in tasks {
        *ends.entry(task.await.unwrap()).or_default() += 1;
    }
    ends
}

fn expected(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect()
}

async fn three(world: &World) -> [Console; 3] {
    let (second, third) = (world.instance("second").await, world.instance("third").await);
    [world.console.clone(), second.console().clone(), third.console().clone()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_of_1200_hosts_at_three_instances_one_spends_the_token() {
    let world = World::start(2000).await;
    let consoles = three(&world).await;
    let token = world.once().await;
    // One request per host, the key made once: the node's name is what differs, and a token is for one key and no name.
    let bodies = (0..1200).map(|n| body(&token, &format!("n-{n}"), &key())).collect();
    let ends = spread(&consoles, bodies).await;
    assert_eq!(ends, expected(&[("201", 1), ("enrollment_token_used", 1199)]));
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 1);
    let report = consoles[2].verify_audit().await.unwrap();
    assert!(report.intact && report.records >= 1202, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_caps_of_tokens_rules_and_licence_hold_over_three_instances() {
    let world = World::start(45).await;
    let consoles = three(&world).await;
    let mode = consoles[1].change_setting(Setting::ApprovalMode, "cluster".to_owned(), Origin::default());
    mode.await.unwrap();
    for (cluster, max_nodes) in [("east", Some(20)), ("west", None), ("south", None)] {
        let rule = RuleDraft {
            cluster_id: cluster.parse().unwrap(),
            label: "field".to_owned(),
            allowed_roles: Vec::new(),
            max_nodes,
        };
        consoles[2].create_rule(rule, Origin::default()).await.unwrap();
    }
    let tokens = [
        (world.cluster("east", None).await, "east"),
        (world.cluster("west", Some(10)).await, "west"),
        (world.cluster("south", None).await, "south"),
    ];
    let requests: Vec<(String, String)> =
        (0..1000).map(|n| (format!("n-{n}"), csr(&format!("n-{n}"), &key()))).collect();
    let attempt = |(token, cluster): &(String, &str), (node, csr): &(String, String)| json!({"enrollment_token": token, "csr_pem": csr, "node_name": node, "cluster_name": cluster});
    // A thousand at once for the rule's cap and the token's, and then a thousand for what the licence has left.
    let half = &requests[..500];
    let bodies: Vec<Value> =
        half.iter().flat_map(|request| tokens[..2].iter().map(|token| attempt(token, request))).collect();
    let ends = spread(&consoles, bodies).await;
    assert_eq!(ends, expected(&[("201", 30), ("202", 480), ("max_nodes_exceeded", 490)]));
    let south = requests.iter().map(|request| attempt(&tokens[2], request)).collect();
    let ends = spread(&consoles, south).await;
    assert_eq!(ends, expected(&[("201", 15), ("NodeLimitExceeded", 985)]));

    let count = |sql: &str| world.count(sql);
    assert_eq!(count("SELECT value FROM counters WHERE name = 'protected_nodes'"), 45);
    assert_eq!(count("SELECT count(*) FROM sensors"), 45);
    assert_eq!(count("SELECT node_count FROM approval_rules WHERE cluster_id = 'east'"), 20);
    assert_eq!(count("SELECT node_count FROM enrollment_tokens WHERE cluster_id = 'west'"), 10);
    assert!(consoles[0].verify_audit().await.unwrap().intact);
}

#[tokio::test]
async fn section_5_a_nonce_and_a_session_count_at_every_instance() {
    let world = World::start(10).await;
    let [_, second, third] = three(&world).await;
    let made = second.create_api_key("key".to_owned(), vec![Scope::Read], Origin::default()).await.unwrap();
    let digest = [0; 32];
    let text = format!("GET\n/p\n{}\nnonce-1\n{}", world.console.now(), "00".repeat(32));
    let hmac_key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, made.secret.as_bytes());
    let call = SignedCall {
        key_id: made.key_id.clone(),
        timestamp: world.console.now(),
        nonce: "nonce-1".to_owned(),
        signature: aws_lc_rs::hmac::sign(&hmac_key, text.as_bytes()).as_ref().try_into().unwrap(),
    };
    third.authorize(call.clone(), "GET", "/p", &digest, Scope::Read).await.unwrap();
    for console in [&world.console, &second, &third] {
        let again = console.authorize(call.clone(), "GET", "/p", &digest, Scope::Read).await;
        assert!(matches!(again, Err(ServiceError::Refused(refusal)) if refusal.code.status() == 401));
    }

    let password = || "correct horse battery staple".to_owned().into();
    let admin = || "admin@example.com".to_owned();
    let login = second.log_in(admin(), password(), Origin::default()).await.unwrap();
    assert_eq!(third.operator(&login.secret, Presence::Acts).await.unwrap().email, admin());
    third.log_out(&login.secret, Origin::default()).await.unwrap();
    assert!(second.operator(&login.secret, Presence::Acts).await.is_err());

    // Failures at one instance after the other lock the address at all.
    let wrong = || "not the password at all".to_owned().into();
    for console in [&world.console, &second, &third].into_iter().cycle().take(20) {
        assert!(console.log_in(admin(), wrong(), Origin::default()).await.is_err());
    }
    for console in [&world.console, &second, &third] {
        let locked = console.log_in(admin(), password(), Origin::default()).await;
        assert!(matches!(locked, Err(ServiceError::Refused(refusal)) if refusal.code.status() == 429));
    }
}

#[tokio::test]
async fn one_renews_the_server_certificate_and_the_others_take_it() {
    let world = World::start(10).await;
    let [_, second, third] = three(&world).await;
    let shown = |console: &Console| console.authority().unwrap().server().unwrap().chain[0].clone();
    assert_eq!(shown(&second), shown(&third));
    assert!(!third.reload_if_changed().await.unwrap());
    let (from, to) = second.authority().unwrap().server().unwrap().validity;
    world.clock.advance((to - from) * 3 / 4);
    assert!(second.renew_server_certificate().await.unwrap());
    assert!(third.renew_server_certificate().await.unwrap(), "it takes what the other made");
    assert_eq!(shown(&second), shown(&third));
    assert_eq!(second.authority().unwrap().server_pin(), third.authority().unwrap().server_pin());
    assert!(!third.renew_server_certificate().await.unwrap());
}

#[tokio::test]
async fn no_instance_signs_with_an_issuer_that_another_has_replaced() {
    let world = World::start(10).await;
    let [first, second, _] = three(&world).await;
    let token = world.once().await;
    let origin = Origin::default;
    first.rotate_issuer(Drain::Within(60), origin()).await.unwrap();
    let request = body(&token, "edge-1", &key());
    let asked: EnrollRequest = serde_json::from_value(request.clone()).unwrap();
    let stale = second.enroll(asked.enrollment_token.hash(), asked, None, origin()).await;
    assert!(matches!(&stale, Err(ServiceError::Db(DbError::Unavailable(_)))), "{stale:?}");
    assert_eq!(world.count("SELECT count(*) FROM sensors"), 0);
    assert!(second.reload_if_changed().await.unwrap());
    assert_eq!(enroll(&second, request).await, "201");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_start_at_once_migrate_once_and_one_sets_up() {
    let place = tempfile::tempdir().unwrap();
    let database = Engine::new(&place.path().join("console.db"));
    let starts: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let data = DataDir::new(place.path().join(name));
            let options = Options { database: database.location(), ..Options::new(data) };
            tokio::spawn(async move {
                let app = App::open(options).await.unwrap();
                let setup = Setup {
                    admin_email: "admin@example.com".to_owned(),
                    admin_password: "correct horse battery staple".to_owned().into(),
                    server_names: Vec::new(),
                    licence: Grant::Trial(3),
                    licence_trust: None,
                    public_url: None,
                    vertical: Vertical::Standard,
                };
                let made = app.console().set_up(setup).await;
                (app, made.is_ok())
            })
        })
        .into();
    let mut apps = Vec::new();
    let mut made = 0;
    for start in starts {
        let (app, ok) = start.await.unwrap();
        made += usize::from(ok);
        apps.push(app);
    }
    assert_eq!(made, 1);
    let steps = database.count("SELECT max(version) FROM schema_migrations");
    assert_eq!(database.count("SELECT count(*) FROM schema_migrations"), steps);
    assert_eq!(database.count("SELECT count(*) FROM issuers"), 2);
    let fingerprints: Vec<_> = futures_of(&apps).await;
    assert!(fingerprints.windows(2).all(|two| two[0] == two[1]), "{fingerprints:?}");
}

async fn futures_of(apps: &[App]) -> Vec<String> {
    let mut fingerprints = Vec::new();
    for app in apps {
        app.console().reload_if_changed().await.unwrap();
        fingerprints.push(app.console().authority().unwrap().fingerprint().to_string());
    }
    fingerprints
}

#[tokio::test]
async fn a_database_from_a_newer_version_is_refused() {
    let world = World::start(1).await;
    world.database.change("INSERT INTO schema_migrations (version, applied_at) VALUES (99, 0)").unwrap();
    let refused = world.try_instance("old").await.unwrap_err().to_string();
    assert!(refused.contains("schema version 99") && refused.contains("use the newer program"), "{refused}");
}
