//! The states that a Console shows of a sensor and of a token (docs/contract.md sections 4 and 5).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! wire_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word back; `None` for a word of another contract.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_words!(
    /// What the Console thinks of an identity.
    TrustState {
        /// Waiting for an operator's approval.
        BootstrapPending = "bootstrap_pending",
        /// Enrolled and accepted.
        Trusted = "trusted",
        /// Renewed at least once since it enrolled.
        Rotated = "rotated",
        /// No longer accepted.
        TrustRevoked = "trust_revoked",
    }
);

wire_words!(
    /// How a sensor stands in the fleet list.
    SensorStatus {
        /// Heard of lately.
        Healthy = "healthy",
        /// Not heard of for 90 s.
        Stale = "stale",
        /// Switched off by an operator for a time.
        Disabled = "disabled",
        /// Switched off for good.
        Revoked = "revoked",
    }
);

wire_words!(
    /// How the certificate of a sensor stands.
    TrustHealth {
        /// Nothing to do.
        Healthy = "healthy",
        /// Past two thirds of its life.
        RenewalRecommended = "renewal_recommended",
        /// Close to its end.
        RenewalDue = "renewal_due",
        /// Expired, or not renewed in time.
        Degraded = "degraded",
        /// Revoked.
        Revoked = "revoked",
    }
);

wire_words!(
    /// How lately a sensor was heard of.
    HealthState {
        /// Within three heartbeats.
        Healthy = "healthy",
        /// Silent for 45 s.
        Watch = "watch",
        /// Silent for longer.
        Degraded = "degraded",
        /// Silent for much longer.
        Critical = "critical",
        /// Silent for 360 s.
        Offline = "offline",
    }
);

wire_words!(
    /// The life of a token.
    TokenStatus {
        /// Can be used. A cluster token stays so.
        Pending = "pending",
        /// A successful enrollment used it up.
        Used = "used",
        /// Its time passed first.
        Expired = "expired",
        /// An operator took it back.
        Revoked = "revoked",
    }
);

wire_words!(
    /// The kinds of token.
    TokenType {
        /// For one enrollment.
        Once = "once",
        /// For every node of one cluster.
        Cluster = "cluster",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in TrustState::ALL {
            assert_eq!(TrustState::from_word(state.as_str()), Some(*state));
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
        }
        assert_eq!(TokenStatus::from_word("gone"), None);
    }
}
