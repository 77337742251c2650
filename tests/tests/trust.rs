//! A server that is not the pinned or trusted Console gets no token: shown by servers that record every byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{ExtendedKeyUsagePurpose, IsCa};
use telovix_contract::paths;
use telovix_tests::csr::public_key;
use telovix_tests::pki::{Ca, Leaf, ServerIdentity};
use telovix_tests::place::made_up_token;
use telovix_tests::proxy::FaultProxy;
use telovix_tests::rogue::{Request, Rogue, Script, console};
use telovix_tests::secrets::Secrets;
use telovix_tests::snapshot::Snapshot;
use telovix_tests::{Agent, Place, Run};

const NOT_TRUSTED: i32 = 7;

fn secrets() -> Secrets {
    Secrets::new().token(&made_up_token(1))
}

/// An agent with its token, to which a test adds whom to trust.
fn agent(place: &Place, url: &str) -> Agent {
    let args = ["enroll", "--console-url", url, "--node-name", "node", "--timeout", "8s"];
    place.host("state").args(args).token(&made_up_token(1))
}

/// Insists that the run ended so, that no request with a body arrived, and that no token did in any form.
#[track_caller]
fn nothing_sent(run: &Run, status: i32, says: &[&str], rogue: &Rogue) {
    run.expect(status).says(says);
    secrets().assert_not_in("what the server heard", rogue.raw_bytes());
    secrets().assert_not_in("what the server heard in TLS", rogue.application_bytes());
    assert!(rogue.requests_to(paths::ENROLL).is_empty(), "{}", run.report());
    secrets().assert_not_in("the output", run.output());
}

/// An honest Console but for its TLS identity.
fn impostor(identity: ServerIdentity, shows: Ca) -> Rogue {
    Rogue::https(identity, console::console(Arc::new(shows), console::enrolled))
}

#[test]
fn a_listener_without_tls_gets_a_hello_and_nothing_else() {
    let place = Place::new();
    let ca = place.write("ca.pem", Ca::root("Console").pem());
    for reply in [b"".as_slice(), b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let rogue = Rogue::plain(reply);
        let url = format!("https://{}", rogue.address());
        let run = agent(&place, &url).args(["--bootstrap-ca", ca.to_str().unwrap()]).run();
        let says: &[&str] =
            if reply.is_empty() { &["error: "] } else { &["does not speak TLS; it may be plain HTTP"] };
        nothing_sent(&run, 5, says, &rogue);
        assert!(rogue.raw_bytes().starts_with(&[0x16, 0x03]), "a TLS handshake record came first");
        assert!(!rogue.raw_bytes().windows(4).any(|w| w == b"POST"), "something was sent in plain text");
    }
}

#[test]
fn a_server_that_the_ca_file_does_not_vouch_for() {
    let ca = Ca::root("Console");
    let sensor = ca.server_on(&Leaf {
        usage: vec![ExtendedKeyUsagePurpose::ClientAuth],
        ..Leaf::server(&["127.0.0.1"])
    });
    let below_a_leaf = {
        // A leaf that signs as if it were a CA.
        let not_a_ca = Ca::root("Console").below("Leaf");
        let mut identity = not_a_ca.server(&["127.0.0.1"]);
        let leaf = Leaf { is_ca: IsCa::ExplicitNoCa, ..Leaf::server(&["127.0.0.1"]) };
        identity.chain[1] = ca.issue(&leaf, &rcgen::KeyPair::generate().unwrap());
        identity
    };
    for (what, identity) in [
        ("another CA of the same name", Ca::root("Console").server(&["127.0.0.1"])),
        ("another name", ca.server(&["console.example", "127.0.0.2"])),
        ("expired", ca.server_on(&Leaf::server(&["127.0.0.1"]).expired())),
        ("not yet valid", ca.server_on(&Leaf::server(&["127.0.0.1"]).not_yet_valid())),
        ("a sensor's certificate", sensor),
        ("signed by a leaf", below_a_leaf),
    ] {
        let place = Place::new();
        let file = place.write("ca.pem", ca.pem());
        let rogue = impostor(identity, Ca::root("Impostor"));
        let run = agent(&place, &rogue.url()).args(["--bootstrap-ca", file.to_str().unwrap()]).run();
        let says = ["is not trusted (checked against the CA file", "no token was sent", "  do: "];
        nothing_sent(&run, NOT_TRUSTED, &says, &rogue);
        // At most it is asked for its time, which names a wrong clock and decides nothing.
        for request in rogue.requests() {
            let asked = (request.method.as_str(), request.path.as_str(), request.body.len());
            assert_eq!(asked, ("GET", paths::HEALTHZ, 0), "{what}: something was sent");
            assert!(request.client_cert_der.is_none(), "{what}");
        }
        let state = Snapshot::of_state(&place.path().join("state"));
        assert_eq!(state.names(), [""], "{what}: left behind");
    }
}

#[test]
fn a_pin_that_does_not_match() {
    let place = Place::new();
    let impostor = impostor(Ca::root("Impostor").server(&["127.0.0.1"]), Ca::root("Impostor"));
    let pin = Ca::root("Console").fingerprint().to_string();
    let run = agent(&place, &impostor.url()).args(["--ca-fingerprint", &pin]).run();
    nothing_sent(&run, NOT_TRUSTED, &["is pinned", &pin, "somebody else answers"], &impostor);
    // Asked for the time first, and then for its CA; neither call carries anything.
    let requests = impostor.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, [paths::HEALTHZ, paths::TRUST_BOOTSTRAP]);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert!(request.body.is_empty() && request.client_cert_der.is_none());
    }
}

#[test]
fn the_pinned_ca_shown_by_somebody_who_has_not_its_key() {
    let place = Place::new();
    let console = Ca::root("Console");
    let pin = console.fingerprint().to_string();
    // Everyone can download the CA; that makes nobody the Console.
    let impostor = impostor(Ca::root("Impostor").server(&["127.0.0.1"]), console);
    let run = agent(&place, &impostor.url()).args(["--ca-fingerprint", &pin]).run();
    nothing_sent(
        &run,
        NOT_TRUSTED,
        &["is not trusted (checked against the pinned CA", "no token was sent"],
        &impostor,
    );
    let harmless = [paths::HEALTHZ, paths::TRUST_BOOTSTRAP];
    assert!(impostor.requests().iter().all(|request| harmless.contains(&request.path.as_str())));
}

#[test]
fn a_pin_of_the_root_is_found_in_a_bundle_and_enrolls() {
    let place = Place::new();
    let root = Ca::root("Console root");
    let pin = root.fingerprint().to_string();
    let issuer = Arc::new(root.below("Console issuer"));
    let rogue =
        Rogue::https(issuer.server(&["127.0.0.1"]), console::console(Arc::clone(&issuer), console::enrolled));
    agent(&place, &rogue.url()).args(["--ca-fingerprint", &pin]).run().expect(0);
    // The secret went over the second connection alone, the one that was verified.
    assert_eq!(rogue.requests_to(paths::TRUST_BOOTSTRAP).len(), 1);
    let enroll = rogue.requests_to(paths::ENROLL);
    assert_eq!(enroll.len(), 1);
    assert_eq!(enroll[0].json()["enrollment_token"], made_up_token(1));
    assert!(enroll[0].client_cert_der.is_none());
}

#[test]
fn the_system_roots_are_asked_where_nothing_is_configured() {
    let place = Place::new();
    let ca = Arc::new(Ca::root("Public"));
    let identity = || ca.server(&["127.0.0.1"]);
    let rogue = Rogue::https(identity(), console::console(Arc::clone(&ca), console::enrolled));
    let run = agent(&place, &rogue.url()).run();
    nothing_sent(&run, NOT_TRUSTED, &["no token was sent", "--bootstrap-ca", "--ca-fingerprint"], &rogue);
    let roots = place.write("roots.pem", ca.pem());
    agent(&place, &rogue.url()).env("SSL_CERT_FILE", &roots).run().expect(0);
}

#[test]
fn a_ca_file_that_is_of_no_use_is_never_replaced_by_something_weaker() {
    let place = Place::new();
    let ca = Arc::new(Ca::root("Public"));
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let roots = place.write("roots.pem", ca.pem());
    let key = place.write("key.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    let torn = place.write("torn.pem", &ca.pem()[..200]);
    let empty = place.write("empty.pem", "");
    for file in [place.path().join("missing.pem"), place.path().to_owned(), key, torn, empty] {
        let run = agent(&place, &rogue.url())
            .args(["--bootstrap-ca", file.to_str().unwrap()])
            .env("SSL_CERT_FILE", &roots)
            .run();
        nothing_sent(&run, 2, &[file.to_str().unwrap()], &rogue);
    }
    assert_eq!(rogue.connections(), 0, "nothing was even tried");
}

#[test]
fn the_dangerous_way_is_loud_and_suffers_nothing_stricter_beside_it() {
    let place = Place::new();
    let ca = Arc::new(Ca::root("Unknown"));
    let rogue = Rogue::https(
        ca.server(&["another.example"]),
        console::console(Arc::clone(&ca), |_, _| Script::Close),
    );
    let danger = agent(&place, &rogue.url()).args(["--danger-accept-unverified-console"]);
    let file = place.write("ca.pem", ca.pem());
    let run = danger.clone().args(["--bootstrap-ca", file.to_str().unwrap()]).run();
    nothing_sent(&run, 2, &["contradicts"], &rogue);
    danger.run().expect(5).says(&["DANGER"]);
    assert!(!rogue.requests_to(paths::ENROLL).is_empty(), "that is what was asked for");
}

#[test]
fn the_dangerous_way_ends_where_a_ca_is_stored() {
    let place = Place::new();
    let ca = Arc::new(Ca::root("Console"));
    let console =
        Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), console::enrolled));
    let wire = FaultProxy::start(console.address());
    let url = format!("https://{}", wire.address());
    let danger = || agent(&place, &url).args(["--danger-accept-unverified-console"]);
    danger().run().expect(0).says(&["DANGER"]);

    // An impostor at the same address, and an operator's new token.
    let impostor = impostor(Ca::root("Impostor").server(&["127.0.0.1"]), Ca::root("Impostor"));
    wire.lead_to(impostor.address());
    let lost = place.path().join("state/current/client.key.pem");
    for broken in [false, true] {
        // Also where the rest of the identity is of no use any more.
        if broken {
            std::fs::write(&lost, "torn").unwrap();
        }
        let run = danger().args(["--new-sensor"]).stdin(&made_up_token(2)).run();
        run.expect(NOT_TRUSTED).says(&["no token was sent", "is ignored"]);
        assert!(impostor.requests_to(paths::ENROLL).is_empty(), "the token went to an impostor");
    }
}

#[test]
fn a_stored_ca_does_not_hide_the_systems_roots() {
    let place = Place::new();
    let [first, second, stranger] = ["First", "Second", "Stranger"].map(|name| Arc::new(Ca::root(name)));
    let rogues = [&first, &second, &stranger].map(|ca| {
        Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(ca), console::enrolled))
    });
    let wire = FaultProxy::start(rogues[0].address());
    let url = format!("https://{}", wire.address());
    let enroll = |roots: &str, token: u8| {
        let roots = place.write("roots.pem", roots);
        let agent = agent(&place, &url).args(["--new-sensor"]).stdin(&made_up_token(token));
        agent.env("SSL_CERT_FILE", roots).env("SSL_CERT_DIR", "/nonexistent").run()
    };
    enroll(first.pem(), 1).expect(0);
    // The Console moved to a certificate of a CA that the system trusts.
    wire.lead_to(rogues[1].address());
    enroll(second.pem(), 2).expect(0);
    // Back under the CA that is stored now, which the system does not trust.
    enroll(first.pem(), 3).expect(0);
    wire.lead_to(rogues[2].address());
    let run = enroll(first.pem(), 4);
    run.expect(NOT_TRUSTED).says(&["the CA of the earlier enrollment and the system's root certificates"]);
    assert!(rogues[2].requests_to(paths::ENROLL).is_empty());
}

#[test]
fn a_pin_of_the_cas_file_is_told_from_somebody_else() {
    let place = Place::new();
    let ca = Ca::root("Console");
    let pin = telovix_contract::CaFingerprint::of_der(ca.pem().as_bytes()).to_string();
    let right = ca.fingerprint().to_string();
    let rogue = impostor(ca.server(&["127.0.0.1"]), ca);
    let run = agent(&place, &rogue.url()).args(["--ca-fingerprint", &pin]).run();
    nothing_sent(&run, NOT_TRUSTED, &["the CA's file", &right, "pin the certificate's fingerprint"], &rogue);
    assert!(!run.output().contains("somebody else"), "{}", run.report());
}

#[test]
fn a_missing_intermediate_certificate_is_named() {
    let place = Place::new();
    let root = Ca::root("Root");
    let mut identity = root.below("Middle").server(&["127.0.0.1"]);
    identity.chain.truncate(1);
    let file = place.write("ca.pem", root.pem());
    let rogue = impostor(identity, Ca::root("Console"));
    let run = agent(&place, &rogue.url()).args(["--bootstrap-ca", file.to_str().unwrap()]).run();
    nothing_sent(&run, NOT_TRUSTED, &["Middle", "have the server send its whole chain"], &rogue);
}

#[test]
fn after_enrollment_only_the_ca_that_came_with_it_counts() {
    let place = Place::new();
    let bootstrap = Arc::new(Ca::root("Bootstrap"));
    let console_ca = Arc::new(Ca::root("Console"));
    // First contact under one CA; the certificate comes with another, which the server then has to have.
    let first = Rogue::https(
        bootstrap.server(&["127.0.0.1"]),
        console::console(Arc::clone(&console_ca), console::enrolled),
    );
    let then = Rogue::https(
        console_ca.server(&["127.0.0.1"]),
        console::console(Arc::clone(&console_ca), console::enrolled),
    );
    let wire = FaultProxy::start(first.address());
    let file = place.write("ca.pem", bootstrap.pem());
    let url = format!("https://{}", wire.address());
    let agent = agent(&place, &url).args(["--bootstrap-ca", file.to_str().unwrap()]);

    // The new identity is proven over a connection that the new CA has to vouch for.
    agent.run().expect(NOT_TRUSTED);
    assert_eq!(first.requests_to(paths::HEARTBEAT).len(), 0, "the certificate was shown to a stranger");
    wire.lead_to(then.address());
    agent.run().expect(0);
    let before = Snapshot::of_state(&place.path().join("state"));

    // The server of first contact is a stranger now, although its CA file is still configured.
    let known = first.requests().len();
    wire.lead_to(first.address());
    agent.run().expect(NOT_TRUSTED);
    before.assert_same(&Snapshot::of_state(&place.path().join("state")), "an impostor changed the state");
    assert!(
        first.requests()[known..].iter().all(|r| r.client_cert_der.is_none()),
        "the certificate was shown to a stranger"
    );
}

#[test]
fn one_answer_with_a_ca_that_does_not_vouch_for_the_console_costs_no_token() {
    let place = Place::new();
    let (ca, other) = (Arc::new(Ca::root("Console")), Ca::root("Another"));
    let answers = AtomicUsize::new(0);
    let enroll = move |request: &Request, ca: &Ca| {
        let is_first = answers.fetch_add(1, Ordering::SeqCst) == 0;
        let answer = if is_first { &other } else { ca }.enrolled(&request.csr_pem(), None);
        Script::json(201, &answer)
    };
    let rogue = Rogue::https(ca.server(&["127.0.0.1"]), console::console(Arc::clone(&ca), enroll));
    let file = place.write("ca.pem", ca.pem());
    agent(&place, &rogue.url()).args(["--bootstrap-ca", file.to_str().unwrap()]).run().expect(0);
    let asked: Vec<_> =
        rogue.requests_to(paths::ENROLL).iter().map(|request| public_key(&request.csr_pem())).collect();
    assert!(asked.len() == 2 && asked[0] == asked[1], "for the same key");
}
