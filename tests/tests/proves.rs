//! The certificate that a host holds already, shown when it enrolls again: to whom, and what follows where that fails
//! (docs/contract.md sections 2 to 4).

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;
use telovix_contract::{ErrorCode, paths};
use telovix_tests::pki::{Ca, Leaf};
use telovix_tests::place::made_up_token;
use telovix_tests::rogue::{ClientAuth, Request, Rogue, Script, console};
use telovix_tests::{Agent, Place, World};

const TLS_1_2: &[&SupportedProtocolVersion] = &[&TLS12];

/// A host that holds an identity of this CA.
struct Holder {
    place: Place,
    ca: Arc<Ca>,
}

impl Holder {
    fn new() -> Self {
        let (place, ca) = (Place::new(), Arc::new(Ca::root("Console")));
        let holder = Self { place, ca };
        let honest = holder.console(ClientAuth::default(), |_| None);
        holder.enroll(&honest, 1).run().expect(0);
        assert_eq!(shown(&honest), [false], "a first enrollment has nothing to show");
        holder
    }

    /// A server that answers enrollments honestly but where `hostile` knows better.
    fn console(
        &self,
        auth: ClientAuth,
        hostile: impl Fn(&Request) -> Option<Script> + Send + Sync + 'static,
    ) -> Rogue {
        let enroll = move |request: &Request, ca: &Ca| {
            hostile(request).unwrap_or_else(|| console::enrolled(request, ca))
        };
        let handler = console::console(Arc::clone(&self.ca), enroll);
        Rogue::https_requesting(self.ca.server(&["127.0.0.1"]), auth, handler)
    }

    fn enroll(&self, rogue: &Rogue, token: u8) -> Agent {
        self.enroll_within("20s", rogue, token)
    }

    fn enroll_within(&self, time: &str, rogue: &Rogue, token: u8) -> Agent {
        let agent = self.place.enroll("host", &rogue.url(), self.ca.pem());
        agent.args(["--timeout", time, "--new-sensor"]).token(&made_up_token(token))
    }
}

/// Of each enrollment that came, whether it showed a certificate.
fn shown(rogue: &Rogue) -> Vec<bool> {
    rogue.requests_to(paths::ENROLL).iter().map(|request| request.client_cert_der.is_some()).collect()
}

fn when_shown(script: Script) -> impl Fn(&Request) -> Option<Script> + Send + Sync + 'static {
    move |request| request.client_cert_der.is_some().then(|| script.clone())
}

#[test]
fn it_is_shown_to_who_may_know_its_issuer() {
    let holder = Holder::new();
    let other = Ca::root("Another");
    let cases = [
        ("no hints", ClientAuth::default(), true),
        ("its issuer", ClientAuth::naming(&[&other, &holder.ca]), true),
        ("another issuer", ClientAuth::naming(&[&other]), false),
        ("TLS 1.2", ClientAuth { versions: TLS_1_2, ..ClientAuth::default() }, false),
    ];
    for (token, (what, auth, expected)) in (2..).zip(cases) {
        let rogue = holder.console(auth, |_| None);
        holder.enroll(&rogue, token).run().expect(0);
        assert_eq!(shown(&rogue), [expected], "{what}");
    }
}

#[test]
fn what_fails_on_it_goes_out_at_once_without_it() {
    let holder = Holder::new();
    let cases = [
        ("unknown", Script::problem(ErrorCode::InvalidSensorTrust)),
        ("expired", Script::problem(ErrorCode::CertificateExpired)),
        ("a gateway's page", Script::html(400, "The SSL certificate error")),
        ("a gateway's JSON", Script::json(403, &serde_json::json!({"error": "Forbidden"}))),
        ("cut", Script::Close),
    ];
    for (token, (what, script)) in (2..).zip(cases) {
        let rogue = holder.console(ClientAuth::default(), when_shown(script));
        holder.enroll(&rogue, token).run().expect(0);
        assert_eq!(shown(&rogue), [true, false], "{what}");
        let requests = rogue.requests_to(paths::ENROLL);
        assert_eq!(requests[0].body, requests[1].body, "{what}: the same request");
    }
    let refuses = ClientAuth { refuses: true, ..ClientAuth::default() };
    let rogue = holder.console(refuses, |_| None);
    // It refuses the new certificate as well; that the token came without the old one is what counts here.
    holder.enroll_within("3s", &rogue, 20).run();
    assert_eq!(shown(&rogue), [false], "an alert");
}

#[test]
fn the_consoles_word_on_the_token_is_not_asked_for_twice() {
    let holder = Holder::new();
    for code in [ErrorCode::EnrollmentTokenUsed, ErrorCode::SensorBindingMismatch, ErrorCode::SensorRevoked] {
        let rogue = holder.console(ClientAuth::default(), move |_| Some(Script::problem(code)));
        holder.enroll_within("2s", &rogue, 5).run().expect(3);
        let all = shown(&rogue);
        assert!(!all.is_empty() && all.iter().all(|shown| *shown), "{code}: {all:?}");
    }
}

/// Files that this agent did not make, and that are no whole identity: no CA, and a certificate that has expired.
#[test]
fn files_of_another_make_are_shown_to_a_console_and_not_to_whoever_answers() {
    let holder = Holder::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let sensor = "0192f3a1-7e4b-7c11-8a5e-0123456789ab".parse().unwrap();
    let certificate = holder.ca.issue(&Leaf::client(sensor).expired(), &key);
    let lay = |host: &str| {
        let state = holder.place.path().join(host);
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("client.key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(state.join("client.cert.pem"), telovix_tests::pki::pem_of(&certificate)).unwrap();
    };
    for (host, expected) in [("known", true), ("anyone", false)] {
        lay(host);
        let rogue = holder.console(ClientAuth::default(), |_| None);
        let agent = match host {
            "known" => holder.place.enroll(host, &rogue.url(), holder.ca.pem()),
            _ => holder
                .place
                .host(host)
                .args(["enroll", "--console-url", &rogue.url(), "--node-name", host])
                .env("TELOVIX_DANGER_ACCEPT_UNVERIFIED_CONSOLE", "true"),
        };
        agent.args(["--timeout", "20s"]).token(&made_up_token(6)).run().expect(0);
        assert_eq!(shown(&rogue), [expected], "{host}");
    }
}

/// Another chart brings another install id; the host and its record stay the same.
#[test]
fn a_node_of_a_cluster_keeps_its_record_whatever_its_install_id() {
    let world = World::new();
    let token = || world.token(&["--type", "cluster", "--cluster-id", "prod", "--max-nodes", "1"]).token;
    let enroll = |token: &str, install: &[&str]| {
        let agent = world.enroll("node").args(["--cluster-name", "prod"]).args(install).token(token);
        agent.run().expect(0);
        agent.read("sensor-state.json")
    };
    let sensor = |state: &str| serde_json::from_str::<serde_json::Value>(state).unwrap()["sensor_id"].clone();
    let first = token();
    let before = sensor(&enroll(&first, &["--install-id", "vendor"]));
    for (token, install) in
        [(first, &["--install-id", "ours"][..]), (token(), &["--install-id", "third"]), (token(), &[])]
    {
        assert_eq!(sensor(&enroll(&token, install)), before, "{install:?}");
    }
}
