//! The licence: how many sensors may be protected at once (CONTRACT.md section 4).

use serde::{Deserialize, Serialize};

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
    /// Unix seconds after which it does not count.
    pub not_after: i64,
}

/// How the licence stands: sensors allowed, and sensors that take a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// `max_protected_nodes`.
    pub limit: i64,
    /// Sensors neither revoked nor decommissioned.
    pub taken: i64,
}

impl Slots {
    /// Whether one more sensor fits.
    #[must_use]
    pub fn one_left(self) -> bool {
        self.taken < self.limit
    }

    /// The sentence for the maker of a token when 90 % or more of the licence is in use; names the slots left.
    #[must_use]
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

    /// CONTRACT.md section 4: creating a token at 90 % or more answers with `capacity_warning`, naming the slots left.
    #[test]
    fn section_4_capacity_warning_from_90_percent_on() {
        let warning = |taken, limit| Slots { limit, taken }.capacity_warning();
        assert_eq!(warning(8, 10), None);
        assert_eq!(warning(89, 100), None);
        assert!(warning(9, 10).unwrap().contains("1 left"));
        assert!(warning(10, 10).unwrap().contains("0 left"));
        assert!(warning(12, 10).unwrap().contains("0 left"));
    }
}
