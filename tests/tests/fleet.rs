//! The load tool against a real Console: what it says it did is what the Console's database holds.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use telovix_tests::run::{Program, Run};
use telovix_tests::world::World;

/// `fleet WORK` against this Console with its CA file.
fn fleet(world: &World, work: &str, args: &[&str]) -> Program {
    let ca = world.ca_file().to_str().unwrap();
    bare(work).args(["--console-url", &world.url(), "--ca-file", ca]).args(args)
}

fn bare(work: &str) -> Program {
    Program::new(Path::new(env!("CARGO_BIN_EXE_fleet"))).args([work])
}

fn api_key(world: &World) -> String {
    let scopes = ["--scopes", "sensors:read,sensors:write", "--output", "json"];
    let made = world.stub(&["apikey", "create"], &scopes);
    world.write("api-key", &made.expect(0).stdout).to_str().unwrap().to_owned()
}

fn calls(run: &Run, name: &str) -> u64 {
    run.json()["calls"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", run.report()))
}

fn rows(world: &World, sql: &str) -> i64 {
    world.db().one(sql, ())
}

#[test]
fn agents_enroll_beat_and_renew_and_the_console_counts_the_same() {
    let world = World::new();
    let (key, kept) = (api_key(&world), world.folder().join("identities"));
    let kept = kept.to_str().unwrap();
    let args = ["--api-key-file", &key, "--count", "24", "--concurrency", "6", "--keep", kept];
    let run = fleet(&world, "enroll", &args).run();
    let result = run.expect(0).json();
    assert_eq!((calls(&run, "succeeded"), calls(&run, "failed"), &result["sensors"]), (24, 0, &24.into()));
    assert_eq!(result["ended_by"], "count");
    assert_eq!(result["prepared"]["enrollment_requests"], 24);
    let counted: u64 =
        result["histogram_ms"].as_array().unwrap().iter().map(|b| b["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 24);
    let latency = |name: &str| result["latency_ms"][name].as_f64().unwrap();
    assert!(0.0 < latency("min") && latency("min") <= latency("p50") && latency("p50") <= latency("max"));
    assert!(result["own_cost"]["whole_run"]["peak_resident_bytes"].as_u64().unwrap() > 1_000_000);
    assert!(result["own_cost"]["measured"]["user_seconds"].as_f64().unwrap() > 0.0);
    // One sensor for each token, and each token used once.
    assert_eq!(rows(&world, "SELECT count(*) FROM sensors"), 24);
    assert_eq!(
        rows(&world, "SELECT count(*) FROM enrollment_tokens WHERE status = 'used' AND use_count = 1"),
        24
    );
    assert_eq!(rows(&world, "SELECT count(DISTINCT token_id) FROM enrollments"), 24);
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);

    // The plan's moments count in the open loop; connections are kept; trust comes from the fingerprint.
    let open =
        ["--ca-fingerprint", world.ca_fingerprint(), "--console-url", &world.url(), "--identities", kept];
    let run =
        bare("heartbeat").args(open).args(["--rate", "100", "--count", "50", "--connections", "kept"]).run();
    let result = run.expect(0).json();
    assert_eq!((calls(&run, "succeeded"), &result["prepared"]["agents"]), (50, &24.into()));
    assert_eq!(result["measured"]["latency_from"], "planned beginning of the call");
    assert_eq!(rows(&world, "SELECT count(*) FROM sensors WHERE last_seen_at IS NOT NULL"), 24);

    let run = fleet(&world, "renew", &["--identities", kept, "--agents", "5", "--count", "15"]).run();
    assert_eq!((calls(run.expect(0), "succeeded"), &run.json()["sensors"]), (15, &5.into()));
    // Five hosts, each with the certificate of its enrollment and three successors.
    assert_eq!(rows(&world, "SELECT sum(certificate_generation) FROM sensors"), 24 + 15);

    let run =
        fleet(&world, "get", &["--path", "/api/v2/sensors?limit=5", "--api-key-file", &key, "--count", "8"])
            .run();
    assert_eq!(calls(run.expect(0), "succeeded"), 8);
}

#[test]
fn failures_are_counted_by_kind_and_show_in_the_exit_status() {
    let world = World::new();
    let token = world.once().token;
    let args = ["--tokens-file", "-", "--count", "3", "--concurrency", "1", "--quiet"];
    // Three tokens, two of them the same: the second host that comes with it is refused.
    let tokens = format!("{token}\n{token}\n{}\n", world.once().token);
    let run = fleet(&world, "enroll", &args).stdin(tokens.clone()).run();
    assert_eq!(run.expect(1).json()["errors"], serde_json::json!({"409 enrollment_token_used": 1}));
    assert_eq!((calls(&run, "succeeded"), run.stderr.as_str()), (2, ""));
    let tolerant = [&args[..], &["--max-error-share", "1"]].concat();
    let run = fleet(&world, "enroll", &tolerant).stdin(tokens).run();
    assert_eq!((calls(run.expect(0), "failed"), rows(&world, "SELECT count(*) FROM sensors")), (3, 2));
    assert!(!run.output().contains(&token), "a token is in what the tool prints");
}

#[test]
fn what_cannot_begin_says_why() {
    let world = World::new();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let stranger = bare("heartbeat").args(["--console-url", &world.url(), "--ca-fingerprint", &wrong]).run();
    assert!(stranger.expect(1).stderr.contains("not the one with the fingerprint"));
    assert!(fleet(&world, "enroll", &["--count", "1"]).run().expect(1).stderr.contains("no tokens"));
    bare("enroll").args(["--console-url", &world.url()]).run().expect(2);
    let told: Value = bare("get")
        .args(["--console-url", "https://127.0.0.1:1", "--path", "/", "--count", "2"])
        .args(["--ca-file", world.ca_file().to_str().unwrap()])
        .run()
        .expect(1)
        .json();
    assert_eq!(told["errors"], serde_json::json!({"connecting: connection refused": 2}));
}
