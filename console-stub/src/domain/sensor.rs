//! A sensor's record, and how it stands by the thresholds of docs/contract.md section 5.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use telovix_contract::facts::HostFacts;
use telovix_contract::states::{HealthState, SensorStatus, TrustHealth, TrustState};
use telovix_contract::token::{hex, unhex};
use telovix_contract::{ClusterName, InstallId, NodeName, SensorId};

use super::presence::SHARED_FOR;

/// Seconds of silence after which a sensor is stale where nobody set anything (docs/contract.md section 5).
pub(crate) const STALE_DEFAULT: i64 = 90;
/// Seconds of silence from which on it is watched (docs/contract.md section 5).
pub(crate) const WATCH: i64 = 45;
/// Seconds of silence from which on its health is degraded (ours, between the two that the vendor names).
const DEGRADED: i64 = 90;
/// Seconds of silence from which on it is critical (ours, likewise).
const CRITICAL: i64 = 180;
/// Seconds of silence from which on it is offline (docs/contract.md section 5).
pub(crate) const OFFLINE: i64 = 360;

/// Seconds by which the clocks of several instances may differ.
const SKEW: i64 = 60;

/// The moment at which sensors are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Unix seconds.
    pub now: i64,
    /// Seconds of silence after which a sensor is stale; a setting.
    pub stale_after: i64,
}

impl Moment {
    /// Unix seconds; who was last heard of after that was heard of while the Console's clock was ahead, and is stale.
    pub(crate) fn latest(self) -> i64 {
        self.now + SKEW
    }

    /// Unix seconds; who was last heard of then, or before, is stale.
    pub(crate) fn stale_since(self) -> i64 {
        self.now - self.stale_after
    }
}

/// What an operator, or the sensor itself, has made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At work.
    Active,
    /// Switched off by an operator for a time.
    Disabled,
    /// Switched off for good.
    Revoked,
    /// Retired by the node itself; comes back when it speaks again.
    Decommissioned,
}

impl Standing {
    /// Whether a sensor that stands so takes a licence slot (docs/contract.md section 4).
    pub(crate) fn takes_a_slot(self) -> bool {
        match self {
            Self::Active | Self::Disabled => true,
            Self::Revoked | Self::Decommissioned => false,
        }
    }
}

/// The machine id of a host as it sends it: hashed, so that the id itself is not given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct MachineId([u8; 32]);

impl MachineId {
    /// The one that a host names; `None` where it names none, or something else.
    pub fn of(host: &HostFacts) -> Option<Self> {
        host.machine_id_sha256.as_deref()?.parse().ok()
    }
}

impl FromStr for MachineId {
    type Err = telovix_contract::token::InvalidHex;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SensorRecord {
    pub id: SensorId,
    pub node_name: NodeName,
    /// Its cluster, as the node named it.
    pub cluster_id: Option<ClusterName>,
    /// Its installation, as the node named it.
    pub install_id: Option<InstallId>,
    /// What it thinks the node is for.
    pub role: String,
    /// Edition.
    pub flavor: String,
    /// Labels, as JSON.
    pub tags: String,
    /// Version of its software.
    pub sensor_version: String,
    /// The host as it described itself, as JSON.
    pub host: String,
    /// As stored at the last enrollment or renewal.
    pub trust_state: TrustState,
    /// Certificates handed out so far.
    pub generation: i64,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds of the last enrollment.
    pub enrolled_at: i64,
    /// Unix seconds of the last heartbeat.
    pub last_seen_at: Option<i64>,
    /// Unix seconds between which an operator wants its certificate renewed.
    pub renew_between: Option<(i64, i64)>,
    /// What is remembered of its heartbeats, as `presence` writes it.
    pub presence: String,
    /// Unix seconds at which it was last seen in two places.
    pub shared_at: Option<i64>,
    /// What an operator or the sensor has made of it.
    pub standing: Standing,
}

/// From how many seconds of silence on a sensor's health is so, and below how many.
pub(crate) fn silence_of(health: HealthState) -> (Option<i64>, Option<i64>) {
    match health {
        HealthState::Healthy => (None, Some(WATCH)),
        HealthState::Watch => (Some(WATCH), Some(DEGRADED)),
        HealthState::Degraded => (Some(DEGRADED), Some(CRITICAL)),
        HealthState::Critical => (Some(CRITICAL), Some(OFFLINE)),
        HealthState::Offline => (Some(OFFLINE), None),
    }
}

impl SensorRecord {
    /// Unix seconds at which it was last heard of; enrolling counts.
    pub(crate) fn heard_at(&self) -> i64 {
        self.last_seen_at.unwrap_or(self.enrolled_at).max(self.enrolled_at)
    }

    /// Seconds since then. A time of the future is one that the Console's clock wrote while it was ahead: whoever is there is
    /// heard of again within seconds, and whoever is not is silent.
    fn silence(&self, now: i64) -> i64 {
        if self.heard_at() > now + SKEW { OFFLINE } else { now - self.heard_at() }
    }

    /// The machine id that its host named when it enrolled.
    pub(crate) fn machine_id(&self) -> Option<MachineId> {
        MachineId::of(&serde_json::from_str(&self.host).ok()?)
    }

    fn is_stale(&self, at: Moment) -> bool {
        self.heard_at() <= at.stale_since() || self.heard_at() > at.latest()
    }

    /// The word in the fleet list. A decommissioned sensor is stale: it is not there.
    pub(crate) fn status(&self, at: Moment) -> SensorStatus {
        match self.standing {
            Standing::Revoked => SensorStatus::Revoked,
            Standing::Disabled => SensorStatus::Disabled,
            Standing::Decommissioned => SensorStatus::Stale,
            Standing::Active if self.is_stale(at) => SensorStatus::Stale,
            Standing::Active => SensorStatus::Healthy,
        }
    }

    pub(crate) fn health(&self, now: i64) -> HealthState {
        let silent = self.silence(now);
        let fits = |health: &HealthState| {
            let (from, below) = silence_of(*health);
            from.is_none_or(|from| silent >= from) && below.is_none_or(|below| silent < below)
        };
        HealthState::ALL.iter().copied().find(fits).unwrap_or(HealthState::Offline)
    }

    pub(crate) fn trust(&self) -> TrustState {
        if self.standing == Standing::Revoked { TrustState::TrustRevoked } else { self.trust_state }
    }

    /// How its newest certificate stands, if it has one.
    pub(crate) fn certificate_health(&self, now: i64, validity: Option<(i64, i64)>) -> TrustHealth {
        validity.map_or(TrustHealth::Degraded, |(from, to)| self.trust_health(now, from, to))
    }

    /// When it was last seen in two places, where that counts still: from a clock that is ahead it does not count for ever.
    pub(crate) fn shared(&self, now: i64) -> Option<i64> {
        self.shared_at.filter(|at| (now - at).abs() < SHARED_FOR)
    }

    /// How its newest certificate stands, which is valid between these unix seconds.
    pub(crate) fn trust_health(&self, now: i64, not_before: i64, not_after: i64) -> TrustHealth {
        let life = (not_after - not_before).max(1);
        if self.standing == Standing::Revoked {
            TrustHealth::Revoked
        } else if now >= not_after || self.shared(now).is_some() {
            TrustHealth::Degraded
        } else if now >= not_after - life / 10 {
            TrustHealth::RenewalDue
        } else if now >= not_before + life * 2 / 3 {
            TrustHealth::RenewalRecommended
        } else {
            TrustHealth::Healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(standing: Standing) -> SensorRecord {
        SensorRecord {
            id: SensorId::random(),
            node_name: "edge-1".parse().unwrap(),
            cluster_id: None,
            install_id: None,
            role: String::new(),
            flavor: String::new(),
            tags: String::new(),
            sensor_version: String::new(),
            host: String::new(),
            trust_state: TrustState::Trusted,
            generation: 1,
            created_at: 0,
            enrolled_at: 0,
            last_seen_at: Some(1000),
            renew_between: None,
            presence: String::new(),
            shared_at: None,
            standing,
        }
    }

    /// docs/contract.md section 5: stale at 90 s; watch at 45 s, offline at 360 s.
    #[test]
    fn section_5_status_and_health_by_silence() {
        let active = record(Standing::Active);
        let at = |now| Moment { now, stale_after: STALE_DEFAULT };
        let seen =
            |after: i64| (active.status(at(1000 + after)).as_str(), active.health(1000 + after).as_str());
        assert_eq!(seen(44), ("healthy", "healthy"));
        assert_eq!(seen(45), ("healthy", "watch"));
        assert_eq!(seen(89), ("healthy", "watch"));
        assert_eq!(seen(90), ("stale", "degraded"));
        assert_eq!(seen(179), ("stale", "degraded"));
        assert_eq!(seen(180), ("stale", "critical"));
        assert_eq!(seen(359), ("stale", "critical"));
        assert_eq!(seen(360), ("stale", "offline"));
        assert_eq!(record(Standing::Disabled).status(at(5000)), SensorStatus::Disabled);
        assert_eq!(record(Standing::Revoked).status(at(1000)), SensorStatus::Revoked);
        assert_eq!(record(Standing::Revoked).trust(), TrustState::TrustRevoked);
        // Heard of while the Console's clock was ahead, and not since it was set right.
        assert_eq!(active.status(at(1000 - 61)), SensorStatus::Stale);
        assert_eq!(active.health(1000 - 61), HealthState::Offline);
        assert_eq!(active.status(at(1000 - 60)), SensorStatus::Healthy);
        let patient = |now| active.status(Moment { now, stale_after: 3600 }).as_str();
        assert_eq!([patient(4599), patient(4600)], ["healthy", "stale"]);
    }

    #[test]
    fn section_5_trust_health_by_the_certificates_age() {
        let active = record(Standing::Active);
        let at = |now| active.trust_health(now, 0, 900).as_str();
        assert_eq!([at(0), at(599)], ["healthy", "healthy"]);
        assert_eq!([at(600), at(809)], ["renewal_recommended", "renewal_recommended"]);
        assert_eq!([at(810), at(899), at(900)], ["renewal_due", "renewal_due", "degraded"]);
        assert_eq!(record(Standing::Revoked).trust_health(0, 0, 900), TrustHealth::Revoked);
        let shared = SensorRecord { shared_at: Some(10), ..record(Standing::Active) };
        let at = |now| shared.trust_health(now, 0, 900_000).as_str();
        assert_eq!([at(10), at(3609), at(3610)], ["degraded", "degraded", "healthy"]);
    }
}
