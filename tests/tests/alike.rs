//! `enroll` and the daemon drive one machine: from the same state, with the same token, before the same Console, they end
//! alike. Each row is a case in which they once did not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use telovix_contract::enroll::Enrolled;
use telovix_contract::states::TrustState;
use telovix_contract::{ErrorCode, paths};
use telovix_tests::pki::Ca;
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{Request, Rogue, Script, console};
use telovix_tests::{Agent, Place, wait};

/// What a host is left with.
#[derive(Debug, PartialEq)]
struct End {
    state: String,
    code: Value,
    is_ready: bool,
    enrollments: usize,
}

/// A Console in front of which a host stands, and the host.
struct Row {
    place: Place,
    rogue: Rogue,
    cluster: bool,
}

impl Row {
    /// An honest Console, but for what `answer` says. `cluster`: the token is a cluster's.
    fn new(cluster: bool, answer: impl Fn(&Request) -> Option<Script> + Send + Sync + 'static) -> Self {
        let ca = Arc::new(Ca::root("Console"));
        let honest = console::console(Arc::clone(&ca), |request, ca| {
            // As a Console that never says of which kind a token is.
            Script::json(201, &Enrolled { token_type: None, ..ca.enrolled(&request.csr_pem(), None) })
        });
        let handler = move |request: &Request| answer(request).unwrap_or_else(|| honest(request));
        let rogue = Rogue::https(ca.server(&["127.0.0.1"]), handler);
        let place = Place::new();
        let _ = place.write("ca.pem", ca.pem());
        let _ = place.write("token", &made_up_token(1));
        Self { place, rogue, cluster }
    }

    fn agent(&self, command: &[&str]) -> Agent {
        let agent = self
            .place
            .host("host")
            .args(command)
            .env("TELOVIX_CONSOLE_URL", self.rogue.url())
            .env("TELOVIX_BOOTSTRAP_CA_CERT_PATH", self.place.name("ca.pem"))
            .env("TELOVIX_ENROLLMENT_TOKEN_FILE", self.place.name("token"))
            .env("TELOVIX_CONTROL_SOCKET", self.place.name("control.sock"));
        if self.cluster { agent.env("TELOVIX_CLUSTER_NAME", "lab") } else { agent }
    }

    fn enrolled(self) -> Self {
        self.agent(&["enroll"]).run().expect(0);
        self
    }

    fn end(&self, status: &Value) -> End {
        End {
            state: status["state"].as_str().expect("a state").to_owned(),
            code: status["last_error"]["code"].clone(),
            is_ready: self.agent(&[]).has(".sensor-ready"),
            enrollments: self.rogue.requests_to(paths::ENROLL).len(),
        }
    }

    /// What `enroll` comes to, by its exit status and what the disk then holds.
    fn by_command(&self, exit: i32) -> (String, End) {
        let run = self.agent(&["enroll", "--timeout", "20s"]).run();
        run.expect(exit);
        let status = self.agent(&["status", "--output", "json"]).run().json();
        (run.output(), self.end(&status))
    }

    /// What a daemon comes to.
    fn by_daemon(&self, wanted: impl Fn(&End) -> bool) -> End {
        let daemon = self.agent(&["run"]).spawn();
        let end = wait::until(Duration::from_secs(30), "the daemon to settle", || {
            let run = self.agent(&["status", "--output", "json"]).run();
            let status: Value = serde_json::from_str(&run.stdout).ok()?;
            // Without a state directory it is the answer of the running agent that counts.
            let end = self.end(&status);
            wanted(&end).then_some(end)
        });
        daemon.signal(Signal::SIGTERM);
        daemon.wait().expect(0);
        end
    }
}

/// Refuses the first certificate and every later call with it.
fn knows_only_the_second(request: &Request, seen: &AtomicUsize) -> Option<Script> {
    let is_heartbeat = request.path == paths::HEARTBEAT;
    (is_heartbeat && seen.load(Ordering::SeqCst) == 1).then(|| Script::problem(ErrorCode::InvalidSensorTrust))
}

#[test]
fn a_refused_identity_of_a_cluster_whose_token_has_no_type_enrolls_again() {
    let row = || {
        let (seen, refuses) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let switch = Arc::clone(&refuses);
        let row = Row::new(true, move |request| {
            if request.path == paths::ENROLL {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            if refuses.load(Ordering::SeqCst) == 0 { None } else { knows_only_the_second(request, &seen) }
        });
        let row = row.enrolled();
        switch.store(1, Ordering::SeqCst);
        row
    };
    let healed = |end: &End| end.state == "active" && end.is_ready && end.enrollments == 2;
    let (said, end) = row().by_command(0);
    assert!(healed(&end) && said.contains("does not accept the identity"), "{end:?}: {said}");
    assert!(healed(&row().by_daemon(healed)));
}

/// Ten minutes ahead harm no fresh certificate; it is said, and by the same code.
#[test]
fn a_clock_that_is_ahead_enrolls_and_says_so() {
    let row = || {
        Row::new(false, |request| {
            let behind = jiff::Timestamp::now() - Duration::from_secs(600);
            let date = behind.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            (request.path == paths::HEALTHZ).then(|| Script::html(200, "ok").header("date", &date))
        })
    };
    let (said, end) = row().by_command(0);
    assert!(end.state == "active" && end.is_ready && end.enrollments == 1, "{end:?}: {said}");
    let by_daemon = row().by_daemon(|end| end.state == "active" && end.is_ready);
    assert_eq!((by_daemon.enrollments, end.enrollments), (1, 1));
}

#[test]
fn a_heartbeat_that_says_trust_revoked_is_a_refusal() {
    let row = || {
        let revoked = Arc::new(AtomicUsize::new(0));
        let switch = Arc::clone(&revoked);
        let row = Row::new(false, move |request| {
            let der = request.client_cert_der.as_deref()?;
            let is_revoked = request.path == paths::HEARTBEAT && revoked.load(Ordering::SeqCst) == 1;
            is_revoked.then(|| {
                let answer = json!({
                    "sensor_id": console::sensor_of(der),
                    "trust_state": TrustState::TrustRevoked,
                    "heartbeat_interval_seconds": 15,
                });
                Script::json(200, &answer)
            })
        });
        let row = row.enrolled();
        switch.store(1, Ordering::SeqCst);
        row
    };
    let by_command = row();
    let run = by_command.agent(&["enroll"]).run();
    run.expect(3).says(&["trust_revoked", "look at this sensor in the Console"]);
    assert!(!by_command.agent(&[]).has(".sensor-ready"), "{}", run.report());
    let end = row().by_daemon(|end| end.state == "refused");
    assert_eq!((end.code, end.is_ready), (json!("trust_revoked"), false));
}

/// The whole time is used: waits are cut short for a last attempt, so that `--timeout` is what it says.
#[test]
fn a_time_limit_is_used_to_its_end() {
    let place = Place::new();
    let ca = Ca::root("Console");
    let nobody = "https://127.0.0.1:1";
    let run = place.enroll("host", nobody, ca.pem()).args(["--timeout", "3s"]).token(&made_up_token(1)).run();
    run.expect(5).says(&["cannot reach"]);
    assert!(run.took >= Duration::from_millis(2_700), "{:?}", run.took);
}
