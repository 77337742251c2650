//! `telovix-agent enroll`: makes sure that this host holds a working identity, then exits.

use tokio::time::Instant;

use super::report::say;
use super::{Exit, report};
use crate::cli::EnrollArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::enrollment::{self, Approval, EnrollError, Host, NewSensor, Outcome, Proof, Wish};
use crate::facts;
use crate::schedule;
use crate::store::{Generation, Publication, Store};

pub(super) fn run(config: &Config, args: &EnrollArgs, clock: Clock) -> Exit {
    let console_url = match config.require_console_url() {
        Ok(setting) => &setting.value,
        Err(errors) => return report::failure(&errors, "", Exit::Usage),
    };
    let token = match config.token.resolve(&mut report::TokenInput::default()) {
        Ok(token) => token,
        Err(error) => return report::failure(&error, "", Exit::Usage),
    };
    for warning in token.iter().flat_map(|found| &found.warnings) {
        tracing::warn!("{warning}");
    }
    let mut store = match Store::open_as(&config.state_dir.value, Publication::from(&config.publish)) {
        Ok(store) => store,
        Err(error) => return report::failure(&error, "", Exit::LocalState),
    };
    let facts = facts::gather(config);
    let host = Host { config, console_url, facts: &facts, clock };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failure(&error, "", Exit::Unexpected),
    };
    let done = runtime.block_on(async {
        let wish = Wish {
            new_sensor: if args.new_sensor { NewSensor::Allow } else { NewSensor::Refuse },
            approval: if args.no_wait { Approval::DoNotWait } else { Approval::Wait },
            until: Instant::now() + config.timeout.value,
        };
        enrollment::ensure(&host, &mut store, token.as_ref(), &wish).await
    });
    // A resolver that hangs must not keep a finished command from ending.
    runtime.shutdown_background();
    match done {
        Ok(outcome) => say(&outcome),
        Err(error) => fail(&error),
    }
}

fn say(outcome: &Outcome) -> Exit {
    let (generation, proof, notes) = match outcome {
        Outcome::Kept { generation, proof, notes } => {
            say!("already enrolled, nothing to do");
            (generation, proof, notes)
        }
        Outcome::Enrolled { generation, reason, proof, notes } => {
            say!("enrolled ({reason})");
            (generation, proof, notes)
        }
    };
    describe(generation, proof);
    for note in notes {
        say!("  note        {note}");
    }
    Exit::Done
}

fn describe(generation: &Generation, proof: &Proof) {
    let verified = generation.verified();
    let renew_at = schedule::renew_at(verified.not_before(), verified.not_after(), verified.serial());
    say!("  sensor      {}", verified.sensor_id());
    say!("  node        {} ({})", generation.state().node_name, generation.state().node_role);
    say!("  console     {} ({proof})", generation.state().console_url);
    say!("  valid until {:.0}, renewal due {renew_at:.0}", verified.not_after());
}

fn fail(error: &EnrollError) -> Exit {
    report::failure(error, &error.action(), Exit::from(error))
}
