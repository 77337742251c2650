//! A host whose clock is behind the Console's presents no token: it looks at the Console's time first, says how far off it
//! is, and enrolls with the same command once the clocks agree (docs/contract.md section 6). One that is ahead enrolls, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use telovix_contract::paths;
use telovix_contract::problem::ErrorCode;
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{After, Request, Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::{Agent, Place, Run, World};

/// What is wrong is on this host.
const LOCAL_STATE: i32 = 8;
/// A date that no clock of this host can be near.
const FAR_AHEAD: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Every answer has a `Date` that is so far off, as it seems to a host whose clock is off the other way.
fn seconds_off(offset: i64) -> Value {
    json!([{"path": "*", "probability": 1, "act": {"kind": "clock", "offset_seconds": offset}}])
}

fn set(world: &World, rules: &Value) {
    let answer = world.client().post("/chaos", rules).unwrap();
    assert!((200..300).contains(&answer.status), "{}", answer.status);
}

#[test]
fn a_clock_that_is_hours_behind_costs_no_token() {
    let place = Place::new();
    let rules = place.write("chaos.json", "[]");
    let world = World::terms().serve(&["--chaos", rules.to_str().unwrap()]).start();
    let ca = world.ca_file().to_str().unwrap();
    let bare =
        |name: &str| world.host(name).args(["enroll", "--console-url", &world.url(), "--node-name", name]);
    let ways = [
        ("ca-file", bare("ca-file").args(["--bootstrap-ca", ca])),
        ("roots", bare("roots").env("SSL_CERT_FILE", ca)),
        ("pin", bare("pin").args(["--ca-fingerprint", world.ca_fingerprint()])),
    ];
    for (name, agent) in ways {
        let token = world.once();
        let agent = agent.token(&token.token);
        // A second may pass between the two looks at the clock, and no more than a minute.
        set(&world, &seconds_off(3 * 3600 + 120 + 30));
        let run = agent.run();
        let said = "this host's clock is 3 h 2 min behind the Console's";
        run.expect(LOCAL_STATE).says(&[said, "timedatectl", "run the command again"]);
        assert_eq!(world.db().token_status(&token.id), "pending", "{name}");
        assert!(!agent.has("client.cert.pem"), "{name}");
        // Hours ahead harm no fresh certificate; five minutes are nobody's fault.
        set(&world, &seconds_off(if name == "roots" { -7 * 3600 - 90 } else { -270 }));
        let run = agent.run();
        let said = run.expect(0).output().contains("7 h 1 min ahead of the Console's");
        assert_eq!(said, name == "roots", "{}", run.report());
        assert_eq!(world.db().token_status(&token.id), "used", "{name}");
    }
    assert_eq!((world.db().sensors(), world.db().audited("sensor_enrolled", "success")), (3, 3));
}

/// A Console that answers the question for its time so.
struct Stage {
    place: Place,
    rogue: Rogue,
    ca: Arc<Ca>,
}

impl Stage {
    fn new(health: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        let ca = Arc::new(Ca::root("Console"));
        let honest = console::console(Arc::clone(&ca), console::enrolled);
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), move |request| match request.path.as_str() {
            paths::HEALTHZ => health(request),
            _ => honest(request),
        });
        Self { place: Place::new(), rogue, ca }
    }

    fn host(&self, timeout: &str) -> Agent {
        let host = self.place.enroll("host", &self.rogue.url(), self.ca.pem());
        host.args(["--timeout", timeout]).token(&made_up_token(1))
    }

    /// What came before the token: the one question, and no word of the token in it.
    #[track_caller]
    fn asked_first(&self, run: &Run) {
        let requests = self.rogue.requests();
        let first = requests.first().expect("it asked");
        assert_eq!((first.method.as_str(), first.path.as_str()), ("GET", paths::HEALTHZ), "{}", run.report());
        assert!(first.body.is_empty() && first.client_cert_der.is_none());
        let secrets = Secrets::new().token(&made_up_token(1));
        secrets.assert_not_in("the question", format!("{first:?}"));
    }
}

#[test]
fn a_console_that_tells_no_time_is_no_obstacle() {
    let answers: [fn() -> Script; 6] = [
        || Script::problem(ErrorCode::NotFound),
        || Script::problem(ErrorCode::MethodNotAllowed),
        || Script::html(404, "<html>no such page</html>"),
        || Script::html(200, "<html>a page</html>"),
        || Script::problem(ErrorCode::NotReady),
        || Script::redirect(302, "/login"),
    ];
    for answer in answers {
        let stage = Stage::new(move |_| answer());
        let run = stage.host("30s").run();
        run.expect(0);
        stage.asked_first(&run);
        assert_eq!(stage.rogue.requests_to(paths::HEALTHZ).len(), 1, "{:?}", answer());
        assert_eq!(stage.rogue.requests_to(paths::ENROLL).len(), 1, "{:?}", answer());
    }
}

#[test]
fn a_refusal_tells_the_time_as_well() {
    for status in [404, 405, 429, 503, 302] {
        let stage = Stage::new(move |_| Script::html(status, "").header("date", FAR_AHEAD));
        let run = stage.host("30s").run();
        run.expect(LOCAL_STATE).says(&[" d ", "behind the Console's"]);
        stage.asked_first(&run);
        assert_eq!(stage.rogue.requests().len(), 1, "{status}: {}", run.report());
    }
}

#[test]
fn no_token_goes_before_the_question_is_answered() {
    let broken: [fn() -> Script; 3] = [
        || Script::Close,
        || Script::Hang,
        || Script::Half(Box::new(Script::html(200, "a page")), 20, After::Close),
    ];
    for script in broken {
        let stage = Stage::new(move |_| script());
        let run = stage.host("2s").run();
        run.expect(5);
        stage.asked_first(&run);
        assert!(stage.rogue.requests_to(paths::ENROLL).is_empty(), "{:?}: {}", script(), run.report());
    }
    // It is asked again, and answered the second time.
    let asked = AtomicUsize::new(0);
    let stage = Stage::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Script::Close,
        _ => Script::problem(ErrorCode::NotFound),
    });
    stage.host("30s").run().expect(0);
    assert_eq!(stage.rogue.requests_to(paths::HEALTHZ).len(), 2);
    assert_eq!(stage.rogue.requests_to(paths::ENROLL).len(), 1);
}
