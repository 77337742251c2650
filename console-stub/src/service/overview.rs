//! What an operator looks at first: how the fleet stands, what is open, one sensor, one token.

use telovix_contract::{ErrorCode, SensorId};

use super::sensors::{SensorView, view as sensor_view};
use super::tokens::{TokenView, view as token_view};
use super::{Console, ServiceError};
use crate::db::sensors::FleetCounts;
use crate::db::{Tx, approvals, sensors, tokens};
use crate::domain::Refusal;
use crate::domain::sensor::STALE;
use crate::domain::token::TokenId;

/// Sensors shown beside a token.
const MOST_ENROLLED: i64 = 20;

/// How the Console stands at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Overview {
    /// The fleet.
    pub fleet: FleetCounts,
    /// Tokens that a host could use now.
    pub pending_tokens: i64,
    /// Enrollments that wait for an operator.
    pub waiting: i64,
}

/// A token and who came with it.
#[derive(Debug, Clone)]
pub struct TokenStory {
    /// The token.
    pub token: TokenView,
    /// Identity and node name of the sensors that enrolled with it lately.
    pub enrolled: Vec<(String, String)>,
}

impl Console {
    /// Counts.
    ///
    /// # Errors
    /// [`ServiceError::Db`].
    pub async fn overview(&self) -> Result<Overview, ServiceError> {
        let now = self.now();
        let count = move |tx: &mut dyn Tx| {
            Ok::<_, ServiceError>(Overview {
                fleet: sensors::count_by_standing(tx, now - STALE)?,
                pending_tokens: tokens::count_pending(tx, now)?,
                waiting: approvals::count_waiting(tx)?,
            })
        };
        self.db().read(count).await
    }

    /// One sensor.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn sensor(&self, id: SensorId) -> Result<SensorView, ServiceError> {
        let now = self.now();
        let found = self.db().read(move |tx| sensors::listed_one(tx, id)).await?;
        let none = || Refusal::new(ErrorCode::NotFound, "There is no such sensor.");
        Ok(sensor_view(found.ok_or_else(none)?, now))
    }

    /// One token, and the sensors that enrolled with it.
    ///
    /// # Errors
    /// `not_found`.
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
