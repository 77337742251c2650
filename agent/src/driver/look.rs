//! One look at what a host holds, without a daemon: nothing is called and nothing changes.

use telovix_contract::TokenHash;

use super::found;
use super::host::Host;
use crate::clock;
use crate::config::FoundToken;
use crate::machine::{Current, Input, Machine, MadeOn, Now, Report, TokenFacts};
use crate::store::{Generation, Store, StoreError};

/// What a host holds.
pub struct Look {
    /// What the machine says of it.
    pub report: Report,
    /// The identity in use: one of this machine that holds together.
    pub current: Option<Generation>,
    /// Hash of the token that an enrollment under way presents.
    pub under_way: Option<TokenHash>,
}

/// Looks at a host.
pub fn look(host: &Host, token: Option<&FoundToken>) -> Result<Look, StoreError> {
    let dir = &host.config.state_dir.value;
    let mut store = Store::peek(dir);
    let now = Now { wall: clock::now(&host.clock), mono: clock::uptime().now(), random: 0 };
    let mut machine = Machine::new(host.settings());
    let _ = machine.step(now, Input::Started(token.map(|found| TokenFacts::of(&found.token))));
    let found = found::read(&mut store, host)?;
    let is_ours =
        matches!(&found.told.current, Current::Intact(identity) if identity.made_on == MadeOn::ThisHost);
    let _ = machine.step(now, Input::Loaded(Box::new(found.told)));
    let report = Report { state_dir: Some(dir.clone()), ..machine.report(now) };
    let under_way = store.pending().ok().flatten().map(|pending| pending.token_sha256);
    Ok(Look { report, current: found.current.filter(|_| is_ours), under_way })
}
