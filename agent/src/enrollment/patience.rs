//! The command's way of waiting: attempts until there is an answer that another would not change, or the time is up.

use std::time::Duration;

use telovix_contract::enroll::Enrolled;
use telovix_contract::problem::Retry;
use tokio::time::{Instant, sleep, timeout_at};

use super::obtain::{self, Application, FirstContact};
use super::{Approval, EnrollError, Wish};
use crate::clock;
use crate::console::{Console, EnrollReply};
use crate::schedule;
use crate::store::{Generation, Pending, Store};

/// Obtains and commits an identity. It is not published yet.
pub(super) async fn obtain(
    application: &Application<'_>,
    console: &Console,
    contact: &FirstContact,
    wish: &Wish,
    store: &mut Store,
) -> Result<(Generation, Vec<String>), EnrollError> {
    let pending = obtain::begin_or_resume(application, store)?;
    let now = clock::now(&application.host.clock);
    if let Some(generation) = store.committed(&pending, now)? {
        tracing::info!(
            generation = generation.number(),
            "going on with an enrollment that was answered before"
        );
        return Ok((generation, Vec::new()));
    }
    let enrolled = ask(application, console, contact, wish, &pending).await?;
    let host = application.host;
    obtain::commit(store, pending, &enrolled, host.console_url, clock::now(&host.clock))
}

async fn ask(
    application: &Application<'_>,
    console: &Console,
    contact: &FirstContact,
    wish: &Wish,
    pending: &Pending,
) -> Result<Box<Enrolled>, EnrollError> {
    let body = obtain::body(pending, application.token)?;
    let mut trust = None;
    let mut looked = false;
    let mut failures = 0;
    let began = Instant::now();
    // Says more than that an attempt after it was cut short.
    let mut met_last = None;
    loop {
        let attempt = async {
            if !looked {
                obtain::look_at_the_time(console, contact, &mut trust).await?;
                looked = true;
            }
            obtain::attempt(console, contact, &mut trust, body.clone()).await
        };
        let Ok(answer) = timeout_at(wish.until, attempt).await else {
            return Err(met_last.unwrap_or_else(|| EnrollError::OutOfTime(began.elapsed())));
        };
        let (wait, otherwise) = match answer {
            Ok(EnrollReply::Enrolled(enrolled)) => return Ok(enrolled),
            Ok(EnrollReply::Waiting(_)) if wish.approval == Approval::DoNotWait => {
                return Err(EnrollError::Waiting);
            }
            Ok(EnrollReply::Waiting(asked)) => {
                tracing::info!(retry_in_s = asked.as_secs(), "waiting for an operator's approval");
                (schedule::repeat(asked, random()), EnrollError::Waiting)
            }
            Err(EnrollError::NotReached(error)) if error.retry() == Retry::Backoff => {
                failures += 1;
                let wait = schedule::backoff(failures, random(), error.retry_after());
                tracing::warn!(%error, code = error.code(), attempt = failures, retry_in_ms = millis(wait), "not enrolled yet");
                (wait, EnrollError::NotReached(error))
            }
            Err(error) => return Err(error),
        };
        if Instant::now() + wait >= wish.until {
            return Err(otherwise);
        }
        met_last = Some(otherwise);
        sleep(wait).await;
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// A number drawn evenly over all of `u64`. Where the system gives none, the longest wait is the safe one.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    match crate::console::tls::provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => u64::MAX,
    }
}
