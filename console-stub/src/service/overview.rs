//! What an operator looks at first: how the fleet stands, what is open, one sensor, one token.

use std::time::Duration;

use telovix_contract::enroll::DEFAULT_HEARTBEAT_SECONDS;
use telovix_contract::{ErrorCode, SensorId};
use tokio::time::Instant;

use super::sensors::{SensorView, moment, view as sensor_view};
use super::tokens::{TokenView, view as token_view};
use super::{Console, ServiceError};
use crate::db::fleet::{self, FleetCounts};
use crate::db::{DbError, Tx, approvals, audit, tokens};
use crate::domain::Refusal;
use crate::domain::token::TokenId;

/// Sensors shown beside a token.
const MOST_ENROLLED: i64 = 20;
/// From so many sensors on, a count of the fleet may be of a moment ago.
const LARGE: i64 = 10_000;
/// Then it may be so many times as old as it took, so that counting never takes more than a twentieth of one processor.
const WORTH: u32 = 20;

/// However many pages are open, the database is asked so often for them.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Overview {
    pub fleet: FleetCounts,
    /// Tokens that a host could use now.
    pub pending_tokens: i64,
    /// Enrollments that wait for an operator.
    pub waiting: i64,
}

/// A token and who came with it.
#[derive(Debug, Clone)]
pub struct TokenStory {
    pub token: TokenView,
    /// Identity and node name of the sensors that enrolled with it lately.
    pub enrolled: Vec<(String, String)>,
}

impl Console {
    pub(crate) async fn overview(&self) -> Result<Overview, ServiceError> {
        let now = self.now();
        let fleet = self.fleet_counts(now).await?;
        let open =
            move |tx: &mut dyn Tx| Ok((tokens::count_pending(tx, now)?, approvals::count_waiting(tx)?));
        let (pending_tokens, waiting) = self.db().read::<_, ServiceError, _>(open).await?;
        Ok(Overview { fleet, pending_tokens, waiting })
    }

    /// One count at a time; who waited for one takes it.
    async fn fleet_counts(&self, now: i64) -> Result<FleetCounts, ServiceError> {
        let mut last = self.counted().0.lock().await;
        if let Some((counts, at, took)) = *last
            && counts.all() >= LARGE
            && at.elapsed() < took * WORTH
        {
            return Ok(counts);
        }
        let began = Instant::now();
        let count = move |tx: &mut dyn Tx| {
            let at = moment(tx, now)?;
            fleet::count_by_standing(tx, at)
        };
        let counts = self.db().read::<_, DbError, _>(count).await?;
        *last = Some((counts, Instant::now(), began.elapsed()));
        Ok(counts)
    }

    /// Changes when there may be something new to see: with every record of the trail, and with the time in which sensors
    /// send heartbeats, which leave no record.
    pub(crate) async fn stamp_of_news(&self) -> Result<String, ServiceError> {
        let beat = self.now() / i64::from(DEFAULT_HEARTBEAT_SECONDS);
        let mut last = self.watched().0.lock().await;
        if let Some((length, at)) = *last
            && at.elapsed() < WATCH_EVERY
        {
            return Ok(format!("{length}.{beat}"));
        }
        let at = Instant::now();
        let length = self.db().read::<_, DbError, _>(audit::count).await?;
        *last = Some((length, at));
        Ok(format!("{length}.{beat}"))
    }

    /// One sensor.
    pub async fn sensor(&self, id: SensorId) -> Result<SensorView, ServiceError> {
        let now = self.now();
        let look = move |tx: &mut dyn Tx| {
            let none = || Refusal::new(ErrorCode::NotFound, "There is no such sensor.");
            Ok::<_, ServiceError>(sensor_view(fleet::one(tx, id)?.ok_or_else(none)?, moment(tx, now)?))
        };
        self.db().read(look).await
    }

    /// One token, and the sensors that enrolled with it.
    pub async fn token(&self, id: TokenId) -> Result<TokenStory, ServiceError> {
        let now = self.now();
        let look = move |tx: &mut dyn Tx| {
            let none = || Refusal::new(ErrorCode::NotFound, "There is no such token.");
            let token = token_view(tokens::look_up(tx, id)?.ok_or_else(none)?, now);
            Ok::<_, ServiceError>(TokenStory {
                token,
                enrolled: tokens::enrolled_with(tx, id, MOST_ENROLLED)?,
            })
        };
        self.db().read(look).await
    }
}
