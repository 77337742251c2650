//! Browser sessions: whose a cookie is and what that allows. The calls of v1 and the pages share it.

use http::request::Parts;
use http::{HeaderMap, header};
use zeroize::Zeroizing;

use super::guard::Source;
use super::request::{SESSION_COOKIE as COOKIE, origin};
use super::{Api, Peer};
use crate::domain::Refusal;
use crate::domain::audit::Origin;
use crate::domain::role::{Act, Role, may};
use crate::domain::user::{SESSION_LONGEST, not_signed_in};
use crate::service::ServiceError;
use crate::service::users::{Login, Operator, Presence};
use telovix_contract::ErrorCode;

/// The header of what a page's script asks for by itself.
const WATCHES: &str = "x-telovix-watches";

/// Takes an attempt to sign in out of the source's bucket; before its body is read.
pub(crate) fn admit(api: &Api, parts: &Parts) -> Result<(), Refusal> {
    parts.extensions.get::<Peer>().map_or(Ok(()), |peer| api.guard.login(Source::of(peer.address.ip())))
}

pub(crate) fn begin(login: &Login) -> String {
    format!(
        "{COOKIE}={}; Path=/; Max-Age={SESSION_LONGEST}; HttpOnly; Secure; SameSite=Strict",
        *login.secret
    )
}

pub(crate) fn end() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict")
}

/// Whose session the cookie is, with the session's secret.
pub(crate) async fn whose(
    api: &Api,
    headers: &HeaderMap,
) -> Result<(Operator, Zeroizing<String>), ServiceError> {
    let secret = cookie(headers, COOKIE).ok_or_else(not_signed_in)?;
    Ok((api.console.operator(&secret, presence(headers)).await?, secret))
}

/// A page that is left open asks for events, or for itself with this header. Neither keeps a session alive: an hour after
/// somebody was last there, it ends.
fn presence(headers: &HeaderMap) -> Presence {
    let events = headers.get(header::ACCEPT).is_some_and(|kinds| kinds == "text/event-stream");
    if events || headers.contains_key(WATCHES) { Presence::Watches } else { Presence::Acts }
}

pub(crate) fn permit(role: Role, act: Act) -> Result<(), Refusal> {
    if may(role, act) {
        return Ok(());
    }
    let message = format!("The role {} does not reach that far; ask an administrator.", role.as_str());
    Err(Refusal::new(ErrorCode::Forbidden, message))
}

pub(crate) fn source(parts: &Parts) -> Origin {
    parts.extensions.get::<Peer>().map(|peer| origin(peer, &parts.headers)).unwrap_or_default()
}

pub(crate) fn cookie(headers: &HeaderMap, wanted: &str) -> Option<Zeroizing<String>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| Zeroizing::new(value.to_owned()))
}
