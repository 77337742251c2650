//! What a process had begun when it was killed is gone on with by the next one.

use std::time::Duration;

use telovix_tests::sim::{SimConsole, SimHost, simulate};

/// Longest that a host may take to be well again after an outage.
const WELL_AGAIN: Duration = Duration::from_secs(410);
/// Longer than the overlap of two certificates.
const OUTAGE: Duration = Duration::from_secs(2 * 3600);
const LOSES_ANSWER: &str =
    r#"[{"path": "/api/v1/sensors/self/certificate/renew", "act": {"kind": "drop_after_commit"}}]"#;

/// docs/contract.md section 3. The renewal was brought forward by an operator, its answer was lost, the agent was killed
/// before it could ask again. When it comes back the certificate that stands has been superseded for more than an hour, and
/// by its dates there is nothing to renew.
#[test]
fn a_renewal_by_hand_whose_answer_was_lost_outlives_a_kill_and_an_outage() {
    outlives_an_outage("");
}

/// The same, and another type of key is configured meanwhile: it counts from the next renewal on, because the answer is for the
/// key that asked.
#[test]
fn a_renewal_whose_answer_was_lost_outlives_another_type_of_key() {
    outlives_an_outage("key_type = \"ed25519\"");
}

fn outlives_an_outage(configured_meanwhile: &'static str) {
    simulate(async move |sim| {
        let console = SimConsole::start(&sim).await;
        let mut host = SimHost::new(&sim, &console, "edge-1");
        host.give(&console.once().await);
        host.run();
        sim.until(WELL_AGAIN, || host.is_well()).await.expect("it enrolls");

        console.chaos(LOSES_ANSWER);
        let _answer = host.renew();
        let issued = || console.ask("SELECT count(*) FROM certificates", []);
        sim.until(WELL_AGAIN, || issued() == Some(2)).await.expect("the renewal is committed");
        host.crash().await;
        sim.pass(OUTAGE, OUTAGE).await;

        host.configure(configured_meanwhile);
        host.run();
        let well = sim.until(WELL_AGAIN, || host.is_well()).await;
        assert!(well.is_some(), "{:?}", host.report());
        assert_eq!(issued(), Some(2), "the lost answer is repeated, and no other certificate made");
        let pair = host.pair().expect("it belongs together").expect("it is published");
        assert!(console.trusts(&pair.fingerprint));
        host.crash().await;
    });
}
