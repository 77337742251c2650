//! What happens by itself: tokens, silent hosts, sessions and nonces are forgotten in the end, the server certificate is renewed.

use super::{Console, ServiceError, restore};
use crate::db::authority as table;
use crate::db::{Tx, api_keys, approvals, settings, tokens, users};
use crate::domain::api_key::MAX_SKEW;
use crate::domain::public_url::PublicUrl;
use crate::domain::user::{LOCKED_FOR, SESSION_IDLE};

/// Seconds that a used, expired or revoked token is remembered, so that a late use is told what happened: 90 days (ours).
const ENDED_STAYS: i64 = 90 * 24 * 3600;

/// Seconds after which an enrollment that nobody asks about any more is taken off the waiting list: 7 days (ours).
const WAITING_STAYS: i64 = 7 * 24 * 3600;

impl Console {
    /// One round of cleaning up. What an operator or a host would miss is forgotten only by a time to be trusted.
    pub async fn clean_up(&self, trusted: Option<i64>) -> Result<(), ServiceError> {
        let now = self.now();
        self.db()
            .write(move |tx| {
                if let Some(now) = trusted {
                    restore::end_in_time(tx, now)?;
                    approvals::forget_silent(tx, now - WAITING_STAYS)?;
                    tokens::forget_ended(tx, now - ENDED_STAYS)?;
                    users::forget_sessions(tx, now - SESSION_IDLE)?;
                }
                users::forget_failures(tx, now - LOCKED_FOR)?;
                // A nonce matters as long as a call with its time would be taken.
                api_keys::forget_nonces(tx, now - 2 * MAX_SKEW)?;
                Ok(())
            })
            .await
    }

    /// Makes a new server certificate when a third of the old one's life is left, or the clock stands outside it; the key
    /// stays. Says whether it did.
    /// Errors: `not_ready` before set-up; [`ServiceError`] when signing or storing fails.
    pub async fn renew_server_certificate(&self) -> Result<bool, ServiceError> {
        let (authority, now) = (self.authority()?, self.now());
        if authority.server().is_some_and(|server| is_fresh(server.validity, now)) {
            return Ok(false);
        }
        let issue = move |tx: &mut dyn Tx| {
            // Another instance on the same database may have been quicker.
            if table::server_certificate(tx)?
                .is_some_and(|held| is_fresh((held.not_before, held.not_after), now))
            {
                return Ok(());
            }
            let names = settings::get(tx, settings::SERVER_NAMES)?.unwrap_or_default();
            let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
            table::put_server_certificate(tx, &authority.issue_server(&names, now)?)?;
            Ok::<_, ServiceError>(())
        };
        self.db().write(issue).await?;
        self.reload().await?;
        tracing::info!("server certificate renewed");
        Ok(true)
    }

    /// Writes down the address that this process serves under: as an operator gave it, or derived from the listener.
    pub(crate) async fn publish_url(
        &self,
        given: Option<PublicUrl>,
        derived: String,
    ) -> Result<(), ServiceError> {
        self.db()
            .write(move |tx| {
                if let Some(url) = given {
                    settings::set(tx, settings::PUBLIC_URL, url.as_str())?;
                }
                Ok(settings::set(tx, settings::DERIVED_URL, &derived)?)
            })
            .await
    }

    /// The first name of the server certificate, if an operator gave one.
    pub(crate) async fn first_server_name(&self) -> Result<Option<String>, ServiceError> {
        let names = self.db().read(|tx| settings::get(tx, settings::SERVER_NAMES)).await?;
        Ok(names.and_then(|names| names.split_whitespace().next().map(str::to_owned)))
    }
}

/// Whether more than a third of a life is left, and the clock stands within it.
fn is_fresh((from, to): (i64, i64), now: i64) -> bool {
    (from..to - (to - from) / 3).contains(&now)
}
