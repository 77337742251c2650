//! Where a token is taken from: every source, the order in which they are looked at, and what becomes of a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use telovix_contract::problem::ErrorCode;
use telovix_contract::states::TokenType;
use telovix_contract::{EnrollmentToken, paths};
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Request, Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::{Agent, Place};

struct Stage {
    place: Place,
    rogue: Rogue,
    ca: Arc<Ca>,
}

impl Stage {
    fn new(enroll: impl Fn(&Request, &Ca) -> Script + Send + Sync + 'static) -> Self {
        let ca = Arc::new(Ca::root("Console"));
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll));
        Self { place: Place::new(), rogue, ca }
    }

    fn of_type(kind: TokenType) -> Self {
        Self::new(move |request, ca| {
            let mut answer = ca.enrolled(&request.csr_pem(), None);
            answer.token_type = Some(kind);
            Script::json(201, &answer)
        })
    }

    fn host(&self, name: &str) -> Agent {
        self.place.enroll(name, &self.rogue.url(), self.ca.pem()).args(["--timeout", "10s"])
    }

    /// The token that arrived last.
    fn arrived(&self) -> String {
        let requests = self.rogue.requests_to(paths::ENROLL);
        requests.last().unwrap().json()["enrollment_token"].as_str().unwrap().to_owned()
    }

    fn token_file(&self, name: &str, number: u8) -> PathBuf {
        let path = self.place.write(name, &made_up_token(number));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// The sources in their order; source number n holds token number n.
fn with_source(stage: &Stage, agent: Agent, number: u8) -> Agent {
    let file = stage.token_file(&format!("token-{number}"), number);
    match number {
        1 => agent.token(&made_up_token(1)),
        2 => agent.args(["--token-file", file.to_str().unwrap()]),
        3 => agent.env("TELOVIX_ENROLLMENT_TOKEN_FILE", file),
        4 => {
            std::fs::create_dir_all(stage.place.path().join("credentials")).unwrap();
            stage.token_file("credentials/telovix.enrollment-token", 4);
            agent.env("CREDENTIALS_DIRECTORY", stage.place.path().join("credentials"))
        }
        5 => agent.env("TELOVIX_ENROLLMENT_TOKEN", made_up_token(5)),
        6 => {
            let text = format!("token_file = {:?}\n", file.to_str().unwrap());
            agent.config(&stage.place.write("agent.toml", &text))
        }
        _ => unreachable!("there are six sources"),
    }
}

#[test]
fn each_source_alone_gives_its_token() {
    for number in 1..=6 {
        let stage = Stage::of_type(TokenType::Once);
        with_source(&stage, stage.host("state"), number).run().expect(0);
        assert_eq!(stage.arrived(), made_up_token(number), "source {number}");
    }
}

#[test]
fn the_first_source_wins_over_all_that_follow() {
    for first in 1..=6 {
        let stage = Stage::of_type(TokenType::Once);
        // Given in the opposite order, so that the order of giving means nothing.
        let agent =
            (first..=6).rev().fold(stage.host("state"), |agent, number| with_source(&stage, agent, number));
        agent.run().expect(0);
        assert_eq!(stage.arrived(), made_up_token(first), "source {first}");
        for number in first.max(2)..=6 {
            let used = number == first && matches!(number, 2 | 3 | 6);
            let there = stage.place.path().join(format!("token-{number}")).exists();
            assert_eq!(there, !used, "file {number} after source {first} was used");
        }
    }
}

#[test]
fn a_file_that_is_gone_lets_the_next_source_speak_unless_a_flag_named_it() {
    let stage = Stage::of_type(TokenType::Once);
    let gone = stage.place.path().join("gone");
    let agent = stage.host("state").env("TELOVIX_ENROLLMENT_TOKEN_FILE", &gone);
    agent.clone().env("TELOVIX_ENROLLMENT_TOKEN", made_up_token(5)).run().expect(0);
    assert_eq!(stage.arrived(), made_up_token(5));
    let flag = stage.host("other").args(["--token-file", gone.to_str().unwrap()]);
    flag.env("TELOVIX_ENROLLMENT_TOKEN", made_up_token(5)).run().expect(2).says(&[gone.to_str().unwrap()]);
    // A source that is there and holds rubbish does not fall through: the operator meant it.
    let rubbish = stage.place.write("rubbish", "not a token\n");
    let run = stage.host("third").env("TELOVIX_ENROLLMENT_TOKEN_FILE", &rubbish);
    run.env("TELOVIX_ENROLLMENT_TOKEN", made_up_token(5)).run().expect(2).says(&[rubbish.to_str().unwrap()]);
}

#[test]
fn the_file_of_a_one_time_token_goes_and_that_of_a_cluster_token_stays() {
    for (kind, stays) in [(TokenType::Once, false), (TokenType::Cluster, true)] {
        let stage = Stage::of_type(kind);
        let file = stage.token_file("token", 1);
        let agent = stage.host("state").args(["--token-file", file.to_str().unwrap()]);
        agent.run().expect(0);
        assert_eq!(file.exists(), stays, "{kind}");
        let hash = made_up_token(1).parse::<EnrollmentToken>().unwrap().hash_as_given();
        assert_eq!(agent.read(".enrollment-token-hash"), format!("{hash}\n"));
        Secrets::new().token(&made_up_token(1)).assert_not_below(agent.state_dir());
    }
}

#[test]
fn a_token_that_was_not_used_up_keeps_its_file() {
    for (what, script, status) in [
        ("refused", Script::problem(ErrorCode::ClusterMismatch), 3),
        ("unknown", Script::problem(ErrorCode::InvalidEnrollmentToken), 3),
        ("full", Script::problem(ErrorCode::NodeLimitExceeded), 3),
        ("down", Script::problem(ErrorCode::NotReady), 5),
        (
            "waiting",
            Script::json(
                202,
                &serde_json::json!({"trust_state": "bootstrap_pending", "retry_after_seconds": 9}),
            ),
            4,
        ),
    ] {
        let stage = Stage::new(move |_, _| script.clone());
        let file = stage.token_file("token", 1);
        stage.host("state").args(["--token-file", file.to_str().unwrap()]).run().expect(status);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), made_up_token(1), "{what}");
    }
}

#[test]
fn only_a_file_is_deleted_never_a_link_to_a_device() {
    let stage = Stage::of_type(TokenType::Once);
    let link = stage.place.path().join("input");
    std::os::unix::fs::symlink("/dev/stdin", &link).unwrap();
    let run =
        stage.host("state").args(["--token-file", link.to_str().unwrap()]).stdin(&made_up_token(1)).run();
    run.expect(0);
    assert_eq!(stage.arrived(), made_up_token(1));
    assert!(link.is_symlink(), "`--token-file /dev/stdin` as root would have deleted /dev/stdin");
}

#[test]
fn spellings_that_people_make() {
    for text in [
        format!("{}\n", made_up_token(1)),
        format!("{}\r\n", made_up_token(1)),
        format!("  {}  \n\n", made_up_token(1)),
        format!("{}=\n", made_up_token(1)),
    ] {
        let stage = Stage::of_type(TokenType::Once);
        stage.host("state").token(&text).run().expect(0);
        let arrived = stage.arrived();
        assert_eq!(arrived.trim_end_matches('='), made_up_token(1), "{text:?}");
        assert_eq!(arrived.ends_with('='), text.contains('='), "the text is kept as it was given");
    }
}

#[test]
fn a_file_that_others_can_read_is_warned_of() {
    let stage = Stage::of_type(TokenType::Once);
    let file = stage.token_file("token", 1);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = stage.host("state").args(["--token-file", file.to_str().unwrap()]).run();
    run.expect(0).says(&["WARN", "chmod 600"]);
}

#[test]
fn inspect_tells_of_a_token_without_showing_it_or_asking_anyone() {
    let place = Place::new();
    let file = place.write("token", &made_up_token(1));
    for output in ["human", "json"] {
        let run = place
            .host("state")
            .args(["token", "inspect", "--output", output, "--token-file", file.to_str().unwrap()])
            .run();
        run.expect(0);
        let hash = made_up_token(1).parse::<EnrollmentToken>().unwrap().hash().to_string();
        assert!(run.stdout.contains(&hash), "{}", run.report());
        Secrets::new().token(&made_up_token(1)).assert_not_in("inspect", run.output());
        assert!(file.exists() && !place.path().join("state").exists(), "inspect changed something");
    }
    let run = place.host("state").args(["token", "inspect", "--token-stdin"]).stdin("tse_short").run();
    run.expect(2).says(&["characters"]);
}
