//! Reads configuration and token again.
//!
//! Invariant: a configuration with a mistake changes nothing, and says so for as long as it stands there. What a running
//! process cannot change stays as it was, the state directory before all.

use std::sync::Arc;

use super::Daemon;
use crate::config::{self, Config, ConfigErrors, ConsoleUrl, Draft, FoundToken};
use crate::console::Console;
use crate::driver::Host;
use crate::hook::Consumers;
use crate::watcher::{Watched, Watcher};

impl Daemon {
    /// What the report says where a daemon began without a configuration.
    pub(super) fn provisional(errors: &ConfigErrors) -> String {
        format!(
            "the configuration cannot be used, and the agent keeps the identity without it: {}",
            errors.in_one_line()
        )
    }

    /// What is wrong with the inputs of first contact, which a host that holds an identity can do without (docs/contract.md
    /// section 2).
    pub(super) fn first_contact_problem(config: &Config) -> Option<String> {
        let errors = config.first_contact();
        (!errors.is_empty()).then(|| format!("needed only to enroll: {}", errors.in_one_line()))
    }

    /// Reads the configuration again. A bad one changes nothing.
    pub(super) fn reload(&mut self, watcher: &mut Watcher) {
        self.notifier.reloading();
        match self.read_again() {
            Err(errors) => self.reject(&errors),
            Ok(found) => self.take(found, watcher),
        }
        self.notifier.ready(&self.line());
    }

    /// Whether something was wrong that may have become right without a change of any file.
    pub(super) fn is_unsettled(&self) -> bool {
        self.rejected.is_some() || self.driver.config().nameless.is_some()
    }

    /// Takes what has become right, and is silent about what has not.
    pub(super) fn look_again(&mut self, watcher: &mut Watcher) {
        if let Ok(found) = self.read_again()
            && (self.rejected.is_some() || found.0.nameless.is_none())
        {
            self.take(found, watcher);
        }
    }

    fn read_again(&self) -> Result<(Config, ConsoleUrl), ConfigErrors> {
        let config = config::load(&self.cli, &self.env)?;
        let url = config.require_console_url()?.value.clone();
        Ok((config, url))
    }

    fn take(&mut self, (config, console_url): (Config, ConsoleUrl), watcher: &mut Watcher) {
        if self.is_provisional {
            tracing::info!("the configuration can be used; beginning anew with it");
            self.configured = Some(Box::new(Draft { config, errors: ConfigErrors::default() }));
        } else {
            self.adopt(config, console_url, watcher);
        }
    }

    fn reject(&mut self, errors: &ConfigErrors) {
        tracing::error!("the new configuration is not taken, the old one stays:\n{errors}");
        self.rejected = Some(if self.is_provisional {
            Self::provisional(errors)
        } else {
            format!("the new configuration is not taken, the old one stays: {}", errors.in_one_line())
        });
        self.report();
    }

    fn adopt(&mut self, mut config: Config, console_url: ConsoleUrl, watcher: &mut Watcher) {
        self.waiting_for_restart = config.keep_running(self.driver.config());
        for name in &self.waiting_for_restart {
            tracing::warn!("a new {name} takes effect when the agent is started again");
        }
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        self.rejected = None;
        self.first_contact = Self::first_contact_problem(&config);
        self.consumers = Arc::new(Consumers::new(&config.hook, &config.state_dir.value));
        watcher.watch(Watched::of(&config));
        let clock = self.driver.clock().clone();
        let console = Console::new(console_url.clone(), &config.proxy, clock.clone())
            .observed_by(Arc::clone(&self.metrics) as _);
        tracing::info!("the configuration was read again");
        let host = Host { facts: crate::facts::gather(&config), config, clock };
        let events = self.driver.set_config(host, console_url, console);
        self.hear(events);
        self.look_for_token();
    }

    pub(super) fn look_for_token(&mut self) {
        let token = self.find_token();
        let events = self.driver.set_token(token);
        self.hear(events);
    }

    pub(super) fn find_token(&mut self) -> Option<FoundToken> {
        // A request names the node: without a name the token stays where it is.
        if self.driver.config().nameless.is_some() {
            return None;
        }
        // Standard input belongs to `enroll`; a daemon has none.
        let (found, problem) = match self.driver.config().token.resolve(&mut std::io::empty()) {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error.to_string())),
        };
        for warning in found.iter().flat_map(|found| &found.warnings) {
            tracing::warn!("{warning}");
        }
        if let Some(error) = problem.as_ref().filter(|problem| self.token_problem.as_ref() != Some(*problem))
        {
            tracing::warn!(%error, "the token cannot be used");
        }
        self.token_problem = problem;
        found
    }
}
