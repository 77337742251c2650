//! A network that is gone for hours, and an answer whose loss shows after an hour.

use std::time::Duration;

use telovix_agent::machine::CommandResult;
use telovix_console_stub::domain::audit::Origin;
use telovix_console_stub::domain::token::TokenDraft;
use telovix_contract::paths;
use telovix_tests::sim::{Blow, Harm, SimHost, Way, simulate};

use super::stage::{HEARTBEAT, Stage, causes};

/// docs/contract.md section 6: exponential, full jitter, 1 s to 5 min.
#[test]
fn a_network_that_is_gone_for_hours_is_asked_for_no_more_than_the_back_off_allows() {
    simulate(async |sim| {
        let stage = Stage::new(sim).await;
        for harm in [Harm::Cut, Harm::Reset, Harm::Stall] {
            let mut enrolled = stage.enrolled(&format!("enrolled-{harm:?}")).await;
            count_attempts(&stage, &enrolled, harm).await;
            assert!(enrolled.is_ready(), "{harm:?}: a network that fails says nothing about the identity");
            stage.until_well(&enrolled, "healed").await;
            enrolled.crash().await;
            let mut new = SimHost::new(&stage.sim, &stage.console, &format!("new-{harm:?}"));
            new.give(&stage.console.token(long_lived()).await);
            new.run();
            count_attempts(&stage, &new, harm).await;
            stage.until_well(&new, "healed").await;
            new.crash().await;
        }
        assert_eq!((stage.sensors(), stage.console.tokens_spent_twice()), (6, 0));
    });
}

/// Hours without a network.
async fn count_attempts(stage: &Stage, host: &SimHost, harm: Harm) {
    const HOURS: u64 = 3;
    let wire = stage.sim.wire();
    wire.harm(Blow { way: Way::Up, at: 0, harm }, u32::MAX);
    // A heartbeat that was on its way, and the steps up to the longest wait.
    stage.sim.pass(Duration::from_secs(900), Duration::from_secs(1)).await;
    let before = wire.connections();
    assert!(before > 0);
    stage.sim.pass(Duration::from_secs(HOURS * 3600), Duration::from_secs(1)).await;
    let attempts = wire.connections() - before;
    let said = host.report().last_error;
    wire.heal();
    // 150 s on average. Six standard deviations of so many even draws are 50; a stall takes its deadlines besides.
    let expected = HOURS * 3600 / 150;
    println!("{harm:?}: {attempts} attempts in {HOURS} hours, {expected} expected; {said:?}");
    assert!((expected / 2..=expected + 50).contains(&attempts), "{harm:?}: {attempts} attempts");
    let said = said.expect("it is said");
    let next = said.next_attempt.expect("it goes on").as_second() - stage.sim.clock().unix();
    assert!(causes(harm).contains(&said.code.as_str()) && (-1..=300).contains(&next), "{harm:?}: {said:?}");
}

/// The Console has made the successor of a certificate and nobody knows: an hour later the old one is worth nothing. It is
/// gone on with, though nothing asks for it any more: neither the window, which the Console closed with it, nor the
/// operator's command, nor the certificate's age.
#[test]
fn a_renewal_whose_answer_was_lost_is_asked_for_until_it_comes() {
    simulate(async |sim| {
        let stage = Stage::new(sim).await;
        for (name, asked_by_window, crashes) in
            [("window", true, false), ("window-crash", true, true), ("command-crash", false, true)]
        {
            let mut host = stage.enrolled(name).await;
            let (held, sensor) = (host.report().serial, host.report().sensor_id.expect("it is enrolled"));
            let lost = r#"[{"path": "PATH", "act": {"kind": "drop_after_commit"}}]"#;
            stage.console.chaos(&lost.replace("PATH", paths::RENEW));
            if asked_by_window {
                let asked = stage.console.console().ask_renewal(sensor, 60, Origin::default()).await;
                asked.expect("it is at work");
            } else {
                let mut answer = host.renew();
                stage.sim.settle().await;
                assert!(matches!(answer.try_recv(), Ok(CommandResult::RenewFailed(_))));
            }
            let made = || stage.console.ask(CERTIFICATES, [sensor.to_string()]) == Some(2);
            assert!(stage.sim.until(Duration::from_secs(120), made).await.is_some(), "{name}: no successor");
            if crashes {
                host.crash().await;
                host.run();
            }
            stage.sim.pass(Duration::from_secs(2 * 3600), HEARTBEAT).await;
            stage.until_well(&host, name).await;
            assert_ne!(host.report().serial, held, "{name}: no new certificate");
            assert_eq!(host.report().sensor_id, Some(sensor), "{name}: another sensor");
            assert!(made(), "{name}: it was made once");
            host.crash().await;
        }
    });
}

/// Certificates of a sensor.
const CERTIFICATES: &str = "SELECT count(*) FROM certificates WHERE sensor_id = ?1";

fn long_lived() -> TokenDraft {
    TokenDraft { ttl_seconds: Some(24 * 3600), ..TokenDraft::default() }
}
