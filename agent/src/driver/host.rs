//! This host, as an enrollment describes it, and how that differs from what it enrolled with.

use std::fmt;
use std::path::Path;

use telovix_contract::facts::HostFacts;

use crate::clock::Clock;
use crate::config::Config;
use crate::facts::machine_id::{self, KnownId};
use crate::machine::Settings;
use crate::store::SensorState;

/// This host: its configuration, what it says of itself, and its clock.
pub struct Host {
    /// The configuration in effect.
    pub config: Config,
    /// What this host says of itself.
    pub facts: HostFacts,
    /// Its wall clock.
    pub clock: Clock,
}

impl Host {
    /// What a report shows of the configuration.
    pub(super) fn settings(&self) -> Settings {
        let config = &self.config;
        Settings {
            node_name: config.node_name.value.to_string(),
            node_role: config.node_role.value.to_string(),
            cluster_name: config.cluster_name.as_ref().map(|setting| setting.value.to_string()),
            console_url: config.console_url.as_ref().map(|setting| setting.value.to_string()),
        }
    }

    /// Whether an identity was made on another machine than this one.
    pub(super) fn is_clone(&self, state: &SensorState) -> bool {
        state.is_of_another_machine(&self.machine_ids())
    }

    /// What tells this machine from others, as it is now.
    pub(super) fn machine_ids(&self) -> Vec<KnownId> {
        machine_id::known(Path::new("/"), &self.config.machine_id.value)
    }

    /// What differs between an identity and the configuration, as a sentence.
    pub(super) fn change(&self, state: &SensorState) -> Option<String> {
        let config = &self.config;
        let text =
            |name: Option<&dyn fmt::Display>| name.map_or_else(|| "none".to_owned(), ToString::to_string);
        let cluster = config.cluster_name.as_ref().map(|setting| &setting.value);
        let pairs = [
            ("node name", state.node_name.to_string(), config.node_name.value.to_string()),
            ("node role", state.node_role.to_string(), config.node_role.value.to_string()),
            (
                "cluster name",
                text(state.cluster_name.as_ref().map(|n| n as &dyn fmt::Display)),
                text(cluster.map(|n| n as &dyn fmt::Display)),
            ),
        ];
        // A host without a name of its own says nothing about the one that it enrolled with.
        let known = usize::from(config.nameless.is_some());
        let (what, then, now) = pairs.into_iter().skip(known).find(|(_, then, now)| then != now)?;
        Some(format!("the {what} is {now} now, and this host enrolled with {then}"))
    }
}
