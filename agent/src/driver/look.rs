//! One look at what a host holds, without a daemon: nothing is called and nothing changes.

use telovix_contract::{TokenHash, clean};

use super::found;
use super::host::Host;
use crate::clock;
use crate::config::FoundToken;
use crate::machine::{Answer, Call, Effect, Input, Machine, Now, Outcome, Report, TokenFacts};
use crate::store::{Generation, Store, StoreError};

/// Longest address of a Console that is shown, in characters.
const LONGEST_URL: usize = 300;

/// What a host holds.
pub struct Look {
    /// What the machine says of it.
    pub report: Report,
    /// The identity in use: one of this machine that holds together.
    pub current: Option<Generation>,
    /// Hash of the token that an enrollment under way presents.
    pub under_way: Option<TokenHash>,
}

/// Looks at a host. Nobody is asked for the time, so that dates are judged by this host's clock.
pub fn look(host: &Host, token: Option<&FoundToken>) -> Result<Look, StoreError> {
    let dir = &host.config.state_dir.value;
    let mut store = Store::peek(dir);
    let now = Now { wall: clock::now(&host.clock), mono: clock::uptime().now(), random: 0 };
    let found = found::read(&mut store, host)?;
    let mut machine = Machine::new(host.settings());
    let mut inputs = vec![Input::Started(token.map(|found| TokenFacts::of(&found.token)))];
    while let Some(input) = inputs.pop() {
        for effect in machine.step(now, input) {
            match effect {
                Effect::Load => inputs.push(Input::Loaded(Box::new(found.told.clone()))),
                Effect::Call(Call::ProbeClock) => {
                    let answer = Answer { server_date: None, outcome: Outcome::ClockRead };
                    inputs.push(Input::Answered(Box::new(answer)));
                }
                Effect::Call(_)
                | Effect::CancelCall
                | Effect::Publish { .. }
                | Effect::ForgetRenewal
                | Effect::DiscardCopied
                | Effect::SetReady(_)
                | Effect::NotifyConsumers { .. }
                | Effect::TokenSpent { .. }
                | Effect::StateChanged { .. }
                | Effect::CommandDone(_) => {}
            }
        }
    }
    let notes = found.met.notes;
    let is_ours = found.remembered.as_ref().is_some_and(|state| !host.is_clone(state));
    let mut report = Report { state_dir: Some(dir.clone()), ..machine.report(now) };
    if let Some(state) = found.remembered.filter(|_| is_ours) {
        report.node_name = Some(state.node_name.to_string());
        report.node_role = Some(state.node_role.to_string());
        report.cluster_name = state.cluster_name.as_ref().map(ToString::to_string);
        report.console_url = Some(clean(&state.console_url, LONGEST_URL));
    }
    report.notes.extend(notes);
    let under_way = store.pending().ok().flatten().map(|pending| pending.token_sha256);
    Ok(Look { report, current: found.current.filter(|_| is_ours), under_way })
}
