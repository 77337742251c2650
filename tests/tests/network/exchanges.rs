//! Each exchange of a daemon with its Console, harmed.

use std::time::Duration;

use telovix_agent::machine::CommandResult;
use telovix_agent::machine::StateName;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::setting::Setting;
use telovix_console_stub::service::approvals::Say;
use telovix_tests::sim::{By, SimHost, simulate};

use super::stage::{CLOCK, HEARTBEAT, MOST_CONNECTIONS, Stage, WAITING, WELL_AGAIN, cases, extent};

/// What goes over the wire before a new host is well.
struct Contact {
    exchange: &'static str,
    by: By,
    /// Rules of the Console for each such host.
    chaos: &'static str,
    /// How many connections that takes, and the one to harm, counted from 0.
    connections: u64,
    harmed: u32,
    sample: usize,
}

/// A look at the clock, the enrollment, the first heartbeat.
const PLAIN: Contact =
    Contact { exchange: "enroll", by: By::File, chaos: "[]", connections: 3, harmed: 1, sample: 11 };

/// The first look at the Console's clock, without which nothing that it is for is missing.
#[test]
fn a_first_look_at_the_clock_is_harmed_at_every_place() {
    first_contact(&Contact { exchange: CLOCK, harmed: 0, sample: 23, ..PLAIN });
}

/// docs/contract.md section 2: the CA is fetched over a connection that carries no secret, and compared.
#[test]
fn a_trust_bootstrap_is_harmed_at_every_place() {
    let by = By::Fingerprint;
    first_contact(&Contact { exchange: "trust-bootstrap", by, connections: 4, sample: 17, ..PLAIN });
}

#[test]
fn an_enrollment_is_harmed_at_every_place() {
    first_contact(&PLAIN);
}

/// The answer was lost once, and the repeat of the same request is harmed, too.
#[test]
fn a_repeated_enrollment_is_harmed_at_every_place() {
    let chaos = r#"[{"path": "/api/v1/sensors/enroll", "act": {"kind": "drop_after_commit"}}]"#;
    first_contact(&Contact { exchange: "repeat", chaos, connections: 4, harmed: 2, sample: 17, ..PLAIN });
}

#[test]
fn the_first_heartbeat_of_an_identity_is_harmed_at_every_place() {
    first_contact(&Contact { exchange: "first heartbeat", harmed: 2, sample: 17, ..PLAIN });
}

/// A connection of a new host, which is another for every case: one record more, and never two.
fn first_contact(contact: &Contact) {
    let Contact { exchange, by, chaos, connections, harmed, sample } = *contact;
    simulate(async |sim| {
        let mut stage = Stage::new(sim).await;
        stage.console.chaos(chaos);
        let mut clean = stage.new_host("clean", by).await;
        clean.run();
        stage.until_well(&clean, "clean").await;
        assert_eq!(stage.sim.wire().connections(), connections);
        let last = usize::try_from(connections).expect("few") - 1;
        let tape = stage.sim.wire().tape(last - harmed as usize);
        clean.crash().await;
        for (n, blow) in cases(&tape, extent(sample), exchange).into_iter().enumerate() {
            let what = format!("{exchange} {n}, {blow:?}");
            let sensors = stage.sensors();
            stage.console.chaos(chaos);
            let mut host = stage.new_host(&format!("host-{n}"), by).await;
            let before = stage.sim.wire().connections();
            stage.sim.wire().harm_later(harmed, blow, 1);
            host.run();
            stage.until_connected(before + u64::from(harmed), &what).await;
            stage.heard(blow, host.trouble(), &what);
            stage.recovers(&host, blow, before, &what).await;
            assert_eq!(stage.sensors(), sensors + 1, "{what}");
            host.crash().await;
            std::fs::remove_dir_all(host.folder()).expect("ours");
        }
        stage.print(exchange);
    });
}

/// docs/contract.md section 3 (202): the identical request again and again, until an operator has said yes.
#[test]
fn a_waiting_enrollment_is_harmed_at_every_place() {
    simulate(async |sim| {
        let mut stage = Stage::new(sim).await;
        stage.console.set(Setting::ApprovalMode, "all").await;
        let mut host = SimHost::new(&stage.sim, &stage.console, "host");
        host.give(&stage.console.once().await);
        host.run();
        let waits = |host: &SimHost| {
            let report = host.report();
            report.state == StateName::AwaitingApproval
                && report.last_error.is_some_and(|error| error.code.as_str() == WAITING)
        };
        assert!(stage.sim.until(WELL_AGAIN, || waits(&host)).await.is_some(), "{:?}", host.report());
        let tape = stage.sim.wire().tape(0);
        for (n, blow) in cases(&tape, extent(13), "poll").into_iter().enumerate() {
            let what = format!("poll {n}, {blow:?}");
            let before = stage.sim.wire().connections();
            stage.sim.wire().harm(blow, 1);
            stage.until_connected(before, &what).await;
            stage.heard(blow, host.trouble().filter(|code| code != WAITING), &what);
            stage.sim.wire().heal();
            let took = stage.sim.until(WELL_AGAIN, || waits(&host)).await;
            assert!(took.is_some(), "{what}: it does not wait any more: {:?}", host.report());
            let connections = stage.sim.wire().connections() - before;
            assert!(connections <= MOST_CONNECTIONS, "{what}: {connections} connections");
        }
        assert_eq!(
            stage.console.ask("SELECT count(*) FROM approvals", []),
            Some(1),
            "one host, one place in the list"
        );
        let list = stage.console.console().list_approvals(None).await.expect("a list");
        let said = stage.console.console().decide_approval(list[0].id, Say::Approve, Origin::default()).await;
        said.expect("it waits");
        stage.until_well(&host, "approved").await;
        assert_eq!((stage.sensors(), stage.console.tokens_spent_twice()), (1, 0));
        stage.print("status poll of a waiting enrollment");
    });
}

#[test]
fn a_heartbeat_is_harmed_at_every_place() {
    simulate(async |sim| {
        let mut stage = Stage::new(sim).await;
        let host = stage.enrolled("host").await;
        stage.sim.pass(HEARTBEAT * 2, Duration::from_secs(1)).await;
        let (tape, held) = (stage.sim.wire().tape(0), host.pair());
        for (n, blow) in cases(&tape, extent(13), "heartbeat").into_iter().enumerate() {
            let what = format!("heartbeat {n}, {blow:?}");
            let before = stage.sim.wire().connections();
            stage.sim.wire().harm(blow, 1);
            stage.until_connected(before, &what).await;
            assert!(host.is_ready(), "{what}: a network that fails says nothing about the identity");
            stage.heard(blow, host.trouble(), &what);
            stage.recovers(&host, blow, before, &what).await;
            assert_eq!(host.pair(), held, "{what}: another identity");
        }
        assert_eq!(stage.sensors(), 1);
        stage.print("heartbeat");
    });
}

#[test]
fn a_renewal_is_harmed_at_every_place() {
    renewal("renewal", 0, 11);
}

/// The heartbeat after it, by which the Console lets go of the certificate before.
#[test]
fn the_proof_of_a_renewed_certificate_is_harmed_at_every_place() {
    renewal("proof", 1, 11);
}

/// A renewal, of whose two connections one is harmed, counted from 0.
fn renewal(exchange: &str, harmed: u32, sample: usize) {
    simulate(async |sim| {
        let mut stage = Stage::new(sim).await;
        let host = stage.enrolled("host").await;
        let sensor = host.report().sensor_id;
        let renewed = host.renew();
        stage.sim.settle().await;
        assert!(matches!(renewed.await, Ok(CommandResult::Renewed { .. })));
        // After it came the proof of what it brought.
        let tape = stage.sim.wire().tape(1 - harmed as usize);
        for (n, blow) in cases(&tape, extent(sample), exchange).into_iter().enumerate() {
            let what = format!("{exchange} {n}, {blow:?}");
            stage.until_well(&host, &what).await;
            let (before, held) = (stage.sim.wire().connections(), host.report().serial);
            stage.sim.wire().harm_later(harmed, blow, 1);
            let mut renewed = host.renew();
            stage.sim.settle().await;
            let answer = renewed.try_recv().ok();
            assert!(answer.is_some() || harmed > 0, "{what}: the command goes on");
            let trouble = match &answer {
                Some(CommandResult::Renewed { .. }) => None,
                Some(CommandResult::RenewFailed(fault)) => Some(fault.code.to_string()),
                // Whoever asked waits for the proof.
                None => host.trouble(),
                Some(
                    other @ (CommandResult::NotDue { .. }
                    | CommandResult::CannotRenew { .. }
                    | CommandResult::Decommissioned { .. }),
                ) => panic!("{what}: {other:?}"),
            };
            // A renewal and its proof are two connections. While a proof waits, heartbeats go on, and with them the time in which it
            // is tried again: then it may be through before anybody looks.
            if trouble.is_none() && stage.sim.wire().connections() - before > 2 {
                stage.is_through(blow);
            } else {
                stage.heard(blow, trouble, &what);
            }
            // It goes on trying by itself until it has what was asked for.
            let came = stage.sim.until(WELL_AGAIN, || host.report().serial != held && host.is_well()).await;
            assert!(came.is_some(), "{what}: no new certificate: {:?}", host.report());
            let told = answer.or_else(|| renewed.try_recv().ok());
            assert!(told.is_some(), "{what}: nobody told who asked");
            stage.recovers(&host, blow, before, &what).await;
            assert_eq!(host.report().sensor_id, sensor, "{what}: another sensor");
        }
        assert_eq!(stage.sensors(), 1);
        stage.print(exchange);
    });
}

/// docs/contract.md section 3: a failure never blocks a shutdown, and a decommissioned node is able to come back.
#[test]
fn a_decommission_is_harmed_at_every_place() {
    simulate(async |sim| {
        let mut stage = Stage::new(sim).await;
        let mut host = stage.enrolled("host").await;
        let held = host.pair();
        let told = host.decommission();
        stage.sim.settle().await;
        assert!(matches!(told.await, Ok(CommandResult::Decommissioned { untold: None })));
        let tape = stage.sim.wire().tape(0);
        for (n, blow) in cases(&tape, extent(13), "decommission").into_iter().enumerate() {
            let what = format!("decommission {n}, {blow:?}");
            host.crash().await;
            host.run();
            stage.until_well(&host, &what).await;
            let (before, begun) = (stage.sim.wire().connections(), stage.sim.clock().elapsed());
            stage.sim.wire().harm(blow, 1);
            let mut told = host.decommission();
            stage.sim.settle().await;
            let took = stage.sim.clock().elapsed() - begun;
            assert!(took <= Duration::from_secs(6), "{what}: it took {took:?}");
            let trouble = match told.try_recv().expect("a command comes to its end") {
                CommandResult::Decommissioned { untold } => untold.map(|fault| fault.code.to_string()),
                other @ (CommandResult::Renewed { .. }
                | CommandResult::NotDue { .. }
                | CommandResult::CannotRenew { .. }
                | CommandResult::RenewFailed(_)) => panic!("{what}: {other:?}"),
            };
            let heard = trouble.is_none();
            stage.heard(blow, trouble, &what);
            stage.sim.wire().heal();
            stage.sim.pass(HEARTBEAT * 3, HEARTBEAT).await;
            assert_eq!(host.report().state, StateName::Decommissioned, "{what}");
            assert_eq!(stage.sim.wire().connections() - before, 1, "{what}: who is retired is silent");
            let retired = stage.console.ask("SELECT count(decommissioned_at) FROM sensors", []);
            assert!(!heard || retired == Some(1), "{what}: told, and the Console does not know");
            assert_eq!(host.pair(), held, "{what}: the identity stays");
        }
        assert_eq!(stage.sensors(), 1);
        stage.print("decommission");
    });
}
