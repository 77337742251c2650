//! Which tokens and sensors a list shows.

use telovix_contract::states::{HealthState, SensorStatus, TokenStatus, TokenType, TrustHealth, TrustState};
use telovix_contract::{ClusterName, Flavor};

use super::Refusal;
use super::sensor::{Moment, SensorRecord, Standing};

/// Which tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Only those of this status at this moment.
    pub status: Option<TokenStatus>,
    /// Only those of this kind.
    pub kind: Option<TokenType>,
    /// Only those bound to this cluster.
    pub cluster_id: Option<ClusterName>,
}

/// Which sensors; the filters of the fleet list.
#[derive(Debug, Clone, Default)]
pub struct SensorFilter {
    /// The decommissioned too.
    pub decommissioned: bool,
    /// Only those of this status.
    pub status: Option<SensorStatus>,
    /// Only those that were heard of so lately.
    pub health_state: Option<HealthState>,
    /// Only those that are trusted so.
    pub trust_state: Option<TrustState>,
    /// Only those whose certificate stands so.
    pub trust_health: Option<TrustHealth>,
    /// Only those of this cluster.
    pub cluster_id: Option<String>,
    /// Only those of this role.
    pub role: Option<String>,
    /// Only those of this edition.
    pub flavor: Option<String>,
    /// Only those with this label.
    pub tag: Option<String>,
    /// Only those whose node name begins so.
    pub node_name: Option<String>,
}

impl SensorFilter {
    /// Reads a filter out of what an address asks for; `asked` gives the text of a field that is set.
    pub(crate) fn read(asked: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        fn word<T>(
            name: &str,
            text: Option<String>,
            read: impl Fn(&str) -> Option<T>,
        ) -> Result<Option<T>, Refusal> {
            let wrong = || Refusal::field(name, "it is no word of the contract");
            text.map(|word| read(&word).ok_or_else(wrong)).transpose()
        }
        let flavor = word("flavor", asked("flavor"), |word| word.parse::<Flavor>().ok())?;
        Ok(Self {
            decommissioned: word("decommissioned", asked("decommissioned"), |word| word.parse().ok())?
                .unwrap_or(false),
            status: word("status", asked("status"), SensorStatus::from_word)?,
            health_state: word("health_state", asked("health_state"), HealthState::from_word)?,
            trust_state: word("trust_state", asked("trust_state"), TrustState::from_word)?,
            trust_health: word("trust_health", asked("trust_health"), TrustHealth::from_word)?,
            cluster_id: asked("cluster_id"),
            role: asked("role"),
            flavor: flavor.map(|flavor| flavor.to_string()),
            tag: asked("tag"),
            node_name: asked("node_name"),
        })
    }

    /// Whether a sensor, whose newest certificate is valid between these unix seconds, is to be shown at this moment.
    pub(crate) fn shows(&self, sensor: &SensorRecord, validity: Option<(i64, i64)>, at: Moment) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        let tagged = |tag: &String| {
            serde_json::from_str::<Vec<String>>(&sensor.tags).is_ok_and(|tags| tags.contains(tag))
        };
        (self.decommissioned || sensor.standing != Standing::Decommissioned)
            && self.status.is_none_or(|wanted| wanted == sensor.status(at))
            && self.health_state.is_none_or(|wanted| wanted == sensor.health(at.now))
            && self.trust_state.is_none_or(|wanted| wanted == sensor.trust())
            && self.trust_health.is_none_or(|wanted| wanted == sensor.certificate_health(at.now, validity))
            && same(&self.cluster_id, sensor.cluster_id.as_ref().map(ClusterName::as_str))
            && same(&self.role, Some(&sensor.role))
            && same(&self.flavor, Some(&sensor.flavor))
            && self.tag.as_ref().is_none_or(tagged)
            && self.node_name.as_ref().is_none_or(|prefix| sensor.node_name.as_str().starts_with(prefix))
    }
}
