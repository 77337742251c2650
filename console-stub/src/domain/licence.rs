//! The licence: how many sensors may be protected at once, and until when (docs/contract.md section 4).
//!
//! Ours, where the contract leaves it open: when its time is over a licence goes on for its days of grace, with a warning.
//! After that no new host is let in, and every sensor that is known goes on as before: a heartbeat, a renewal or a
//! re-enrollment never fails because of a date.

use serde::{Deserialize, Serialize};
use telovix_contract::ErrorCode;

use super::Refusal;
use crate::clock::timestamp;

const DAY: i64 = 24 * 3600;
pub(crate) const MOST_GRACE_DAYS: u32 = 365;

/// What a signed bundle says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicencePayload {
    /// Id of the licence: importing the same one again changes nothing.
    pub id: String,
    /// Whom it was made out to.
    #[serde(default)]
    pub customer: String,
    /// Sensors that may be enrolled at once.
    pub max_protected_nodes: u32,
    /// Unix seconds before which it does not count.
    pub not_before: i64,
    /// Unix seconds from which on its grace begins. Bundles made before there was a grace call it `not_after`.
    #[serde(alias = "not_after")]
    pub expires_at: i64,
    /// Days for which hosts are let in after that, with a warning.
    #[serde(default)]
    pub grace_days: u32,
}

impl LicencePayload {
    /// Unix seconds from which on no new host is let in.
    pub fn grace_ends_at(&self) -> i64 {
        self.expires_at.saturating_add(i64::from(self.grace_days.min(MOST_GRACE_DAYS)) * DAY)
    }

    /// How its time stands.
    pub fn term(&self, now: i64) -> Term {
        let (ended_at, grace_ends_at) = (self.expires_at, self.grace_ends_at());
        if now < self.not_before {
            Term::NotYet { begins_at: self.not_before }
        } else if now < ended_at {
            Term::Valid
        } else if now < grace_ends_at {
            Term::Grace { ended_at, grace_ends_at }
        } else {
            Term::Expired { ended_at }
        }
    }
}

/// How a licence's time stands. The numbers are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Term {
    /// It counts.
    #[default]
    Valid,
    /// Its time is over, and it still counts.
    Grace {
        /// When its time was over.
        ended_at: i64,
        /// When it stops to count.
        grace_ends_at: i64,
    },
    /// Its time is over.
    Expired {
        /// Since when.
        ended_at: i64,
    },
    /// Its time has not come: the clock was set back since it was imported.
    NotYet {
        /// When it comes.
        begins_at: i64,
    },
}

impl Term {
    /// The word for programs: `valid`, `grace`, `expired`, `not_yet_valid`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Grace { .. } => "grace",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet_valid",
        }
    }

    /// The sentence for an operator, where there is something to do.
    pub fn warning(self) -> Option<String> {
        match self {
            Self::Valid => None,
            Self::Grace { ended_at, grace_ends_at } => Some(format!(
                "the licence ended at {}, and new hosts can enroll until {}; import a new licence",
                timestamp(ended_at),
                timestamp(grace_ends_at)
            )),
            Self::Expired { ended_at } => Some(format!(
                "the licence ended at {}, and no new host can enroll; import a new licence",
                timestamp(ended_at)
            )),
            Self::NotYet { begins_at } => Some(format!(
                "the licence counts from {} on, and no new host can enroll; set the clock right, or import another licence",
                timestamp(begins_at)
            )),
        }
    }

    /// The refusal for a new host, where it is not to be let in. The contract's only code for a licence says that asking
    /// again, minutes apart, is worth while: an operator can import another.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Valid | Self::Grace { .. } => None,
            Self::Expired { .. } | Self::NotYet { .. } => {
                let message = "The licence is not in force; ask an operator to import a new one.";
                Some(Refusal::new(ErrorCode::NodeLimitExceeded, message))
            }
        }
    }
}

/// How the licence stands: sensors allowed, and sensors that take a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots {
    /// `max_protected_nodes`.
    pub limit: i64,
    /// Sensors neither revoked nor decommissioned.
    pub taken: i64,
    /// How its time stands.
    pub term: Term,
}

impl Slots {
    /// Whether one more sensor fits.
    pub fn one_left(self) -> bool {
        self.taken < self.limit
    }

    /// The sentence for the maker of a token when 90 % or more of the licence is in use; names the slots left.
    pub fn capacity_warning(self) -> Option<String> {
        if self.taken.saturating_mul(10) < self.limit.saturating_mul(9) {
            return None;
        }
        let left = (self.limit - self.taken).max(0);
        Some(format!(
            "{} of {} protected nodes are in use, {left} left; raise the licence or decommission nodes before you enroll more",
            self.taken, self.limit
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/contract.md section 4: creating a token at 90 % or more answers with `capacity_warning`, naming the slots left.
    #[test]
    fn section_4_capacity_warning_from_90_percent_on() {
        let warning = |taken, limit| Slots { limit, taken, term: Term::Valid }.capacity_warning();
        assert_eq!(warning(8, 10), None);
        assert_eq!(warning(89, 100), None);
        assert!(warning(9, 10).unwrap().contains("1 left"));
        assert!(warning(10, 10).unwrap().contains("0 left"));
        assert!(warning(12, 10).unwrap().contains("0 left"));
    }

    /// Dates and grace.
    #[test]
    fn section_4_a_licence_has_a_time_and_a_grace() {
        let bundle = r#"{"id":"l","max_protected_nodes":5,"not_before":100,"expires_at":200,"grace_days":2}"#;
        let payload: LicencePayload = serde_json::from_str(bundle).unwrap();
        let end = 200 + 2 * DAY;
        for (now, word, lets_in) in [
            (99, "not_yet_valid", false),
            (100, "valid", true),
            (199, "valid", true),
            (200, "grace", true),
            (end - 1, "grace", true),
            (end, "expired", false),
        ] {
            let term = payload.term(now);
            assert_eq!((term.as_str(), term.refusal().is_none()), (word, lets_in), "{now}");
            assert_eq!(term.warning().is_none(), word == "valid", "{now}");
        }
        let old = r#"{"id":"l","max_protected_nodes":5,"not_before":100,"not_after":200}"#;
        let old: LicencePayload = serde_json::from_str(old).unwrap();
        assert_eq!((old.term(199).as_str(), old.term(200).as_str()), ("valid", "expired"));
    }
}
